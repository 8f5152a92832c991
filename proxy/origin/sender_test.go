package origin

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/seed14307185/refract/rules"
)

// TestBrokenBody: a client that breaks its body off is not the server's
// failure, and the server sees no whole request.
func TestBrokenBody(t *testing.T) {
	broken := errors.New("the client is gone")
	for name, length := range map[string]int64{"small": 100, "large": 1 << 20, "unknown": -1} {
		whole := make(chan bool, 10)
		address := raw(t, func(c *wire, n int) { whole <- c.request() != nil })
		o := servers(address)
		o.Failures = 1
		tr := transport(t, Config{Origins: []rules.Origin{o}})
		req := get(t, "/")
		req.Method, req.ContentLength = "PUT", length
		req.Body = io.NopCloser(io.MultiReader(strings.NewReader("some"), iotest.ErrReader(broken)))
		_, _, err := fetch(tr, req)
		var e *Error
		if !errors.Is(err, broken) || !errors.As(err, &e) || e.Op != Take || e.Timeout() {
			t.Errorf("%s: %v", name, err)
		}
		if name != "small" && <-whole { // which needs no connection
			t.Errorf("%s: the server got a whole request", name)
		}
		if s := tr.State()[0]; s.Failures != 0 || !s.Healthy || s.InFlight != 0 {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// TestBodyLength: neither more nor less than Content-Length is sent as a
// whole request.
func TestBodyLength(t *testing.T) {
	for _, length := range []int64{maxInline + 1, 200_000} {
		for _, off := range []int{-1, 1} {
			whole := make(chan bool, 1)
			address := raw(t, func(c *wire, n int) {
				req := c.request()
				whole <- req != nil && off < 0
				c.send("HTTP/1.1 204 No Content\r\n\r\n")
			})
			req := get(t, "/")
			req.Method, req.ContentLength = "POST", length
			req.Body = io.NopCloser(strings.NewReader(strings.Repeat("x", int(length)+off)))
			_, _, err := fetch(to(t, address), req)
			var e *Error
			if !errors.As(err, &e) || e.Op != Take {
				t.Errorf("%d%+d: %v", length, off, err)
			}
			if <-whole {
				t.Errorf("%d%+d: taken for whole", length, off)
			}
		}
	}
}

// TestContinue: who expects 100 Continue sends nothing of the body before it,
// and nothing at all after a refusal.
func TestContinue(t *testing.T) {
	for _, test := range []struct {
		name, answer string
		sent         bool
	}{
		{"continue", "HTTP/1.1 100 Continue\r\n\r\n", true},
		{"hints, then continue", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n", true},
		{"refusal", "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n", false},
		{"success at once", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			gone := make(chan bool, 1)
			address := raw(t, func(c *wire, n int) {
				req, err := http.ReadRequest(c.r)
				if err != nil || req.Header.Get("Expect") != "100-continue" || c.r.Buffered() > 0 {
					t.Errorf("%v, %v, %d bytes of the body", req, err, c.r.Buffered())
				}
				c.send(test.answer)
				if test.sent {
					if b, err := io.ReadAll(req.Body); string(b) != "hello" || err != nil {
						t.Errorf("%q, %v", b, err)
					}
					c.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
				gone <- c.closed()
			})
			tr := to(t, address)
			body := &closeCounter{Reader: strings.NewReader("hello")}
			var seen []int
			req := get(t, "/").WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
					seen = append(seen, code)
					return nil
				},
			}))
			req.Method, req.ContentLength, req.Body = "POST", 5, body
			req.Header.Set("Expect", "100-continue")
			ok(t, tr, req, "")
			if read, _ := io.ReadAll(body); test.sent == (len(read) > 0) {
				t.Errorf("%q is left of the body", read)
			}
			if !test.sent && body.closed == 0 {
				t.Error("the body is not closed")
			}
			if test.sent && (len(seen) == 0 || seen[len(seen)-1] != 100) {
				t.Errorf("handed on: %v", seen)
			}
			tr.Close()
			<-gone // in any case, at the latest by that
		})
	}
}

// bubble is a transport over pipes, for tests of time, and the server's ends.
func bubble(t *testing.T, o rules.Origin) (*Transport, chan *wire) {
	ends := make(chan *wire, 100)
	tr, err := New(Config{Origins: []rules.Origin{o}, Log: quiet(), dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		ends <- &wire{Conn: theirs, r: bufio.NewReader(theirs)}
		return ours, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return tr, ends
}

// TestContinueWait: after a second the body is sent without a 100.
func TestContinueWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, ends := bubble(t, servers("http://app"))
		defer tr.Close()
		go func() {
			c := <-ends
			began := time.Now()
			c.request()
			if took := time.Since(began); took != continueWait {
				t.Errorf("the body came after %v", took)
			}
			c.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
		}()
		req := get(t, "/")
		req.Method, req.ContentLength, req.Body = "POST", 5, io.NopCloser(strings.NewReader("hello"))
		req.Header.Set("Expect", "100-continue")
		ok(t, tr, req, "hi")
	})
}

