package front

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pires/go-proxyproto"
)

// v2 is a header of version 2 that tells of a client.
func v2(t *testing.T, command proxyproto.ProtocolVersionAndCommand, client string) string {
	t.Helper()
	h := proxyproto.Header{
		Version: 2, Command: command, TransportProtocol: proxyproto.TCPv4,
		SourceAddr:      &net.TCPAddr{IP: net.ParseIP(client), Port: 4711},
		DestinationAddr: &net.TCPAddr{IP: net.ParseIP("192.0.2.9"), Port: 80},
	}
	if net.ParseIP(client).To4() == nil {
		h.TransportProtocol, h.DestinationAddr = proxyproto.TCPv6, &net.TCPAddr{IP: net.ParseIP("2001:db8::9"), Port: 80}
	}
	var b bytes.Buffer
	if _, err := h.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestProxyProtocol(t *testing.T) {
	for _, c := range []struct {
		name, peer, header string
		client             string // that the handler sees; empty: nothing is served
		refused            string
	}{
		{"version 1", "10.0.0.1", "PROXY TCP4 203.0.113.7 192.0.2.9 4711 80\r\n", "203.0.113.7:4711", ""},
		{"version 1, IPv6", "10.0.0.1", "PROXY TCP6 2001:db8::7 2001:db8::9 4711 80\r\n", "[2001:db8::7]:4711", ""},
		{"version 1, unknown", "10.0.0.1", "PROXY UNKNOWN\r\n", "10.0.0.1:1024", ""},
		{"version 2", "10.0.0.1", v2(t, proxyproto.PROXY, "203.0.113.7"), "203.0.113.7:4711", ""},
		{"version 2, IPv6", "10.0.0.1", v2(t, proxyproto.PROXY, "2001:db8::7"), "[2001:db8::7]:4711", ""},
		{"version 2, of the proxy itself", "10.0.0.1", v2(t, proxyproto.LOCAL, "203.0.113.7"), "10.0.0.1:1024", ""},
		{"a peer in IPv6 form", "::ffff:10.0.0.1", "PROXY TCP4 203.0.113.7 192.0.2.9 4711 80\r\n", "203.0.113.7:4711", ""},
		{"none", "10.0.0.1", "", "", "proxy-protocol"},
		{"version 1, no address", "10.0.0.1", "PROXY TCP4 203.0.113.256 192.0.2.9 4711 80\r\n", "", "proxy-protocol"},
		{"version 1, no port", "10.0.0.1", "PROXY TCP4 203.0.113.7 192.0.2.9 70000 80\r\n", "", "proxy-protocol"},
		{"version 1, too few", "10.0.0.1", "PROXY TCP4 203.0.113.7\r\n", "", "proxy-protocol"},
		{"version 1, LF", "10.0.0.1", "PROXY TCP4 203.0.113.7 192.0.2.9 4711 80\n", "", "proxy-protocol"},
		{"version 1, too long", "10.0.0.1", "PROXY TCP4 " + string(bytes.Repeat([]byte("1"), 200)) + "\r\n", "", "proxy-protocol"},
		{"version 2, another version", "10.0.0.1", strings.Replace(v2(t, proxyproto.PROXY, "203.0.113.7"), "QUIT\n\x21", "QUIT\n\x31", 1), "", "proxy-protocol"},
		{"version 2, cut short", "10.0.0.1", v2(t, proxyproto.PROXY, "203.0.113.7")[:15], "", "proxy-protocol"},
		{"silence", "10.0.0.1", "silence", "", "proxy-protocol"},
		{"not allowed, version 1", "192.0.2.1", "PROXY TCP4 203.0.113.7 192.0.2.9 4711 80\r\n", "", "framing"},
		{"not allowed, version 2", "192.0.2.1", v2(t, proxyproto.PROXY, "203.0.113.7"), "", "framing"},
		{"not allowed, none", "192.0.2.1", "", "192.0.2.1:1024", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := ""
				b := serveBubble(t, &Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { client = r.RemoteAddr })},
					Settings{Limits: limits, ProxyProtocol: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
				conn := b.dial(t, b.plain, c.peer)
				start := time.Now()
				if c.header != "silence" {
					go func() {
						_, _ = io.WriteString(conn, c.header+"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
					}()
				}
				_, _ = io.ReadAll(conn)
				if time.Since(start) > limits.ReadHeader {
					t.Errorf("it took %v", time.Since(start))
				}
				synctest.Wait()
				if client != c.client {
					t.Errorf("served %q, not %q", client, c.client)
				}
				if got := b.reasons(); got != c.refused || b.Connections() != 0 {
					t.Errorf("refused: %q; %d connections are open", got, b.Connections())
				}
			})
		})
	}
}

// TestProxyProtocolPerIP counts connections for the client, and not for the
// proxy before it.
func TestProxyProtocolPerIP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limits
		l.PerIP = 1
		b := serveBubble(t, &Server{Handler: http.HandlerFunc(hello)}, Settings{Limits: l, ProxyProtocol: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}})
		for _, c := range []struct{ client, want string }{{"203.0.113.7", "200 hello"}, {"203.0.113.8", "200 hello"}, {"203.0.113.7", "503 "}} {
			conn := b.dial(t, b.plain, "10.0.0.1")
			if _, err := io.WriteString(conn, v2(t, proxyproto.PROXY, c.client)); err != nil {
				t.Fatal(err)
			}
			request := get
			if c.want == "503 " {
				request = "" // the refusal comes before anything is asked
			}
			if got := answer(t, conn, request); got != c.want {
				t.Errorf("%s is answered %q", c.client, got)
			}
		}
		if got := b.reasons(); got != "per-ip" {
			t.Errorf("refused: %s", got)
		}
	})
}
