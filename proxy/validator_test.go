package proxy

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/rules"
)

// marked says whether a response has a tag that was made of the origin's.
func marked(resp *http.Response, origin string) bool {
	got, _, ok := unmarkTag(resp.Header.Get("ETag"))
	return ok && got == origin && strings.HasPrefix(resp.Header.Get("ETag"), "W/")
}

var markDigits = regexp.MustCompile(`-rf[sw][0-9a-f]{12}"`)

// form is a response's headers, less what differs between any two: the date,
// and which decision it is.
func form(resp *http.Response) string {
	h := resp.Header.Clone()
	h.Del("Date")
	return markDigits.ReplaceAllString(fmt.Sprint(h), `-rf"`)
}

func TestMarkTag(t *testing.T) {
	const mark = "0123456789ab"
	for origin, want := range map[string]string{
		`"abc"`:                  `W/"abc-rfs0123456789ab"`,
		`W/"abc"`:                `W/"abc-rfw0123456789ab"`,
		`""`:                     `W/"-rfs0123456789ab"`,
		`"a,b-rf"`:               `W/"a,b-rf-rfs0123456789ab"`,
		`W/"a-rfw0123456789ab"`:  `W/"a-rfw0123456789ab-rfw0123456789ab"`, // a proxy of this kind behind this one
		`abc`:                    "",
		`"abc`:                   "",
		`"a" "b"`:                "",
		`w/"abc"`:                "",
		`*`:                      "",
		``:                       "",
		`"abc", "def"`:           "",
		`"` + "\xe4\xf6" + `"`:   `W/"` + "\xe4\xf6" + `-rfs0123456789ab"`,
		`W/"with "quotes" in it`: "",
	} {
		got := markTag(origin, mark)
		if got != want {
			t.Errorf("%s: %s, want %s", origin, got, want)
			continue
		}
		if back, m, ok := unmarkTag(got); want != "" && (!ok || back != origin || m != mark) {
			t.Errorf("%s comes back as %s %s %v", got, back, m, ok)
		}
	}
	bare, current := tagOf(nil, mark)
	if origin, m, ok := unmarkTag(bare); bare != `W/"-rfn0123456789ab"` || current || origin != "" || m != mark || !ok {
		t.Errorf("a page without a tag has %s, which is %q %q %v", bare, origin, m, ok)
	}
	for _, foreign := range []string{`"a-rfn0123456789ab"`, `"abc"`, `"abc-rf"`, `"a-rfx0123456789ab"`, `"a-rfs0123456789AB"`, `"a-rfs0123456789abc"`, `"rfs0123456789ab"`, `-rfs0123456789ab`, `W/`, ``, `*`} {
		if origin, _, ok := unmarkTag(foreign); ok {
			t.Errorf("%s is taken for one of ours, of %s", foreign, origin)
		}
	}
}

func FuzzTags(f *testing.F) {
	f.Add(`"abc"`, "0123456789ab")
	f.Add(`W/"a,b"`, "fedcba987654")
	f.Add(`"a-rfs0123456789ab"`, "0123456789ab")
	f.Fuzz(func(t *testing.T, origin, mark string) {
		if !regexp.MustCompile(`^[0-9a-f]{12}$`).MatchString(mark) {
			return
		}
		tag := markTag(origin, mark)
		if tag == "" {
			return
		}
		if back, m, ok := unmarkTag(tag); !ok || back != origin || m != mark {
			t.Errorf("%q became %q, and that %q %q %v", origin, tag, back, m, ok)
		}
		if tags, ok := tagsOf([]string{tag + ` , ` + origin, tag}); !ok || fmt.Sprintf("%q", tags) != fmt.Sprintf("%q", []string{tag, origin, tag}) {
			t.Errorf("a list of them is read as %q", tags)
		}
	})
}

// tagged is an app that answers conditions as RFC 9110 says, and remembers
// what it was asked.
type tagged struct {
	tag   string
	asked http.Header
}

