package rewrite

import (
	"encoding/binary"
	"math/bits"
)

// windowWords is how many words of 64 bytes a window covers: 4 KiB of a page.
const (
	windowWords = 64
	windowSize  = 64 * windowWords
)

// A window is an index of a piece of the page: where its '<', '>', '=' and '"'
// are, in order. To find them all at once is what vectors are good at; and to
// walk a list does not wait for each place before the next can be looked for.
type window struct {
	base int // where the window begins
	size int // bytes covered; 0: none

	// at[:n] are the places from base on. A few more are size.
	at [windowSize + 16]uint16
	n  int
	k  int // all before at[k] have been passed

	clear int // no name of the marking attribute begins from base up to here

	marks masks
}

// masks have a bit for each byte of a window, and words of zeros after them.
type masks struct {
	places [windowWords + 1]uint64
	mark   [windowWords + 1]uint64 // where the marking attribute's name may begin
}

// A markSearch finds candidates for the marking attribute's name by two bytes
// of it, in any case: first, and last at the distance.
type markSearch struct {
	distance    int
	first, last byte // with bit 0x20 set
}

// newMarkSearch picks the two bytes that are rarest in HTML.
func newMarkSearch(name string) markSearch {
	const common = " etaoinsrlhdcumpgfbywvkxjqz-" // by frequency, about
	rarity := func(c byte) int {
		for i := range common {
			if common[i] == c|0x20 && i > 0 {
				return i
			}
		}
		return len(common)
	}
	first, second := 0, len(name)-1
	for i := range name {
		for j := i + 1; j < len(name) && j < i+32; j++ {
			if rarity(name[i])*rarity(name[j]) > rarity(name[first])*rarity(name[second]) || second-first >= 32 {
				first, second = i, j
			}
		}
	}
	return markSearch{distance: second - first, first: name[first] | 0x20, last: name[second] | 0x20}
}

// fill makes the window cover b from i on, which is less than len(b).
func (w *window) fill(b []byte, i int, mark markSearch) {
	w.base = i
	w.size = min(len(b)-i, windowSize)
	all := (w.size + 63) / 64
	words := max(0, min((len(b)-i-mark.distance)/64, all)) // that need no byte beyond b
	if words > 0 {
		w.marks.fill(b[i:], 0, words, mark)
	}
	if words < all {
		var tail [64 * 3]byte // the bytes left, and zeros, which are in no mask
		copy(tail[:], b[i+words*64:])
		w.marks.fill(tail[:], words, all-words, mark)
	}
	w.marks.mark[all] = 0
	w.list(all)
	w.clear = i
	w.clearFrom(i)
}

// list makes the list of places from the masks.
func (w *window) list(words int) {
	n, base := uint(0), uint16(0)
	for _, m := range w.marks.places[:words] {
		count := uint(bits.OnesCount64(m))
		// Eight at a time, whether there are as many or not: no branch to guess.
		at := (*[8]uint16)(w.at[n : n+8])
		at[0] = base + uint16(bits.TrailingZeros64(m))
		m &= m - 1
		at[1] = base + uint16(bits.TrailingZeros64(m))
		m &= m - 1
		at[2] = base + uint16(bits.TrailingZeros64(m))
		m &= m - 1
		at[3] = base + uint16(bits.TrailingZeros64(m))
		m &= m - 1
		at[4] = base + uint16(bits.TrailingZeros64(m))
		m &= m - 1
		at[5] = base + uint16(bits.TrailingZeros64(m))
		m &= m - 1
		at[6] = base + uint16(bits.TrailingZeros64(m))
		m &= m - 1
		at[7] = base + uint16(bits.TrailingZeros64(m))
		m &= m - 1
		for k := n + 8; m != 0; k++ {
			w.at[k] = base + uint16(bits.TrailingZeros64(m))
			m &= m - 1
		}
		n += count
		base += 64
	}
	for n > 0 && int(w.at[n-1]) >= w.size {
		n--
	}
	for k := range w.at[n : n+8] {
		w.at[int(n)+k] = uint16(w.size)
	}
	w.n, w.k = int(n), 0
}

// clearFrom finds the first candidate for the marking attribute from i on.
func (w *window) clearFrom(i int) {
	for w.clear = i; w.clear < w.base+w.size; {
		k := uint(w.clear - w.base)
		if m := w.marks.mark[k/64%windowWords] >> (k % 64); m != 0 {
			w.clear += bits.TrailingZeros64(m)
			return
		}
		w.clear += int(64 - k%64)
	}
	w.clear = w.base + w.size
}

// unmarked says whether the marking attribute is surely not in b[from:to].
func (w *window) unmarked(from, to int) bool {
	if from < w.base || to > w.base+w.size {
		return false
	}
	if to <= w.clear {
		return true
	}
	if w.clearFrom(from); w.clear < to {
		return false
	}
	return true
}

// fillGeneric is for processors without vectors known to this package. It fills
// words of each mask, beginning with the word at.
func (m *masks) fillGeneric(b []byte, at, words int, mark markSearch) {
	for k := range words {
		var places, cand uint64
		for j := 0; j < 64; j += 8 {
			x := binary.LittleEndian.Uint64(b[k*64+j:])
			places |= (equalBytes(x, '<') | equalBytes(x, '>') | equalBytes(x, '=') | equalBytes(x, '"')) << j
			const folds = 0x2020202020202020
			if f := equalBytes(x|folds, mark.first); f != 0 {
				y := binary.LittleEndian.Uint64(b[k*64+j+mark.distance:])
				cand |= (f & equalBytes(y|folds, mark.last)) << j
			}
		}
		m.places[at+k], m.mark[at+k] = places, cand
	}
}

// equalBytes has a bit for each byte of x that is c.
func equalBytes(x uint64, c byte) uint64 {
	const (
		ones = 0x0101010101010101
		lows = 0x7f7f7f7f7f7f7f7f
	)
	x ^= ones * uint64(c)
	zero := ^((x&lows + lows) | x | lows) // the high bit of each byte that is zero
	return (zero >> 7) * 0x0102040810204080 >> 56
}

func trailingBytes(x uint64) int { return bits.TrailingZeros64(x) >> 3 }
