package front

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pires/go-proxyproto"
)

// TestPark keeps connections without Go's server while no request comes, as
// many and for as long as that would have kept them.
func TestPark(t *testing.T) {
	for _, over := range []string{"TCP", "TLS", "PROXY"} {
		t.Run(over, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var from, host []string
				s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					from, host = append(from, r.RemoteAddr), append(host, r.Host)
					if (r.TLS != nil) != (over == "TLS") {
						t.Error("a request of another kind of connection")
					}
					hello(w, r)
				})}
				if over == "TLS" {
					s.TLS = certificate(t)
				}
				l := limits
				l.PerIP = 1
				b := serveBubble(t, s, Settings{Limits: l, ProxyProtocol: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}})
				var c net.Conn
				switch over {
				case "TCP":
					c = b.dial(t, b.plain, "203.0.113.7")
				case "TLS":
					c = tls.Client(b.dial(t, b.secure, "203.0.113.7"), &tls.Config{InsecureSkipVerify: true})
				case "PROXY":
					c = b.dial(t, b.plain, "10.0.0.1")
					if _, err := io.WriteString(c, v2(t, proxyproto.PROXY, "203.0.113.7")); err != nil {
						t.Fatal(err)
					}
				}
				for range 3 {
					if got := answer(t, c, get); got != "200 hello" {
						t.Errorf("answered %q", got)
					}
					synctest.Wait()
					if b.parked.count() != 0 {
						t.Error("parked at once")
					}
					time.Sleep(parkAfter)
					synctest.Wait()
					if b.parked.count() != 1 || b.Connections() != 1 {
						t.Errorf("%d connections are parked, %d open", b.parked.count(), b.Connections())
					}
				}
				if over != "PROXY" { // it is counted for its client
					if got := answer(t, b.dial(t, b.plain, "203.0.113.7"), ""); got != "503 " {
						t.Errorf("a second connection is answered %q", got)
					}
				}
				start := time.Now()
				if _, err := c.Read(make([]byte, 1)); err != io.EOF || time.Since(start) != limits.Idle-parkAfter {
					t.Errorf("%v after %v", err, time.Since(start))
				}
				synctest.Wait()
				if b.parked.count() != 0 || b.Connections() != 0 {
					t.Errorf("%d connections are parked, %d open", b.parked.count(), b.Connections())
				}
				for i := range from {
					if !strings.HasPrefix(from[i], "203.0.113.7:") || host[i] != "a" {
						t.Errorf("a request of %s for %s", from[i], host[i])
					}
				}
			})
		})
	}
}

// TestParkedRequests sends requests whole and in pieces, at times about that at
// which their connection is parked, and at that very time.
func TestParkedRequests(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	request := "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
	synctest.Test(t, func(t *testing.T) {
		b := serveBubble(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })}, Settings{Limits: limits})
		c := b.dial(t, b.plain, "192.0.2.1")
		r := bufio.NewReader(c)
		parked := 0
		for i := range 300 {
			pieces := request
			if i%5 == 0 {
				pieces = "\r\n" + pieces // RFC 9112, section 2.2
			}
			for len(pieces) > 0 {
				n := 1 + random.IntN(len(pieces))
				if random.IntN(2) == 0 {
					n = len(pieces)
				}
				if _, err := io.WriteString(c, pieces[:n]); err != nil {
					t.Fatalf("request %d: %v", i, err)
				}
				pieces = pieces[n:]
				time.Sleep(parkAfter * time.Duration(random.IntN(3)) / 2)
			}
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatalf("request %d: %v", i, err)
			}
			if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK || string(body) != "hello" {
				t.Fatalf("request %d: %s %q %v", i, resp.Status, body, err)
			}
			time.Sleep([]time.Duration{0, parkAfter - 1, parkAfter, parkAfter + 1, 3 * parkAfter}[random.IntN(5)])
			parked += b.parked.count()
		}
		if parked == 0 {
			t.Error("the connection was never parked")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b := serveBubble(t, &Server{Handler: http.HandlerFunc(hello)}, Settings{Limits: limits})
		c := b.dial(t, b.plain, "192.0.2.1")
		answer(t, c, get)
		time.Sleep(2 * parkAfter)
		start := time.Now()
		if got := answer(t, c, "G"); got != "408 the header took too long\n" || time.Since(start) != limits.ReadHeader {
			t.Errorf("answered %q after %v", got, time.Since(start))
		}
	})
}

// TestParkedEnd ends parked connections, from either side.
func TestParkedEnd(t *testing.T) {
	for name, end := range map[string]func(b *bubble, c net.Conn){
		"the client": func(_ *bubble, c net.Conn) { _ = c.Close() },
		"Close":      func(b *bubble, _ net.Conn) { _ = b.Close() },
		"Shutdown": func(b *bubble, _ net.Conn) {
			if err := b.Shutdown(context.Background()); err != nil {
				panic(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := serveBubble(t, &Server{Handler: http.HandlerFunc(hello)}, Settings{Limits: limits})
				c := b.dial(t, b.plain, "192.0.2.1")
				answer(t, c, get)
				time.Sleep(2 * parkAfter)
				b.StopAccepting() // who is connected is served on
				if got := answer(t, c, get); got != "200 hello" {
					t.Errorf("answered %q", got)
				}
				time.Sleep(2 * parkAfter)
				start := time.Now()
				end(b, c)
				synctest.Wait()
				if b.parked.count() != 0 || b.Connections() != 0 || time.Since(start) != 0 {
					t.Errorf("%d connections are parked, %d open, after %v", b.parked.count(), b.Connections(), time.Since(start))
				}
			})
		})
	}
}