func (a *tagged) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.asked = r.Header.Clone()
	w.Header().Set("ETag", a.tag)
	w.Header().Set("Content-Type", "text/html")
	w.Header().Set("Cache-Control", "max-age=60")
	tags, _ := tagsOf(r.Header["If-None-Match"])
	for _, tag := range tags {
		if strings.TrimPrefix(tag, "W/") == strings.TrimPrefix(a.tag, "W/") {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	if len(tags) == 0 && r.Header["If-Modified-Since"] != nil {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	io.WriteString(w, cardPage)
}

// TestRevalidation: a browser that shows its page again asks with the page's
// tag, is told 304 with the same, and that is an exposure as the first was.
func TestRevalidation(t *testing.T) {
	for _, origin := range []string{`"v1"`, `W/"v1"`} {
		for _, arm := range []rules.Arm{rules.Treatment, rules.Control} {
			t.Run(origin+" "+string(arm), func(t *testing.T) {
				app := &tagged{tag: origin}
				edge, s, p := front(t, app)
				v := s.member(p, "invite-teammate", arm)
				first, _ := do(t, "GET", edge+"/projects/7", "Cookie", "user="+v)
				tag := first.Header.Get("ETag")
				if !marked(first, origin) {
					t.Fatalf("the page's tag is %s", tag)
				}
				for _, method := range []string{"GET", "HEAD"} {
					again, body := do(t, method, edge+"/projects/7", "Cookie", "user="+v, "If-None-Match", tag, "If-Modified-Since", "Mon, 23 Nov 2026 00:00:00 GMT")
					if got := app.asked["If-None-Match"]; fmt.Sprint(got) != "["+origin+"]" || app.asked["If-Modified-Since"] != nil {
						t.Errorf("the origin is asked with %v", app.asked)
					}
					if again.StatusCode != http.StatusNotModified || again.Header.Get("ETag") != tag || body != "" {
						t.Errorf("%s: %s, %v", method, again.Status, again.Header)
					}
					if again.Header.Get("Cache-Control") != "private, no-cache" || again.Header.Get("Vary") != "Cookie" {
						t.Errorf("%s: the 304 has %v", method, again.Header)
					}
				}
				if len(s.exposures) != 2 || s.exposures[1] != s.exposures[0] {
					t.Errorf("exposures: %+v", s.exposures)
				}
				if x := s.exchanges[1]; x.Treated != (arm == rules.Treatment) || len(x.Sightings) != 1 || x.Sightings[0] != s.exchanges[0].Sightings[0] {
					t.Errorf("the 304 reports %+v, treated: %v", x.Sightings, x.Treated)
				}
				app.tag = `"v2"`
				changed, body := do(t, "GET", edge+"/projects/7", "Cookie", "user="+v, "If-None-Match", tag)
				if changed.StatusCode != http.StatusOK || !marked(changed, `"v2"`) || body == "" {
					t.Errorf("after the page changed: %s, %v", changed.Status, changed.Header)
				}
			})
		}
	}
}

// TestNoOldPageIsCurrent: whoever holds a page of another decision gets the
// one of this, never a 304.
func TestNoOldPageIsCurrent(t *testing.T) {
	app := &tagged{tag: `"v1"`}
	edge, s, p := front(t, app)
	v := s.member(p, "invite-teammate", rules.Treatment)
	sent := func(header ...string) string {
		t.Helper()
		resp, _ := do(t, "GET", edge+"/projects/7", header...)
		return resp.Header.Get("ETag")
	}
	treated := sent("Cookie", "user="+v)
	control := sent("Cookie", "user="+s.member(p, "invite-teammate", rules.Control))
	untouched := sent("Cookie", "user=stranger")
	if treated == control || untouched != `"v1"` {
		t.Fatalf("tags %s, %s, %s", treated, control, untouched)
	}
	live := p.Current()
	edited := *live
	edited.Revision = "another"
	for _, c := range []struct {
		name, user, tag string
		set             *rules.Set
		status          int
	}{
		{"the same", v, treated, live, 304},
		{"one of several", v, `"x", ` + control + `, ` + treated, live, 304},
		{"the other arm's", v, control, live, 200},
		{"the app's own", v, `"v1"`, live, 200},
		{"anything", v, `*`, live, 200},
		{"after an edit", v, treated, &edited, 200},
		{"after a rollback", v, treated, live.Without(func(*rules.Rule) bool { return true }), 200},
		{"of one who is in no segment", "stranger", treated, live, 200},
		{"of nobody, through a CDN", "", treated, live, 200},
		{"the app's own, of a stranger", "stranger", `"v1"`, live, 304},
		{"with one of ours beside it", "stranger", treated + `,"v1"`, live, 304},
		{"the app's own, after a rollback", v, `"v1"`, live.Without(func(*rules.Rule) bool { return true }), 304},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.Current = func() *rules.Set { return c.set }
			header := []string{"If-None-Match", c.tag, "If-Modified-Since", "Mon, 23 Nov 2026 00:00:00 GMT"}
			if c.user != "" {
				header = append(header, "Cookie", "user="+c.user)
			}
			resp, _ := do(t, "GET", edge+"/projects/7", header...)
			if resp.StatusCode != c.status {
				t.Errorf("%s; the origin was asked with %v", resp.Status, app.asked)
			}
			for _, tag := range app.asked["If-None-Match"] {
				if strings.Contains(tag, tagMark) {
					t.Errorf("the origin was asked with %s", tag)
				}
			}
		})
	}
	// A page that nobody knows what was found on is sent again.
	p.Current = func() *rules.Set { return live }
	p.finds.young = nil
	if resp, _ := do(t, "GET", edge+"/projects/7", "Cookie", "user="+v, "If-None-Match", treated); resp.StatusCode != http.StatusOK {
		t.Errorf("what is forgotten: %s", resp.Status)
	}
}

