package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strings"

	"github.com/seed14307185/refract/proxy/front"
	"github.com/seed14307185/refract/rules"
)

// listeners are where an edge is spoken to.
type listeners struct {
	plain, admin net.Listener
	secure       net.Listener   // nil: without TLS
	quic         net.PacketConn // nil: without HTTP/3
}

// openListeners opens what a site directory asks for, or takes over what was
// inherited. After an error nothing is open.
func openListeners(e *rules.Edge, inherited sockets) (l listeners, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	if l.plain, err = inherited.listen("listen", func() (net.Listener, error) { return net.Listen("tcp", e.Listen) }); err != nil {
		return l, err
	}
	if l.admin, err = inherited.listen("admin", func() (net.Listener, error) { return listenAdmin(e.Admin) }); err != nil {
		return l, err
	}
	if e.TLS == nil {
		return l, nil
	}
	if l.secure, err = inherited.listen("tls", func() (net.Listener, error) { return net.Listen("tcp", e.TLS.Listen) }); err != nil {
		return l, err
	}
	if !e.TLS.HTTP3 {
		return l, nil
	}
	if l.quic, err = net.ListenPacket("udp", l.secure.Addr().String()); err != nil {
		return l, fmt.Errorf("tls: http3: %w\nhint: http3: false does without UDP", err)
	}
	return l, nil
}

// close closes what no server was given.
func (l *listeners) close() error {
	var errs []error
	for _, open := range []net.Listener{l.plain, l.admin, l.secure} {
		if open != nil {
			errs = append(errs, open.Close())
		}
	}
	if l.quic != nil {
		errs = append(errs, l.quic.Close())
	}
	return errors.Join(errs...)
}

// attrs are the addresses, for the log.
func (l *listeners) attrs() []any {
	attrs := []any{slog.String("listen", l.plain.Addr().String()), slog.String("admin", l.admin.Addr().String())}
	if l.secure != nil {
		attrs = append(attrs, slog.String("tls", l.secure.Addr().String()), slog.Bool("http3", l.quic != nil))
	}
	return attrs
}

// listenAdmin opens the admin listener: a TCP address, or "unix:" and a path.
func listenAdmin(address string) (net.Listener, error) {
	path, unix := strings.CutPrefix(address, "unix:")
	if !unix {
		return net.Listen("tcp", address)
	}
	// A socket that nobody answers on is left over from a crash.
	if conn, err := net.Dial("unix", path); err == nil {
		return nil, errors.Join(fmt.Errorf("another process listens on %s", path), conn.Close())
	}
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode()&fs.ModeSocket == 0:
		return nil, fmt.Errorf("%s is there and is no socket", path)
	default:
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(path, 0o600)
}

// newFront returns the visitors' server: pages over TLS and, where nothing
// redirects them, without. It holds the settings of the set that is used.
func (e *edge) newFront() *front.Server {
	pages := e.flights.track(e.tracing.handler(e.meter.flying(e.proxy)))
	s := &front.Server{Handler: pages, Refused: e.meter.turnedAway, Log: e.log}
	t := e.started.TLS
	if t == nil {
		return s
	}
	s.TLS = e.certs.TLSConfig()
	s.Plain = pages
	if t.Redirect {
		_, port, _ := net.SplitHostPort(t.Listen) // the rules have checked it
		s.Plain = front.Redirect(port)
	}
	s.Plain = e.certs.HTTPChallenge(s.Plain)
	return s
}

// frontSettings are what front takes of a set without a restart.
func frontSettings(e *rules.Edge) front.Settings {
	s := front.Settings{Limits: e.Limits, ProxyProtocol: e.ProxyProtocol, TrustedProxies: e.TrustedProxies}
	if e.TLS != nil {
		s.HSTS = e.TLS.HSTS
	}
	return s
}
