//go:build unix

package origin

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed14307185/refract/rules"
)

type rawBody interface {
	io.ReadCloser
	Raw() bool
	ReadRaw(take func(fd uintptr, most int64) (int64, error)) (int64, error)
}

// readRaw reads a body: what was read with its head, and the rest from the
// socket.
func readRaw(body rawBody) (string, error) {
	var b strings.Builder
	buf := make([]byte, 10_000)
	for !body.Raw() {
		n, err := body.Read(buf[:1+rand.IntN(len(buf))])
		if b.Write(buf[:n]); err != nil {
			return b.String(), err
		}
	}
	for {
		got := 0
		n, err := body.ReadRaw(func(fd uintptr, most int64) (int64, error) {
			var err error
			got, err = syscall.Read(int(fd), buf[:min(most, int64(len(buf)))])
			return int64(max(got, 0)), err
		})
		if b.Write(buf[:n]); err != nil {
			return b.String(), err
		}
	}
}

// TestReadRaw reads bodies from the socket without a buffer between: what comes
// is the same, and its ends are.
func TestReadRaw(t *testing.T) {
	const length = 300_000
	page := strings.Repeat("0123456789", length/10)
	address := raw(t, func(c *wire, _ int) {
		for r := c.request(); r != nil; r = c.request() {
			c.send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", length))
			switch r.URL.Path {
			case "/whole":
				c.send(page)
			case "/broken":
				c.send(page[:length-1])
				_ = c.Close()
				return
			case "/late":
				c.send(page[:length-1])
				c.closed()
				return
			}
		}
	})
	o := servers(address)
	o.Idle = 50 * time.Millisecond
	tr := transport(t, Config{Origins: []rules.Origin{o}})
	read := func(path string) (rawBody, string, error) {
		t.Helper()
		resp, err := tr.RoundTrip(get(t, path))
		if err != nil {
			t.Fatal(err)
		}
		body, ok := resp.Body.(rawBody)
		if !ok {
			t.Fatalf("%T can't be read so", resp.Body)
		}
		got, err := readRaw(body)
		return body, got, err
	}
	for range 3 {
		body, got, err := read("/whole")
		if err != io.EOF || got != page {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if _, err := body.Read(make([]byte, 1)); err != io.EOF || body.Raw() {
			t.Errorf("after the end: %v, raw: %v", err, body.Raw())
		}
	}
	if s := tr.State()[0]; s.Connections != 1 || s.InFlight != 0 {
		t.Errorf("after three whole bodies: %+v", s)
	}
	if _, got, err := read("/broken"); !errors.Is(err, io.ErrUnexpectedEOF) || got != page[:length-1] {
		t.Errorf("broken off: %d bytes, %v", len(got), err)
	}
	var late interface{ Timeout() bool }
	if _, got, err := read("/late"); !errors.As(err, &late) || !late.Timeout() || got != page[:length-1] {
		t.Errorf("late: %d bytes, %v", len(got), err)
	}
	resp, err := tr.RoundTrip(get(t, "/whole"))
	if err != nil {
		t.Fatal(err)
	}
	body := resp.Body.(rawBody)
	_ = body.Close()
	if _, err := body.ReadRaw(nil); !errors.Is(err, http.ErrBodyReadAfterClose) || body.Raw() {
		t.Errorf("after Close: %v", err)
	}
}
