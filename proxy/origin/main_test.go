package origin

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/rules"
)

// TestMain runs the tests, after which no goroutine of a transport may be left.
func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "origin":
		benchOrigin()
	case "load":
		benchLoad(os.Args[1])
	}
	code := m.Run()
	if left := leaked(); code == 0 && left != "" {
		fmt.Fprintf(os.Stderr, "a goroutine is left:\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

// leaked returns the stack of a goroutine of this package that does not end,
// if there is one.
func leaked() string {
	buf := make([]byte, 4<<20)
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		found := ""
		for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(stack, "/proxy/origin.") && !strings.Contains(stack, "origin.TestMain") {
				found = stack
			}
		}
		if found == "" || time.Now().After(deadline) {
			return found
		}
	}
}

// quiet is a log that nobody reads.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// servers is a group of servers with time-outs that no test reaches.
func servers(to ...string) rules.Origin {
	return rules.Origin{To: to, Connect: time.Minute, Response: time.Minute, Cooldown: time.Minute}
}

// transport makes a transport, closed at the test's end.
func transport(tb testing.TB, cfg Config) *Transport {
	tb.Helper()
	if cfg.Log == nil {
		cfg.Log = quiet()
	}
	t, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(t.Close)
	return t
}

// to makes a transport to one address.
func to(tb testing.TB, address string) *Transport {
	return transport(tb, Config{Origins: []rules.Origin{servers(address)}})
}

// raw is an origin on TCP: serve has each connection, numbered from 0, and
// what it does not close is closed after it.
func raw(tb testing.TB, serve func(c *wire, n int)) (address string) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		accept(l, serve)
	}()
	tb.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return "http://" + l.Addr().String()
}

func accept(l net.Listener, serve func(c *wire, n int)) {
	for n := 0; ; n++ {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			serve(&wire{Conn: c, r: bufio.NewReader(c)}, n)
		}()
	}
}

// wire is the server's end of a connection.
type wire struct {
	net.Conn
	r *bufio.Reader
}

// request reads a request with its body. It returns nil when the client has
// closed the connection.
func (w *wire) request() *http.Request {
	req, err := http.ReadRequest(w.r)
	if err != nil {
		return nil
	}
	b, err := io.ReadAll(req.Body)
	if err != nil {
		return nil
	}
	req.Body = io.NopCloser(strings.NewReader(string(b)))
	return req
}

func (w *wire) send(s string) { _, _ = io.WriteString(w, s) } // a client that is gone shows where the test reads

// closed waits for the client to close the connection.
func (w *wire) closed() bool {
	_, err := w.r.ReadByte()
	return err != nil
}

func get(tb testing.TB, path string) *http.Request {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, "http://app.example"+path, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return req
}

// fetch has an exchange and reads all of the body.
func fetch(t http.RoundTripper, req *http.Request) (*http.Response, string, error) {
	resp, err := t.RoundTrip(req)
	if err != nil {
		return nil, "", err
	}
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), errors.Join(err, resp.Body.Close())
}

func ok(tb testing.TB, t http.RoundTripper, req *http.Request, want string) *http.Response {
	tb.Helper()
	resp, body, err := fetch(t, req)
	if err != nil {
		tb.Fatal(err)
	}
	if body != want {
		tb.Fatalf("got %q, want %q", body, want)
	}
	return resp
}

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }
