package proxy

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
)

func TestTrustedProxies(t *testing.T) {
	var got http.Header
	edge, _, p := front(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() }))
	said := []string{"X-Forwarded-For", "6.6.6.6", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "shop.example", "Forwarded", "for=6.6.6.6"}
	ask := func(want ...string) {
		t.Helper()
		do(t, "GET", edge+"/", said...)
		for i, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded"} {
			if v := strings.Join(got[name], "; "); v != want[i] {
				t.Errorf("%s: %q, want %q", name, v, want[i])
			}
		}
	}
	host := strings.TrimPrefix(edge, "http://")
	ask("127.0.0.1", "http", host, "")
	set := *p.Current()
	p.Current = func() *rules.Set { return &set }
	set.Edge.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	ask("127.0.0.1", "http", host, "")
	set.Edge.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	ask("6.6.6.6, 127.0.0.1", "https", "shop.example", "for=6.6.6.6; for=127.0.0.1;proto=http")
}

func TestFirstPartyID(t *testing.T) {
	edge, s, _ := front(t, pageWith(cardPage))
	cookie := func(resp *http.Response) string {
		for _, c := range resp.Cookies() {
			if c.Name == FirstPartyCookie {
				if !c.Secure || !c.HttpOnly || c.Path != "/" || c.SameSite != http.SameSiteLaxMode || c.Domain != "" {
					t.Errorf("the cookie is %s", c)
				}
				return c.Value
			}
		}
		return ""
	}
	resp, _ := do(t, "GET", edge+"/")
	id := cookie(resp)
	if len(id) != 22 {
		t.Fatalf("the id is %q", id)
	}
	for name, header := range map[string][]string{
		"who has one":         {"Cookie", FirstPartyCookie + "=" + id},
		"who has another id":  {"Cookie", "user=ann"},
		"who opted out":       {"Sec-GPC", "1"},
		"a crawler":           {"User-Agent", "bingbot"},
		"what is not a visit": {"X-Method", "POST"},
	} {
		method := "GET"
		if header[0] == "X-Method" {
			method = header[1]
		}
		if resp, _ := do(t, method, edge+"/", header...); cookie(resp) != "" {
			t.Errorf("%s gets an id", name)
		}
	}
	// One browser, two ids: they are one person.
	do(t, "GET", edge+"/", "Cookie", FirstPartyCookie+"="+id+"; user=ann")
	if len(s.events) != 1 || s.events[0].Kind != events.Alias || s.events[0].Visitor != "ann" || s.events[0].Anonymous != ownID+id {
		t.Fatalf("events: %+v", s.events)
	}
	s.merged[ownID+id] = "ann"
	do(t, "GET", edge+"/", "Cookie", FirstPartyCookie+"="+id+"; user=ann")
	if len(s.events) != 1 {
		t.Errorf("what is known is told again: %+v", s.events[1:])
	}

	for _, header := range [][]string{
		{"Cache-Control", "public, max-age=60"}, {"Expires", "Mon, 23 Nov 2037 00:00:00 GMT"},
		{"Last-Modified", "Mon, 23 Nov 2026 00:00:00 GMT"}, {"Cache-Control", "no-cache", "CDN-Cache-Control", "max-age=600"},
	} {
		edge, _, _ = front(t, pageWith(cardPage, header...))
		if resp, _ := do(t, "GET", edge+"/cached"); cookie(resp) != "" {
			t.Errorf("%v: a page that shared caches store carries a visitor's cookie", header)
		}
		if resp, _ := do(t, "GET", edge+"/projects/7"); cookie(resp) == "" {
			t.Errorf("%v: a page that is made private carries none", header)
		}
	}
	// Nobody's id is taken for the browser's, to be merged with another's.
	edge, s, _ = front(t, pageWith(cardPage))
	do(t, "GET", edge+"/projects/7", "Cookie", FirstPartyCookie+"=alice; user=mallory")
	if len(s.events) != 0 {
		t.Errorf("events: %+v", s.events)
	}
}

