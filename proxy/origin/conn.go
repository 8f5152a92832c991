package origin

import (
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// conn is a connection to a server. It belongs to one exchange at a time, or
// is idle.
type conn struct {
	net.Conn          // what is read and written: TLS, if the server has it
	under    net.Conn // the socket
	server   *server
	used     bool // an exchange was had over it
	since    time.Time
	closed   atomic.Bool
	abort    func() // is close; bound once

	probe probe
}

func newConn(s *server, under net.Conn) *conn {
	c := &conn{Conn: under, under: under, server: s}
	c.abort = c.close
	if sc, ok := under.(syscall.Conn); ok {
		c.probe.bind(sc)
	}
	s.open.Add(1)
	return c
}

// close closes the socket. It may be called again, and by any goroutine; who
// reads or writes gets an error.
func (c *conn) close() {
	if !c.closed.Swap(true) {
		c.server.open.Add(-1)
		_ = c.under.Close() // nothing was promised to be delivered
	}
}

// stale says whether an idle connection can't be used: the server has closed
// it, or sent what nobody asked for.
func (c *conn) stale() bool { return c.probe.raw != nil && !c.probe.silent() }

const (
	maxIdle = 256              // connections of a server
	idleFor = 90 * time.Second // then they are closed
)

// idle is a server's connections without work, the latest at the end.
type idle struct {
	mu    sync.Mutex // guards everything
	conns []*conn
	sweep *time.Timer // is set while there are connections
	over  bool        // none are kept any more
}

// take returns the connection that was used last, or nil: the others may go
// when they are not needed.
func (p *idle) take() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.conns)
	if n == 0 {
		return nil
	}
	c := p.conns[n-1]
	p.conns[n-1] = nil
	p.conns = p.conns[:n-1]
	return c
}

// keep takes a connection back, if there is room.
func (p *idle) keep(c *conn) bool {
	c.since, c.used = time.Now(), true
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over || len(p.conns) >= maxIdle {
		return false
	}
	p.conns = append(p.conns, c)
	if p.sweep == nil {
		p.sweep = time.AfterFunc(idleFor, p.expire)
	}
	return true
}

// expire closes what has been idle for too long.
func (p *idle) expire() {
	p.mu.Lock()
	n := 0
	for n < len(p.conns) && time.Since(p.conns[n].since) >= idleFor {
		n++
	}
	old := slices.Clone(p.conns[:n])
	p.conns = slices.Delete(p.conns, 0, n)
	p.sweep = nil
	if len(p.conns) > 0 {
		p.sweep = time.AfterFunc(idleFor-time.Since(p.conns[0].since), p.expire)
	}
	p.mu.Unlock()
	for _, c := range old {
		c.close()
	}
}

// shut closes all, and those that come back later.
func (p *idle) shut() {
	p.mu.Lock()
	conns := p.conns
	p.conns, p.over = nil, true
	if p.sweep != nil {
		p.sweep.Stop()
	}
	p.mu.Unlock()
	for _, c := range conns {
		c.close()
	}
}
