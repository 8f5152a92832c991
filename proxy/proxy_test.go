package proxy

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rewrite"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

var day = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// seen is what a proxy told its hooks.
type seen struct {
	mu        sync.Mutex
	exposures []rules.Exposure
	events    []events.Event
	exchanges []Exchange
	members   map[string]bool // visitors in every segment; guarded by mu
	merged    map[string]string
	ended     chan bool // gets one for each exchange that is over, as far as there is room
}

// wait returns when an exchange is over.
func (s *seen) wait() { <-s.ended }

// front puts a proxy with the shared site in front of an app, and returns its
// URL.
func front(t testing.TB, app http.Handler) (string, *seen, *Proxy) {
	t.Helper()
	set, err := rules.Load("../testdata/sites/loop")
	if err != nil {
		t.Fatal(err)
	}
	origin := httptest.NewServer(app)
	t.Cleanup(origin.Close)
	u, err := url.Parse(origin.URL)
	if err != nil {
		t.Fatal(err)
	}
	s := &seen{members: map[string]bool{}, merged: map[string]string{}, ended: make(chan bool, 64)}
	p := &Proxy{
		Origin:  u,
		Current: func() *rules.Set { return set },
		Lookup: func(u segments.Unit) (segments.Unit, segments.Record) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if into, ok := s.merged[u.ID]; ok {
				u.ID = into
			}
			var r segments.Record
			if s.members[u.ID] {
				for _, seg := range set.Segments {
					r.Open = append(r.Open, segments.Open{Segment: seg.Key(), Interval: segments.Interval{From: 0, Until: segments.Forever}})
				}
			}
			return u, r
		},
		Expose:  func(x *rules.Exposure) { s.mu.Lock(); s.exposures = append(s.exposures, *x); s.mu.Unlock() },
		Observe: func(e *events.Event) { s.mu.Lock(); s.events = append(s.events, *e); s.mu.Unlock() },
		Now:     func() time.Time { return day },
		Done: func(x *Exchange) {
			s.mu.Lock()
			s.exchanges = append(s.exchanges, *x)
			s.mu.Unlock()
			select {
			case s.ended <- true:
			default:
			}
		},
		Log: slog.New(slog.DiscardHandler),
	}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	return server.URL, s, p
}

// member makes a visitor one who is in every segment, on the given side of
// the rule.
func (s *seen) member(p *Proxy, rule string, arm rules.Arm) string {
	for i := 0; ; i++ {
		v := fmt.Sprint("v", i)
		if got, _ := p.Current().Rule(rule).Assign(v); got == arm {
			s.mu.Lock()
			s.members[v] = true
			s.mu.Unlock()
			return v
		}
	}
}

