package proxy

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"time"
)

// Hijack implements http.Hijacker, for a connection that becomes a tunnel.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if idle := w.x.set.Edge.Limits.Tunnel; err == nil && idle > 0 {
		t := &tunnel{conn, idle}
		t.extend()
		conn = t
	}
	return conn, rw, err
}

// tunnel is the visitor's side of an upgraded connection. It ends when no byte
// has gone through it in either direction for as long as idle.
type tunnel struct {
	net.Conn
	idle time.Duration
}

func (t *tunnel) extend() { _ = t.SetDeadline(time.Now().Add(t.idle)) } // a closed one needs none

func (t *tunnel) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	if n > 0 {
		t.extend()
	}
	return n, err
}

func (t *tunnel) Write(p []byte) (int, error) {
	n, err := t.Conn.Write(p)
	if n > 0 {
		t.extend()
	}
	return n, err
}

// CloseWrite ends one direction, where the connection can.
func (t *tunnel) CloseWrite() error {
	if c, ok := t.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}
