package front

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// from is a connection of a client at an address.
type from struct {
	net.Conn
	addr string
}

func (f from) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.ParseIP(f.addr), Port: 1024}
}

// bubble is a server within a synctest bubble, on pipes: time is free.
type bubble struct {
	*Server
	plain, secure *handoff
	mu            sync.Mutex
	refused       []Reason
}

func serveBubble(t *testing.T, s *Server, settings Settings) *bubble {
	b := &bubble{Server: s, plain: newHandoff(), secure: newHandoff()}
	s.Log = quiet()
	s.Refused = func(r Reason) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.refused = append(b.refused, r)
	}
	s.Use(settings)
	var secure net.Listener
	if s.TLS != nil {
		secure = b.secure
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(b.plain, secure, nil) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return b
}

func (b *bubble) dial(t *testing.T, l *handoff, addr string) net.Conn {
	client, server := net.Pipe()
	t.Cleanup(func() { _ = client.Close() })
	l.put(from{server, addr})
	return client
}

func (b *bubble) reasons() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for _, r := range b.refused {
		all = append(all, string(r))
	}
	b.refused = nil
	return strings.Join(all, " ")
}

const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

func answer(t *testing.T, c net.Conn, request string) string {
	t.Helper()
	if request != "" {
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Status[:3] + " " + string(body)
}

func hello(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }

func TestSlowHeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := serveBubble(t, &Server{Handler: http.HandlerFunc(hello)}, Settings{Limits: limits})
		start := time.Now()
		type end struct {
			text string
			at   time.Duration
		}
		ends := make(chan end, 100)
		for i := range 50 {
			c := b.dial(t, b.plain, "192.0.2.1")
			first := ""
			if i%2 > 0 {
				first = get // what is slow is the second request
			}
			go func() {
				if first != "" {
					answer(t, c, first)
				}
				go func() { // a byte a second, for as long as it is taken
					for {
						if _, err := io.WriteString(c, "G"); err != nil {
							return
						}
						time.Sleep(time.Second)
					}
				}()
				all, _ := io.ReadAll(c)
				ends <- end{string(all), time.Since(start)}
			}()
		}
		silent := b.dial(t, b.plain, "192.0.2.1")
		synctest.Wait()
		if got := answer(t, b.dial(t, b.plain, "192.0.2.2"), get); got != "200 hello" || time.Since(start) != 0 {
			t.Errorf("others are answered %q after %v", got, time.Since(start))
		}
		for range 50 {
			if e := <-ends; !strings.HasPrefix(e.text, "HTTP/1.1 408 ") || e.at != limits.ReadHeader {
				t.Errorf("%q after %v", e.text, e.at)
			}
		}
		if all, err := io.ReadAll(silent); len(all) > 0 || err != nil || time.Since(start) != limits.ReadHeader {
			t.Errorf("who never asked read %q after %v, %v", all, time.Since(start), err)
		}
		time.Sleep(time.Second) // of the bubble's clock: the last bytes are refused
		if got := b.reasons(); got != strings.TrimSpace(strings.Repeat("header ", 50)) {
			t.Errorf("refused: %s", got)
		}
	})
}

// TestContinue has a body that is sent only once it is asked for.
func TestContinue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := serveBubble(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(w, r.Body)
		})}, Settings{Limits: limits})
		c := b.dial(t, b.plain, "192.0.2.1")
		if got := answer(t, c, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"); got != "100 " {
			t.Fatal(got)
		}
		if got := answer(t, c, "hello"); got != "200 hello" {
			t.Error(got)
		}
		if got := answer(t, c, get); got != "200 " {
			t.Error(got)
		}
	})
}

func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := serveBubble(t, &Server{Handler: http.HandlerFunc(hello)}, Settings{Limits: limits})
		c := b.dial(t, b.plain, "192.0.2.1")
		answer(t, c, get)
		time.Sleep(limits.Idle - time.Second)
		answer(t, c, get)
		start := time.Now()
		if _, err := c.Read(make([]byte, 1)); err != io.EOF || time.Since(start) != limits.Idle {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		synctest.Wait()
		if n := b.Connections(); n != 0 {
			t.Errorf("%d connections are open", n)
		}
	})
}

// TestPatience has exchanges that take longer than any limit and never stand
// still.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := serveBubble(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			time.Sleep(time.Hour) // the origin thinks
			if r.Context().Err() != nil || err != nil {
				t.Error("given up", err)
			}
			_, _ = w.Write(body)
			_, _ = io.WriteString(w, strings.Repeat("y", 200))
		})}, Settings{Limits: limits})
		c := b.dial(t, b.plain, "192.0.2.1")
		_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
		for range 100 {
			time.Sleep(limits.Progress - time.Second)
			_, _ = io.WriteString(c, "x")
		}
		var got []byte
		for !strings.HasSuffix(string(got), "yyy") || len(got) < 300 {
			p := make([]byte, 10)
			n, err := c.Read(p)
			if err != nil {
				t.Fatalf("%v behind %q", err, got)
			}
			got = append(got, p[:n]...)
			time.Sleep(limits.Progress - time.Second)
		}
		if got := b.reasons(); got != "" {
			t.Errorf("refused: %s", got)
		}
	})
}

func TestSlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := serveBubble(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			var refusal *Refusal
			if !errors.As(err, &refusal) {
				t.Fatal(err)
			}
			w.WriteHeader(refusal.Status)
		})}, Settings{Limits: limits})
		for _, head := range []string{"Content-Length: 9\r\n\r\nx", "Transfer-Encoding: chunked\r\n\r\n2"} {
			c := b.dial(t, b.plain, "192.0.2.1")
			start := time.Now()
			if got := answer(t, c, "POST / HTTP/1.1\r\nHost: a\r\n"+head); got != "408 " || time.Since(start) != limits.Progress {
				t.Errorf("%q after %v", got, time.Since(start))
			}
			if _, err := c.Read(make([]byte, 1)); err != io.EOF {
				t.Error(err)
			}
		}
		if got := b.reasons(); got != "progress progress" {
			t.Errorf("refused: %s", got)
		}
	})
}

func TestSlowRead(t *testing.T) {
	for _, secure := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ended := make(chan error, 1)
			s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var err error
				for range 100 {
					if _, err = w.Write(make([]byte, 64<<10)); err != nil {
						break
					}
				}
				ended <- err
			})}
			if secure {
				s.TLS = certificate(t)
			}
			b := serveBubble(t, s, Settings{Limits: limits})
			c := b.dial(t, b.plain, "192.0.2.1")
			if secure {
				c = tls.Client(b.dial(t, b.secure, "192.0.2.1"), &tls.Config{InsecureSkipVerify: true})
			}
			_, _ = io.WriteString(c, get)
			_, _ = c.Read(make([]byte, 100))
			start := time.Now()
			if err := <-ended; err == nil || time.Since(start) < limits.Progress || time.Since(start) > 2*limits.Progress {
				t.Errorf("%v after %v", err, time.Since(start))
			}
			synctest.Wait()
			time.Sleep(10 * time.Second) // TLS says good-bye for as long as 5 seconds
			if got, n := b.reasons(), b.Connections(); !strings.HasPrefix(got, "progress") || n != 0 {
				t.Errorf("refused: %s; %d connections", got, n)
			}
		})
	}
}

// upgrade takes the connection over, and sends back what it gets. It ends with
// the request's context, as a proxy does whose origin says nothing.
func upgrade(w http.ResponseWriter, r *http.Request) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
	_, _ = io.Copy(c, c)
	<-r.Context().Done()
}

const getUpgraded = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"

func TestTunnelIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := serveBubble(t, &Server{Handler: http.HandlerFunc(upgrade)}, Settings{Limits: limits})
		c := b.dial(t, b.plain, "192.0.2.1")
		if _, err := io.WriteString(c, getUpgraded); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(c)
		if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 101 {
			t.Fatal(resp, err)
		}
		buf := make([]byte, 2)
		for range 5 {
			time.Sleep(limits.Tunnel - time.Second)
			_, _ = io.WriteString(c, "hi")
			if _, err := io.ReadFull(r, buf); err != nil {
				t.Fatal(err)
			}
		}
		if b.Tunnels() != 1 {
			t.Errorf("%d tunnels", b.Tunnels())
		}
		start := time.Now()
		if _, err := r.ReadByte(); err != io.EOF || time.Since(start) != limits.Tunnel {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		synctest.Wait()
		if got := b.reasons(); got != "tunnel" || b.Tunnels() != 0 || b.Connections() != 0 {
			t.Errorf("refused: %s; %d tunnels; %d connections", got, b.Tunnels(), b.Connections())
		}
	})
}

// TestTunnelsLast shuts down with a tunnel open: it goes on until the deadline.
func TestTunnelsLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := serveBubble(t, &Server{Handler: http.HandlerFunc(upgrade)}, Settings{Limits: limits})
		c := b.dial(t, b.plain, "192.0.2.1")
		_, _ = io.WriteString(c, getUpgraded)
		r := bufio.NewReader(c)
		if _, err := http.ReadResponse(r, nil); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		start := time.Now()
		down := make(chan error, 1)
		go func() { down <- b.Shutdown(ctx) }()
		time.Sleep(29 * time.Second)
		_, _ = io.WriteString(c, "hi")
		if _, err := io.ReadFull(r, make([]byte, 2)); err != nil {
			t.Error(err)
		}
		if _, err := r.ReadByte(); err != io.EOF || time.Since(start) != 30*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if err := <-down; err != nil {
			t.Error(err)
		}
	})
}
