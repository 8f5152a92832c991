package main

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// lineWriter hands lines on to a writer that may be slow, in the order they
// came and as many at a time as there are. A line costs who writes it a copy; it
// waits for no reader. What finds no room is dropped, and counted. Safe for
// concurrent use.
type lineWriter struct {
	room   int                    // bytes that may wait
	every  time.Duration          // how long a line waits for others; 0: it doesn't
	notice func(lines int) string // is written once there is room again after lines were dropped; nil: nothing is

	mu      sync.Mutex
	pending []byte // guarded by mu
	missed  int    // lines dropped since the last notice; guarded by mu
	closed  bool   // guarded by mu
	dropped atomic.Uint64

	more    chan struct{} // something is pending
	closing chan struct{}
	done    chan struct{}
}

const (
	accessEvery = 50 * time.Millisecond
	accessRoom  = 4 << 20
	logRoom     = 1 << 20

	// flushDeadline is how long the end of the process waits for who reads its
	// logs.
	flushDeadline = time.Second
)

// newAccessWriter and newLogWriter start the goroutine that writes to w. It is
// ended by close.
func newAccessWriter(w io.Writer) *lineWriter {
	return startLines(w, &lineWriter{room: accessRoom, every: accessEvery})
}

func newLogWriter(w io.Writer) *lineWriter {
	return startLines(w, &lineWriter{room: logRoom, notice: func(lines int) string {
		return fmt.Sprintf("{\"time\":%q,\"level\":\"WARN\",\"msg\":\"lines of this log were dropped: its reader is too slow\",\"lines\":%d}\n",
			time.Now().Format(time.RFC3339Nano), lines)
	}})
}

func startLines(w io.Writer, l *lineWriter) *lineWriter {
	l.more, l.closing, l.done = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(l.done)
		var lines []byte
		for range l.more {
			if l.every > 0 {
				waitFor(l.closing, l.every)
			}
			if lines = l.take(lines); len(lines) > 0 {
				_, _ = w.Write(lines) // there is nowhere to complain of a broken log
			}
		}
	}()
	return l
}

// take returns what is to be written, and keeps the room of spare for what comes
// next: from then on, spare is not the caller's.
func (l *lineWriter) take(spare []byte) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.pending
	l.pending = spare[:0]
	if l.missed > 0 && l.notice != nil {
		lines = append(lines, l.notice(l.missed)...)
	}
	l.missed = 0
	return lines
}

// Write takes one line. It never fails.
func (l *lineWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.pending)+len(p) > l.room {
		l.missed++
		l.dropped.Add(1)
		return len(p), nil
	}
	l.pending = append(l.pending, p...)
	select {
	case l.more <- struct{}{}:
	default: // it is told already
	}
	return len(p), nil
}

// lost returns how many lines were dropped.
func (l *lineWriter) lost() uint64 { return l.dropped.Load() }

// close writes what is pending; what comes later is dropped. It returns after
// flushDeadline at the latest, whatever the reader does.
func (l *lineWriter) close() {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.closing)
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
