// Package front is the visitors' side of the edge: connections in, requests
// out. Go's own server serves them; what stands before it is what the open
// internet needs besides.
//
// Of HTTP/1.x a guard follows the bytes between connection and server, and ends
// what two parsers could read in two ways before any of it passes. Connections
// are limited, in all and for each address, and a client that neither takes nor
// sends anything is dropped, without a limit on how long an exchange may take.
package front

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/seed14307185/refract/rules"
)

// Server serves visitors. Set the fields, call Use, then Serve; the fields must
// not change after that. It is safe for concurrent use.
type Server struct {
	// Handler serves requests. Required.
	Handler http.Handler
	// Plain, if not nil, serves those that came without TLS instead: a redirect,
	// with the answers to ACME challenges before it.
	Plain http.Handler
	// TLS has the certificates; nil: the plain listener only. h2 and http/1.1
	// are offered if it names no protocols. A handshake that agrees on another
	// one, such as acme-tls/1, is all that its connection gets.
	TLS *tls.Config
	// Refused is told of everything that was not served; nil: nobody is. It must
	// not block.
	Refused func(Reason)
	// Log takes what an operator should look into. Required.
	Log *slog.Logger

	live    atomic.Pointer[generation]
	open    atomic.Int64
	peers   peers
	tunnels guards // that were taken over
	parked  guards // that wait for a request without a server
	calm    calm
	altSvc  atomic.Pointer[string]
	streams atomic.Int64 // requests of HTTP/3 in flight

	mu        sync.Mutex
	servers   []*servers
	listeners []func() // that close them
	sockets   []func() // that close what HTTP/3 still needs while it is drained
	ended     bool
	closing   chan struct{} // closed by the first of Shutdown and Close; nil before Use
}

// Settings are what may change while a Server runs.
type Settings struct {
	// Limits hold for the connections that are accepted from now on. All but
	// Tunnel, Connections and PerIP must be positive.
	Limits rules.Limits
	// ProxyProtocol are the peers whose connections must begin with a PROXY
	// header, version 1 or 2. Anyone else's is no such thing.
	ProxyProtocol []netip.Prefix
	// TrustedProxies speak for many clients: Limits.PerIP is not for them.
	TrustedProxies []netip.Prefix
	// HSTS is the max-age of Strict-Transport-Security, in answers over TLS that
	// have none; 0: not sent.
	HSTS time.Duration
}

// Reason says why something was not served.
type Reason string

// The reasons.
const (
	ReasonConnections   Reason = "connections"    // more than Limits.Connections at once
	ReasonPerIP         Reason = "per-ip"         // more than Limits.PerIP at once
	ReasonAccept        Reason = "accept"         // accepting failed, as without file descriptors
	ReasonProxyProtocol Reason = "proxy-protocol" // a peer that must send a PROXY header did not
	ReasonHandshake     Reason = "handshake"      // TLS failed, or took longer than Limits.ReadHeader
	ReasonFraming       Reason = "framing"        // a request that the guard refused, for its form or its size
	ReasonHeader        Reason = "header"         // a head took longer than Limits.ReadHeader
	ReasonProgress      Reason = "progress"       // nothing was taken or sent for Limits.Progress
	ReasonTunnel        Reason = "tunnel"         // nothing went through a tunnel for Limits.Tunnel
	ReasonRequest       Reason = "request"        // a sound request for what isn't served: method, target, host, fields
)

// Reasons lists every reason.
var Reasons = [...]Reason{ReasonConnections, ReasonPerIP, ReasonAccept, ReasonProxyProtocol, ReasonHandshake,
	ReasonFraming, ReasonHeader, ReasonProgress, ReasonTunnel, ReasonRequest}

// maxStreams is how many requests one connection of HTTP/2 or 3 may have at once.
const maxStreams = 128

// generation is what a connection is accepted under.
type generation struct {
	Settings
	hsts string
	*servers
}

// servers are Go's servers, made for limits that they can't change later.
type servers struct {
	limits rules.Limits
	http   *http.Server
	h3     *http3.Server
	handed *handoff
}

// Use makes settings hold. Connections that are open keep the limits they were
// accepted under, and are not touched.
func (s *Server) Use(settings Settings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing == nil {
		s.closing = make(chan struct{})
	}
	next := &generation{Settings: settings}
	if settings.HSTS > 0 {
		next.hsts = fmt.Sprintf("max-age=%d", int64(settings.HSTS/time.Second))
	}
	if i := slices.IndexFunc(s.servers, func(old *servers) bool { return old.limits == settings.Limits }); i >= 0 {
		next.servers = s.servers[i]
	} else if !s.ended {
		next.servers = s.newServers(settings.Limits)
		s.servers = append(s.servers, next.servers)
	} else {
		return
	}
	s.live.Store(next)
}

