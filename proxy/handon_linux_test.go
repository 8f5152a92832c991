package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	edgeserver "github.com/seed14307185/refract/proxy/front"
	"github.com/seed14307185/refract/rules"
)

// counting counts what is taken of bodies without a buffer.
type counting struct {
	http.RoundTripper
	taken atomic.Int64
}

type countedBody struct {
	io.ReadCloser
	raw interface {
		Raw() bool
		ReadRaw(take func(fd uintptr, most int64) (int64, error)) (int64, error)
	}
	*counting
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.RoundTripper.RoundTrip(r)
	if err == nil {
		b := countedBody{ReadCloser: resp.Body, counting: c}
		b.raw, _ = resp.Body.(interface {
			Raw() bool
			ReadRaw(take func(fd uintptr, most int64) (int64, error)) (int64, error)
		})
		resp.Body = b
	}
	return resp, err
}

func (b countedBody) Ready() bool { return ready(b.ReadCloser) }
func (b countedBody) Raw() bool   { return b.raw != nil && b.raw.Raw() }
func (b countedBody) ReadRaw(take func(fd uintptr, most int64) (int64, error)) (int64, error) {
	n, err := b.raw.ReadRaw(take)
	b.taken.Add(n)
	return n, err
}

// atTheEdge has a proxy behind the server that the command uses, and returns its
// address.
func atTheEdge(t *testing.T, p *Proxy) string {
	t.Helper()
	return atAnEdge(t, p, nil, time.Minute)
}

// atAnEdge is atTheEdge, over TLS if secure is not nil.
func atAnEdge(t *testing.T, p *Proxy, secure *tls.Config, progress time.Duration) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &edgeserver.Server{Handler: p, Log: p.Log, TLS: secure}
	s.Use(edgeserver.Settings{Limits: rules.Limits{HeaderBytes: 64 << 10, Headers: 200, ReadHeader: time.Minute, Idle: time.Minute, Progress: progress}})
	done := make(chan error, 1)
	go func() {
		if secure != nil {
			done <- s.Serve(nil, l, nil)
		} else {
			done <- s.Serve(l, nil, nil)
		}
	}()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// TestHandedOn: what is not changed, and has a length, goes from one connection
// to the other without a buffer, and is counted, and broken off, all the same.
func TestHandedOn(t *testing.T) {
	const length = 3 << 20
	file := strings.Repeat("0123456789abcde\n", length/16)
	gone := make(chan error, 1)
	_, s, p := front(t, http.NotFoundHandler())
	p.Origin.Host = listen(t, func(c net.Conn, r *bufio.Reader) {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/x-tar\r\nContent-Length: %d\r\n\r\n", length)
		switch req.URL.Path {
		case "/whole":
			io.WriteString(c, file)
		case "/broken":
			io.WriteString(c, file[:length-1])
		case "/endless":
			io.WriteString(c, file[:length/2])
			_, err := r.ReadByte()
			gone <- err
		}
	})
	byOrigin(t, p)
	carrier := &counting{RoundTripper: p.transport}
	p.Transport, p.transport = carrier, carrier
	edge := atTheEdge(t, p)
	get := func(path string) (net.Conn, *http.Response) {
		t.Helper()
		c, err := net.Dial("tcp", edge)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		return c, resp
	}
	exchange := func() Exchange {
		s.wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.exchanges[len(s.exchanges)-1]
	}

	_, resp := get("/whole")
	b, err := io.ReadAll(resp.Body)
	if err != nil || string(b) != file || resp.ContentLength != length {
		t.Fatalf("%d bytes of %d, %v", len(b), resp.ContentLength, err)
	}
	if x := exchange(); x.Bytes != length || x.OriginError != nil {
		t.Errorf("%d bytes are counted, %v", x.Bytes, x.OriginError)
	}
	if n := carrier.taken.Load(); n < length/2 {
		t.Errorf("only %d bytes went without a buffer", n)
	}

	_, resp = get("/broken")
	if b, err = io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) || string(b) != file[:length-1] {
		t.Errorf("broken off: %d bytes, %v", len(b), err)
	}
	if x := exchange(); x.Bytes != length-1 || x.OriginError == nil || x.ClientGone {
		t.Errorf("broken off: %d bytes are counted, %v", x.Bytes, x.OriginError)
	}

	c, resp := get("/endless")
	if _, err := io.CopyN(io.Discard, resp.Body, length/2); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if err := <-gone; err == nil {
		t.Error("the origin is not told that the visitor left")
	}
	if x := exchange(); !x.ClientGone {
		t.Errorf("the visitor's leaving is %v", x.OriginError)
	}
}

// TestHandedOnToNobody: who takes nothing more of what goes without a buffer is
// the visitor's doing, not the origin's.
func TestHandedOnToNobody(t *testing.T) {
	_, s, p := front(t, http.NotFoundHandler())
	p.Origin.Host = listen(t, func(c net.Conn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err == nil {
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/x-tar\r\nContent-Length: %d\r\n\r\n", 1<<30)
			for b := make([]byte, 1<<20); err == nil; {
				_, err = c.Write(b)
			}
		}
	})
	byOrigin(t, p)
	c, err := net.Dial("tcp", atAnEdge(t, p, nil, 50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	s.wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.exchanges[0]; !x.ClientGone {
		t.Errorf("a visitor who takes nothing is %v", x.OriginError)
	}
}

// TestLargeBodyIsNotHeld: where a body can't go without a buffer, because of
// TLS, all of it that came is sent before more is waited for.
func TestLargeBodyIsNotHeld(t *testing.T) {
	const first, length = 47001, 90000
	goOn := make(chan struct{})
	_, _, p := front(t, http.NotFoundHandler())
	p.Origin.Host = listen(t, func(c net.Conn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err == nil {
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/x-tar\r\nContent-Length: %d\r\n\r\n%s", length, strings.Repeat("x", first))
			<-goOn
			fmt.Fprint(c, strings.Repeat("x", length-first))
		}
	})
	byOrigin(t, p)
	certified := httptest.NewTLSServer(http.NotFoundHandler())
	defer certified.Close()
	secure := certified.TLS.Clone()
	secure.NextProtos = nil // the edge's own
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, proto := range []string{"http/1.1", "h2"} {
		edge := atAnEdge(t, p, secure, time.Minute)
		transport := certified.Client().Transport.(*http.Transport).Clone()
		transport.TLSClientConfig.NextProtos = []string{proto}
		transport.ForceAttemptHTTP2 = proto == "h2"
		resp, err := transport.RoundTrip(httptest.NewRequestWithContext(ctx, "GET", "https://"+edge+"/", nil))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, resp.Body, first); err != nil || (resp.ProtoMajor == 2) != (proto == "h2") {
			t.Fatal(resp.Proto, err)
		}
		goOn <- struct{}{}
		if n, err := io.Copy(io.Discard, resp.Body); n != length-first || err != nil {
			t.Errorf("%s: %d bytes, %v", proto, n, err)
		}
		transport.CloseIdleConnections()
	}
}