// do sends a request over a connection of its own, so that its handler is done
// when the answer has been read to the end.
func do(t testing.TB, method, target string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	req.Close = true
	resp, err := (&http.Transport{DisableCompression: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

const cardPage = `<html><body><div data-surface="project-home.card"><p>old</p></div><p>rest</body></html>`

// pageWith answers every request with a page and these headers.
func pageWith(body string, header ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		io.WriteString(w, body)
	})
}

func TestBothArmsByTheSameCode(t *testing.T) {
	edge, s, p := front(t, pageWith(cardPage, "ETag", `"a"`, "Last-Modified", "Mon, 23 Nov 2026 00:00:00 GMT", "Cache-Control", "public, s-maxage=60"))
	var forms []string
	for _, arm := range []rules.Arm{rules.Treatment, rules.Control} {
		v := s.member(p, "invite-teammate", arm)
		resp, body := do(t, "GET", edge+"/projects/7", "Cookie", "user="+v)
		if treated := strings.Contains(body, "Invite a teammate"); treated != (arm == rules.Treatment) || !treated && body != cardPage {
			t.Errorf("%s sees %q", arm, body)
		}
		if got := resp.Header; got.Get("Cache-Control") != "private, no-cache" || !marked(resp, `"a"`) || got.Get("Last-Modified") != "" {
			t.Errorf("the headers of a personalised page: %v", got)
		}
		forms = append(forms, form(resp))
	}
	if forms[0] != forms[1] {
		t.Errorf("the arms can be told apart by their headers:\n%s\n%s", forms[0], forms[1])
	}
	if len(s.exposures) != 2 || s.exposures[0].Arm != rules.Treatment || s.exposures[1].Arm != rules.Control {
		t.Errorf("exposures: %+v", s.exposures)
	}
}

// TestArmsAreExposedAlike: what could be swapped is decided alike where the new
// content has a say in it.
func TestArmsAreExposedAlike(t *testing.T) {
	for _, page := range []string{
		cardPage,
		"<p>\n<div data-surface=\"project-home.card\">old</div>\n</p>",
		"<a href=x><div data-surface=\"project-home.card\">old</div></a>",
		"<div data-surface=\"project-home.card\">unclosed",
	} {
		edge, s, p := front(t, pageWith(page))
		for _, arm := range []rules.Arm{rules.Treatment, rules.Control} {
			do(t, "GET", edge+"/projects/7", "Cookie", "user="+s.member(p, "invite-teammate", arm))
		}
		a, b := s.exchanges[0].Sightings, s.exchanges[1].Sightings
		for _, found := range [][]rewrite.Sighting{a, b} {
			for i := range found {
				found[i].Whole = false // it is drawn which pages are
			}
		}
		if !slices.Equal(a, b) || len(s.exposures) == 1 {
			t.Errorf("%q: treatment finds %+v, control %+v; exposures %+v", page, a, b, s.exposures)
		}
	}
}

// A second element of the only surface is found on some pages of either arm, and
// no page is another for that.
func TestSurfaceTwice(t *testing.T) {
	edge, s, p := front(t, pageWith(cardPage+cardPage))
	const pages = 200
	for _, arm := range []rules.Arm{rules.Treatment, rules.Control} {
		s.exchanges = nil
		_, first := do(t, "GET", edge+"/projects/7", "Cookie", "user="+s.member(p, "invite-teammate", arm))
		for range pages {
			if _, body := do(t, "GET", edge+"/projects/7", "Cookie", "user="+s.member(p, "invite-teammate", arm)); body != first {
				t.Fatalf("%s: got %q\nafter %q", arm, body, first)
			}
		}
		twice := 0
		for _, x := range s.exchanges {
			if found := x.Sightings[0]; found.Whole != (found.Count == 2) {
				t.Fatalf("%+v", found)
			} else if found.Whole {
				twice++
			}
		}
		if twice == 0 || twice == len(s.exchanges) { // each once in 10¹¹ runs or less often
			t.Errorf("%s: found on %d of %d", arm, twice, len(s.exchanges))
		}
	}
}

func TestNoExposureWithoutTheSurface(t *testing.T) {
	edge, s, p := front(t, pageWith("<html><body>no card today</body></html>"))
	for _, arm := range []rules.Arm{rules.Treatment, rules.Control} {
		do(t, "GET", edge+"/projects/7", "Cookie", "user="+s.member(p, "invite-teammate", arm))
	}
	if len(s.exposures) != 0 {
		t.Errorf("exposures: %+v", s.exposures)
	}
}

func TestPassthroughReasons(t *testing.T) {
	page := func(header ...string) http.Handler { return pageWith(cardPage, header...) }
	status := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, cardPage)
	})
	for _, c := range []struct {
		name   string
		app    http.Handler
		method string
		header []string
		want   Reason
	}{
		{"post", page(), "POST", nil, ReasonMethod},
		{"gpc", page(), "GET", []string{"Sec-GPC", "1"}, ReasonGPC},
		{"bot", page(), "GET", []string{"User-Agent", "Mozilla/5.0 (compatible; Googlebot/2.1)"}, ReasonBot},
		{"prefetch", page(), "GET", []string{"Sec-Purpose", "prefetch;prerender"}, ReasonPrefetch},
		{"status", status, "GET", nil, ReasonStatus},
		{"json", page("Content-Type", "application/json"), "GET", nil, ReasonType},
		{"xhtml", page("Content-Type", "application/xhtml+xml"), "GET", nil, ReasonType},
		{"attachment", page("Content-Disposition", "Attachment; filename=x.html"), "GET", nil, ReasonAttachment},
		{"no-transform", page("Cache-Control", "max-age=5, No-Transform"), "GET", nil, ReasonNoTransform},
		{"unknown coding", page("Content-Encoding", "compress"), "GET", nil, ReasonCoding},
		{"two codings", page("Content-Encoding", "gzip, br"), "GET", nil, ReasonCoding},
		{"not its coding", page("Content-Encoding", "br"), "GET", nil, ReasonCoding},
		{"signed", page("Signature-Input", "sig=()"), "GET", nil, ReasonSigned},
	} {
		t.Run(c.name, func(t *testing.T) {
			edge, s, p := front(t, c.app)
			v := s.member(p, "invite-teammate", rules.Treatment)
			_, body := do(t, c.method, edge+"/projects/7", append(c.header, "Cookie", "user="+v)...)
			if body != cardPage {
				t.Errorf("the page was changed: %q", body)
			}
			if got := s.exchanges[0].Passthrough; got != c.want {
				t.Errorf("reason %q, want %q", got, c.want)
			}
			if len(s.exposures) != 0 {
				t.Errorf("exposures: %+v", s.exposures)
			}
		})
	}
}