// TestFirstPartyIDIsNobodyElses: a client can put whatever it likes into the
// cookie, also an id that has the form of ours and is a user's.
func TestFirstPartyIDIsNobodyElses(t *testing.T) {
	const victim = "AAECAwQFBgcICQoLDA0ODw" // 22 characters, as a short UUID has
	edge, s, p := front(t, pageWith(cardPage))
	alone := withCookie(t, edge, FirstPartyCookie+"="+victim)
	if p.identify(p.Current(), alone).visitor != ownID+victim {
		t.Error("the cookie names a user")
	}
	do(t, "GET", edge+"/projects/7", "Cookie", FirstPartyCookie+"="+victim+"; user=mallory")
	if len(s.events) != 1 || s.events[0].Anonymous == victim {
		t.Errorf("merged into mallory: %+v", s.events)
	}
	// Nor can another source give an id of ours.
	for _, cookie := range []string{"user=" + ownID + victim, "user=%72efract:" + victim} {
		if id := p.identify(p.Current(), withCookie(t, edge, cookie)); id.visitor != "" {
			t.Errorf("%s: %q", cookie, id.visitor)
		}
	}
}

// withCookie is a request with a cookie, which nobody sends.
func withCookie(t *testing.T, edge, cookie string) *http.Request {
	t.Helper()
	r, err := http.NewRequest("GET", edge+"/projects/7", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Cookie", cookie)
	return r
}

// TestUnprovedIsNeverMerged: where a source asks for proof, what a browser did
// becomes only a proved visitor's.
func TestUnprovedIsNeverMerged(t *testing.T) {
	edge, s, p := front(t, pageWith(cardPage))
	set := *p.Current()
	set.Edge.Identity.Visitor = append([]rules.IdentitySource{{Kind: "cookie", Name: "token", Proof: &rules.Proof{}}}, set.Edge.Identity.Visitor...)
	p.Current = func() *rules.Set { return &set }
	p.Verify = func(_ *rules.IdentitySource, value string) string { return strings.TrimSuffix(value, ".signed") }
	own := FirstPartyCookie + "=AAECAwQFBgcICQoLDA0ODw; "
	do(t, "GET", edge+"/projects/7", "Cookie", own+"user=ann")
	if len(s.events) != 0 {
		t.Fatalf("merged into a visitor without proof: %+v", s.events)
	}
	do(t, "GET", edge+"/projects/7", "Cookie", own+"token=ann.signed; user=bob")
	if len(s.events) != 1 || s.events[0].Kind != events.Alias || s.events[0].Visitor != "ann" {
		t.Errorf("not merged into the proved one: %+v", s.events)
	}
}

func TestObservedEvents(t *testing.T) {
	edge, s, _ := front(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("fail") != "" {
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	do(t, "POST", edge+"/reports/r%20one/export?format=csv", "Cookie", "user=%22ann%22; team=t1")
	do(t, "POST", edge+"/projects?fail=1", "Cookie", "user=ann")
	do(t, "POST", edge+"/projects") // nobody
	if len(s.events) != 1 {
		t.Fatalf("events: %+v", s.events)
	}
	e := s.events[0]
	if e.Name != "Report Exported" || e.Visitor != "ann" || e.Account != "t1" || e.Properties["report"] != "r one" || e.Properties["format"] != "csv" || !e.Time.Equal(day) {
		t.Errorf("event %+v", e)
	}
}

func TestTraitsOfTheResponse(t *testing.T) {
	traits := "role=admin, plan=\"trial\""
	edge, s, p := front(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Refract-Traits", traits)
	}))
	set := *p.Current()
	set.Edge.Identity.Traits = []rules.IdentitySource{{Kind: "header", Name: "X-Refract-Traits"}}
	p.Current = func() *rules.Set { return &set }
	for range 3 {
		if resp, _ := do(t, "GET", edge+"/", "Cookie", "user=ann"); resp.Header.Get("X-Refract-Traits") != "" {
			t.Error("the visitor sees the traits")
		}
	}
	traits = `{"plan": "pro", "seats": 5}`
	do(t, "GET", edge+"/", "Cookie", "user=ann")
	if len(s.events) != 2 || fmt.Sprint(s.events[0].Traits) != "map[plan:trial role:admin]" || fmt.Sprint(s.events[1].Traits) != "map[plan:pro seats:5]" {
		t.Errorf("events: %+v", s.events)
	}
}
