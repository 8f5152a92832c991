package origin

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
)

// dialing dials, but for one address fails when fail does.
func dialing(broken string, fail func(context.Context) error) dialFunc {
	var d net.Dialer
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasSuffix(broken, address) {
			if err := fail(ctx); err != nil {
				return nil, err
			}
		}
		return d.DialContext(ctx, network, address)
	}
}

// named is an origin that answers with its name.
func named(tb testing.TB, name string) string {
	return raw(tb, func(c *wire, n int) {
		for c.request() != nil {
			c.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + name)
		}
	})
}

func TestRoutes(t *testing.T) {
	pattern := func(s string) []events.Pattern {
		p, err := events.ParsePattern(s)
		if err != nil {
			t.Fatal(err)
		}
		return []events.Pattern{p}
	}
	a, b, c, d := servers(named(t, "a")), servers(named(t, "b")), servers(named(t, "c")), servers(named(t, "d"))
	a.Hosts, a.Paths = []string{"Shop.example"}, pattern("/api/**")
	b.Hosts = []string{"shop.example", "::1"}
	c.Hosts = []string{"*.shop.example"}
	d.Paths = pattern("/open/*")
	tr := transport(t, Config{Origins: []rules.Origin{a, b, c, d}})
	for _, test := range []struct{ host, path, want string }{
		{"shop.example", "/api/x", "a"},
		{"SHOP.example:8080", "/api", "a"},
		{"shop.example.", "/apis", "b"},
		{"[::1]:80", "/", "b"},
		{"www.shop.example", "/api/x", "c"},
		{"b.shop.example.:443", "/", "c"},
		{"a.b.shop.example:443", "/", ""},
		{"shop.example", "/open/x", "b"},
		{".shop.example", "/open/x", "d"},
		{"myshop.example", "/open/x", "d"},
		{"", "/open/x", "d"},
		{"myshop.example", "/open", ""},
		{"myshop.example", "/open/a%2Fb", "d"},
	} {
		req := get(t, test.path)
		req.Host = test.host
		_, body, err := fetch(tr, req)
		if body != test.want || (test.want == "") != errors.Is(err, ErrNoOrigin) {
			t.Errorf("%s%s: %q, %v", test.host, test.path, body, err)
		}
	}
}

func TestRoundRobin(t *testing.T) {
	a, b, c := named(t, "a"), named(t, "b"), named(t, "c")
	var down atomic.Bool
	o := servers(a, b, c)
	o.Failures, o.Cooldown = 2, time.Hour
	tr := transport(t, Config{Origins: []rules.Origin{o}, dial: dialing(b, func(context.Context) error {
		if down.Load() {
			return syscall.ECONNREFUSED
		}
		return nil
	})})
	count := func(n int) map[string]int {
		got := map[string]int{}
		for range n {
			req := get(t, "/")
			req.Close = true // a connection each
			_, body, err := fetch(tr, req)
			if err != nil {
				t.Fatal(err)
			}
			got[body]++
		}
		return got
	}
	if got := count(9); !reflect.DeepEqual(got, map[string]int{"a": 3, "b": 3, "c": 3}) {
		t.Errorf("%v", got)
	}
	down.Store(true)
	count(6) // in which b fails twice
	if s := tr.State()[1]; s.Healthy || s.Failures != 2 || s.Server != b {
		t.Errorf("%+v", s)
	}
	if got := count(8); !reflect.DeepEqual(got, map[string]int{"a": 4, "c": 4}) {
		t.Errorf("%v, with b out", got)
	}
	if s := tr.State()[1]; s.Failures != 2 {
		t.Errorf("%+v", s)
	}
}

func TestLeastConnections(t *testing.T) {
	slow := raw(t, func(c *wire, n int) {
		for c.request() != nil {
			c.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslo")
		}
	})
	o := servers(slow, named(t, "b"), named(t, "c"))
	o.Balance = "least-connections"
	tr := transport(t, Config{Origins: []rules.Origin{o}})
	var open []io.Closer
	seen := map[string]int{}
	for range 20 {
		resp, err := tr.RoundTrip(get(t, "/"))
		if err != nil {
			t.Fatal(err)
		}
		if resp.ContentLength == 4 {
			open = append(open, resp.Body)
			continue
		}
		b, _ := io.ReadAll(resp.Body)
		seen[string(b)]++
	}
	if len(open) != 1 || seen["b"] == 0 || seen["c"] == 0 {
		t.Errorf("%d to the slow one, %v", len(open), seen)
	}
	for _, c := range open {
		_ = c.Close()
	}
}