// TestNoOldPageIsCurrentByDate has an app that knows the dates of its pages and
// no tags. Who has a treated page asks by the tag that it has, beside whatever
// date, and gets no 304 after a rollback.
func TestNoOldPageIsCurrentByDate(t *testing.T) {
	var asked http.Header
	changed := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	edge, s, p := front(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Header.Clone()
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		http.ServeContent(w, r, "", changed, strings.NewReader(cardPage))
	}))
	for _, arm := range []rules.Arm{rules.Treatment, rules.Control} {
		user := "user=" + s.member(p, "invite-teammate", arm)
		live := p.Current()
		resp, first := do(t, "GET", edge+"/projects/7", "Cookie", user)
		tag := resp.Header.Get("ETag")
		if !ours([]string{tag}) || resp.Header.Get("Last-Modified") != "" {
			t.Fatalf("%s: %v", arm, resp.Header)
		}
		again := []string{"Cookie", user, "If-None-Match", tag, "If-Modified-Since", "Mon, 23 Nov 2026 00:00:00 GMT"}
		if resp, body := do(t, "GET", edge+"/projects/7", again...); resp.StatusCode != http.StatusOK || body != first || resp.Header.Get("ETag") != tag {
			t.Errorf("%s, while it is live: %s", arm, resp.Status)
		}
		p.Current = func() *rules.Set { return live.Without(func(*rules.Rule) bool { return true }) }
		if resp, body := do(t, "GET", edge+"/projects/7", again...); resp.StatusCode != http.StatusOK || body != cardPage || asked["If-None-Match"] != nil {
			t.Errorf("%s, after a rollback: %s; the origin was asked with %v", arm, resp.Status, asked)
		}
		// A change that is guarded by such a tag is not made unguarded.
		if do(t, "PUT", edge+"/projects/7", "Cookie", user, "If-Match", tag); asked.Get("If-Match") != tag {
			t.Errorf("%s: a change is asked for with %v", arm, asked)
		}
		p.Current = func() *rules.Set { return live }
	}
}

