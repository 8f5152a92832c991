package main

import (
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// lineWriter gathers lines and has a goroutine write them, many at a time: a
// line costs its writer a copy, and no system call.
type lineWriter struct {
	mu      sync.Mutex
	pending []byte // guarded by mu
	dropped prometheus.Counter
	stop    chan struct{}
	done    sync.WaitGroup
}

const (
	linesEvery = 50 * time.Millisecond // how long a line waits
	linesBytes = 4 << 20               // of lines that may wait for a slow reader
)

func newLineWriter(w io.Writer, dropped prometheus.Counter) *lineWriter {
	l := &lineWriter{dropped: dropped, stop: make(chan struct{})}
	l.done.Go(func() {
		tick := time.NewTicker(linesEvery)
		defer tick.Stop()
		var spare []byte
		for stopped := false; !stopped; {
			select {
			case <-tick.C:
			case <-l.stop:
				stopped = true
			}
			l.mu.Lock()
			lines := l.pending
			l.pending = spare[:0]
			l.mu.Unlock()
			if len(lines) > 0 {
				_, _ = w.Write(lines) // there is nowhere to complain of a broken log
			}
			spare = lines
		}
	})
	return l
}

// Write takes one line. It waits for no reader and never fails.
func (l *lineWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending)+len(p) > linesBytes {
		l.dropped.Inc()
		return len(p), nil
	}
	l.pending = append(l.pending, p...)
	return len(p), nil
}

// close writes what waits. What is written after it is lost.
func (l *lineWriter) close() {
	close(l.stop)
	l.done.Wait()
}