// TestTransparent sends what a plain proxy is most likely to touch, where no
// rule can apply.
func TestTransparent(t *testing.T) {
	var got *http.Request
	var raw string
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, raw = r, r.RequestURI
		h := w.Header()
		h["Set-Cookie"] = []string{"a=1; Path=/", "b=2", "a=3"}
		h["Content-Type"] = nil // none at all
		h.Set("ETag", `"strong"`)
		h.Set("Cache-Control", "public, max-age=60")
		h.Set("X-Odd", "  kept  ")
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, "<html>not typed")
	})
	edge, _, _ := front(t, app)
	resp, body := do(t, "GET", edge+"/a%2Fb/../c;x=1//d?a=1;b=2&c=%zz", "Cookie", "x=1; "+FirstPartyCookie+"=secret; y=2",
		"If-None-Match", `"strong"`, "Accept-Encoding", "br;q=0.5, gzip", "X-Forwarded-For", "6.6.6.6", "Range", "bytes=0-3")
	if raw != "/a%2Fb/../c;x=1//d?a=1;b=2&c=%zz" {
		t.Errorf("the origin sees the target %q", raw)
	}
	for name, want := range map[string]string{
		"Cookie": "x=1; y=2", "If-None-Match": `"strong"`, "Accept-Encoding": "br;q=0.5, gzip", "X-Forwarded-For": "127.0.0.1", "Range": "bytes=0-3",
	} {
		if v := got.Header.Get(name); v != want {
			t.Errorf("the origin sees %s: %q, want %q", name, v, want)
		}
	}
	if u, _ := url.Parse(edge); got.Host != u.Host {
		t.Errorf("the origin sees the host %q", got.Host)
	}
	if resp.StatusCode != http.StatusTeapot || body != "<html>not typed" {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
	if c := resp.Header["Set-Cookie"]; fmt.Sprint(c) != "[a=1; Path=/ b=2 a=3]" {
		t.Errorf("Set-Cookie: %v", c)
	}
	if _, typed := resp.Header["Content-Type"]; typed {
		t.Errorf("a Content-Type was made up: %v", resp.Header)
	}
	for name, want := range map[string]string{"ETag": `"strong"`, "Cache-Control": "public, max-age=60"} {
		if v := resp.Header.Get(name); v != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
}

func TestTouchedPageIsPrivateForEveryone(t *testing.T) {
	edge, _, _ := front(t, pageWith(cardPage, "Cache-Control", "public, max-age=60, no-store", "ETag", `"a"`, "Surrogate-Control", "max-age=9"))
	resp, body := do(t, "GET", edge+"/projects/7", "Cookie", "user=stranger")
	if got := resp.Header.Get("Cache-Control"); got != "private, no-cache, no-store" || resp.Header.Get("Surrogate-Control") != "" {
		t.Errorf("headers %v", resp.Header)
	}
	if resp.Header.Get("ETag") != `"a"` || body != cardPage {
		t.Error("an untouched page lost what describes it")
	}
}

func TestAssetsAreNoPages(t *testing.T) {
	var got http.Header
	edge, s, p := front(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		w.Header().Set("Cache-Control", "public, immutable")
		w.WriteHeader(http.StatusNotModified)
	}))
	v := s.member(p, "invite-teammate", rules.Treatment)
	for _, header := range [][]string{
		{"Sec-Fetch-Dest", "script"}, {"Accept", "image/webp,image/*"}, {"Accept", "*/*", "Range", "bytes=0-9"}, {"Sec-Fetch-Dest", "empty", "Range", "bytes=0-9"},
	} {
		resp, _ := do(t, "GET", edge+"/projects/7", append(header, "Cookie", "user="+v, "If-None-Match", `"a"`)...)
		if got.Get("If-None-Match") == "" || resp.Header.Get("Cache-Control") != "public, immutable" {
			t.Errorf("%v: the origin is asked with %v, the answer is %v", header, got, resp.Header)
		}
	}
}

