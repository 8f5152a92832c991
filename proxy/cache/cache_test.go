package cache

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// app is an origin whose handler may be changed, in front of it the cache.
type app struct {
	*Transport
	base  string
	asked chan string // If-None-Match of each request that came

	mu    sync.Mutex // guards serve
	serve http.HandlerFunc
}

func start(t *testing.T, limit int64, serve http.HandlerFunc) *app {
	t.Helper()
	a := &app{asked: make(chan string, 1000), serve: serve}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.asked <- r.Header.Get("If-None-Match")
		a.mu.Lock()
		serve := a.serve
		a.mu.Unlock()
		serve(w, r)
	}))
	t.Cleanup(server.Close)
	next := &http.Transport{DisableCompression: true}
	t.Cleanup(next.CloseIdleConnections)
	a.base, a.Transport = server.URL, &Transport{Next: next}
	a.Use(limit, "X-Traits")
	return a
}

func (a *app) now(serve http.HandlerFunc) {
	a.mu.Lock()
	a.serve = serve
	a.mu.Unlock()
}

type answer struct {
	*http.Response
	body  string
	asked string // the condition that the origin saw
	err   error  // of the body
}

// get asks as a visitor would, with these fields.
func (a *app) get(t *testing.T, target string, fields ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.base+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Add(fields[i], fields[i+1])
	}
	before := r.Header.Clone()
	resp, err := a.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(before, r.Header, func(a, b []string) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) {
		t.Errorf("the request was changed: %v", r.Header)
	}
	b, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	return answer{resp, string(b), <-a.asked, err}
}

// served answers like an app that knows of conditions: by http.ServeContent.
func served(body, tag string, fields ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Etag", tag)
		for i := 0; i < len(fields); i += 2 {
			w.Header().Add(fields[i], fields[i+1])
		}
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(body))
	}
}

const long = "<p>a page of some length</p>"

