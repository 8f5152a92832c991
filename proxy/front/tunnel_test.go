package front

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"testing"
	"time"
)

// TestTunnel has a proxy behind the server, as the edge has: an upgraded
// connection is the client's and the origin's alone, each direction for itself.
func TestTunnel(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
		all, err := io.ReadAll(c) // until the client has said all
		if err != nil {
			t.Error(err)
		}
		_, _ = c.Write(append([]byte("all: "), all...))
	}))
	defer origin.Close()
	target, err := url.Parse(origin.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	for _, secure := range []bool{false, true} {
		s := &Server{Log: quiet(), Handler: proxy, TLS: certificate(t)}
		e := start(t, s, Settings{Limits: limits, HSTS: time.Hour})
		var c interface {
			net.Conn
			CloseWrite() error
		}
		if secure {
			c, err = tls.Dial("tcp", e.secure, e.client)
		} else {
			c, err = net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(e.plain)))
		}
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		// What is no HTTP follows before the answer; nobody but the origin may judge it.
		const early = "\x81\x05early\n\x00\r"
		if _, err := io.WriteString(c, getUpgraded+early); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(c)
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatal(resp, err)
		}
		down := make(chan error, 1)
		go func() { down <- s.Shutdown(context.Background()) }()
		<-s.closing // a tunnel goes on
		_, _ = io.WriteString(c, " late")
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); string(got) != "all: "+early+" late" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		_ = c.Close()
		if err := <-down; err != nil || s.Tunnels() != 0 {
			t.Errorf("%v; %d tunnels", err, s.Tunnels())
		}
	}
}
