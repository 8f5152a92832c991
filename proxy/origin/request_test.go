package origin

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestRequestBytes: on the wire a request is what http.Transport sends.
func TestRequestBytes(t *testing.T) {
	body := func(s string) func(*http.Request) {
		return func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(s)), int64(len(s))
		}
	}
	unknown := func(r *http.Request) {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader("some body")), -1
	}
	for _, test := range []struct {
		name, method string
		header       http.Header
		change       func(*http.Request)
	}{
		{name: "plain", method: "GET"},
		{name: "no method", method: ""},
		{name: "header", method: "GET", header: http.Header{"Accept": {"a", "b, c"}, "x-lower": {"1"}, "Zz": {" padded\t"}, "Cookie": {"a=1; b=2"}, "Empty": {""}, "Nil": nil}},
		{name: "user agent", method: "GET", header: http.Header{"User-Agent": {"curl/8", "ignored"}}},
		{name: "header that the message decides", method: "GET", header: http.Header{"Host": {"x"}, "Content-Length": {"9"}, "Transfer-Encoding": {"x"}, "Trailer": {"x"}, "Te": {"trailers"}}},
		{name: "post without a body", method: "POST"},
		{name: "delete without a body", method: "DELETE"},
		{name: "small body", method: "POST", change: body("hello")},
		{name: "get with a body", method: "GET", change: body("hello")},
		{name: "large body", method: "PUT", change: body(strings.Repeat("0123456789", 20_000))},
		{name: "unknown length", method: "POST", change: unknown},
		{name: "trailers", method: "POST", change: func(r *http.Request) {
			unknown(r)
			r.Trailer = http.Header{"Digest": {"d"}, "Abc": {"1", "2"}}
		}},
		{name: "close", method: "GET", change: func(r *http.Request) { r.Close = true }},
		{name: "upgrade", method: "GET", header: http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}},
		{name: "escaped path", method: "GET", change: func(r *http.Request) { r.URL, _ = url.Parse("http://a/%2e%2E/a%2Fb/ü?q=%20;x&y") }},
		{name: "query", method: "GET", change: func(r *http.Request) { r.URL.ForceQuery = true }},
		{name: "asterisk", method: "OPTIONS", change: func(r *http.Request) { r.URL.Path = "*" }},
		{name: "opaque", method: "GET", change: func(r *http.Request) { r.URL.Opaque, r.URL.RawQuery = "/a^b|c%zz", "d" }},
		{name: "host with port", method: "GET", change: func(r *http.Request) { r.Host = "shop.example:8443" }},
	} {
		t.Run(test.name, func(t *testing.T) {
			seen := make(chan string, 2)
			address := raw(t, func(c *wire, n int) {
				// A body of unknown length comes in pieces as it likes: what
				// matters is what they are together.
				var got bytes.Buffer
				c.r = bufio.NewReader(io.TeeReader(c.Conn, &got))
				req := c.request()
				c.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
				head, body, _ := strings.Cut(got.String(), "\r\n\r\n")
				if req != nil && len(req.TransferEncoding) > 0 {
					b, _ := io.ReadAll(req.Body)
					_, trailer, _ := strings.Cut(body, "\r\n0\r\n")
					body = string(b) + trailer
				}
				seen <- head + "\n" + body
			})
			make := func() *http.Request {
				req := get(t, "/a/b")
				req.Host, req.URL.Host = "shop.example", strings.TrimPrefix(address, "http://")
				req.Method = test.method
				req.Header = http.Header{"User-Agent": {""}}
				for k, v := range test.header {
					req.Header[k] = v
				}
				if test.change != nil {
					test.change(req)
					req.URL.Host = strings.TrimPrefix(address, "http://")
				}
				return req
			}
			std := &http.Transport{DisableCompression: true}
			defer std.CloseIdleConnections()
			ok(t, std, make(), "")
			want := <-seen
			ok(t, to(t, address), make(), "")
			if got := <-seen; got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestOpaque: a path that begins with two slashes is no authority.
func TestOpaque(t *testing.T) {
	targets := make(chan string, 1)
	address := raw(t, func(c *wire, n int) {
		line, _, _ := c.r.ReadLine()
		targets <- string(line)
		c.request()
		c.send("HTTP/1.1 204 No Content\r\n\r\n")
	})
	req := get(t, "/")
	req.URL.Opaque = "//evil.example/^"
	ok(t, to(t, address), req, "")
	if got := <-targets; got != "GET //evil.example/^ HTTP/1.1" {
		t.Errorf("%s", got)
	}
}

// TestInvalidRequest: what would be two requests on the wire is none.
func TestInvalidRequest(t *testing.T) {
	address := raw(t, func(c *wire, n int) { t.Errorf("sent: %v", c.request()) })
	tr := to(t, address)
	for name, change := range map[string]func(*http.Request){
		"method":       func(r *http.Request) { r.Method = "GET / HTTP/1.1\r\nX: y\r\n\r\nGET" },
		"target":       func(r *http.Request) { r.URL.Opaque = "/ HTTP/1.1\r\nX:" },
		"no path":      func(r *http.Request) { r.URL.Opaque = "a" },
		"query":        func(r *http.Request) { r.URL.RawQuery = "a b" },
		"host":         func(r *http.Request) { r.Host = "a\r\nX: y" },
		"name":         func(r *http.Request) { r.Header["A: b\r\nC"] = []string{"d"} },
		"value":        func(r *http.Request) { r.Header["A"] = []string{"b\r\nC: d"} },
		"NUL":          func(r *http.Request) { r.Header["A"] = []string{"b\x00"} },
		"user agent":   func(r *http.Request) { r.Header["User-Agent"] = []string{"b\nC: d"} },
		"trailer name": func(r *http.Request) { r.Trailer, r.ContentLength = http.Header{"Content-Length": nil}, -1 },
	} {
		req := get(t, "/")
		body := &closeCounter{Reader: strings.NewReader("hi")}
		req.Body, req.ContentLength, req.Method = body, 2, "POST"
		change(req)
		if _, _, err := fetch(tr, req); err == nil {
			t.Errorf("%s: no error", name)
		}
		if body.closed == 0 {
			t.Errorf("%s: the body is not closed", name)
		}
	}
	if s := tr.State()[0]; s.Failures != 0 || s.Connections != 0 {
		t.Errorf("%+v", s)
	}
}

type closeCounter struct {
	io.Reader
	closed int
}

func (c *closeCounter) Close() error {
	c.closed++
	return nil
}
