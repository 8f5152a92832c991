package origin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed14307185/refract/rules"
)

func hex(n int) string { return strconv.FormatInt(int64(n), 16) }

const hi = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

// TestReuse: what was read to its end leaves a connection that serves again;
// nothing else does.
func TestReuse(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 8<<10)
	for name, test := range map[string]struct {
		response string
		read     int // bytes; -1: all
		reused   bool
	}{
		"length":               {hi, -1, true},
		"length, unread":       {hi, 0, true}, // it had come with the head
		"chunks":               {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", -1, true},
		"large":                {"HTTP/1.1 200 OK\r\nContent-Length: " + strconv.Itoa(len(big)) + "\r\n\r\n" + big, -1, true},
		"large, half read":     {"HTTP/1.1 200 OK\r\nContent-Length: " + strconv.Itoa(len(big)) + "\r\n\r\n" + big, len(big) / 2, false},
		"chunks, half read":    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 2, false},
		"close":                {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", -1, false},
		"close among others":   {"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nhi", -1, false},
		"HTTP/1.0":             {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", -1, false},
		"HTTP/1.0, keep-alive": {"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nhi", -1, true},
	} {
		t.Run(name, func(t *testing.T) {
			var conns atomic.Int32
			address := raw(t, func(c *wire, n int) {
				for conns.Add(1); c.request() != nil; {
					c.send(test.response)
				}
			})
			tr := to(t, address)
			for range 3 {
				resp, err := tr.RoundTrip(get(t, "/"))
				if err != nil {
					t.Fatal(err)
				}
				if test.read < 0 {
					_, err = io.ReadAll(resp.Body)
				} else {
					_, err = io.ReadFull(resp.Body, make([]byte, test.read))
				}
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				if _, err := resp.Body.Read(make([]byte, 1)); err == nil {
					t.Error("a closed body is read")
				}
			}
			want := int32(3)
			if test.reused {
				want = 1
			}
			if got := conns.Load(); got != want {
				t.Errorf("%d connections", got)
			}
		})
	}
}

// TestRetry is the table of what is sent again. Each case begins with an
// exchange that goes well, where the connection is to be an old one.
func TestRetry(t *testing.T) {
	reset := func(c *wire) { c.request() } // and closes
	for _, test := range []struct {
		name   string
		method string
		body   string
		length int64
		old    bool        // the connection had served before
		first  func(*wire) // what the server does with the request
		servers,
		want int // requests that some server took up; 0: an error, of one
		counted bool // as a failure of the server
	}{
		{name: "old connection", method: "GET", old: true, first: reset, servers: 1, want: 2},
		{name: "old connection, HEAD", method: "HEAD", old: true, first: reset, servers: 1, want: 2},
		{name: "old connection, small PUT", method: "PUT", body: "hello", length: 5, old: true, first: reset, servers: 1, want: 2},
		{name: "old connection, POST", method: "POST", old: true, first: reset, servers: 1},
		{name: "old connection, PATCH with a body", method: "PATCH", body: "hello", length: 5, old: true, first: reset, servers: 1},
		{name: "old connection, body on its way", method: "PUT", body: "hello", length: -1, old: true, first: reset, servers: 1},
		{name: "new connection", method: "GET", first: reset, servers: 1, counted: true},
		{name: "new connection, two servers", method: "GET", first: reset, servers: 2, want: 2, counted: true},
		{name: "new connection, two servers, POST", method: "POST", first: reset, servers: 2, counted: true},
		{name: "half an answer", method: "GET", old: true, first: func(c *wire) { c.request(); c.send("HTTP/1.1 2") }, servers: 2},
		{name: "an interim answer", method: "GET", old: true, first: func(c *wire) { c.request(); c.send("HTTP/1.1 103 Early Hints\r\n\r\n") }, servers: 2},
		{name: "half a body", method: "GET", old: true, first: func(c *wire) { c.request(); c.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh") }, servers: 2},
		{name: "a malformed answer", method: "GET", first: func(c *wire) { c.request(); c.send("HTTP/1.1 OK\r\n\r\n") }, servers: 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			var taken atomic.Int32
			var armed atomic.Bool
			serve := func(c *wire, n int) {
				for {
					if _, err := c.r.Peek(1); err != nil {
						return
					}
					if armed.Load() && taken.Add(1) == 1 {
						test.first(c)
						return
					}
					c.request()
					c.send(hi)
				}
			}
			var addresses []string
			for range test.servers {
				addresses = append(addresses, raw(t, serve))
			}
			tr := transport(t, Config{Origins: []rules.Origin{servers(addresses...)}})
			if test.old {
				for range test.servers {
					ok(t, tr, get(t, "/"), "hi")
				}
			}
			armed.Store(true)
			req := get(t, "/")
			req.Method = test.method
			if test.body != "" {
				req.Body, req.ContentLength = io.NopCloser(strings.NewReader(test.body)), test.length
			}
			_, _, err := fetch(tr, req)
			if test.want == 0 && (err == nil || taken.Load() != 1) || test.want > 0 && (err != nil || taken.Load() != int32(test.want)) {
				t.Errorf("%v after %d requests", err, taken.Load())
			}
			var failures uint64
			for _, s := range tr.State() {
				failures += s.Failures
			}
			if (failures == 1) != test.counted || failures > 1 {
				t.Errorf("%d failures", failures)
			}
		})
	}
}

// TestStale: a connection that the server has closed is not used, whatever
// the method: no request is lost by it.
func TestStale(t *testing.T) {
	closing := make(chan func())
	address := raw(t, func(c *wire, n int) {
		if c.request() != nil {
			c.send(hi)
		}
		closed := make(chan struct{})
		closing <- func() { _ = c.Close(); close(closed) }
		<-closed
	})
	tr := to(t, address)
	for range 5 {
		req := get(t, "/")
		req.Method = http.MethodPost
		ok(t, tr, req, "hi")
		(<-closing)()
	}
}

// TestRefused: a server that can't be reached has nothing of the request, so
// it goes to another one, a POST too; and if there is none, that is the error.
func TestRefused(t *testing.T) {
	nobody := raw(t, func(*wire, int) {})
	address := raw(t, func(c *wire, n int) {
		req := c.request()
		b, _ := io.ReadAll(req.Body)
		c.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n" + string(b))
	})
	refuse := func(ctx context.Context) error { return errors.New("refused") }
	tr := transport(t, Config{Origins: []rules.Origin{servers(nobody, address)}, dial: dialing(nobody, refuse)})
	for i := range 8 {
		req := get(t, "/")
		req.Method, req.Body = http.MethodPost, io.NopCloser(strings.NewReader("hello"))
		req.ContentLength = 5
		if i%2 == 0 {
			req.ContentLength = -1
		}
		ok(t, tr, req, "hello")
	}
	alone := transport(t, Config{Origins: []rules.Origin{servers(nobody)}, dial: dialing(nobody, refuse)})
	body := &closeCounter{Reader: strings.NewReader("hello")}
	req := get(t, "/")
	req.Method, req.Body, req.ContentLength = http.MethodPost, body, -1
	_, _, err := fetch(alone, req)
	var e *Error
	if !errors.As(err, &e) || e.Op != Connect || e.Server != nobody || body.closed == 0 {
		t.Errorf("%v, closed %d times", err, body.closed)
	}
}

// TestCancel: who goes away ends the exchange, wherever it is, and it is no
// failure of the server.
func TestCancel(t *testing.T) {
	for name, answer := range map[string]string{
		"no answer":   "",
		"half a head": "HTTP/1.1 200 OK\r\n",
		"half a body": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi",
	} {
		gone := make(chan bool)
		ctx, cancel := context.WithCancel(t.Context())
		address := raw(t, func(c *wire, n int) {
			c.request()
			c.send(answer)
			if name != "half a body" {
				cancel()
			}
			gone <- c.closed()
		})
		o := servers(address)
		o.Failures = 1
		tr := transport(t, Config{Origins: []rules.Origin{o}})
		resp, err := tr.RoundTrip(get(t, "/").WithContext(ctx))
		if err == nil {
			cancel()
			_, err = io.ReadAll(resp.Body)
		}
		if err != context.Canceled {
			t.Errorf("%s: %v", name, err)
		}
		if !<-gone {
			t.Errorf("%s: the connection stays", name)
		}
		if resp != nil {
			_ = resp.Body.Close()
		}
		if s := tr.State()[0]; s.Failures != 0 || !s.Healthy || s.InFlight != 0 || s.Connections != 0 {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// TestCloseWakes: Close ends a Read that waits.
func TestCloseWakes(t *testing.T) {
	address := raw(t, func(c *wire, n int) {
		c.request()
		c.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi")
		c.closed()
	})
	resp, err := to(t, address).RoundTrip(get(t, "/"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	woken := make(chan error)
	go func() {
		_, err := resp.Body.Read(make([]byte, 5))
		woken <- err
	}()
	_ = resp.Body.Close()
	if err := <-woken; err != http.ErrBodyReadAfterClose {
		t.Error(err)
	}
}

// TestIdle: connections without work are bounded in number and in time.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, ends := bubble(t, servers("http://app"))
		defer tr.Close()
		go func() {
			for c := range ends {
				go func() {
					for c.request() != nil {
						c.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
						c.send("hello")
					}
				}()
			}
		}()
		var bodies []io.ReadCloser
		for range maxIdle + 10 {
			resp, err := tr.RoundTrip(get(t, "/"))
			if err != nil {
				t.Fatal(err)
			}
			bodies = append(bodies, resp.Body)
		}
		if s := tr.State()[0]; s.InFlight != maxIdle+10 || s.Connections != maxIdle+10 {
			t.Errorf("%+v", s)
		}
		for _, b := range bodies {
			if _, err := io.ReadAll(b); err != nil {
				t.Fatal(err)
			}
		}
		if s := tr.State()[0]; s.InFlight != 0 || s.Connections != maxIdle {
			t.Errorf("%+v", s)
		}
		time.Sleep(idleFor / 2)
		ok(t, tr, get(t, "/"), "hello")
		time.Sleep(idleFor/2 + time.Second)
		if s := tr.State()[0]; s.Connections != 1 {
			t.Errorf("%+v", s)
		}
		time.Sleep(idleFor)
		if s := tr.State()[0]; s.Connections != 0 {
			t.Errorf("%+v", s)
		}
		tr.Close()
		ok(t, tr, get(t, "/"), "hello") // late, and not kept
		close(ends)
		if s := tr.State()[0]; s.Connections != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestNext: over a reload a server that did not change keeps its connections,
// and one that is gone loses them.
func TestNext(t *testing.T) {
	var conns [2]atomic.Int32
	serve := func(i int) func(c *wire, n int) {
		return func(c *wire, n int) {
			for conns[i].Add(1); c.request() != nil; {
				c.send(hi)
			}
		}
	}
	kept, left := servers(raw(t, serve(0))), servers(raw(t, serve(1)))
	kept.Hosts = []string{"kept.example"}
	cfg := Config{Origins: []rules.Origin{kept, left}, Log: quiet()}
	old := transport(t, cfg)
	kept.Hosts = []string{"*.example"}
	kept.Balance = "least-connections"
	at := func(host string) *http.Request {
		req := get(t, "/")
		req.Host = host
		return req
	}
	ok(t, old, at("kept.example"), "hi")
	ok(t, old, at("other"), "hi")
	next, err := old.Next(Config{Origins: []rules.Origin{kept}, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if _, err := old.Next(Config{Origins: []rules.Origin{servers("ftp://x")}, Log: quiet()}); err == nil {
		t.Error("an address of no use is taken")
	}
	old.Close()
	ok(t, next, at("kept.example"), "hi")
	if n := conns[0].Load(); n != 1 {
		t.Errorf("%d connections to the server that stays", n)
	}
	if s := old.State(); s[0].Connections != 1 || s[1].Connections != 0 {
		t.Errorf("%+v", s)
	}
	ok(t, old, at("other"), "hi") // a request that came before the reload
	changed := kept
	changed.Response = time.Second
	third, err := next.Next(Config{Origins: []rules.Origin{changed}, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer third.Close()
	ok(t, third, at("kept.example"), "hi")
	if n := conns[0].Load(); n != 2 {
		t.Errorf("%d connections, with settings that changed", n)
	}
}
