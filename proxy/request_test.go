package proxy

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
)

// TestForeignForwarding: what a stranger says of where they come from does not
// reach the origin, in any spelling, and they can't take off what is said of
// them.
func TestForeignForwarding(t *testing.T) {
	var got http.Header
	edge, _, p := front(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() }))
	with(p, func(e *rules.Edge) {
		e.Identity.Account = append(e.Identity.Account, rules.IdentitySource{Kind: "header", Name: "X-Team-Id"})
	})
	ask := func() {
		t.Helper()
		conn, r := dial(t, edge)
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close, X-Forwarded-For, x-forwarded-proto, Via, CDN-Loop, Cookie2\r\n"+
			"X-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nx-forwarded_proto: https\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Prefix: /admin\r\nForwarded: for=6.6.6.6\r\n"+
			"X_Team_Id: t1\r\nX-Team_id: t1\r\nX_Own_Thing: kept\r\nVia: 1.0 a\r\nCDN-Loop: b; c=1\r\nCookie2: x\r\n\r\n")
		if _, err := http.ReadResponse(r, nil); err != nil {
			t.Fatal(err)
		}
	}
	ask()
	want := http.Header{
		"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"shop.example"},
		"X_own_thing": {"kept"}, "Via": {"1.0 a", "1.1 refract"}, "Cdn-Loop": {"b; c=1", "refract"},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("of a stranger, the origin sees\n%v, want\n%v", got, want)
	}
	with(p, func(e *rules.Edge) { e.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	ask()
	if got.Get("X-Forwarded-Port") != "443" || got.Get("X-Forwarded-Prefix") != "/admin" || got["X_forwarded_for"] != nil || got["X_team_id"] != nil {
		t.Errorf("of a trusted proxy, the origin sees %v", got)
	}
}

// TestRequestHeadersPassed to the origin as they came.
func TestRequestHeadersPassed(t *testing.T) {
	sent := http.Header{
		"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, "Tracestate": {"a=1", "b=2"}, "Baggage": {"k=v"},
		"Authorization": {"Bearer x"}, "Origin": {"https://shop.example"}, "Save-Data": {"on"}, "Dnt": {"1"}, "Priority": {"u=1, i"},
		"Want-Repr-Digest": {"sha-256=1"}, "Cache-Control": {"no-cache"}, "Max-Forwards": {"9"}, "X-Twice": {"b", "a"}, "Te": {"trailers"},
	}
	var got http.Header
	versions(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() }), func(t *testing.T, c client) {
		header := []string{"Proxy-Authorization", "x"}
		for name, lines := range sent {
			for _, line := range lines {
				header = append(header, name, line)
			}
		}
		c.get(t, "/projects/7", c.member(c.Proxy, "invite-teammate", rules.Control), header...)
		for name, lines := range sent {
			if fmt.Sprint(got[name]) != fmt.Sprint(lines) {
				t.Errorf("%s: %q", name, got[name])
			}
		}
		if got["Proxy-Authorization"] != nil {
			t.Error("a hop-by-hop field went through")
		}
	})
	edge, _, _ := front(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() }))
	if do(t, "GET", edge+"/", "TE", "gzip;q=0.5, deflate"); got["Te"] != nil {
		t.Errorf("TE: %q", got["Te"])
	}
}

