package front

import (
	"net"
	"sync"
	"time"
)

// gathered is what Go's server has written of an answer and the client was not
// sent yet. That server writes through a buffer of 4 KiB: a page that is larger
// would be two or three writes, and each is a system call and a packet. What is
// gathered goes out when the handler flushes, when it is more than the buffer
// holds, and when the server is done with the request.
//
// Only the goroutine of the handler writes meanwhile: of a request with a body
// nothing is gathered.
type gathered struct {
	on  bool
	b   []byte // of outPool, or nil
	err error  // of a write that was said to be done; sticky
}

const gatherSize = 16 << 10

var outPool = sync.Pool{New: func() any { return new([gatherSize]byte) }}

type guardKey struct{} // of the connection's *guard, in a request's context

func (g *guard) Write(p []byte) (int, error) {
	n, err := g.out.write(g.Conn, p)
	if g.tunnel {
		g.active.Store(int64(time.Since(g.opened)))
	}
	return n, err
}

// flush sends what is gathered.
func (o *gathered) flush(to net.Conn) error {
	if len(o.b) > 0 && o.err == nil {
		_, o.err = to.Write(o.b)
	}
	if o.b != nil {
		outPool.Put((*[gatherSize]byte)(o.b[:gatherSize]))
		o.b = nil
	}
	return o.err
}

// end sends what is gathered, and gathers no more.
func (o *gathered) end(to net.Conn) {
	_ = o.flush(to) // the next read or write tells
	o.on = false
}

func (o *gathered) write(to net.Conn, p []byte) (int, error) {
	switch {
	case o.err != nil:
		return 0, o.err
	case !o.on:
		return to.Write(p)
	case len(o.b)+len(p) <= gatherSize:
		if o.b == nil {
			o.b = outPool.Get().(*[gatherSize]byte)[:0]
		}
		o.b = append(o.b, p...)
		return len(p), nil
	}
	if v, ok := to.(interface {
		writeBoth(a, b []byte) (int, error)
	}); ok && len(o.b) > 0 {
		n, err := v.writeBoth(o.b, p)
		o.b = o.b[:0]
		return n, err
	}
	if err := o.flush(to); err != nil {
		return 0, err
	}
	return to.Write(p)
}
