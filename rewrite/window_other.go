//go:build !amd64

package rewrite

func (w *window) masks(b []byte, at, words int, mark markSearch) { w.masksGeneric(b, at, words, mark) }
