package front

import (
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// parkAfter is how long after a request Go's server waits for the next one on
// its connection. What it keeps for that, two buffers of 4 KiB and a stack that
// has grown to 8 KiB or more, is then given back, and the connection is parked: a
// goroutine that has nothing else waits for the next request, which is served
// as the first one of a connection is. Both together take some 30 µs.
const parkAfter = 500 * time.Millisecond

// toPark says whether a read that found nothing in time is to end net/http's
// waiting for a request, and has Close keep the connection then.
func (g *guard) toPark() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.parking = !g.park.IsZero() && !time.Now().Before(g.park)
	return g.parking
}

// keep takes a connection that net/http closes, if it is to be parked. It is
// then another guard's.
func (g *guard) keep() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.parking {
		return false
	}
	next := &guard{Conn: g.Conn, server: g.server, limits: g.limits, home: g.home}
	if !g.server.parked.add(next) {
		g.server.parked.remove(next)
		return false
	}
	go next.parked(g.asked)
	g.server.calm.parked()
	return true
}

// parked waits for the first byte of a request, until what net/http would have
// waited for, and hands the connection to Go's server again.
func (g *guard) parked(until time.Time) {
	_ = g.Conn.SetReadDeadline(until) // the read will tell
	n, _ := g.Conn.Read(g.one[:])
	g.server.parked.remove(g)
	if n == 0 {
		_ = g.Close()
		return
	}
	g.hold(g.one[:])
	g.hand()
}

// calm gives memory back after a burst. What thousands of connections leave when
// they are parked, some 20 KiB each, is garbage that nobody would collect for
// minutes: the heap's goal was set while they were busy, and nothing is
// allocated any more.
type calm struct {
	since   atomic.Int64 // connections parked since the last time
	waiting atomic.Bool
}

const (
	calmAfter = 1000            // connections: so much garbage is worth a collection
	calmIn    = 2 * time.Second // for the others of the burst
)

func (c *calm) parked() {
	if c.since.Add(1) >= calmAfter && c.waiting.CompareAndSwap(false, true) {
		time.AfterFunc(calmIn, func() {
			c.since.Store(0)
			c.waiting.Store(false)
			debug.FreeOSMemory()
		})
	}
}

// guards are connections that Go's server knows nothing of, or no more. The zero
// value has none. It is safe for concurrent use.
type guards struct {
	mu     sync.Mutex
	open   map[*guard]struct{}
	waits  []chan struct{}
	closed bool
}

// add returns false once close was called.
func (s *guards) add(g *guard) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[*guard]struct{}{}
	}
	s.open[g] = struct{}{}
	return !s.closed
}

func (s *guards) remove(g *guard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.open, g); len(s.open) == 0 {
		for _, w := range s.waits {
			close(w)
		}
		s.waits = nil
	}
}

func (s *guards) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// gone returns a channel that is closed when there are none.
func (s *guards) gone() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := make(chan struct{})
	if len(s.open) == 0 {
		close(w)
	} else {
		s.waits = append(s.waits, w)
	}
	return w
}

// close closes those that are open and those to come.
func (s *guards) close() {
	s.mu.Lock()
	s.closed = true
	open := make([]*guard, 0, len(s.open))
	for g := range s.open {
		open = append(open, g)
	}
	s.mu.Unlock()
	for _, g := range open {
		_ = g.Close()
	}
}
