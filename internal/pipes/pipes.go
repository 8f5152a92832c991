// Package pipes is a listener whose connections are in memory, for tests in a
// synctest bubble: time goes on there while somebody waits on one.
package pipes

import (
	"context"
	"net"
	"sync"
)

// Listener is a net.Listener that only its Dial reaches. It is safe for
// concurrent use.
type Listener struct {
	conns chan net.Conn
	once  sync.Once
	gone  chan struct{}
}

// Listen returns a new listener, to be made within the bubble.
func Listen() *Listener {
	return &Listener{conns: make(chan net.Conn), gone: make(chan struct{})}
}

func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.gone:
		return nil, net.ErrClosed
	}
}

func (l *Listener) Close() error   { l.once.Do(func() { close(l.gone) }); return nil }
func (l *Listener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// Dial connects to the listener, whatever the address: it is a
// http.Transport's DialContext.
func (l *Listener) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
