package front

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2 is a client of HTTP/2 that does as it likes.
type h2 struct {
	*http2.Framer
	conn    *tls.Conn
	headers bytes.Buffer
	enc     *hpack.Encoder
}

func newH2(t *testing.T, conn *tls.Conn, settings ...http2.Setting) *h2 {
	t.Helper()
	c := &h2{Framer: http2.NewFramer(conn, conn), conn: conn}
	c.enc = hpack.NewEncoder(&c.headers)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := c.WriteSettings(settings...); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *h2) request(stream uint32, method string, end bool, more ...[2]string) error {
	c.headers.Reset()
	for _, f := range append([][2]string{{":method", method}, {":scheme", "https"}, {":authority", "a"}, {":path", "/"}}, more...) {
		_ = c.enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}) // into a buffer
	}
	return c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: c.headers.Bytes(), EndHeaders: true, EndStream: end})
}

// TestExtendedConnect wants a WebSocket over HTTP/2 (RFC 8441): it is not
// offered, and who asks all the same is refused and never forwarded.
func TestExtendedConnect(t *testing.T) {
	s := &Server{Log: quiet(), TLS: certificate(t), Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s reached the handler", r.Method, r.URL)
	})}
	e := start(t, s, Settings{Limits: limits})
	config := e.client.Clone()
	config.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", e.secure, config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := newH2(t, conn)
	if err := c.request(1, "CONNECT", false, [2]string{":protocol", "websocket"}); err != nil {
		t.Fatal(err)
	}
	for {
		f, err := c.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if v, ok := f.Value(http2.SettingEnableConnectProtocol); ok && v != 0 {
				t.Error("extended CONNECT is offered")
			}
		case *http2.RSTStreamFrame:
			if f.StreamID != 1 || f.ErrCode != http2.ErrCodeProtocol {
				t.Errorf("stream %d ends with %v", f.StreamID, f.ErrCode)
			}
			return
		case *http2.HeadersFrame, *http2.GoAwayFrame:
			t.Fatalf("the answer is %v", f)
		}
	}
}

// TestRapidReset opens streams and resets them at once (CVE-2023-44487): the
// connection ends, few handlers run at any time, and others are served.
func TestRapidReset(t *testing.T) {
	var running, most atomic.Int64
	s := &Server{Log: quiet(), TLS: certificate(t), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/other" {
			return
		}
		for n := running.Add(1); ; {
			if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		defer running.Add(-1)
		<-r.Context().Done() // also when it is reset
	})}
	e := start(t, s, Settings{Limits: limits})
	config := e.client.Clone()
	config.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", e.secure, config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := newH2(t, conn)
	go func() {
		for id := uint32(1); id < 200_000; id += 2 {
			if c.request(id, "GET", true) != nil || c.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
				return
			}
		}
		_ = c.WritePing(false, [8]byte{1})
	}()
	end := ""
	for end == "" {
		f, err := c.ReadFrame()
		switch f := f.(type) {
		case *http2.GoAwayFrame:
			end = f.ErrCode.String()
		case *http2.PingFrame:
			end = "survived"
		}
		if err != nil {
			end = err.Error()
		}
	}
	t.Logf("the attacker's connection: %s; at most %d handlers", end, most.Load())
	if n := most.Load(); n > maxStreams {
		t.Errorf("%d handlers ran at once", n)
	}
	resp, err := (&http.Client{Transport: e.over(2)}).Get("https://" + e.secure + "/other")
	if err != nil || resp.StatusCode != 200 || resp.ProtoMajor != 2 {
		t.Errorf("others get %v, %v", resp, err)
	}
}

// TestSlowStreams has clients of HTTP/2 that keep their connection alive, and
// neither take the answer of a stream nor send its body.
func TestSlowStreams(t *testing.T) {
	config := certificate(t)
	for _, method := range []string{"GET", "POST"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan error, 1)
				b := serveBubble(t, &Server{TLS: config, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					time.Sleep(time.Hour) // the origin may take its time
					_, err := io.ReadAll(r.Body)
					if err == nil {
						_, err = w.Write(make([]byte, 1<<20))
					}
					ended <- err
				})}, Settings{Limits: limits})
				conn := tls.Client(b.dial(t, b.secure, "192.0.2.1"), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
				c := newH2(t, conn)
				go func() {
					for {
						if _, err := c.ReadFrame(); err != nil {
							return
						}
					}
				}()
				if err := c.request(1, method, method == "GET"); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				err := <-ended
				if d := time.Since(start); err == nil || d != time.Hour+limits.Progress {
					t.Errorf("%v after %v", err, d)
				}
				if errors.Is(err, io.EOF) || b.Connections() != 1 {
					t.Errorf("%v; %d connections are open", err, b.Connections())
				}
				if got := b.reasons(); got != "progress" {
					t.Errorf("refused: %s", got)
				}
				_ = conn.Close()
			})
		})
	}
}

// TestUnsoundRequests wants what can't be a request of HTTP/1.1 refused before an
// origin could be blamed for it.
func TestUnsoundRequests(t *testing.T) {
	reached := make(chan string, 1)
	s := &Server{Log: quiet(), TLS: certificate(t), Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		reached <- r.Method + " " + r.Host + " " + r.RequestURI
	})}
	e := start(t, s, Settings{Limits: limits})
	config := e.client.Clone()
	config.NextProtos = []string{"h2"}
	for _, test := range []struct{ method, authority, path, want string }{
		{"GET", "a", "/b?c", ""},
		{"PURGE", "[::1]:8443", "/%zz?%20", "400"}, // Go's server: no path of its kind
		{"PURGE", "[::1]:8443", "/\xff?%zz", ""},
		{"GE\"T", "a", "/", "400"},
		{"GET", "a b", "/", "400"},
		{"GET", "a/b", "/", "400"},
		{"GET", "a#b", "/", "400"},
		{"GET", "", "/", "400"},
		{"GET", "a", "/b c", "400"},
		{"GET", "a", "/b?c d", "400"},
		{"GET", "a", "https://a/b", "400"},
	} {
		conn, err := tls.Dial("tcp", e.secure, config)
		if err != nil {
			t.Fatal(err)
		}
		c := newH2(t, conn)
		c.headers.Reset()
		for _, f := range [][2]string{{":method", test.method}, {":scheme", "https"}, {":authority", test.authority}, {":path", test.path}} {
			_ = c.enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}) // into a buffer
		}
		if err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.headers.Bytes(), EndHeaders: true, EndStream: true}); err != nil {
			t.Fatal(err)
		}
		status := ""
		for status == "" {
			f, err := c.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			switch f := f.(type) {
			case *http2.HeadersFrame:
				fields, err := hpack.NewDecoder(4096, nil).DecodeFull(f.HeaderBlockFragment())
				if err != nil {
					t.Fatal(err)
				}
				status = fields[0].Value
			case *http2.RSTStreamFrame: // Go's server knows some of them
				status = "400"
			}
		}
		_ = conn.Close()
		select {
		case got := <-reached:
			if want := test.method + " " + test.authority + " " + test.path; test.want != "" || got != want {
				t.Errorf("%q reached the handler as %q", want, got)
			}
		default:
			if test.want == "" || status != test.want {
				t.Errorf("%+v is answered with %s", test, status)
			}
		}
	}
}
