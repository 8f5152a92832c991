package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
)

// startLimited starts a site in front of an app that answers with who the
// request is forwarded for.
func startLimited(t *testing.T, settings string) (r *refract, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, strings.Join(r.Header["X-Forwarded-For"], ", "))
	}))
	t.Cleanup(app.Close)
	dir := newSite(t, "../../testdata/sites/loop", app.URL)
	editFile(t, filepath.Join(dir, "site/refract.yaml"), func(s string) string { return s + settings + "\n" })
	return start(t, dir), asked
}

// client is a connection to the edge, byte by byte.
type client struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func (r *refract) dial() *client {
	r.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.edge, "http://"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		r.t.Fatal(err)
	}
	return &client{r.t.(*testing.T), conn, bufio.NewReader(conn)}
}

// answer sends bytes and returns the response to them; status 0: the connection
// ended without one.
func (c *client) answer(request string) (status int, body string) {
	c.t.Helper()
	_, _ = io.WriteString(c, request) // a connection that is refused may be closed already
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		if net, ok := err.(net.Error); ok && net.Timeout() {
			c.t.Fatalf("no answer in a minute to %q", request)
		}
		return 0, ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestFraming(t *testing.T) {
	r, asked := startLimited(t, "limits: {headers: 20, header_bytes: 8KiB}")
	for _, c := range []struct {
		name, head string
		status     int
	}{
		{"both lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400},
		{"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
		{"a space before the colon", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello", 400},
		{"many fields", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X-A: b\r\n", 20) + "\r\n", 431},
		{"a long head", "GET / HTTP/1.1\r\nHost: a\r\nX-A: " + strings.Repeat("b", 9<<10) + "\r\n\r\n", 431},
	} {
		if status, body := r.dial().answer(c.head); status != c.status {
			t.Errorf("%s: answered with %d %q, not with %d", c.name, status, body, c.status)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("%d of these requests reached the app", n)
	}
	if status, _ := r.dial().answer("GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X-A: b\r\n", 19) + "\r\n"); status != http.StatusOK || asked.Load() != 1 {
		t.Errorf("a request within the limits: %d", status)
	}
	r.metric(`refract_unserved_total{reason="framing"} 6`)
	r.stop()
}

func TestPerIP(t *testing.T) {
	r, _ := startLimited(t, "limits: {per_ip: 2}")
	const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	first, second := r.dial(), r.dial()
	for _, c := range []*client{first, second} {
		if status, _ := c.answer(get); status != http.StatusOK {
			t.Fatalf("one of two: %d", status)
		}
	}
	if status, _ := r.dial().answer(get); status != http.StatusServiceUnavailable {
		t.Errorf("one too many is answered with %d", status)
	}
	r.metric(`refract_unserved_total{reason="per-ip"} 1`)
	if status, _ := second.answer(get); status != http.StatusOK {
		t.Errorf("of those that were there, one is answered with %d", status)
	}
	first.Close()
	patiently(t, "room for another one", func() error {
		if status, _ := r.dial().answer(get); status != http.StatusOK {
			return fmt.Errorf("status %d", status)
		}
		return nil
	})
	r.stop()
}

func TestProgress(t *testing.T) {
	r, _ := startLimited(t, "limits: {progress: 1s, read_header: 1s}")
	for _, c := range []struct{ name, sent, reason string }{
		{"half a body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhell", "progress"},
		{"half a head", "GET / HTTP/1.1\r\nHost: a\r\nX-", "header"},
	} {
		conn := r.dial()
		if _, err := io.WriteString(conn, c.sent); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, conn); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s: it is waited for: %v", c.name, err)
		}
		r.says(`refract_unserved_total{reason="` + c.reason + `"} 1`)
	}
	r.stop()
}

func TestProxyProtocol(t *testing.T) {
	r, _ := startLimited(t, "proxy_protocol: [127.0.0.1]")
	var v2 bytes.Buffer
	_, err := (&proxyproto.Header{
		Version: 2, Command: proxyproto.PROXY, TransportProtocol: proxyproto.TCPv6,
		SourceAddr:      &net.TCPAddr{IP: net.ParseIP("2001:db8::7"), Port: 4711},
		DestinationAddr: &net.TCPAddr{IP: net.ParseIP("2001:db8::9"), Port: 80},
	}).WriteTo(&v2)
	if err != nil {
		t.Fatal(err)
	}
	for path, c := range map[string]struct{ header, client string }{
		"/v1": {"PROXY TCP4 203.0.113.7 192.0.2.9 4711 80\r\n", "203.0.113.7"},
		"/v2": {v2.String(), "2001:db8::7"},
	} {
		status, body := r.dial().answer(c.header + "GET " + path + " HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 198.51.100.1\r\n\r\n")
		if status != http.StatusOK || body != c.client {
			t.Errorf("%s: %d, forwarded for %q, not %q", path, status, body, c.client)
		}
		if line := r.accessLine(path); line["client_ip"] != c.client || line["remote_ip"] != c.client {
			t.Errorf("%s: the access log says %v", path, line)
		}
	}
	if status, _ := r.dial().answer("GET / HTTP/1.1\r\nHost: a\r\n\r\n"); status != 0 {
		t.Errorf("without a header: %d", status)
	}
	r.metric(`refract_unserved_total{reason="proxy-protocol"} 1`)
	r.stop()

	r, _ = startLimited(t, "") // where nobody is to send one
	if status, _ := r.dial().answer("PROXY TCP4 203.0.113.7 192.0.2.9 4711 80\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"); status != http.StatusBadRequest {
		t.Errorf("a header of somebody who is not to send one: %d", status)
	}
	r.stop()
}

func TestTrustedProxies(t *testing.T) {
	const request = " HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.7, 198.51.100.9\r\n\r\n"
	for _, c := range []struct{ name, settings, forwarded, client string }{
		{"trusted", "trusted_proxies: [127.0.0.0/8]", "203.0.113.7, 198.51.100.9, 127.0.0.1", "198.51.100.9"},
		{"a chain", "trusted_proxies: [127.0.0.1, 198.51.100.0/24]", "203.0.113.7, 198.51.100.9, 127.0.0.1", "203.0.113.7"},
		{"another one", "trusted_proxies: [192.0.2.1]", "127.0.0.1", "127.0.0.1"},
		{"none", "", "127.0.0.1", "127.0.0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, _ := startLimited(t, c.settings)
			if status, body := r.dial().answer("GET /p" + request); status != http.StatusOK || body != c.forwarded {
				t.Errorf("%d, forwarded for %q, not %q", status, body, c.forwarded)
			}
			if line := r.accessLine("/p"); line["client_ip"] != c.client || line["remote_ip"] != "127.0.0.1" {
				t.Errorf("the access log says %v", line)
			}
			r.stop()
		})
	}
}
