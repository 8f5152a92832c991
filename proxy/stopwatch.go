package proxy

import (
	"io"
	"time"
)

// stopwatch tells the rewriting of a page from the waiting for it: it reads
// the origin's body for the rewriter, and the rewriter for whoever is next. All
// of it is used by one goroutine at a time.
type stopwatch struct {
	origin  io.Reader
	before  func() error // is called before a read that may wait, and may prevent it; nil: nobody wants to know
	html    io.Reader
	waited  time.Duration // for the origin
	working time.Duration
}

// Read reads the origin's body.
func (s *stopwatch) Read(p []byte) (int, error) {
	began := time.Now()
	if s.before != nil && !ready(s.origin) {
		if err := s.before(); err != nil {
			return 0, err
		}
	}
	n, err := s.origin.Read(p)
	s.waited += time.Since(began)
	return n, err
}

// rewritten reads the rewriter.
type rewritten struct{ *stopwatch }

// Read implements io.Reader.
func (r rewritten) Read(p []byte) (int, error) {
	began, waited := time.Now(), r.waited
	n, err := r.html.Read(p)
	r.working += time.Since(began) - (r.waited - waited)
	return n, err
}
