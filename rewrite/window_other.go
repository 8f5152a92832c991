//go:build !amd64

package rewrite

func (m *masks) fill(b []byte, at, words int, mark markSearch) { m.fillGeneric(b, at, words, mark) }
