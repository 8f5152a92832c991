package front

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed14307185/refract/rules"
)

func TestConnectionLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limits
		l.Connections, l.PerIP = 4, 2
		trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		b := serveBubble(t, &Server{Handler: http.HandlerFunc(hello)}, Settings{Limits: l, TrustedProxies: trusted})
		open := func(addr, want string) net.Conn {
			t.Helper()
			c := b.dial(t, b.plain, addr)
			got := make(chan string, 1)
			go func() {
				_, _ = io.WriteString(c, get)
			}()
			go func() { // a refusal comes before anything is asked
				resp, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					got <- err.Error()
					return
				}
				got <- resp.Status[:3]
			}()
			synctest.Wait()
			if g := <-got; g != want {
				t.Errorf("%s is answered with %s, not %s", addr, g, want)
			}
			return c
		}
		first := open("192.0.2.1", "200")
		open("192.0.2.1", "200")
		open("::ffff:192.0.2.1", "503")
		open("2001:db8::1", "200")
		v6 := open("2001:db8::ffff:1", "200")
		open("198.51.100.1", "503") // the fifth
		_ = v6.Close()
		synctest.Wait()
		if got := b.reasons(); got != "per-ip connections" {
			t.Errorf("refused: %s", got)
		}
		v6 = open("2001:db8::2", "200")
		_ = first.Close()
		synctest.Wait()
		open("2001:db8::3", "503") // the third of the network
		open("2001:db8:0:1::1", "200")
		_ = v6.Close()
		synctest.Wait()
		// A reload changes what is accepted, and no connection.
		l.PerIP = 1
		b.Use(Settings{Limits: l, TrustedProxies: trusted})
		open("192.0.2.1", "503")
		b.Use(Settings{TrustedProxies: trusted, Limits: rules.Limits{
			HeaderBytes: l.HeaderBytes, Headers: l.Headers, ReadHeader: l.ReadHeader, Idle: l.Idle, Progress: l.Progress, PerIP: 1,
		}})
		open("10.0.0.1", "200") // speaks for others
		open("10.0.0.1", "200")
		if n := b.Connections(); n != 5 {
			t.Errorf("%d connections are open", n)
		}
	})
}

// failing is a listener without file descriptors, for some time.
type failing struct {
	*handoff
	left atomic.Int64
}

func (f *failing) Accept() (net.Conn, error) {
	if f.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return f.handoff.Accept()
}

func TestOutOfFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{handoff: newHandoff()}
		f.left.Store(20)
		var refused atomic.Int64
		s := &Server{Handler: http.HandlerFunc(hello), Log: quiet(), Refused: func(Reason) { refused.Add(1) }}
		s.Use(Settings{Limits: limits})
		done := make(chan error, 1)
		go func() { done <- s.Serve(f, nil, nil) }()
		client, server := net.Pipe()
		start := time.Now()
		f.put(server)
		if got := answer(t, client, get); got != "200 hello" {
			t.Error(got)
		}
		if d := time.Since(start); d < 10*time.Second || d > 20*time.Second || refused.Load() != 20 {
			t.Errorf("%d failures took %v", refused.Load(), d)
		}
		_ = s.Close()
		_ = client.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}
