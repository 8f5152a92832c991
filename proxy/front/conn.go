package front

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed14307185/refract/rules"
)

// conn is an accepted connection: it is counted until it is closed, and a peer
// that takes nothing of what is written for Limits.Progress is given up (for
// twice as long at most: when it took its last byte isn't known). It is
// below TLS, because a write of TLS that was cut short can't be taken up again.
type conn struct {
	net.Conn          // TCP, or behind a PROXY header
	raw      net.Conn // as it was accepted
	server   *Server
	limits   *rules.Limits
	home     *handoff
	peer     netip.Addr // that it is counted for, if valid
	closed   atomic.Bool

	mu    sync.Mutex
	asked time.Time // the deadline that was asked for; zero: none
	armed time.Time // what the connection's write deadline is
}

func (c *conn) Write(p []byte) (int, error) { return c.writeBoth(nil, p) }

// writeBoth writes first and then p, in one system call where the connection
// can. It returns how much of p was written.
func (c *conn) writeBoth(first, p []byte) (int, error) {
	var both *net.Buffers
	if len(first) > 0 {
		both = &net.Buffers{first, p}
	}
	w := c.writing()
	for n := -len(first); ; {
		var m int
		var err error
		if both != nil {
			var of int64
			of, err = both.WriteTo(c.Conn)
			m = int(of)
		} else {
			m, err = c.Conn.Write(p[n:])
		}
		n += m
		if err == nil || !w.goesOn(m, err) {
			return max(n, 0), err
		}
	}
}

// writing is a write that may take several, each with a deadline.
type writing struct {
	c     *conn
	since time.Time // when the peer took something, at the earliest
}

func (c *conn) writing() writing {
	now := time.Now()
	c.arm(now)
	return writing{c, now}
}

// goesOn says whether a write that was cut short, after m bytes, is to be taken
// up: if that was its deadline's doing, and the peer has not used up its time.
func (w *writing) goesOn(m int, err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	now := time.Now()
	if m > 0 {
		w.since = now
	}
	switch {
	case now.Sub(w.since) >= w.c.limits.Progress:
		w.c.server.refused(ReasonProgress)
		return false
	case w.c.expired(now):
		return false
	}
	w.c.arm(now)
	return true
}

// arm sets a write deadline that is at least half of Limits.Progress away. It
// is moved only now and then: that costs more than asking for the time.
func (c *conn) arm(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.armed.Sub(now) > c.limits.Progress/2 || !c.asked.IsZero() && c.armed.Equal(c.asked) {
		return
	}
	c.armed = earlier(now.Add(c.limits.Progress), c.asked)
	_ = c.Conn.SetWriteDeadline(c.armed) // the write will tell
}

func (c *conn) expired(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.asked.IsZero() && !c.asked.After(now)
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.IsZero() && c.asked.IsZero() {
		return nil // what is armed is moved by the next write: net/http asks after each request
	}
	c.asked, c.armed = t, t
	return c.Conn.SetWriteDeadline(t)
}

func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// CloseWrite tells the peer that nothing more will come.
func (c *conn) CloseWrite() error { return closeWrite(c.raw) }

func (c *conn) Close() error {
	if !c.closed.CompareAndSwap(false, true) {
		return net.ErrClosed
	}
	c.server.leave(c.peer)
	return c.Conn.Close()
}

func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// earlier is the earlier of two deadlines; the zero time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
