package rewrite

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// Every mask has a bit for exactly the bytes it is of, with vectors and without.
func TestWindow(t *testing.T) {
	const name = "data-surface"
	mark := newMarkSearch(name)
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	const alphabet = "<>=\"'aDa-sSuUrRfFacCe \x00\xbc"
	for range 3000 {
		b := make([]byte, 1+rnd.IntN(9000))
		for i := range b {
			b[i] = alphabet[rnd.IntN(len(alphabet))]
		}
		for range rnd.IntN(4) {
			copy(b[rnd.IntN(len(b)):], name)
		}
		i := rnd.IntN(len(b))
		var w window
		var g masks
		w.at[0] = 7 // of a window before
		w.fill(b, i, mark)
		g.fillGeneric(append(bytes.Clone(b[i:]), make([]byte, 200)...), 0, (w.size+63)/64, mark)
		var places []uint16
		clear := w.base + w.size
		for k := range w.size {
			at := func(m *[windowWords + 1]uint64) bool { return m[k/64]>>(k%64)&1 != 0 }
			c := b[i+k]
			place := c == '<' || c == '>' || c == '=' || c == '"'
			if place {
				places = append(places, uint16(k))
			}
			cand := i+k+mark.distance < len(b) && c|0x20 == mark.first && b[i+k+mark.distance]|0x20 == mark.last
			if cand {
				clear = min(clear, i+k)
			}
			for name, x := range map[string]struct{ vector, generic, want bool }{
				"places": {at(&w.marks.places), at(&g.places), place},
				"mark":   {at(&w.marks.mark), at(&g.mark), cand},
			} {
				if x.vector != x.want || x.generic != x.want {
					t.Fatalf("seed %d: byte %d of %d (%q) from %d in %s: %v, generic %v", seed, k, w.size, c, i, name, x.vector, x.generic)
				}
			}
		}
		if !slices.Equal(w.at[:w.n], places) || w.clear != clear || int(w.at[w.n]) != w.size || int(w.at[w.n+1]) != w.size {
			t.Fatalf("seed %d: places %v, want %v; clear to %d, want %d", seed, w.at[:w.n+2], places, w.clear, clear)
		}
	}
}