func TestHeadIsAsGetWouldBe(t *testing.T) {
	edge, s, p := front(t, pageWith(cardPage, "ETag", `"a"`, "Content-Length", fmt.Sprint(len(cardPage))))
	v := s.member(p, "invite-teammate", rules.Treatment)
	resp, body := do(t, "HEAD", edge+"/projects/7", "Cookie", "user="+v)
	if body != "" || resp.ContentLength != -1 || !marked(resp, `"a"`) || resp.Header.Get("Cache-Control") != "private, no-cache" {
		t.Errorf("length %d, %v", resp.ContentLength, resp.Header)
	}
	if len(s.exposures) != 0 {
		t.Error("a HEAD request is an exposure")
	}
}

func TestConditionalAndRangeRequestsOfTreatedPages(t *testing.T) {
	var got http.Header
	edge, s, p := front(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		pageWith(cardPage, "ETag", `"a"`).ServeHTTP(w, r)
	}))
	v := s.member(p, "invite-teammate", rules.Treatment)
	do(t, "GET", edge+"/projects/7", "Cookie", "user="+v, "If-None-Match", `"a"`, "If-Modified-Since", "Mon, 23 Nov 2026 00:00:00 GMT", "Range", "bytes=0-3", "If-Range", `"a"`, "Available-Dictionary", ":abc=:", "Accept", "text/html")
	for _, name := range []string{"If-None-Match", "If-Modified-Since", "Range", "If-Range", "Available-Dictionary"} {
		if got.Get(name) != "" {
			t.Errorf("the origin is asked with %s", name)
		}
	}
}

func TestRefusedMethodsAndLoops(t *testing.T) {
	asked := false
	edge, _, _ := front(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	if resp, _ := do(t, "TRACE", edge+"/"); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("TRACE: %s", resp.Status)
	}
	if resp, _ := do(t, "GET", edge+"/", "Via", "1.1 refract, 1.1 refract", "Via", "1.1 refract, 1.1 x, 1.1 refract"); resp.StatusCode != http.StatusLoopDetected {
		t.Errorf("a loop: %s", resp.Status)
	}
	if asked {
		t.Error("the origin was asked")
	}
}