// TestTimeouts: each of the time-outs ends an exchange when it should, as a
// time-out that says at what.
func TestTimeouts(t *testing.T) {
	o := servers("http://app")
	o.Response, o.Idle, o.Connect, o.Failures = 7*time.Second, 3*time.Second, 2*time.Second, 1
	for _, test := range []struct {
		name   string
		serve  func(c *wire)
		body   io.Reader
		length int64
		op     Op
		after  time.Duration
	}{
		{name: "no answer", serve: func(c *wire) { c.request() }, op: Await, after: 7 * time.Second},
		{name: "half a head", serve: func(c *wire) { c.request(); c.send("HTTP/1.1 200") }, op: Await, after: 7 * time.Second},
		{name: "after an interim answer", serve: func(c *wire) {
			c.request()
			time.Sleep(5 * time.Second)
			c.send("HTTP/1.1 102 Processing\r\n\r\n")
		}, op: Await, after: 12 * time.Second},
		{name: "half a body", serve: func(c *wire) { c.request(); c.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi") }, op: Read, after: 3 * time.Second},
		{name: "the body is not taken", serve: func(c *wire) { _, _ = http.ReadRequest(c.r) }, body: strings.NewReader(strings.Repeat("x", 1<<20)), length: 1 << 20, op: Send, after: 7 * time.Second},
		{name: "a slow client", serve: func(c *wire) { c.request() }, body: slowly{strings.NewReader("hello")}, length: -1, op: Await, after: 5*time.Minute + 7*time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr, ends := bubble(t, o)
				defer tr.Close()
				go func() { test.serve(<-ends) }()
				req := get(t, "/")
				if test.body != nil {
					req.Method, req.Body, req.ContentLength = "POST", io.NopCloser(test.body), test.length
				}
				began := time.Now()
				_, _, err := fetch(tr, req)
				var e *Error
				if !errors.As(err, &e) || !e.Timeout() || e.Op != test.op || time.Since(began) != test.after {
					t.Errorf("%v after %v", err, time.Since(began))
				}
				if s := tr.State()[0]; !s.Healthy || s.Failures != 0 || s.InFlight != 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
	t.Run("connect", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			tr, err := New(Config{Origins: []rules.Origin{o}, Log: quiet(), dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}})
			if err != nil {
				t.Fatal(err)
			}
			defer tr.Close()
			began := time.Now()
			_, _, err = fetch(tr, get(t, "/"))
			var e *Error
			if !errors.As(err, &e) || !e.Timeout() || e.Op != Connect || time.Since(began) != 2*time.Second {
				t.Errorf("%v after %v", err, time.Since(began))
			}
			if s := tr.State()[0]; s.Healthy || s.Failures != 1 {
				t.Errorf("%+v", s)
			}
		})
	})
}

// slowly reads a byte a minute, in a bubble.
type slowly struct{ r io.Reader }

func (s slowly) Read(p []byte) (int, error) {
	n, err := s.r.Read(p[:1])
	if n > 0 {
		time.Sleep(time.Minute)
	}
	return n, err
}

// TestEarlyResponse: a server may answer, and end, before it has the body.
func TestEarlyResponse(t *testing.T) {
	address := raw(t, func(c *wire, n int) {
		if _, err := http.ReadRequest(c.r); err != nil {
			t.Error(err)
		}
		c.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
		c.closed()
	})
	for _, length := range []int64{-1, 1 << 30} {
		tr := to(t, address)
		body, client := io.Pipe()
		req := get(t, "/")
		req.Method, req.ContentLength, req.Body = "POST", length, body
		resp, got, err := fetch(tr, req)
		if err != nil || resp.StatusCode != 413 || got != "no" {
			t.Fatalf("%v, %q, %v", resp, got, err)
		}
		if s := tr.State()[0]; s.Connections != 0 {
			t.Errorf("%+v", s)
		}
		_ = client.Close()
	}
}

// TestFullDuplex: an echo of what is sent so far deadlocks nothing, and each
// side's end is its own.
func TestFullDuplex(t *testing.T) {
	address := raw(t, func(c *wire, n int) {
		for {
			req, err := http.ReadRequest(c.r)
			if err != nil {
				return
			}
			c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			buf := make([]byte, 64<<10)
			for {
				n, err := req.Body.Read(buf)
				if n > 0 {
					c.send(strings.ToUpper(formatChunk(buf[:n])))
				}
				if err != nil {
					break
				}
			}
			c.send("0\r\n\r\n")
		}
	})
	tr := to(t, address)
	for range 3 {
		body, client := io.Pipe()
		req := get(t, "/")
		req.Method, req.ContentLength, req.Body = "POST", -1, body
		go func() { _, _ = client.Write([]byte("ping")) }()
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4)
		for _, word := range []string{"PING", "PONG"} {
			if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != word {
				t.Fatalf("%q, %v", buf, err)
			}
			if word == "PING" {
				go func() { _, _ = client.Write([]byte("pong")) }()
			}
		}
		big := strings.Repeat("x", 1<<20)
		go func() {
			_, _ = io.WriteString(client, big)
			_ = client.Close()
		}()
		b, err := io.ReadAll(resp.Body)
		if err != nil || len(b) != len(big) {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
		_ = resp.Body.Close()
	}
	if s := tr.State()[0]; s.InFlight != 0 || s.Connections > 1 {
		t.Errorf("%+v", s)
	}
}

func formatChunk(b []byte) string {
	var w bytes.Buffer
	_, _ = io.WriteString(&w, strings.ToUpper(hex(len(b)))+"\r\n")
	_, _ = w.Write(b)
	_, _ = w.WriteString("\r\n")
	return w.String()
}
