package front

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed14307185/refract/rules"
)

const (
	heldSize = 16 << 10               // of the buffers of heads that come in pieces
	linger   = 500 * time.Millisecond // how long a refused client has to take the answer before the connection is reset
)

var heldPool = sync.Pool{New: func() any { return new([heldSize]byte) }}

// guard stands between a connection and net/http and lets through HTTP/1.x
// whose framing leaves no doubt. Every byte of it passes as it came, but for
// one empty line before a request. A head passes when it is whole and sound;
// else guard answers itself, and net/http sees the connection end. Where a
// body's framing breaks, reading it returns a *Refusal.
//
// A Read never goes beyond the end of a request. What a client sends while its
// request is being answered waits here, so a refusal is never written into an
// answer, and the first bytes of a tunnel get to who took the connection over.
type guard struct {
	net.Conn // *conn, or *tls.Conn on one
	server   *Server
	limits   *rules.Limits
	home     *handoff // of the server that has it

	// By whoever reads, one at a time.
	scan    scanner
	held    []byte // read and not yet passed on; of heldPool if so large
	off     int    // where it begins
	cleared int    // how much of it may pass
	trimmed bool   // an empty line before this head was taken away
	err     error  // of every Read from now on
	busy    bool   // a request has passed and its answer isn't finished
	tunnel  bool   // hijacked: nobody's business any more
	one     [1]byte

	out gathered

	mu         sync.Mutex
	asked, own time.Time // read deadlines, of net/http and of guard; the earlier counts
	idle       bool      // the next one that net/http asks for is how long a request is waited for
	park       time.Time // while a request is waited for: when to do that without net/http; before asked, or zero
	parking    bool      // Close parks

	end    context.CancelFunc // of the requests' context
	active atomic.Int64       // of a tunnel: when bytes were seen last, since opened
	opened time.Time
	watch  *time.Timer
	closed atomic.Bool
}

// secureGuard is a guard above TLS: net/http asks for the state.
type secureGuard struct{ *guard }

func (g secureGuard) ConnectionState() tls.ConnectionState {
	return g.Conn.(*tls.Conn).ConnectionState()
}

func (g *guard) guarded() *guard { return g }

// state is told by net/http, between reads, what becomes of the connection.
func (g *guard) state(s http.ConnState) {
	switch s {
	case http.StateIdle:
		g.out.end(g.Conn)
		g.busy = false
		g.mu.Lock()
		g.idle = true
		g.mu.Unlock()
	case http.StateHijacked:
		g.tunnel = true
		g.deadline(time.Time{})
		g.opened = time.Now()
		if g.limits.Tunnel > 0 {
			g.watch = time.AfterFunc(g.limits.Tunnel, g.silent)
		}
		if !g.server.tunnels.add(g) {
			_ = g.Close() // the server was closed
		}
	}
}

// silent closes a tunnel that has been idle for too long.
func (g *guard) silent() {
	if left := g.limits.Tunnel - (time.Since(g.opened) - time.Duration(g.active.Load())); left > 0 {
		g.watch.Reset(left)
		return
	}
	g.server.refused(ReasonTunnel)
	_ = g.Close()
}

func (g *guard) Read(p []byte) (int, error) {
	switch {
	case len(p) == 0:
		return 0, nil
	case g.tunnel:
		if len(g.held) > 0 {
			return g.pass(p, len(g.held)-g.off), nil
		}
		n, err := g.Conn.Read(p)
		g.active.Store(int64(time.Since(g.opened)))
		return n, err
	case g.cleared > 0:
		return g.pass(p, g.cleared), nil
	case g.err != nil:
		return 0, g.err
	case g.busy && g.scan.between():
		return g.peek()
	}
	for {
		if len(g.held) > 0 {
			if err := g.judge(); err != nil {
				return 0, err
			}
			if g.cleared > 0 {
				return g.pass(p, g.cleared), nil
			}
			if err := g.more(); err != nil {
				return 0, err
			}
			continue
		}
		if !g.scan.between() {
			g.deadline(time.Now().Add(g.limits.Progress))
		}
		n, err := g.Conn.Read(p)
		if n == 0 {
			return 0, g.failed(err)
		}
		if g.scan.between() && p[0] == '\r' {
			g.hold(p[:n]) // judge knows of empty lines
			continue
		}
		k, refusal := g.scan.next(p[:n], g.limits)
		if k < n {
			g.hold(p[k:n])
		}
		if refusal != nil {
			return 0, g.refuse(refusal)
		}
		if k > 0 {
			g.passed()
			return k, nil
		}
	}
}

// judge looks at what is held.
func (g *guard) judge() error {
	if b := g.held[g.off:]; !g.trimmed && g.scan.phase == inHead && g.scan.lines == 0 && len(b) >= 2 && b[0] == '\r' && b[1] == '\n' {
		// RFC 9112 section 2.2: one empty line is ignored.
		g.trimmed, g.scan = true, scanner{}
		if g.drop(2); len(g.held) == 0 {
			return nil
		}
	}
	k, refusal := g.scan.next(g.held[g.off:], g.limits)
	if refusal != nil {
		return g.refuse(refusal)
	}
	if g.cleared = k; k > 0 {
		g.passed()
	}
	return nil
}

