package front

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// quicListener accepts connections of HTTP/3.
type quicListener struct {
	server    *Server
	transport *quic.Transport
	listener  *quic.Listener
}

// listenQUIC begins to accept on pc, and to announce it in the answers of
// HTTP/1.1 and 2. Data before the handshake's end is not taken: it could be
// sent again by others.
func (s *Server) listenQUIC(pc net.PacketConn) (*quicListener, error) {
	limits := s.live.Load().Limits
	transport := &quic.Transport{
		Conn: pc,
		// An address that is not known to be there must answer first, if it is not
		// for it alone that there is room.
		VerifySourceAddress: func(net.Addr) bool {
			l := s.live.Load().Limits.Connections
			return l > 0 && s.open.Load() > int64(l)/2
		},
	}
	l, err := transport.Listen(http3.ConfigureTLSConfig(s.TLS.Clone()), &quic.Config{
		HandshakeIdleTimeout: limits.ReadHeader / 2, // quic-go allows twice as long in all
		MaxIdleTimeout:       limits.Progress,
		KeepAlivePeriod:      limits.Progress / 3, // a visitor who waits for the origin is there
		MaxIncomingStreams:   maxStreams,
	})
	if err != nil {
		return nil, errors.Join(err, pc.Close())
	}
	if a, ok := pc.LocalAddr().(*net.UDPAddr); ok {
		v := fmt.Sprintf(`h3=":%d"; ma=86400`, a.Port)
		s.altSvc.Store(&v)
	}
	return &quicListener{s, transport, l}, nil
}

// close ends every connection.
func (l *quicListener) close() {
	_ = l.transport.Close()
	_ = l.transport.Conn.Close()
}

func (l *quicListener) serve() error {
	for {
		c, err := l.listener.Accept(context.Background())
		if err != nil {
			select {
			case <-l.server.closing:
				return http.ErrServerClosed
			default:
				return fmt.Errorf("HTTP/3: %w", err)
			}
		}
		go l.server.serveQUIC(c)
	}
}

func (s *Server) serveQUIC(c *quic.Conn) {
	gen := s.live.Load()
	limits := &gen.servers.limits
	if n := s.open.Add(1); limits.Connections > 0 && n > int64(limits.Connections) {
		s.open.Add(-1)
		s.refused(ReasonConnections)
		_ = c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad), "")
		return
	}
	peer := address(c.RemoteAddr())
	if !s.peers.enter(peer, gen.perIP(peer)) {
		s.open.Add(-1)
		s.refused(ReasonPerIP)
		_ = c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad), "")
		return
	}
	defer s.leave(peer)
	_ = gen.h3.ServeQUICConn(c)
	_ = c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
}
