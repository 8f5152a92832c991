package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// patience is how long a test waits for bytes before it fails.
const patience = 30 * time.Second

// dial opens a connection to a server of a test, for what no client sends.
func dial(t testing.TB, edge string) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(edge, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn.(*net.TCPConn), bufio.NewReader(conn)
}

// upgrades answers every request with a tunnel.
func upgrades(t testing.TB, head string, serve func(*net.TCPConn, *bufio.Reader)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+head+"\r\n")
		serve(conn.(*net.TCPConn), rw.Reader)
	})
}

const askForTunnel = "GET /projects/7 HTTP/1.1\r\nHost: x\r\nCookie: user=ann\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: abc\r\n\r\n"

// TestTunnelHalfClose: one side may end before the other has said all, in both
// directions.
func TestTunnelHalfClose(t *testing.T) {
	edge, s, _ := front(t, upgrades(t, "", func(conn *net.TCPConn, r *bufio.Reader) {
		got, err := io.ReadAll(r) // until the visitor has ended their side
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(conn, "you said %s", got)
	}))
	conn, r := dial(t, edge)
	fmt.Fprint(conn, askForTunnel+"hel") // before anyone said that it is one
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp, err)
	}
	fmt.Fprint(conn, "lo")
	conn.CloseWrite()
	if got, err := io.ReadAll(r); err != nil || string(got) != "you said hello" {
		t.Errorf("%q, %v", got, err)
	}
	s.wait()
	if x := s.exchanges[0]; x.Status != http.StatusSwitchingProtocols || x.OriginError != nil || x.Passthrough != ReasonUpgrade {
		t.Errorf("%d, %v, %s", x.Status, x.OriginError, x.Passthrough)
	}
}

func TestTunnelHeaders(t *testing.T) {
	edge, _, _ := front(t, upgrades(t, "Connection: X-Private\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\nSec-WebSocket-Accept: xyz\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n", func(*net.TCPConn, *bufio.Reader) {}))
	conn, r := dial(t, edge)
	fmt.Fprint(conn, askForTunnel)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp, err)
	}
	want := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Accept": {"xyz"}, "Set-Cookie": {"a=1", "b=2"}, "Via": {"1.1 refract"}}
	if fmt.Sprint(resp.Header) != fmt.Sprint(want) {
		t.Errorf("the visitor sees %v", resp.Header)
	}
}

// TestUnaskedUpgrade: an origin can't make a tunnel of a plain request, or of
// one that asked for something else.
func TestUnaskedUpgrade(t *testing.T) {
	for _, ask := range []string{"", "Connection: Upgrade\r\nUpgrade: h2c\r\n", "Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n"} {
		edge, s, _ := front(t, upgrades(t, "", func(*net.TCPConn, *bufio.Reader) {}))
		conn, r := dial(t, edge)
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n"+ask+"\r\n")
		if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != http.StatusBadGateway {
			t.Errorf("%q: %v, %v", ask, resp, err)
		}
		s.wait()
		if s.exchanges[0].OriginError == nil {
			t.Errorf("%q: nothing is said of the origin", ask)
		}
	}
}

// TestTunnelEndsWithItsContext, on both sides: that is how a server that shuts
// down ends what it can't see any more.
func TestTunnelEndsWithItsContext(t *testing.T) {
	gone := make(chan bool)
	_, s, p := front(t, upgrades(t, "", func(conn *net.TCPConn, r *bufio.Reader) {
		io.ReadAll(r)
		close(gone)
	}))
	ctx, shut := context.WithCancel(t.Context())
	server := httptest.NewUnstartedServer(p)
	server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	server.Start()
	defer server.Close()
	conn, r := dial(t, server.URL)
	fmt.Fprint(conn, askForTunnel)
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp, err)
	}
	shut()
	io.ReadAll(r)
	<-gone
	s.wait()
}

func TestUpgrade(t *testing.T) {
	edge, seen, _ := front(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		rw.Flush()
		io.Copy(conn, rw)
	}))
	conn, err := net.Dial("tcp", strings.TrimPrefix(edge, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /projects/7 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v %v", resp, err)
	}
	fmt.Fprint(conn, "echo")
	b := make([]byte, 4)
	if _, err := io.ReadFull(br, b); err != nil || string(b) != "echo" {
		t.Errorf("%q, %v", b, err)
	}
	conn.Close()
	seen.wait()
	if x := seen.exchanges[0]; x.Status != http.StatusSwitchingProtocols || x.OriginError != nil {
		t.Errorf("status %d, %v", x.Status, x.OriginError)
	}
}

func TestOnlyWebSocketsAreUpgraded(t *testing.T) {
	var got http.Header
	edge, _, _ := front(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() }))
	conn, err := net.Dial("tcp", strings.TrimPrefix(edge, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", resp, err)
	}
	if got.Get("Upgrade") != "" || got.Get("Http2-Settings") != "" {
		t.Errorf("the origin is asked for %v", got)
	}
}
