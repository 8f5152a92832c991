package rewrite

import (
	"bytes"
	"math/rand/v2"
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
		var w, g window
		w.fill(b, i, mark)
		g.masksGeneric(append(bytes.Clone(b[i:]), make([]byte, 200)...), 0, (w.size+63)/64, mark)
		for k := range w.size {
			at := func(m *mask) bool { return m[k/64]>>(k%64)&1 != 0 }
			c := b[i+k]
			cand := i+k+mark.distance < len(b) && c|0x20 == mark.first && b[i+k+mark.distance]|0x20 == mark.last
			for name, x := range map[string]struct{ vector, generic, want bool }{
				"lt":    {at(&w.lt), at(&g.lt), c == '<'},
				"quote": {at(&w.quote), at(&g.quote), c == '"'},
				"tag":   {at(&w.tag), at(&g.tag), c == '"' || c == '\'' || c == '=' || c == '>'},
				"mark":  {at(&w.mark), at(&g.mark), cand},
			} {
				if x.vector != x.want || x.generic != x.want {
					t.Fatalf("seed %d: byte %d of %d (%q) from %d in %s: %v, generic %v", seed, k, w.size, c, i, name, x.vector, x.generic)
				}
			}
		}
	}
}