// passed notes that the head, or some of the body, was found sound. Nothing is
// awaited of the client once the request is whole.
func (g *guard) passed() {
	g.busy, g.trimmed = true, false
	if !g.own.IsZero() && g.scan.between() {
		g.deadline(time.Time{})
	}
}

// pass hands on the first n bytes that are held, or as many as p takes.
func (g *guard) pass(p []byte, n int) int {
	n = copy(p, g.held[g.off:g.off+n])
	if g.cleared > 0 {
		g.cleared -= n
	}
	g.drop(n)
	return n
}

// drop forgets the first n bytes that are held.
func (g *guard) drop(n int) {
	if g.off += n; g.off == len(g.held) {
		if cap(g.held) == heldSize {
			heldPool.Put((*[heldSize]byte)(g.held[:heldSize]))
		}
		g.held, g.off = nil, 0
	}
}

// hold keeps b, which was read and can't pass yet.
func (g *guard) hold(b []byte) {
	if g.held == nil {
		g.held = heldPool.Get().(*[heldSize]byte)[:0]
	}
	g.held = append(g.held, b...)
}

// more reads more of a head of which some is held, if any is.
func (g *guard) more() error {
	if len(g.held) == 0 {
		return nil
	}
	if g.own.IsZero() {
		g.deadline(time.Now().Add(g.limits.ReadHeader))
	}
	if len(g.held) == cap(g.held) {
		kept := g.held[g.off:]
		grown := make([]byte, len(kept), 2*cap(g.held)) // not a size of the pool
		copy(grown, kept)
		g.drop(len(kept))
		g.held, g.off = grown, 0
	}
	n, err := g.Conn.Read(g.held[len(g.held):cap(g.held)])
	g.held = g.held[:len(g.held)+n]
	if n == 0 {
		return g.failed(err)
	}
	return nil
}

// peek is net/http's way to learn, while a request is being answered, that the
// client has gone. A byte that comes instead is kept: net/http may not have it
// before its head was judged, and the answer may not be ended for it.
func (g *guard) peek() (int, error) {
	if len(g.held) > 0 {
		return 0, nil
	}
	n, err := g.Conn.Read(g.one[:])
	if n > 0 {
		g.hold(g.one[:n])
		return 0, nil
	}
	return 0, err
}

// failed is a read that brought nothing: the client's silence, if a deadline
// is why. Of a head it is so in any case: net/http breaks off reads only while
// it answers, and has the same deadline for the first one.
func (g *guard) failed(err error) error {
	switch {
	case !errors.Is(err, os.ErrDeadlineExceeded):
	case len(g.held) == 0 && g.toPark():
		return io.EOF
	case len(g.held) > 0 && g.scan.phase == inHead:
		g.answer(&Refusal{http.StatusRequestTimeout, "the header took too long"}, ReasonHeader)
		return g.err
	case !g.own.IsZero() && !time.Now().Before(g.own):
		g.server.refused(ReasonProgress)
		g.err = &Refusal{http.StatusRequestTimeout, "the body took too long"}
		return g.err
	}
	return err
}

// refuse ends what is read from the client: with an answer, where none is
// under way.
func (g *guard) refuse(r *Refusal) error {
	if g.scan.phase == inHead {
		g.answer(r, ReasonFraming)
		return g.err
	}
	g.server.refused(ReasonFraming)
	g.err = r
	return r
}

// answer tells the client why it is refused. net/http then sees the end, as if
// the client had gone.
func (g *guard) answer(r *Refusal, why Reason) {
	g.server.refused(why)
	g.err = io.EOF
	text := r.Reason + "\n"
	fmt.Fprintf(g.Conn, "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		r.Status, http.StatusText(r.Status), time.Now().UTC().Format(http.TimeFormat), len(text), text)
	// Closing with something unread would take the answer away from the client.
	if g.CloseWrite() != nil {
		return
	}
	_ = g.Conn.SetReadDeadline(time.Now().Add(linger))
	_, _ = io.CopyN(io.Discard, g.Conn, 1<<20)
}

// CloseWrite ends one direction, for tunnels.
func (g *guard) CloseWrite() error { return closeWrite(g.Conn) }

func (g *guard) Close() error {
	if !g.closed.CompareAndSwap(false, true) {
		return g.Conn.Close()
	}
	if g.tunnel {
		g.server.tunnels.remove(g)
		if g.watch != nil {
			g.watch.Stop()
		}
		g.end() // the other side of the tunnel may have nothing to say
	} else if g.keep() {
		return nil
	}
	return g.Conn.Close()
}

func (g *guard) SetReadDeadline(t time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked, g.park = t, time.Time{}
	if g.idle && !t.IsZero() && g.limits.Idle > parkAfter {
		g.park = t.Add(parkAfter - g.limits.Idle)
		t = g.park
	}
	g.idle = false
	return g.Conn.SetReadDeadline(earlier(t, g.own))
}

// SetWriteDeadline is what Go's server asks for when it is done with a request.
func (g *guard) SetWriteDeadline(t time.Time) error {
	g.out.end(g.Conn)
	return g.Conn.SetWriteDeadline(t)
}

func (g *guard) SetDeadline(t time.Time) error {
	return errors.Join(g.SetReadDeadline(t), g.SetWriteDeadline(t))
}

// deadline sets guard's own read deadline; zero: none.
func (g *guard) deadline(t time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.own, g.park = t, time.Time{}
	_ = g.Conn.SetReadDeadline(earlier(g.asked, t)) // the read will tell
}
