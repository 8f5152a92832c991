package proxy

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seed14307185/refract/rules"
)

// with has the proxy serve what it does under another edge.
func with(p *Proxy, change func(*rules.Edge)) {
	set := *p.Current()
	change(&set.Edge)
	p.Current = func() *rules.Set { return &set }
}

// TestHeadersOfATreatedPage: what is not about the page's own bytes, or about
// caching them, is the origin's, line by line.
func TestHeadersOfATreatedPage(t *testing.T) {
	kept := http.Header{
		"Content-Security-Policy":             {"default-src 'self'; style-src 'nonce-abc'; require-trusted-types-for 'script'", "script-src 'strict-dynamic' 'sha256-x'"},
		"Content-Security-Policy-Report-Only": {"default-src 'none'; report-to x"},
		"Set-Cookie":                          {"b=2; Path=/", "a=1", "b=3; Secure", "a=1"},
		"Clear-Site-Data":                     {`"cache", "cookies"`},
		"Refresh":                             {"5; url=/next"},
		"Link":                                {"</old.css>; rel=preload", "</b>; rel=next"},
		"Server-Timing":                       {"db;dur=5", "app;dur=7"},
		"Referrer-Policy":                     {"no-referrer"},
		"Cross-Origin-Opener-Policy":          {"same-origin"},
		"Cross-Origin-Embedder-Policy":        {"require-corp"},
		"Cross-Origin-Resource-Policy":        {"same-site"},
		"Permissions-Policy":                  {"camera=()"},
		"Strict-Transport-Security":           {"max-age=5"},
		"Access-Control-Allow-Origin":         {"https://shop.example"},
		"X-Content-Type-Options":              {"nosniff"},
		"Speculation-Rules":                   {`"/rules.json"`},
		"Date":                                {"Mon, 23 Nov 2026 00:00:00 GMT"},
		"Age":                                 {"7"},
		"Content-Language":                    {"sv"},
		"X-Odd":                               {"", "a,b"},
	}
	dropped := http.Header{
		"Content-Md5": {"x"}, "Digest": {"x"}, "Content-Digest": {"x"}, "Repr-Digest": {"x"}, "Unencoded-Digest": {"x"},
		"Last-Modified": {"Mon, 23 Nov 2026 00:00:00 GMT"}, "Accept-Ranges": {"bytes"}, "Use-As-Dictionary": {`match="/*"`},
		"Expires": {"Mon, 23 Nov 2037 00:00:00 GMT"}, "Cdn-Cache-Control": {"max-age=60"}, "Surrogate-Control": {"max-age=60"}, "X-Accel-Expires": {"60"},
	}
	versions(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, h := range []http.Header{kept, dropped} {
			for name, lines := range h {
				w.Header()[name] = slices.Clone(lines)
			}
		}
		w.Header()["Vary"] = []string{"X-Own"}
		w.Header()["Cache-Control"] = []string{"public, s-maxage=60"}
		w.Header()["Content-Type"] = []string{"text/html; charset=utf-8"}
		io.WriteString(w, cardPage)
	}), func(t *testing.T, c client) {
		for _, arm := range []rules.Arm{rules.Treatment, rules.Control} {
			resp := c.get(t, "/projects/7", c.member(c.Proxy, "invite-teammate", arm))
			if treated := strings.Contains(readAll(t, resp), "Invite"); treated != (arm == rules.Treatment) {
				t.Errorf("%s: treated is %v", arm, treated)
			}
			for name, lines := range kept {
				if got := resp.Header[name]; fmt.Sprintf("%q", got) != fmt.Sprintf("%q", lines) {
					t.Errorf("%s: %s is %q", arm, name, got)
				}
			}
			for name := range dropped {
				if got := resp.Header[name]; got != nil {
					t.Errorf("%s: %s is %q", arm, name, got)
				}
			}
			if cc, vary := resp.Header["Cache-Control"], resp.Header["Vary"]; fmt.Sprint(cc, vary) != "[private, no-cache] [X-Own Cookie]" {
				t.Errorf("%s: Cache-Control %q, Vary %q", arm, cc, vary)
			}
		}
	})
}

