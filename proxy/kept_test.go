package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed14307185/refract/proxy/cache"
	"github.com/seed14307185/refract/rules"
)

// TestKeptPages has the pages of an origin kept, and asked about at each use:
// both arms get what they would get without, in every coding, from the same
// bytes.
func TestKeptPages(t *testing.T) {
	for _, coding := range []string{"", "gzip", "br"} {
		var mu sync.Mutex
		var methods []string
		page, tag := strings.Replace(longPage(), "rest", "first", 1), `"1"`
		edge, s, p := front(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			methods = append(methods, r.Method+" "+r.Header.Get("If-None-Match"))
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Header().Set("Etag", tag)
			w.Header().Set("Cache-Control", "public, max-age=0")
			body := page
			if coding != "" {
				w.Header().Set("Content-Encoding", coding)
				body = inCoding(coding, page)
			}
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(body))
		}))
		byOrigin(t, p)
		kept := &cache.Transport{Next: p.transport}
		kept.Use(8 << 20)
		p.Transport, p.transport = kept, kept
		asked := func() string {
			mu.Lock()
			defer mu.Unlock()
			return methods[len(methods)-1]
		}
		who := map[rules.Arm]string{}
		for _, arm := range []rules.Arm{rules.Treatment, rules.Control} {
			who[arm] = "user=" + s.member(p, "invite-teammate", arm)
		}
		show := func(arm rules.Arm) *http.Response {
			t.Helper()
			resp, body := do(t, "GET", edge+"/projects/7", "Cookie", who[arm], "Accept-Encoding", coding)
			if coding != "" {
				body = decoded(t, resp, body)
			}
			mu.Lock()
			defer mu.Unlock()
			if treated := strings.Contains(body, "Invite a teammate"); treated != (arm == rules.Treatment) || !treated && body != page {
				t.Errorf("%s, %q: %d bytes, treated: %v", arm, coding, len(body), treated)
			}
			return resp
		}
		first := show(rules.Control)
		for range 3 {
			for _, arm := range []rules.Arm{rules.Treatment, rules.Control} {
				if show(arm); asked() != `GET "1"` {
					t.Errorf("the origin is asked %s", asked())
				}
			}
		}
		again := show(rules.Control)
		again.Header.Del("Date")
		first.Header.Del("Date")
		// What is there at once is sent with its length: all else is the same.
		again.Header.Del("Content-Length")
		first.Header.Del("Content-Length")
		if fmt.Sprint(first.Header) != fmt.Sprint(again.Header) {
			t.Errorf("the fields differ:\n%v\n%v", first.Header, again.Header)
		}
		// A page that a browser holds is asked about for the browser.
		resp, _ := do(t, "GET", edge+"/projects/7", "Cookie", who[rules.Treatment], "Accept-Encoding", coding, "If-None-Match", show(rules.Treatment).Header.Get("Etag"))
		if resp.StatusCode != http.StatusNotModified || asked() != `GET "1"` {
			t.Errorf("a page that is held: %d", resp.StatusCode)
		}
		if do(t, "HEAD", edge+"/projects/7", "Cookie", who[rules.Treatment]); asked() != "HEAD " {
			t.Errorf("HEAD: the origin is asked %s", asked())
		}
		mu.Lock()
		page, tag = strings.Replace(longPage(), "rest", "second", 1), `"2"`
		mu.Unlock()
		show(rules.Control)
		show(rules.Treatment)
		// Outside of the test, and where no rule is, pages are kept too.
		mu.Lock()
		before := len(methods)
		mu.Unlock()
		for _, path := range []string{"/projects/7", "/about", "/about"} {
			resp, body := do(t, "GET", edge+path, "Accept-Encoding", coding)
			if coding != "" {
				body = decoded(t, resp, body)
			}
			if body != page {
				t.Errorf("%s: %d bytes", path, len(body))
			}
		}
		if got := fmt.Sprint(methods[before:]); got != `[GET "2" GET  GET "2"]` {
			t.Errorf("the origin is asked %s", got)
		}
		if n := kept.State(); n.Pages != 2 || n.Changed != 1 {
			t.Errorf("%+v", n)
		}
	}
}