// TestRevalidated: a page that is kept is sent by the origin's word alone, and
// one that changed is seen by the very next request.
func TestRevalidated(t *testing.T) {
	a := start(t, 1<<20, served(long, `"1"`, "X-Of-The-Page", "yes", "Cache-Control", "public"))
	first := a.get(t, "/")
	if first.body != long || first.asked != "" {
		t.Fatalf("%q, asked with %q", first.body, first.asked)
	}
	a.now(served(long, `"1"`, "Set-Cookie", "session=anew", "X-New", "1", "Date", "Sat, 28 Nov 2026 10:00:00 GMT"))
	again := a.get(t, "/", "Cookie", "session=theirs")
	if again.body != long || again.asked != `"1"` || again.StatusCode != 200 || again.Status != "200 OK" || again.ContentLength != first.ContentLength {
		t.Errorf("%d %q of %d bytes, asked with %q", again.StatusCode, again.body, again.ContentLength, again.asked)
	}
	h := again.Header
	if h.Get("Set-Cookie") == "" || h.Get("X-New") != "1" || h.Get("X-Of-The-Page") != "yes" || h.Get("Etag") != `"1"` ||
		h.Get("Date") != "Sat, 28 Nov 2026 10:00:00 GMT" || h.Get("Content-Type") != "text/html; charset=utf-8" || h.Get("Content-Length") != fmt.Sprint(len(long)) {
		t.Errorf("the fields are %v", h)
	}
	a.now(served(long, `"1"`))
	if h := a.get(t, "/").Header; h["Set-Cookie"] != nil || h["X-New"] != nil || h.Get("Date") == "Sat, 28 Nov 2026 10:00:00 GMT" {
		t.Errorf("fields of another visitor's answer: %v", h)
	}
	a.now(served("changed", `"2"`, "Cache-Control", "s-maxage=0"))
	if got := a.get(t, "/"); got.body != "changed" || got.Header.Get("Etag") != `"2"` || got.asked != `"1"` {
		t.Errorf("after a change: %q, asked with %q", got.body, got.asked)
	}
	if got := a.get(t, "/"); got.body != "changed" || got.asked != `"2"` {
		t.Errorf("and after that: %q, asked with %q", got.body, got.asked)
	}
	if s := a.State(); s.Pages != 1 || s.Unchanged != 3 || s.Changed != 1 {
		t.Errorf("%+v", s)
	}
	a.now(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	if got := a.get(t, "/"); got.StatusCode != http.StatusBadGateway {
		t.Errorf("an error of the origin is answered with %d", got.StatusCode)
	}
}

// TestNeverKept: what is for one visitor, or can't be told to be the same to the
// byte, is not kept; what asks about something else is carried as it is.
func TestNeverKept(t *testing.T) {
	good := []string{"Etag", `"1"`, "Content-Type", "text/html"}
	for name, c := range map[string]struct {
		response, request []string
		status            int
	}{
		"private":            {response: []string{"Cache-Control", "max-age=60, Private"}},
		"private fields":     {response: []string{"Cache-Control", `private="set-cookie"`}},
		"no-store":           {response: []string{"Cache-Control", "no-store"}},
		"no-store to CDNs":   {response: []string{"Cdn-Cache-Control", "no-store"}},
		"cookie":             {response: []string{"Set-Cookie", "a=b"}},
		"vary by everything": {response: []string{"Vary", "Accept, *"}},
		"weak tag":           {response: []string{"Etag", `W/"1"`}},
		"no tag":             {response: []string{"Etag", ""}},
		"broken tag":         {response: []string{"Etag", `"1`}},
		"two types":          {response: []string{"Content-Type", "text/plain"}},
		"traits":             {response: []string{"X-Traits", "plan=trial"}},
		"nonce":              {response: []string{"Content-Security-Policy", "script-src 'nonce-abc'"}},
		"trailers":           {response: []string{"Trailer", "X-Sum"}},
		"an error page":      {status: 404},
		"credentials":        {request: []string{"Authorization", "Basic YTpi"}},
		"a condition":        {request: []string{"If-None-Match", `"0"`}},
		"a date":             {request: []string{"If-Modified-Since", "Sat, 28 Nov 2026 10:00:00 GMT"}},
		"a range":            {request: []string{"Range", "bytes=0-"}},
		"asked not to":       {request: []string{"Cache-Control", "no-store"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := start(t, 1<<20, func(w http.ResponseWriter, r *http.Request) {
				for _, fields := range [][]string{good, c.response} {
					for i := 0; i < len(fields); i += 2 {
						w.Header().Set(fields[i], fields[i+1])
					}
				}
				if c.status != 0 {
					w.WriteHeader(c.status)
				}
				io.WriteString(w, long)
			})
			for range 3 {
				own := http.Header{}
				for i := 0; i < len(c.request); i += 2 {
					own.Set(c.request[i], c.request[i+1])
				}
				if got := a.get(t, "/", c.request...); got.asked != own.Get("If-None-Match") || got.body != long {
					t.Fatalf("asked with %q: %q", got.asked, got.body)
				}
			}
			if s := a.State(); s.Pages != 0 || s.Bytes != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
	// Requests about something else are carried as they are where a page is kept.
	a := start(t, 1<<20, served(long, `"1"`))
	a.get(t, "/")
	if got := a.get(t, "/", "If-None-Match", `"1"`); got.StatusCode != http.StatusNotModified || got.body != "" {
		t.Errorf("a condition of the visitor's: %d", got.StatusCode)
	}
	if got := a.get(t, "/", "Range", "bytes=0-1"); got.StatusCode != http.StatusPartialContent || got.asked != "" {
		t.Errorf("a range: %d, asked with %q", got.StatusCode, got.asked)
	}
	r, _ := http.NewRequest(http.MethodHead, a.base, nil)
	resp, err := a.RoundTrip(r)
	if asked := <-a.asked; err != nil || resp.StatusCode != 200 || asked != "" {
		t.Errorf("HEAD: asked with %q, %v", asked, err)
	}
	if s := a.State(); s.Pages != 1 || s.Unchanged != 0 {
		t.Errorf("%+v", s)
	}
}

// TestBrokenOff: half a page is no page.
func TestBrokenOff(t *testing.T) {
	for _, sized := range []bool{true, false} {
		a := start(t, 1<<20, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("Etag", `"1"`)
			if sized {
				w.Header().Set("Content-Length", "100")
			}
			io.WriteString(w, long)
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
		for range 2 {
			if got := a.get(t, "/"); got.asked != "" || got.body != long || !errors.Is(got.err, io.ErrUnexpectedEOF) {
				t.Errorf("asked with %q: %q, %v", got.asked, got.body, got.err)
			}
		}
		a.now(served(long, `"1"`)) // and one that a visitor did not wait for
		r, _ := http.NewRequest(http.MethodGet, a.base, nil)
		resp, err := a.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = resp.Body.Read(make([]byte, 1))
		_ = resp.Body.Close()
		<-a.asked
		if s := a.State(); s.Pages != 0 {
			t.Errorf("%+v", s)
		}
		if a.get(t, "/"); a.State().Pages != 1 { // the next one is kept all the same
			t.Errorf("%+v", a.State())
		}
	}
}

// TestVary: visitors that the origin tells apart have pages of their own.
func TestVary(t *testing.T) {
	a := start(t, 1<<20, func(w http.ResponseWriter, r *http.Request) {
		who := r.Header.Get("Cookie")
		served("hello "+who, `"1"`, "Vary", "Accept-Encoding", "Vary", "cookie")(w, r) // one tag for all
	})
	for range 3 {
		for i := range maxVariants {
			who := fmt.Sprint("user=", i)
			if got := a.get(t, "/", "Cookie", who); got.body != "hello "+who {
				t.Fatalf("%s is told %q", who, got.body)
			}
		}
	}
	if s := a.State(); s.Pages != maxVariants || s.Unchanged != 2*maxVariants {
		t.Errorf("%+v", s)
	}
	if got := a.get(t, "/"); got.body != "hello " || got.asked != "" {
		t.Errorf("without a cookie: %q, asked with %q", got.body, got.asked)
	}
	if s := a.State(); s.Pages != maxVariants {
		t.Errorf("%+v", s)
	}
}

// TestCookies: an app that does not say that a page is for all may have one tag
// for pages that differ. Nobody gets what was made for who sends another cookie.
func TestCookies(t *testing.T) {
	a := start(t, 1<<20, func(w http.ResponseWriter, r *http.Request) {
		served("hello "+r.Header.Get("Cookie"), `"1"`, "Cache-Control", "max-age=60")(w, r)
	})
	for _, visit := range []struct{ who, asked string }{{"ann", ""}, {"ann", `"1"`}, {"bob", ""}, {"", ""}, {"bob", `"1"`}, {"ann", `"1"`}, {"", `"1"`}} {
		var fields []string
		if visit.who != "" {
			fields = []string{"Cookie", visit.who}
		}
		if got := a.get(t, "/", fields...); got.body != "hello "+visit.who || got.asked != visit.asked {
			t.Errorf("%q is told %q, and the origin asked with %q", visit.who, got.body, got.asked)
		}
	}
	// A page that was for all is not, once a 304 says so.
	a.now(served(long, `"1"`, "Cache-Control", "public"))
	a.get(t, "/about")
	a.now(served(long, `"1"`, "Cache-Control", "no-cache"))
	a.get(t, "/about")
	if got := a.get(t, "/about", "Cookie", "ann"); got.asked != "" {
		t.Errorf("the origin was asked with %q", got.asked)
	}
}

// TestCrowd: where everyone has a page of their own, ever fewer are kept.
func TestCrowd(t *testing.T) {
	a := start(t, 1<<20, served(long, `"1"`))
	for i := range 200 {
		a.get(t, "/", "Cookie", fmt.Sprint(i))
	}
	kept := 0
	for i := range 100 {
		if got := a.get(t, "/", "Cookie", fmt.Sprint(100+i)); got.asked != "" {
			kept++
		}
	}
	if a.State().Pages != maxVariants || kept > 3 {
		t.Errorf("%d of the last hundred were kept; %+v", kept, a.State())
	}
}

// Test304 has origins answer the condition in other ways than by the same tag.
// A visitor who had none never gets a 304 for it.
func Test304(t *testing.T) {
	not := func(fields ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("If-None-Match") == "" {
				served("whole", `"2"`)(w, r)
				return
			}
			for i := 0; i < len(fields); i += 2 {
				w.Header().Set(fields[i], fields[i+1])
			}
			w.WriteHeader(http.StatusNotModified)
		}
	}
	for name, c := range map[string]struct {
		fields []string
		want   string
		kept   bool // still, as it was
	}{
		"without a tag":   {nil, long, true},
		"another tag":     {[]string{"Etag", `"3"`}, "whole", false},
		"a weak tag":      {[]string{"Etag", `W/"1"`}, "whole", false},
		"a nonce":         {[]string{"Etag", `"1"`, "Content-Security-Policy", "script-src 'nonce-x'"}, "whole", false},
		"private now":     {[]string{"Etag", `"1"`, "Cache-Control", "private"}, long, false},
		"varies now":      {[]string{"Etag", `"1"`, "Vary", "Cookie"}, long, false},
		"a length of its": {[]string{"Etag", `"1"`, "Content-Encoding", "gzip", "Content-Type", "text/plain"}, long, true},
	} {
		t.Run(name, func(t *testing.T) {
			a := start(t, 1<<20, served(long, `"1"`))
			a.get(t, "/")
			a.now(not(c.fields...))
			got := a.get(t, "/")
			if got.StatusCode != 200 || got.body != c.want || got.asked != `"1"` || got.Header.Get("Content-Encoding") != "" || got.Header.Get("Content-Type") != "text/html; charset=utf-8" {
				t.Errorf("%d %q %v", got.StatusCode, got.body, got.Header)
			}
			if c.want == "whole" {
				<-a.asked // the second request
			}
			if got := a.get(t, "/"); (got.asked == `"1"`) != c.kept {
				t.Errorf("then asked with %q", got.asked)
			}
		})
	}
}
