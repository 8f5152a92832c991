package rewrite

import "golang.org/x/sys/cpu"

// masksAVX2 fills words of each mask, beginning with the word at, from 64 bytes per word at p. It reads
// mark.distance bytes more than these.
//
//go:noescape
func masksAVX2(m *masks, p *byte, at, words int, mark markSearch)

var hasAVX2 = cpu.X86.HasAVX2

func (m *masks) fill(b []byte, at, words int, mark markSearch) {
	if hasAVX2 {
		masksAVX2(m, &b[0], at, words, mark)
		return
	}
	m.fillGeneric(b, at, words, mark)
}
