package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/proxy/origin"
	"github.com/seed14307185/refract/rules"
)

// byOrigin has a proxy's requests carried by the transport that the command
// uses, to the same app.
func byOrigin(t testing.TB, p *Proxy) {
	t.Helper()
	carrier, err := origin.New(origin.Config{Origins: []rules.Origin{{To: []string{"http://" + p.Origin.Host}}}, Log: p.Log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(carrier.Close)
	p.Origin, p.Transport, p.transport = nil, carrier, carrier
}

// TestPageThatArrivesAtOnceHasItsLength: nobody waits for the end of a page to
// count it, but one that is there as a whole is sent with its own length.
func TestPageThatArrivesAtOnceHasItsLength(t *testing.T) {
	long := strings.Replace(cardPage, "rest", strings.Repeat("<p>more than is gathered\n", 4<<10), 1)
	for _, c := range []struct {
		page  string
		sized bool // of the visitor's answer
	}{{cardPage, true}, {long, false}} {
		for _, said := range []bool{true, false} {
			edge, s, p := front(t, http.NotFoundHandler())
			answer := "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
			if said {
				answer += fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(c.page), c.page)
			} else {
				answer += fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(c.page), c.page)
			}
			p.Origin.Host = listen(t, func(conn net.Conn, r *bufio.Reader) {
				if _, err := http.ReadRequest(r); err == nil {
					io.WriteString(conn, answer)
				}
			})
			byOrigin(t, p)
			for _, arm := range []rules.Arm{rules.Treatment, rules.Control} {
				resp, body := do(t, "GET", edge+"/projects/7", "Cookie", "user="+s.member(p, "invite-teammate", arm))
				if treated := strings.Contains(body, "Invite a teammate"); treated != (arm == rules.Treatment) || !treated && body != c.page {
					t.Errorf("%s sees %d bytes", arm, len(body))
				}
				if sized := resp.ContentLength == int64(len(body)); sized != c.sized {
					t.Errorf("%s of %d bytes: the length is %d", arm, len(body), resp.ContentLength)
				}
			}
		}
	}
}

// listen serves each connection once, and returns the address.
func listen(t testing.TB, serve func(net.Conn, *bufio.Reader)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(patience))
				serve(conn, bufio.NewReader(conn))
			}()
		}
	}()
	return l.Addr().String()
}

// TestUploadIsNeverCutShort: an origin that answers before it has all of the
// body gets the rest all the same, or sees that it has not.
func TestUploadIsNeverCutShort(t *testing.T) {
	const piece, pieces = 8 << 10, 40
	for _, whole := range []bool{false, true} {
		t.Run(fmt.Sprint("answers wholly ", whole), func(t *testing.T) {
			type got struct {
				n   int64
				err error
			}
			seen := make(chan got, 1)
			edge, s, p := front(t, http.NotFoundHandler())
			p.Origin.Host = listen(t, func(conn net.Conn, r *bufio.Reader) {
				req, err := http.ReadRequest(r)
				if err != nil {
					t.Error(err)
					return
				}
				answer := "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nearl"
				if !whole {
					answer = answer[:len(answer)-1]
				}
				io.WriteString(conn, answer)
				n, err := io.Copy(io.Discard, req.Body)
				seen <- got{n, err}
				io.WriteString(conn, "l")
			})
			byOrigin(t, p)
			conn, r := dial(t, edge)
			fmt.Fprint(conn, "POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
			send := func() error {
				_, err := fmt.Fprintf(conn, "%x\r\n%s\r\n", piece, bytes.Repeat([]byte("x"), piece))
				return err
			}
			if err := send(); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(r, nil)
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatal(resp, err)
			}
			for range pieces - 1 {
				if err := send(); err != nil {
					break // the answer is there
				}
			}
			fmt.Fprint(conn, "0\r\n\r\n")
			if got := <-seen; got.n != piece*pieces && got.err == nil {
				t.Errorf("the origin takes %d bytes for the whole", got.n)
			} else if !whole && got.err != nil {
				t.Errorf("it wants the whole and gets %d bytes, %v", got.n, got.err)
			}
			conn.Close()
			s.wait()
		})
	}
}

// stated is an error with a status and a server of its own.
type stated int

func (stated) Error() string     { return "as told" }
func (e stated) HTTPStatus() int { return int(e) }
func (stated) Origin() string    { return "10.0.0.7:3000" }

// TestErrorsSayTheirStatus: what is the client's doing is answered as such, and
// what is the origin's is logged with the server's name.
func TestErrorsSayTheirStatus(t *testing.T) {
	edge, s, p := front(t, http.NotFoundHandler())
	var log bytes.Buffer
	p.Log = slog.New(slog.NewTextHandler(&log, nil))
	for i, status := range []int{400, 408, 421, 502, 504} {
		log.Reset()
		p.Transport = roundTrip(func(*http.Request) (*http.Response, error) { return nil, fmt.Errorf("sending: %w", stated(status)) })
		p.transport = p.Transport
		if resp, _ := do(t, "GET", edge+"/"); resp.StatusCode != status {
			t.Errorf("%d: %s", status, resp.Status)
		}
		s.wait()
		x := s.exchanges[i]
		if logged := strings.Contains(log.String(), "origin=10.0.0.7:3000"); logged != (status >= 500) || errors.Is(x.OriginError, stated(status)) != (status != 421) {
			t.Errorf("%d: %v; the log says %q", status, x.OriginError, log.String())
		}
		if x.ClientGone != (status == 400 || status == 408) {
			t.Errorf("%d: client gone: %v", status, x.ClientGone)
		}
	}
}

// TestServerThatAnswers is the one that the exchange names, and that of the
// wrong host or path is none.
func TestServerThatAnswers(t *testing.T) {
	edge, s, p := front(t, pageWith(cardPage))
	server, _ := url.Parse("http://" + p.Origin.Host)
	carrier, err := origin.New(origin.Config{Origins: []rules.Origin{{Paths: []events.Pattern{must(events.ParsePattern("/projects/*"))}, To: []string{server.String()}}}, Log: p.Log})
	if err != nil {
		t.Fatal(err)
	}
	defer carrier.Close()
	p.Origin, p.Transport = nil, carrier
	for path, want := range map[string]string{"/projects/7": server.Host, "/other": ""} {
		resp, _ := do(t, "GET", edge+path)
		s.wait()
		if x := s.exchanges[len(s.exchanges)-1]; x.Origin != want || want == "" && resp.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("%s: %s of %q, want %q", path, resp.Status, x.Origin, want)
		}
	}
}