func (s *Server) newServers(limits rules.Limits) *servers {
	log := slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug)
	handler := http.HandlerFunc(s.serve)
	n := &servers{limits: limits, handed: newHandoff()}
	n.http = &http.Server{
		Handler: handler, ErrorLog: log,
		ReadHeaderTimeout: limits.ReadHeader, IdleTimeout: limits.Idle, MaxHeaderBytes: limits.HeaderBytes,
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ConnState: func(c net.Conn, state http.ConnState) {
			if g, ok := c.(interface{ guarded() *guard }); ok {
				g.guarded().state(state)
			}
		},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if g, ok := c.(interface{ guarded() *guard }); ok {
				ctx = context.WithValue(ctx, guardKey{}, g.guarded())
				ctx, g.guarded().end = context.WithCancel(ctx)
			}
			return ctx
		},
	}
	n.h3 = &http3.Server{Handler: handler, MaxHeaderBytes: limits.HeaderBytes, IdleTimeout: limits.Idle}
	go func() { _ = n.http.Serve(n.handed) }() // ends when it is shut down
	return n
}

// Serve accepts connections until Shutdown or Close, and returns
// http.ErrServerClosed as soon as either begins. Any of the three may be nil.
// secure and quic need Server.TLS. The Server closes them.
func (s *Server) Serve(plain, secure net.Listener, quic net.PacketConn) error {
	results := make(chan error, 3)
	n := 0
	run := func(shut func(), serve func() error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.listeners = append(s.listeners, shut)
		if n++; s.ended {
			shut()
		}
		go func() { results <- serve() }()
	}
	if plain != nil {
		run(func() { _ = plain.Close() }, func() error { return s.accept(plain, nil) })
	}
	if secure != nil {
		config := s.TLS.Clone()
		if len(config.NextProtos) == 0 {
			config.NextProtos = []string{"h2", "http/1.1"}
		}
		run(func() { _ = secure.Close() }, func() error { return s.accept(secure, config) })
	}
	if quic != nil {
		l, err := s.listenQUIC(quic)
		if err != nil {
			s.stop()
			return fmt.Errorf("HTTP/3: %w", err)
		}
		s.mu.Lock()
		s.sockets = append(s.sockets, l.close)
		s.mu.Unlock()
		run(func() { _ = l.listener.Close() }, l.serve)
	}
	var errs []error
	for range n {
		err := <-results
		if !errors.Is(err, http.ErrServerClosed) {
			errs = append(errs, err)
			s.stop()
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	return http.ErrServerClosed
}

// StopAccepting closes the listeners, and has Serve return. Who is connected is
// served on.
func (s *Server) StopAccepting() { s.stop() }

// stop closes the listeners.
func (s *Server) stop() []*servers {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended && s.closing != nil {
		s.ended = true
		close(s.closing)
	}
	for _, shut := range s.listeners {
		shut()
	}
	return s.servers
}

// Shutdown stops accepting, tells the clients that their connections will end,
// and waits for the requests in flight; then for tunnels to end by themselves.
// When ctx ends, tunnels are closed. It returns ctx's error if requests were
// still in flight: Close ends those.
func (s *Server) Shutdown(ctx context.Context) error {
	all := s.stop()
	s.parked.close()
	errs := make(chan error, 2*len(all))
	for _, n := range all {
		go func() { errs <- n.http.Shutdown(ctx) }()
		go func() {
			err := n.h3.Shutdown(ctx)
			if s.streams.Load() == 0 {
				err = nil // a client that keeps its connection, and asks for nothing
			}
			errs <- err
		}()
	}
	var err error
	for range 2 * len(all) {
		err = errors.Join(err, <-errs)
	}
	select {
	case <-s.tunnels.gone():
	case <-ctx.Done():
	}
	s.tunnels.close()
	if err == nil {
		s.closeSockets()
	}
	return err
}

func (s *Server) closeSockets() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, shut := range s.sockets {
		shut()
	}
	s.sockets = nil
}

// Close ends everything at once.
func (s *Server) Close() error {
	var errs []error
	for _, n := range s.stop() {
		errs = append(errs, n.http.Close(), n.h3.Close())
	}
	s.parked.close()
	s.tunnels.close()
	s.closeSockets()
	return errors.Join(errs...)
}

// Connections returns how many connections are open, tunnels included.
func (s *Server) Connections() int { return int(s.open.Load()) }

// Tunnels returns how many connections were taken over, as by WebSocket.
func (s *Server) Tunnels() int { return s.tunnels.count() }

func (s *Server) refused(why Reason) {
	if s.Refused != nil {
		s.Refused(why)
	}
}
