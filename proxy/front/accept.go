package front

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"
)

const (
	firstPause = 5 * time.Millisecond // after an accept that failed; doubled up to maxPause
	maxPause   = time.Second
)

// accept takes connections until the listener is closed. secure is nil without
// TLS. Any other failure, such as too few file descriptors, is waited out.
func (s *Server) accept(l net.Listener, secure *tls.Config) error {
	pause := time.Duration(0)
	for {
		c, err := l.Accept()
		if err == nil {
			pause = 0
			s.take(c, secure)
			continue
		}
		select {
		case <-s.closing:
			return http.ErrServerClosed
		default:
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		s.refused(ReasonAccept)
		if pause < maxPause {
			pause = min(max(firstPause, 2*pause), maxPause)
			s.Log.Warn("a connection can't be accepted: hint: see the limit of open files", slog.String("error", err.Error()), slog.Duration("pause", pause))
		}
		select {
		case <-time.After(pause):
		case <-s.closing:
		}
	}
}

// take counts a connection and hands it on, from its own goroutine if that has
// to wait for the client.
func (s *Server) take(raw net.Conn, secure *tls.Config) {
	gen := s.live.Load()
	c := &conn{Conn: raw, raw: raw, server: s, limits: &gen.servers.limits, home: gen.handed}
	if n := s.open.Add(1); c.limits.Connections > 0 && n > int64(c.limits.Connections) {
		s.turnAway(c, secure, ReasonConnections)
		return
	}
	peer := address(raw.RemoteAddr())
	behind := among(gen.ProxyProtocol, peer)
	switch {
	case !behind && !s.enter(gen, c, peer):
		s.turnAway(c, secure, ReasonPerIP)
	case !behind && secure == nil:
		newGuard(c, c).hand()
	default:
		go s.prepare(gen, c, behind, secure)
	}
}

// prepare takes what comes before HTTP: the PROXY header and the handshake.
func (s *Server) prepare(gen *generation, c *conn, behind bool, secure *tls.Config) {
	if behind {
		p := proxyproto.NewConn(c.raw, proxyproto.WithPolicy(proxyproto.REQUIRE), proxyproto.SetReadHeaderTimeout(c.limits.ReadHeader))
		if p.ProxyHeader() == nil {
			s.refused(ReasonProxyProtocol)
			_ = c.Close()
			return
		}
		_ = p.SetReadDeadline(time.Time{}) // a connection that is broken tells when it is read
		c.Conn = p
		if !s.enter(gen, c, address(p.RemoteAddr())) {
			s.turnAway(c, secure, ReasonPerIP)
			return
		}
	}
	if secure == nil {
		newGuard(c, c).hand()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.limits.ReadHeader)
	defer cancel()
	t := tls.Server(c, secure)
	if err := t.HandshakeContext(ctx); err != nil {
		s.refused(ReasonHandshake)
		var plain tls.RecordHeaderError
		if errors.As(err, &plain) && plain.Conn != nil && plainHTTP(plain.RecordHeader) {
			_, _ = io.WriteString(plain.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nThis port speaks HTTPS.\n")
		}
		_ = c.Close()
		return
	}
	switch t.ConnectionState().NegotiatedProtocol {
	case "h2":
		gen.handed.put(t)
	case "http/1.1", "":
		newGuard(c, t).hand()
	default:
		_ = t.Close()
	}
}

// plainHTTP says whether the first bytes of a connection, taken for a record of
// TLS, are those of a request.
func plainHTTP(b [5]byte) bool {
	return slices.Contains([]string{"GET /", "HEAD ", "POST ", "PUT /", "OPTIO"}, string(b[:]))
}

// turnAway closes a connection that is one too many.
func (s *Server) turnAway(c *conn, secure *tls.Config, why Reason) {
	s.refused(why)
	if secure == nil {
		_ = c.raw.SetWriteDeadline(time.Now().Add(linger))
		_, _ = io.WriteString(c.raw, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	}
	_ = c.Close()
}

func newGuard(c *conn, over net.Conn) *guard {
	return &guard{Conn: over, server: c.server, limits: c.limits, home: c.home}
}

// hand hands a connection to Go's server.
func (g *guard) hand() {
	if _, secure := g.Conn.(*tls.Conn); secure {
		g.home.put(secureGuard{g})
		return
	}
	g.home.put(g)
}

// enter counts c for its peer, if that may have one more.
func (s *Server) enter(gen *generation, c *conn, peer netip.Addr) bool {
	if !s.peers.enter(peer, gen.perIP(peer)) {
		return false
	}
	c.peer = peer
	return true
}

// perIP is how many connections peer may have; 0: no limit.
func (gen *generation) perIP(peer netip.Addr) int {
	if among(gen.TrustedProxies, peer) {
		return 0
	}
	return gen.Limits.PerIP
}

func among(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a) })
}

// leave takes a connection off the counts. peer is invalid if it never got as
// far as to be counted for one.
func (s *Server) leave(peer netip.Addr) {
	s.open.Add(-1)
	if peer.IsValid() {
		s.peers.leave(peer)
	}
}

// address is the peer's, invalid if it has none, as on a unix socket.
func address(a net.Addr) netip.Addr {
	var ip netip.Addr
	switch a := a.(type) {
	case *net.TCPAddr:
		ip, _ = netip.AddrFromSlice(a.IP)
	case *net.UDPAddr:
		ip, _ = netip.AddrFromSlice(a.IP)
	}
	return ip.Unmap()
}

// peers counts connections by address, those of IPv6 by the /64, which is what
// one subscriber has.
type peers struct {
	mu    sync.Mutex
	count map[netip.Addr]int
}

func (p *peers) enter(a netip.Addr, limit int) bool {
	if !a.IsValid() {
		return true
	}
	a = network(a)
	p.mu.Lock()
	defer p.mu.Unlock()
	if limit > 0 && p.count[a] >= limit {
		return false
	}
	if p.count == nil {
		p.count = map[netip.Addr]int{}
	}
	p.count[a]++
	return true
}

func (p *peers) leave(a netip.Addr) {
	a = network(a)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.count[a]--; p.count[a] <= 0 {
		delete(p.count, a)
	}
}

func network(a netip.Addr) netip.Addr {
	if a.Is4() {
		return a
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return a
	}
	return p.Addr()
}

// handoff is the listener of Go's server: connections that are ready for HTTP.
type handoff struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newHandoff() *handoff { return &handoff{conns: make(chan net.Conn), done: make(chan struct{})} }

// put hands c over, or closes it if nobody takes it any more.
func (h *handoff) put(c net.Conn) {
	select {
	case h.conns <- c:
	case <-h.done:
		_ = c.Close()
	}
}

func (h *handoff) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

func (h *handoff) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

func (h *handoff) Addr() net.Addr { return &net.TCPAddr{} }
