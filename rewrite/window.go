package rewrite

import (
	"encoding/binary"
	"math/bits"
)

// windowWords is how many words of 64 bytes a window covers: 4 KiB of a page.
const windowWords = 64

// A window has a bit for each byte of a piece of the page, in four masks.
// Finding the next byte of a kind is then a shift and a count, where a search
// of its own for each would spend its time on starting.
type window struct {
	lt    mask // '<'
	quote mask // '"'
	tag   mask // what ends or structures a tag: '>', '=', '"' and '\''
	mark  mask // where the marking attribute's name may begin

	base int // where the window begins
	size int // bytes covered; 0: none

	clear int // no name of the marking attribute begins from base up to here
}

// A mask has a bit for each byte of a window, and a word of zeros after them.
type mask [windowWords + 1]uint64

// ahead is the 64 bits from bit k on.
func (m *mask) ahead(k uint) uint64 {
	w, shift := k/64%windowWords, k%64
	return m[w]>>shift | m[w+1]<<1<<(63-shift)
}

// A markSearch finds candidates for the marking attribute's name by two bytes
// of it, in any case: first, and last at the distance.
type markSearch struct {
	distance    int
	first, last byte // with bit 0x20 set
	offset      int  // of first in the name
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
	return markSearch{distance: second - first, first: name[first] | 0x20, last: name[second] | 0x20, offset: first}
}

// fill makes the window cover b from i on, which is less than len(b).
func (w *window) fill(b []byte, i int, mark markSearch) {
	w.base = i
	w.size = min(len(b)-i, windowWords*64)
	w.clear = i
	words := min((len(b)-i-mark.distance)/64, windowWords) // that need no byte beyond b
	if words > 0 {
		w.masks(b[i:], 0, words, mark)
	} else {
		words = 0
	}
	end := (w.size + 63) / 64
	w.lt[end], w.quote[end], w.tag[end], w.mark[end] = 0, 0, 0, 0
	if words*64 >= w.size {
		return
	}
	var tail [64 * 3]byte // the bytes left, and zeros, which are in no mask
	n := copy(tail[:], b[i+words*64:])
	left := (min(n, w.size-words*64) + 63) / 64
	w.masks(tail[:], words, left, mark)
}

// masksGeneric fills words of each mask, beginning with the word at. It is for processors without vectors known to this package.
func (w *window) masksGeneric(b []byte, at, words int, mark markSearch) {
	for k := range words {
		var lt, quote, tag, cand uint64
		for j := 0; j < 64; j += 8 {
			x := binary.LittleEndian.Uint64(b[k*64+j:])
			q := equalBytes(x, '"')
			lt |= equalBytes(x, '<') << j
			quote |= q << j
			tag |= (q | equalBytes(x, '>') | equalBytes(x, '=') | equalBytes(x, '\'')) << j
			const folds = 0x2020202020202020
			if f := equalBytes(x|folds, mark.first); f != 0 {
				y := binary.LittleEndian.Uint64(b[k*64+j+mark.distance:])
				cand |= (f & equalBytes(y|folds, mark.last)) << j
			}
		}
		w.lt[at+k], w.quote[at+k], w.tag[at+k], w.mark[at+k] = lt, quote, tag, cand
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

// nextLT is the first '<' in b from i on, or len(b). Like the others it may
// move the window on, never back.
func (w *window) nextLT(b []byte, i int, mark markSearch) int {
	for i < len(b) {
		k := i - w.base
		if uint(k) >= uint(w.size) {
			w.fill(b, i, mark)
			k = 0
		}
		if m := w.lt.ahead(uint(k)); m != 0 {
			return i + bits.TrailingZeros64(m)
		}
		i += 64
	}
	return len(b)
}

// nextTag is the first byte that ends or structures a tag from i on, or len(b).
func (w *window) nextTag(b []byte, i int, mark markSearch) int {
	for i < len(b) {
		k := i - w.base
		if uint(k) >= uint(w.size) {
			w.fill(b, i, mark)
			k = 0
		}
		if m := w.tag.ahead(uint(k)); m != 0 {
			return i + bits.TrailingZeros64(m)
		}
		i += 64
	}
	return len(b)
}

// nextQuote is the first '"' from i on, or len(b).
func (w *window) nextQuote(b []byte, i int, mark markSearch) int {
	for i < len(b) {
		k := i - w.base
		if uint(k) >= uint(w.size) {
			w.fill(b, i, mark)
			k = 0
		}
		if m := w.quote.ahead(uint(k)); m != 0 {
			return i + bits.TrailingZeros64(m)
		}
		i += 64
	}
	return len(b)
}

// unmarked says whether the marking attribute is surely not in b[from:to].
func (w *window) unmarked(from, to int) bool {
	if from >= w.base && to <= w.clear {
		return true
	}
	if w.marked(from, to) {
		return false
	}
	for w.clear = to; w.clear < w.base+w.size; {
		k := w.clear - w.base
		if m := w.mark.ahead(uint(k)); m != 0 {
			w.clear += bits.TrailingZeros64(m)
			break
		}
		w.clear += 64
	}
	w.clear = min(w.clear, w.base+w.size)
	return true
}

// marked says whether the marking attribute may be in b[from:to].
func (w *window) marked(from, to int) bool {
	from -= w.base
	to -= w.base
	if from < 0 || to > w.size {
		return true // not all of it is in the window
	}
	for from < to {
		m := w.mark.ahead(uint(from))
		if n := to - from; n < 64 {
			m &= 1<<n - 1
		}
		if m != 0 {
			return true
		}
		from += 64
	}
	return false
}