// TestTargets: the origin gets the request target that the visitor sent, and
// rules and events are matched against the same bytes.
func TestTargets(t *testing.T) {
	var got string
	edge, s, p := front(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RequestURI }))
	with(p, func(e *rules.Edge) {
		e.Events = []events.Observation{{Event: "Seen", Method: "GET", Path: must(events.ParsePattern("/projects/*"))}}
	})
	for target, seen := range map[string]bool{
		"//evil.example/projects/7": false, "/a/..;/projects/7": false, "/%2e%2e%2fprojects/7": false, "/projects/%37": true, "/projects/7?a=1;b=2&&c=%zz&=": true,
		"/projects//7": false, "/projects/../7": false, "/./projects/7": false, "/projects/a|b^c": true, "/projects/7?": true, "/projects%2f7": false, "/Projects/7": false,
	} {
		s.mu.Lock()
		s.events = nil
		s.mu.Unlock()
		conn, r := dial(t, edge)
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nCookie: user=ann\r\nConnection: close\r\n\r\n", target)
		if _, err := http.ReadResponse(r, nil); err != nil {
			t.Fatal(err)
		}
		s.wait()
		if got != target || len(s.events) == 1 != seen {
			t.Errorf("%s reaches the origin as %s; events %v", target, got, s.events)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestTransportChoosesTheServer where the proxy has no origin: it goes by Host
// and path.
func TestTransportChoosesTheServer(t *testing.T) {
	edge, s, p := front(t, pageWith(cardPage))
	origin := *p.Origin
	p.Origin = nil
	p.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Host != "shop.example" || r.URL.RequestURI() != "/projects/7?x" {
			t.Errorf("it is asked for %s on %s", r.URL.RequestURI(), r.Host)
		}
		r.URL.Scheme, r.URL.Host = origin.Scheme, origin.Host
		return http.DefaultTransport.RoundTrip(r)
	})
	conn, r := dial(t, edge)
	fmt.Fprintf(conn, "GET /projects/7?x HTTP/1.1\r\nHost: shop.example\r\nCookie: user=%s\r\nConnection: close\r\n\r\n", s.member(p, "invite-teammate", rules.Treatment))
	resp, err := http.ReadResponse(r, nil)
	if err != nil || !strings.Contains(readAll(t, resp), "Invite") {
		t.Fatal(resp, err)
	}
}

type timedOut struct{}

func (timedOut) Error() string { return "it took too long" }
func (timedOut) Timeout() bool { return true }

// TestOriginErrors: 504 is for an origin that is late, 502 for all else.
func TestOriginErrors(t *testing.T) {
	edge, s, p := front(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Large", strings.Repeat("x", 2<<20))
	}))
	late := func(*http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("reading the head: %w", timedOut{})
	}
	broken := func(*http.Request) (*http.Response, error) { return nil, errors.New("connection reset") }
	for i, c := range []struct {
		transport http.RoundTripper
		status    int
	}{{roundTrip(late), 504}, {roundTrip(broken), 502}, {NewTransport(), 502}} {
		p.Transport = c.transport
		p.transport = c.transport
		resp, body := do(t, "GET", edge+"/projects/7", "Cookie", "user=ann")
		if resp.StatusCode != c.status || resp.Header.Get("Cache-Control") != "no-store" || strings.Contains(body, "refract") {
			t.Errorf("%d: %s, %v, %q", i, resp.Status, resp.Header, body)
		}
		if x := s.exchanges[i]; x.OriginError == nil || x.ClientGone {
			t.Errorf("%d: %v, client gone: %v", i, x.OriginError, x.ClientGone)
		}
	}
	if len(s.events) != 0 {
		t.Errorf("events of answers that are no answers: %v", s.events)
	}
}

// TestExpectContinue: it is the origin who says whether it wants the body, and
// where it doesn't, the body is never asked for.
func TestExpectContinue(t *testing.T) {
	const head = "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
	edge, s, p := front(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Expect") != "100-continue" {
			t.Errorf("the origin is told to expect %q", r.Header.Get("Expect"))
		}
		if r.URL.Path == "/upload" {
			b, err := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %v", b, err)
			return
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	byOrigin(t, p)
	conn, r := dial(t, edge)
	fmt.Fprint(conn, head)
	if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100") {
		t.Fatalf("%q, %v", line, err)
	}
	if line, err := r.ReadString('\n'); err != nil || line != "\r\n" {
		t.Fatalf("%q, %v", line, err)
	}
	fmt.Fprint(conn, "hello")
	if resp, err := http.ReadResponse(r, nil); err != nil || readAll(t, resp) != "hello <nil>" {
		t.Error(resp, err)
	}
	s.wait()
	conn, r = dial(t, edge)
	fmt.Fprint(conn, strings.Replace(head, "/upload", "/refused", 1))
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusForbidden || !resp.Close {
		t.Fatal(resp, err)
	}
	s.wait()
	if x := s.exchanges[1]; x.OriginError != nil || x.ClientGone {
		t.Errorf("%v, client gone: %v", x.OriginError, x.ClientGone)
	}
}