// TestPreconditions: a change that is guarded by what the visitor saw is
// guarded by the origin's own tags.
func TestPreconditions(t *testing.T) {
	const ours = `W/"v1-rfs0123456789ab"`
	const date = "Mon, 23 Nov 2026 00:00:00 GMT"
	for _, c := range []struct{ method, name, sent, want string }{
		{"PUT", "If-Match", ours + `, "other"`, `"v1", "other"`},
		{"PUT", "If-None-Match", ours, `"v1"`},
		{"PUT", "If-None-Match", "*", "*"},
		{"PUT", "If-Match", `W/"a"  ,"b"`, `W/"a"  ,"b"`},
		{"PUT", "If-Match", `"broken-rf`, `"broken-rf`},
		{"PUT", "If-Unmodified-Since", date, date},
		{"GET", "If-Unmodified-Since", date, date},
		{"GET", "If-Match", ours, `"v1"`},
		{"GET", "If-None-Match", `"a-rfs", ` + ours + `, W/"b"`, `"a-rfs", W/"b"`},
		{"GET", "If-None-Match", ours, ""},
		{"GET", "If-Range", ours, ""},
		{"GET", "If-Range", `"a"`, `"a"`},
		{"GET", "If-Modified-Since", date, ""},
	} {
		t.Run(c.method+" "+c.name+" "+c.sent, func(t *testing.T) {
			var got http.Header
			edge, _, _ := front(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() }))
			do(t, c.method, edge+"/projects/7", "Cookie", "user=stranger", "Range", "bytes=0-3", "Accept", "text/html", c.name, c.sent)
			if v := got.Get(c.name); v != c.want {
				t.Errorf("the origin is asked with %q, want %q", v, c.want)
			}
			if whole := c.name == "If-Range" && c.want == ""; (got.Get("Range") == "") != whole {
				t.Errorf("the origin is asked for the range %q", got.Get("Range"))
			}
		})
	}
}

// TestValidatorsOfAssets are the origin's, to the byte.
func TestValidatorsOfAssets(t *testing.T) {
	var got http.Header
	edge, _, _ := front(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() }))
	const date = "Mon, 23 Nov 2026 00:00:00 GMT"
	do(t, "GET", edge+"/app.js", "If-None-Match", `W/"a",  "b"`, "If-Modified-Since", date, "If-Range", `"b"`, "Range", "bytes=1-")
	if got.Get("If-None-Match") != `W/"a",  "b"` || got.Get("If-Modified-Since") != date || got.Get("If-Range") != `"b"` || got.Get("Range") != "bytes=1-" {
		t.Errorf("the origin is asked with %v", got)
	}
}

// TestUnasked304: the visitor's condition was kept from the origin, so its 304
// is about nothing that the visitor holds.
func TestUnasked304(t *testing.T) {
	edge, s, p := front(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNotModified) }))
	v := s.member(p, "invite-teammate", rules.Treatment)
	resp, _ := do(t, "GET", edge+"/projects/7", "Cookie", "user="+v, "If-None-Match", `"v1"`)
	if resp.StatusCode != http.StatusBadGateway || s.exchanges[0].OriginError == nil {
		t.Errorf("%s, %v", resp.Status, s.exchanges[0].OriginError)
	}
}

// TestFindsAreBounded, and what is asked for again and again stays.
func TestFindsAreBounded(t *testing.T) {
	var f finds
	r := func(i int) *http.Request {
		return &http.Request{Host: "x", RequestURI: fmt.Sprint("/", i)}
	}
	f.keep(r(-1), `"a"`, nil)
	for i := range 3 * maxFinds {
		f.keep(r(i), `"a"`, nil)
		if _, ok := f.of(r(-1), `"a"`); !ok {
			t.Fatalf("what is used is forgotten after %d", i)
		}
	}
	if n := len(f.young) + len(f.old); n > 2*maxFinds {
		t.Errorf("%d pages are remembered", n)
	}
	if _, ok := f.of(r(0), `"a"`); ok {
		t.Error("the oldest is remembered")
	}
	for _, other := range []*http.Request{{Host: "y", RequestURI: "/-1"}, {Host: "x", RequestURI: "/-1?q"}} {
		if _, ok := f.of(other, `"a"`); ok {
			t.Errorf("%s%s is taken for another page", other.Host, other.RequestURI)
		}
	}
}