func TestVary(t *testing.T) {
	source := func(kind, name string) rules.IdentitySource { return rules.IdentitySource{Kind: kind, Name: name} }
	for _, c := range []struct {
		identity rules.Identity
		own      string
		want     string
	}{
		{rules.Identity{Visitor: []rules.IdentitySource{source("first-party", "")}}, "", "Cookie"},
		{rules.Identity{Visitor: []rules.IdentitySource{source("header", "X-User")}, Account: []rules.IdentitySource{source("cookie", "team")}}, "Accept", "Accept, X-User, Cookie"},
		{rules.Identity{Visitor: []rules.IdentitySource{source("cookie", "a"), source("cookie", "b")}}, "cookie", "cookie"},
		{rules.Identity{Visitor: []rules.IdentitySource{source("cookie", "a")}}, "*", "*"},
	} {
		header := []string{"X-Y", "z"}
		if c.own != "" {
			header = append(header, "Vary", c.own)
		}
		edge, _, p := front(t, pageWith(cardPage, header...))
		with(p, func(e *rules.Edge) { e.Identity = c.identity })
		for _, header := range [][]string{nil, {"Cookie", "a=ann"}, {"X-User", "ann"}, {"Sec-GPC", "1"}, {"User-Agent", "Googlebot"}, {"Sec-Purpose", "prefetch"}} {
			resp, _ := do(t, "GET", edge+"/projects/7", header...)
			if got := strings.Join(resp.Header["Vary"], ", "); got != c.want || resp.Header.Get("Cache-Control") != "private, no-cache" {
				t.Errorf("%v: Vary is %q, want %q; Cache-Control %q", header, got, c.want, resp.Header.Get("Cache-Control"))
			}
		}
		if resp, _ := do(t, "GET", edge+"/other"); strings.Join(resp.Header["Vary"], "") != c.own {
			t.Errorf("a page without rules varies on %q", resp.Header["Vary"])
		}
	}
}

func TestLoops(t *testing.T) {
	asked := 0
	edge, _, _ := front(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	for _, c := range []struct {
		header []string
		loops  bool
	}{
		{[]string{"Via", "1.1 refract, 2.0 refract (a, comment)", "Via", "1.1 a, 1.1 Refract, HTTP/1.1 refract"}, true},
		{[]string{"CDN-Loop", "refract, refract; v=1", "CDN-Loop", "a, refract ;v=1,refract"}, true},
		{[]string{"Via", "1.1 refract, 1.1 refract, 1.1 refract"}, false},
		{[]string{"Via", "1.1 refractory, 1.1 xrefract, 1.1 a (1.1 refract), 1.1 b", "CDN-Loop", "refract.example, a; refract, b;c=refract"}, false},
	} {
		before := asked
		resp, _ := do(t, "GET", edge+"/", c.header...)
		if loops := resp.StatusCode == http.StatusLoopDetected; loops != c.loops || asked == before != loops {
			t.Errorf("%v: %s", c.header, resp.Status)
		}
	}
}

// TestRelocation: a Location is changed only where it is at the origin's own
// address, and never leads to another host than before.
func TestRelocation(t *testing.T) {
	var location, origin string
	edge, _, p := front(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", strings.ReplaceAll(location, "ORIGIN", origin))
		w.Header().Set("Content-Location", "http://"+origin+"/x")
		w.WriteHeader(http.StatusFound)
	}))
	origin = p.Origin.Host
	with(p, func(e *rules.Edge) {
		e.Origins = []rules.Origin{{To: []string{"http://10.0.0.7:3000", "unix:/run/app"}}}
	})
	for from, want := range map[string]string{
		"http://ORIGIN/a?b=c#d":          "/a?b=c#d",
		"HTTP://ORIGIN":                  "/",
		"http://ORIGIN?x":                "/?x",
		"http://ORIGIN#x":                "/#x",
		"http://ORIGIN//evil.example/":   "/.//evil.example/",
		`http://ORIGIN/\evil.example/`:   `/./\evil.example/`,
		"http://10.0.0.7:3000/x":         "/x",
		"http://10.0.0.7:30001/x":        "http://10.0.0.7:30001/x",
		"http://ORIGIN@evil.example/":    "http://ORIGIN@evil.example/",
		"http://ORIGIN.evil.example/":    "http://ORIGIN.evil.example/",
		"https://ORIGIN/":                "https://ORIGIN/",
		"//ORIGIN/":                      "//ORIGIN/",
		"https://shop.example/":          "https://shop.example/",
		"/a":                             "/a",
		"//evil.example/":                "//evil.example/",
		"a?to=http://ORIGIN/":            "a?to=http://ORIGIN/",
		"http://shop.example/?http://10": "http://shop.example/?http://10",
	} {
		location = from
		resp, _ := do(t, "GET", edge+"/projects/7")
		if got := resp.Header.Get("Location"); got != strings.ReplaceAll(want, "ORIGIN", origin) {
			t.Errorf("%s becomes %s, want %s", from, got, want)
		}
		if got := resp.Header.Get("Content-Location"); got != "http://"+origin+"/x" {
			t.Errorf("Content-Location becomes %s", got)
		}
	}
	// A visitor who asks for the origin by its address may be led there.
	conn, r := dial(t, edge)
	location = "http://ORIGIN/a"
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", origin)
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.Header.Get("Location") != "http://"+origin+"/a" {
		t.Errorf("%v, %v", resp, err)
	}
}

