package proxy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/seed14307185/refract/rules"
)

// speak sends bytes to a server and returns all that comes until it closes.
func speak(t testing.TB, edge, format string, args ...any) string {
	t.Helper()
	conn, r := dial(t, edge)
	fmt.Fprintf(conn, strings.ReplaceAll(format, "\n", "\r\n"), args...)
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

// says has an origin that answers every request with these bytes and closes.
func says(t testing.TB, p *Proxy, answer string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p.Origin = &url.URL{Scheme: "http", Host: l.Addr().String()}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 4<<10)
			conn.Read(b) // the requests of these tests are short
			io.WriteString(conn, strings.ReplaceAll(answer, "\n", "\r\n"))
			conn.Close()
		}
	}()
}

// TestHTTP10: who speaks HTTP/1.0 gets neither chunks nor 1xx, and the page's
// end is the connection's.
func TestHTTP10(t *testing.T) {
	edge, s, p := front(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, cardPage[:30])
		http.NewResponseController(w).Flush()
		io.WriteString(w, cardPage[30:])
	}))
	for _, arm := range []rules.Arm{rules.Treatment, rules.Control} {
		got := speak(t, edge, "GET /projects/7 HTTP/1.0\nCookie: user=%s\n\n", s.member(p, "invite-teammate", arm))
		head, body, _ := strings.Cut(got, "\r\n\r\n")
		if !strings.HasPrefix(head, "HTTP/1.0 200") || strings.Contains(head, "Transfer-Encoding") || strings.Contains(head, "Link") {
			t.Errorf("%s: %q", arm, head)
		}
		if !strings.HasPrefix(body, "<html>") || !strings.HasSuffix(body, "</html>") || strings.Contains(body, "Invite") != (arm == rules.Treatment) {
			t.Errorf("%s: %q", arm, body)
		}
	}
}

// TestNoBody: an answer that can have no body gets none, on any page.
func TestNoBody(t *testing.T) {
	for answer, want := range map[string]string{
		"204 No Content":                       "204 No Content",
		"205 Reset Content\nContent-Length: 0": "205 Reset Content",
		"304 Not Modified\nETag: \"a\"":        "304 Not Modified",
	} {
		edge, s, p := front(t, http.NotFoundHandler())
		says(t, p, "HTTP/1.1 "+answer+"\nContent-Type: text/html\nConnection: close\n\n")
		v := s.member(p, "invite-teammate", rules.Treatment)
		got := speak(t, edge, "GET /projects/7 HTTP/1.1\nHost: x\nCookie: user=%s\nConnection: close\n\n", v)
		head, body, _ := strings.Cut(got, "\r\n\r\n")
		if !strings.HasPrefix(head, "HTTP/1.1 "+want) || body != "" || strings.Contains(head, "Transfer-Encoding") {
			t.Errorf("%s: %q, then %q", answer, head, body)
		}
	}
}

// TestOddOrigins: what an origin says against the rules is its error, and
// nothing of it is taken for an answer.
func TestOddOrigins(t *testing.T) {
	for name, answer := range map[string]string{
		"nothing":           "",
		"no HTTP":           "SSH-2.0-x\n",
		"half a head":       "HTTP/1.1 200 OK\nContent-",
		"two lengths":       "HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 6\n\nhello",
		"an odd length":     "HTTP/1.1 200 OK\nContent-Length: +5\n\nhello",
		"an unknown coding": "HTTP/1.1 200 OK\nTransfer-Encoding: rot13\n\nhello",
		"an odd status":     "HTTP/1.1 2OO OK\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			edge, s, p := front(t, http.NotFoundHandler())
			says(t, p, answer)
			got := speak(t, edge, "GET /projects/7 HTTP/1.1\nHost: x\nConnection: close\n\n")
			s.wait()
			if x := s.exchanges[0]; !strings.HasPrefix(got, "HTTP/1.1 502") || strings.Contains(got, "hello") || x.OriginError == nil {
				t.Errorf("%q, %v", got, x.OriginError)
			}
		})
	}
	for name, answer := range map[string]string{
		"short":       "HTTP/1.1 200 OK\nContent-Length: 50\n\nhello",
		"a bad chunk": "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\nnonsense\n",
		"no end":      "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n",
	} {
		t.Run(name, func(t *testing.T) {
			edge, s, p := front(t, http.NotFoundHandler())
			says(t, p, answer)
			got := speak(t, edge, "GET /projects/7 HTTP/1.1\nHost: x\n\n")
			s.wait()
			if x := s.exchanges[0]; strings.HasSuffix(got, "0\r\n\r\n") || x.OriginError == nil || x.ClientGone {
				t.Errorf("%q, %v", got, x.OriginError)
			}
		})
	}
}

// TestSized: a body that is not touched keeps its length, one that could be
// touched has none.
func TestSized(t *testing.T) {
	edge, s, p := front(t, pageWith(cardPage, "Content-Length", fmt.Sprint(len(cardPage))))
	for _, method := range []string{"GET", "HEAD"} {
		for who, sized := range map[string]bool{"stranger": true, s.member(p, "invite-teammate", rules.Control): false} {
			if resp, _ := do(t, method, edge+"/projects/7", "Cookie", "user="+who); resp.ContentLength > 0 != sized {
				t.Errorf("%s: the length is %d", method, resp.ContentLength)
			}
		}
	}
}

// TestFailureDoesNotWaitForTheBody: who has not sent it all yet is told that
// the origin failed, and not asked for the rest.
func TestFailureDoesNotWaitForTheBody(t *testing.T) {
	edge, s, p := front(t, http.NotFoundHandler())
	p.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		if _, err := io.ReadFull(r.Body, make([]byte, 2)); err != nil {
			t.Error(err)
		}
		return nil, io.ErrUnexpectedEOF
	})
	conn, r := dial(t, edge)
	fmt.Fprint(conn, "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe")
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusBadGateway || !resp.Close {
		t.Fatal(resp, err)
	}
	s.wait()
	if x := s.exchanges[0]; x.OriginError == nil || x.ClientGone {
		t.Errorf("%v, client gone: %v", x.OriginError, x.ClientGone)
	}
}
