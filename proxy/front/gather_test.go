package front

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
)

// counting is a listener whose connections count what is written to them.
type counting struct {
	net.Listener
	writes *atomic.Int64
}

func (l counting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countingConn{c, l.writes}, nil
}

type countingConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// TestGathered: an answer of some KB is one write, and what the handler flushes
// is with the client before it goes on, or this would be a deadlock.
func TestGathered(t *testing.T) {
	var writes atomic.Int64
	read := make(chan bool)
	page := bytes.Repeat([]byte("0123456789abcdef"), 30<<10/16)
	s := &Server{Log: quiet(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.FormValue("n"))
		if r.FormValue("sized") != "" {
			w.Header().Set("Content-Length", strconv.Itoa(n))
		}
		if r.FormValue("hints") != "" {
			w.WriteHeader(http.StatusEarlyHints)
			<-read
		}
		at, _ := strconv.Atoi(r.FormValue("flush"))
		if at > 0 {
			_, _ = w.Write(page[:at])
			_ = http.NewResponseController(w).Flush()
			<-read
		}
		_, _ = w.Write(page[at:n])
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Use(Settings{Limits: limits})
	done := make(chan error, 1)
	go func() { done <- s.Serve(counting{l, &writes}, nil, nil) }()
	defer func() {
		_ = s.Close()
		<-done
	}()
	c := dial(t, l.Addr().String()) // one for all: nothing of an answer gets into the next
	r := bufio.NewReader(c)
	for _, q := range []struct {
		query            string
		n, at, maxWrites int
	}{
		{"n=0&sized=1", 0, 0, 1},
		{"n=100", 100, 0, 1},
		{"n=3000&sized=1", 3000, 0, 1},
		{"n=10000&sized=1", 10000, 0, 1},
		{"n=10000", 10000, 0, 1},
		{"n=30000&sized=1", 30000, 0, 2}, // a socket takes both at once
		{"n=10000&flush=5000", 10000, 5000, 2},
		{"n=10000&flush=9000&sized=1", 10000, 9000, 2},
		{"n=30000&flush=20000", 30000, 20000, 4},
		{"n=10000&hints=1", 10000, 0, 2},
	} {
		t.Run(q.query, func(t *testing.T) {
			before := writes.Load()
			fmt.Fprintf(c, "GET /?%s HTTP/1.1\r\nHost: a\r\n\r\n", q.query)
			resp, err := http.ReadResponse(r, nil)
			if err == nil && resp.StatusCode == http.StatusEarlyHints {
				read <- true
				resp, err = http.ReadResponse(r, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
			first := make([]byte, q.at)
			if _, err := io.ReadFull(resp.Body, first); err != nil {
				t.Fatal(err)
			}
			if q.at > 0 {
				read <- true
			}
			rest, err := io.ReadAll(resp.Body)
			if err != nil || !bytes.Equal(append(first, rest...), page[:q.n]) {
				t.Errorf("%d bytes of %d, %v", len(first)+len(rest), q.n, err)
			}
			if got := int(writes.Load() - before); got > q.maxWrites {
				t.Errorf("%d writes, want %d", got, q.maxWrites)
			}
		})
	}
}