func TestServerTiming(t *testing.T) {
	edge, s, p := front(t, pageWith(cardPage, "Server-Timing", "db;dur=5"))
	form := regexp.MustCompile(`^\[db;dur=5 refract;dur=\d+\.\d\]$`)
	v := s.member(p, "invite-teammate", rules.Treatment)
	for _, on := range []bool{false, true} {
		with(p, func(e *rules.Edge) { e.ServerTiming = on })
		for _, path := range []string{"/projects/7", "/other"} {
			resp, _ := do(t, "GET", edge+path, "Cookie", "user="+v)
			if got := fmt.Sprint(resp.Header["Server-Timing"]); form.MatchString(got) != on || !on && got != "[db;dur=5]" {
				t.Errorf("%s, on: %v: %s", path, on, got)
			}
		}
	}
}

func TestCachesAreToldOfOnce(t *testing.T) {
	edge, _, p := front(t, pageWith(cardPage, "Age", "7"))
	var log bytes.Buffer
	p.Log = slog.New(slog.NewTextHandler(&log, nil))
	do(t, "GET", edge+"/other", "Via", "1.1 cdn")
	if log.Len() > 0 {
		t.Errorf("of a page that no rule could touch: %s", &log)
	}
	for range 3 {
		do(t, "GET", edge+"/projects/7", "Via", "1.1 cdn")
	}
	if got := log.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "age=7") || !strings.Contains(got, "cdn") {
		t.Errorf("the log says %s", got)
	}
}

// TestRequestsThatAreNoPages: nothing of them is decided. If a page comes all the
// same it is the app's own, and a shared cache must not give it to everyone.
func TestRequestsThatAreNoPages(t *testing.T) {
	edge, s, p := front(t, pageWith(cardPage, "Cache-Control", "max-age=60", "ETag", `"a"`))
	v := s.member(p, "invite-teammate", rules.Treatment)
	for _, header := range [][]string{
		{"Service-Worker", "script"}, {"Sec-Fetch-Dest", "serviceworker"}, {"Sec-Fetch-Dest", "image"}, {"Sec-Fetch-Dest", "style"},
		{"Accept", "application/json"}, {"Range", "bytes=0-9"},
	} {
		resp, body := do(t, "GET", edge+"/projects/7", append(header, "Cookie", "user="+v)...)
		if body != cardPage || resp.Header.Get("ETag") != `"a"` || resp.Header.Get("Cache-Control") != "private, no-cache" {
			t.Errorf("%v: %v", header, resp.Header)
		}
	}
	if len(s.exposures) != 0 {
		t.Errorf("exposures: %+v", s.exposures)
	}
}

