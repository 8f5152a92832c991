package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

func TestOriginDown(t *testing.T) {
	edge, s, p := front(t, http.NotFoundHandler())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	p.Log = slog.New(slog.NewTextHandler(&log, nil))
	p.Origin = &url.URL{Scheme: "http", Host: l.Addr().String()}
	l.Close()
	resp, body := do(t, "GET", edge+"/projects/7", "Cookie", "user=ann")
	if resp.StatusCode != http.StatusBadGateway || !strings.Contains(body, "does not answer") {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
	if !strings.Contains(log.String(), p.Origin.Host) || s.exchanges[0].OriginError == nil || s.exchanges[0].ClientGone {
		t.Errorf("the log says %q", log.String())
	}
}

// TestOriginBreaksOff: what is truncated must look truncated, and is no
// exposure.
func TestOriginBreaksOff(t *testing.T) {
	edge, s, p := front(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, cardPage)
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	v := s.member(p, "invite-teammate", rules.Treatment)
	conn, err := net.Dial("tcp", strings.TrimPrefix(edge, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /projects/7 HTTP/1.1\r\nHost: x\r\nCookie: user=%s\r\n\r\n", v)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("the page ends as if it were whole")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.exposures) != 0 {
		t.Errorf("exposures: %+v", s.exposures)
	}
}

func TestPanicInALookupServesThePage(t *testing.T) {
	edge, s, p := front(t, pageWith(cardPage))
	p.Lookup = func(segments.Unit) (segments.Unit, segments.Record) { panic("out of order") }
	_, body := do(t, "GET", edge+"/projects/7", "Cookie", "user=ann")
	if body != cardPage || s.exchanges[0].Passthrough != ReasonInternal {
		t.Errorf("%q, reason %q", body, s.exchanges[0].Passthrough)
	}
}

func TestBrokenRequestBodyIsTheClientsDoing(t *testing.T) {
	edge, s, _ := front(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	conn, err := net.Dial("tcp", strings.TrimPrefix(edge, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /setup/abandon HTTP/1.1\r\nHost: x\r\nCookie: user=eve\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nnonsense\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != http.StatusBadRequest {
		t.Fatalf("%v %v", resp, err)
	}
	io.Copy(io.Discard, conn) // until the handler is done
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.events) != 0 || !s.exchanges[0].ClientGone {
		t.Errorf("events %+v, client gone: %v", s.events, s.exchanges[0].ClientGone)
	}
}

func TestPanicInAResponseServesThePage(t *testing.T) {
	edge, s, p := front(t, pageWith(cardPage, "X-Refract-Traits", "plan=trial", "ETag", `"a"`))
	set := *p.Current()
	set.Edge.Identity.Traits = []rules.IdentitySource{{Kind: "header", Name: "X-Refract-Traits"}}
	p.Current = func() *rules.Set { return &set }
	v := s.member(p, "invite-teammate", rules.Treatment)
	p.Observe = func(*events.Event) { panic("out of order") }
	resp, body := do(t, "GET", edge+"/projects/7", "Cookie", "user="+v)
	if body != cardPage || resp.Header.Get("ETag") != `"a"` || s.exchanges[0].Passthrough != ReasonInternal {
		t.Errorf("%q, %v, reason %q", body, resp.Header, s.exchanges[0].Passthrough)
	}
}