// TestOut: failures of connecting, so many within the cooldown, take a server
// out for so long, and with all out there still is an attempt.
func TestOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fail := true
		dials := 0
		o := servers("http://app")
		o.Failures, o.Cooldown = 3, time.Minute
		tr, err := New(Config{Origins: []rules.Origin{o}, Log: quiet(), dial: func(context.Context, string, string) (net.Conn, error) {
			dials++
			if fail {
				return nil, syscall.ECONNREFUSED
			}
			ours, theirs := net.Pipe()
			go func() {
				defer theirs.Close()
				if _, err := http.ReadRequest(bufio.NewReader(theirs)); err == nil {
					_, _ = io.WriteString(theirs, hi)
				}
			}()
			return ours, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		try := func() error {
			_, _, err := fetch(tr, get(t, "/"))
			return err
		}
		healthy := func(want bool) {
			t.Helper()
			if got := tr.State()[0].Healthy; got != want {
				t.Errorf("healthy: %v", got)
			}
		}
		for range 5 { // never three within a minute
			if try() == nil {
				t.Error("no error")
			}
			time.Sleep(31 * time.Second)
		}
		healthy(true)
		_ = try()
		_ = try()
		healthy(false)
		fail = false
		if err := try(); err != nil || dials != 8 {
			t.Errorf("with all out: %v after %d", err, dials)
		}
		time.Sleep(time.Minute)
		healthy(true)
	})
}

// TestShort: what this machine is short of is not the server's failure.
func TestShort(t *testing.T) {
	o := servers(named(t, "a"))
	o.Failures = 1
	for _, err := range []error{syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL} {
		tr := transport(t, Config{Origins: []rules.Origin{o}, dial: dialing(o.To[0], func(context.Context) error { return &net.OpError{Op: "dial", Err: err} })})
		if _, _, got := fetch(tr, get(t, "/")); !errors.Is(got, err) {
			t.Errorf("%v", got)
		}
		if s := tr.State()[0]; !s.Healthy || s.Failures != 0 {
			t.Errorf("%v: %+v", err, s)
		}
	}
}

// TestChecks: so many failed checks in a row take a server out, and so many
// that succeed bring it back.
func TestChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // guards status and requests
		status := "200 OK"
		var requests []string
		asked := func() int {
			mu.Lock()
			defer mu.Unlock()
			return len(requests)
		}
		o := servers("http://app:8000")
		o.Health = &rules.Health{Path: "/healthz?deep", Host: "check.example", Status: events.StatusRange{Min: 200, Max: 299},
			Every: 10 * time.Second, Timeout: 2 * time.Second, Fall: 3, Rise: 2}
		tr, ends := bubble(t, o)
		go func() {
			for c := range ends {
				go func() {
					req := c.request()
					if req == nil {
						return
					}
					mu.Lock()
					requests = append(requests, req.Host+req.RequestURI)
					status := status
					mu.Unlock()
					if status != "" {
						c.send("HTTP/1.1 " + status + "\r\nContent-Length: 2\r\n\r\nhi")
					}
					c.closed()
				}()
			}
		}()
		step := func(to string, checks int, want bool) {
			t.Helper()
			mu.Lock()
			status = to
			mu.Unlock()
			time.Sleep(time.Duration(checks) * 10 * time.Second)
			synctest.Wait()
			if s := tr.State()[0]; s.Healthy != want || s.InFlight != 0 {
				t.Errorf("after %d checks with %q: %+v", checks, to, s)
			}
		}
		time.Sleep(5 * time.Second) // between two checks
		step("503 Service Unavailable", 2, true)
		step("200 OK", 1, true)
		step("503 Service Unavailable", 2, true)
		step("", 1, false) // a time-out
		step("204 No Content", 1, false)
		step("404 Not Found", 1, false)
		step("200 OK", 1, false)
		step("200 OK", 1, true)
		for _, r := range requests {
			if r != "check.example/healthz?deep" {
				t.Errorf("asked for %s", r)
			}
		}
		next, err := tr.Next(Config{Origins: []rules.Origin{o}, Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		tr.Close()
		before := asked()
		time.Sleep(time.Minute)
		if n := asked() - before; n != 6 {
			t.Errorf("%d checks in a minute after a reload", n)
		}
		next.Close()
		before = asked()
		time.Sleep(time.Minute)
		if n := asked() - before; n != 0 {
			t.Errorf("%d checks after Close", n)
		}
		close(ends)
	})
}
