package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// logWriter hands lines on to a slow writer. Who logs never waits: what finds
// no room is dropped, and told of once there is room again. Lines go out at
// once, in the order they came.
type logWriter struct {
	mu      sync.Mutex
	pending []byte // guarded by mu
	dropped int    // lines; guarded by mu
	closed  bool   // guarded by mu
	more    chan struct{}
	done    chan struct{}
}

const (
	logBytes = 1 << 20 // of lines that may wait for a slow reader

	// flushDeadline is how long the end of the process waits for who reads its
	// logs.
	flushDeadline = time.Second
)

// newLogWriter starts the goroutine that writes to w. It is ended by close.
func newLogWriter(w io.Writer) *logWriter {
	l := &logWriter{more: make(chan struct{}, 1), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		var lines []byte
		for range l.more {
			for lines = l.take(lines); len(lines) > 0; lines = l.take(lines) {
				_, _ = w.Write(lines) // there is nowhere to complain of a broken log
			}
		}
	}()
	return l
}

// take returns what is to be written, and keeps the room of spare for what comes
// next: from then on, spare is not the caller's.
func (l *logWriter) take(spare []byte) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.pending
	l.pending = spare[:0]
	if l.dropped > 0 {
		lines = fmt.Appendf(lines, "{\"time\":%q,\"level\":\"WARN\",\"msg\":\"lines of this log were dropped: its reader is too slow\",\"lines\":%d}\n",
			time.Now().Format(time.RFC3339Nano), l.dropped)
		l.dropped = 0
	}
	return lines
}

// Write takes one line. It waits for no reader and never fails.
func (l *logWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.pending)+len(p) > logBytes {
		l.dropped++
		return len(p), nil
	}
	l.pending = append(l.pending, p...)
	select {
	case l.more <- struct{}{}:
	default: // it is told already
	}
	return len(p), nil
}

// close writes what is pending. It returns after flushDeadline at the latest,
// whatever the reader does.
func (l *logWriter) close() {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.more)
	}
	l.mu.Unlock()
	waitFor(l.done, flushDeadline)
}

// waitFor waits until done is closed, but not longer than d.
func waitFor(done <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}
