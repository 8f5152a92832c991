package coding

import (
	"bytes"
	"fmt"
	"io"
	"runtime/debug"
	"time"
)

// Linger is how long a byte may wait in an Encoder for more to be encoded with
// it. A page that arrives at once takes less; where its origin pauses, a sync
// flush makes what has come so far readable for the client.
const Linger = 3 * time.Millisecond

// An Encoder gives what its source gives, in a coding. It is not safe for
// concurrent use.
//
// It reads its source in a goroutine of its own, from the first Read to the
// source's end or Close: a Read of the source that waits can't be interrupted,
// but what was read before it can be flushed meanwhile. An error of the source
// comes after everything that it gave, and leaves the coding unended.
type Encoder struct {
	pool   *Pool
	coding Coding
	*press
	src     io.Reader
	free    chan []byte // chunks that may be filled; closed by Close
	filled  chan chunk  // as many as there are chunks: sending never waits; closed by pump
	pending bool        // the compressor may hold bytes back
	late    *time.Timer // since then, Linger long
	err     error       // follows out; sticky
}

// chunk is one Read of the source.
type chunk struct {
	b   []byte
	err error
}

// NewEncoder returns an Encoder for what src gives. It reads nothing yet.
func (p *Pool) NewEncoder(src io.Reader, c Coding) *Encoder {
	return &Encoder{pool: p, coding: c, press: p.press(c), src: src}
}

// Read implements io.Reader. It returns when to is full, when what it has was
// flushed, and at the end.
func (e *Encoder) Read(to []byte) (int, error) {
	switch {
	case len(to) == 0:
		return 0, nil
	case e.press == nil:
		return 0, e.err
	case e.filled == nil:
		e.start()
	}
	// What is out and not pending was flushed: it must not wait for more.
	for e.err == nil && e.out.Len() < len(to) && (e.pending || e.out.Len() == 0) {
		var late <-chan time.Time
		if e.pending {
			late = e.late.C
		}
		select {
		case c := <-e.filled:
			e.encode(c)
		case <-late:
			e.pending, e.err = false, e.do.Flush()
		}
	}
	if e.out.Len() > 0 {
		return e.out.Read(to)
	}
	return 0, e.err
}

// Ready says whether Read has something to return without waiting.
func (e *Encoder) Ready() bool { return e.press == nil || e.err != nil || e.out.Len() > 0 }

// Close ends the goroutine that reads the source, and gives the Encoder's
// memory back to its Pool. It waits for a Read of the source under way: close
// what that waits for before. It does not close the source, and it does not end
// the coding. It always returns nil.
func (e *Encoder) Close() error {
	m := e.press
	if m == nil {
		return nil
	}
	if e.filled != nil {
		close(e.free)
		for range e.free { // that none is filled any more
		}
		for range e.filled { // until the goroutine has ended
		}
		e.late.Stop()
	}
	e.press, e.src, e.err = nil, nil, io.ErrClosedPipe
	if m.out.Cap() > pooledBuffer {
		m.out = bytes.Buffer{}
	}
	e.pool.encoders[e.coding].Put(m)
	return nil
}

func (e *Encoder) start() {
	e.free = make(chan []byte, len(e.chunks))
	e.filled = make(chan chunk, len(e.chunks))
	for i := range e.chunks {
		e.free <- e.chunks[i][:]
	}
	e.late = time.NewTimer(Linger)
	e.late.Stop()
	go pump(e.src, e.free, e.filled)
}

// pump reads src until it ends or free is closed.
func pump(src io.Reader, free <-chan []byte, filled chan<- chunk) {
	defer close(filled)
	defer func() {
		if v := recover(); v != nil { // here it would be the end of the process
			filled <- chunk{err: fmt.Errorf("coding: panic in the source: %v\n%s", v, debug.Stack())}
		}
	}()
	for b := range free {
		n, err := 0, error(nil)
		for tries := 0; n == 0 && err == nil; tries++ {
			if n, err = src.Read(b); tries == maxEmptyReads {
				err = io.ErrNoProgress
			}
		}
		if filled <- (chunk{b[:n], err}); err != nil {
			return
		}
	}
}

// encode takes what one Read of the source gave.
func (e *Encoder) encode(c chunk) {
	if len(c.b) > 0 {
		if !e.pending {
			e.pending = true
			e.late.Reset(Linger)
		}
		_, e.err = e.do.Write(c.b)
	}
	switch {
	case e.err != nil:
	case c.err == io.EOF:
		if e.err = e.do.Close(); e.err == nil {
			e.err = io.EOF
		}
	case c.err != nil:
		if e.err = e.do.Flush(); e.err == nil {
			e.err = c.err
		}
	default:
		e.free <- c.b[:chunkSize]
	}
}
