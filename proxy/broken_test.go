package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/rules"
)

// What breaks a page off is told from a client that stops reading it, which
// nobody but that client is to blame for.
func TestBrokenByWhom(t *testing.T) {
	begin := func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, cardPage)
		http.NewResponseController(w).Flush()
	}
	for _, c := range []struct {
		name   string
		app    http.HandlerFunc
		broken bool
	}{
		{"the origin breaks off", func(w http.ResponseWriter, r *http.Request) {
			begin(w)
			panic(http.ErrAbortHandler)
		}, true},
		{"the client does not read", func(w http.ResponseWriter, r *http.Request) {
			begin(w)
			for text := strings.Repeat("x", 1<<20); ; {
				if _, err := io.WriteString(w, text); err != nil {
					return
				}
			}
		}, false},
	} {
		_, s, p := front(t, c.app)
		edge := httptest.NewUnstartedServer(p)
		if !c.broken {
			edge.Config.WriteTimeout = 100 * time.Millisecond
		}
		edge.Start()
		t.Cleanup(edge.Close)
		conn, err := net.Dial("tcp", edge.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET /projects/7 HTTP/1.1\r\nHost: x\r\nCookie: user=%s\r\n\r\n", s.member(p, "invite-teammate", rules.Treatment))
		s.wait()
		s.mu.Lock()
		x := s.exchanges[0]
		s.mu.Unlock()
		if x.OriginError == nil || (x.Broken != nil) != c.broken || c.broken && !errors.Is(x.Broken, io.ErrUnexpectedEOF) || x.Answered <= 0 {
			t.Errorf("%s: broken %v, origin error %v, answered after %v", c.name, x.Broken, x.OriginError, x.Answered)
		}
	}
}