// TestSpeculation: what is fetched before anybody asks for it is no exposure,
// and is the app's own.
func TestSpeculation(t *testing.T) {
	edge, s, p := front(t, pageWith(cardPage))
	v := s.member(p, "invite-teammate", rules.Treatment)
	for _, header := range [][]string{
		{"Sec-Purpose", "prefetch"}, {"Sec-Purpose", "prefetch;prerender"}, {"Sec-Purpose", "prefetch;anonymous-client-ip"}, {"Purpose", "prefetch"},
		{"X-Moz", "prefetch"}, {"Purpose", "preview"},
	} {
		if _, body := do(t, "GET", edge+"/projects/7", append(header, "Cookie", "user="+v)...); body != cardPage {
			t.Errorf("%v: %s", header, body)
		}
	}
	if len(s.exposures) != 0 {
		t.Errorf("exposures: %+v", s.exposures)
	}
}

// TestFragments: parts of pages, as htmx, Turbo and others fetch them, and
// frames are decided as the page around them was.
func TestFragments(t *testing.T) {
	const part = `<div data-surface="project-home.card"><p>old</p></div>`
	edge, s, p := front(t, pageWith("<turbo-frame id=a>"+part+"</turbo-frame><p>rest"))
	v := s.member(p, "invite-teammate", rules.Treatment)
	for _, header := range [][]string{
		{"HX-Request", "true", "Sec-Fetch-Dest", "empty"}, {"Turbo-Frame", "a", "Accept", "text/html, application/xhtml+xml"},
		{"X-PJAX", "true"}, {"X-Up-Target", "main"}, {"Sec-Fetch-Dest", "iframe"}, {"Sec-Fetch-Dest", "frame"},
	} {
		_, body := do(t, "GET", edge+"/projects/7", append(header, "Cookie", "user="+v)...)
		if !strings.HasPrefix(body, `<turbo-frame id=a><div data-surface="project-home.card"><h2>`) || !strings.HasSuffix(body, "</div></turbo-frame><p>rest") {
			t.Errorf("%v: %s", header, body)
		}
	}
	if len(s.exposures) != 6 {
		t.Errorf("%d exposures", len(s.exposures))
	}
	// What a framework streams later, for a place that it has left open before.
	edge, s, p = front(t, pageWith("<body><!--$?--><template id=B:0></template><!--/$--></body><div hidden id=S:0>"+part+"</div><script>$RC('B:0','S:0')</script>"))
	if _, body := do(t, "GET", edge+"/projects/7", "Cookie", "user="+s.member(p, "invite-teammate", rules.Treatment)); !strings.Contains(body, "<div hidden id=S:0><div data-surface=\"project-home.card\"><h2>") {
		t.Errorf("streamed later: %s", body)
	}
	for _, contentType := range []string{"text/vnd.turbo-stream.html", "text/x-component", "application/json", "multipart/x-mixed-replace; boundary=x", "multipart/related", "application/xhtml+xml", "message/rfc822", "text/plain"} {
		edge, s, p := front(t, pageWith(part, "Content-Type", contentType))
		if _, body := do(t, "GET", edge+"/projects/7", "Cookie", "user="+s.member(p, "invite-teammate", rules.Treatment)); body != part || s.exchanges[0].Passthrough != ReasonType {
			t.Errorf("%s: %s", contentType, body)
		}
	}
}

// TestStatusesAreNotTouched: only a 200 is a page.
func TestStatusesAreNotTouched(t *testing.T) {
	var status int
	edge, s, p := front(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Location", "/elsewhere")
		w.Header().Set("ETag", `"a"`)
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		io.WriteString(w, cardPage)
	}))
	v := s.member(p, "invite-teammate", rules.Treatment)
	for _, status = range []int{201, 203, 206, 300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 407, 410, 429, 500, 502, 503, 599} {
		resp, body := do(t, "GET", edge+"/projects/7", "Cookie", "user="+v)
		cc := "max-age=60"
		if status == 206 {
			cc = "private, no-cache" // a part of a page that is somebody's
		}
		if resp.StatusCode != status || body != cardPage || resp.Header.Get("ETag") != `"a"` || resp.Header.Get("Location") != "/elsewhere" || resp.Header.Get("Cache-Control") != cc {
			t.Errorf("%d: %s, %v", status, resp.Status, resp.Header)
		}
	}
	if len(s.exposures) != 0 {
		t.Errorf("exposures: %+v", s.exposures)
	}
}
