package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed14307185/refract/rules"
)

// TestRecognisedVisitorsKeepTheirArm exposes browsers, whose visitors sign up
// then: they are known by another id from then on, and must not see another arm
// for it. Otherwise those who signed up would be left out, and of control more
// than of treatment.
func TestRecognisedVisitorsKeepTheirArm(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!DOCTYPE html><html><head><title>p</title></head><body><p data-surface="hero">old</p></body></html>`)
	}))
	t.Cleanup(app.Close)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"refract.yaml": fmt.Sprintf("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\norigin: %s\ndata: %s\nsources: {segment: {write_key: test-key}}\n"+
			"identity: {visitor: [\"cookie:user\", \"cookie:ajs_anonymous_id\"]}\n", app.URL, filepath.Join(dir, "data")),
		"segments/landed.yaml": "did: Landed\n",
		"rules/hero.yaml": "segment: landed\nsurface: hero\nresponse: {text: new}\nmetric: {event: Signed Up, within: 2d}\n" +
			"guardrail: {event: Complained, within: 2d}\nrollout: {share: 60%, treatment: 80%}\nstate: live\n",
	} {
		name = filepath.Join(dir, "site", name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, name, text)
	}
	r := start(t, dir)
	const people = 60
	var landed, signed []map[string]any
	for i := range people {
		landed = append(landed, map[string]any{"type": "track", "event": "Landed", "anonymousId": fmt.Sprint("anon-", i)})
		signed = append(signed, map[string]any{"type": "identify", "anonymousId": fmt.Sprint("anon-", i), "userId": fmt.Sprint("user-", i)},
			map[string]any{"type": "track", "event": "Signed Up", "userId": fmt.Sprint("user-", i)})
	}
	r.track(landed)
	set, err := rules.Load(filepath.Join(dir, "site"))
	if err != nil {
		t.Fatal(err)
	}
	converted := map[rules.Arm]int64{}
	for i := range people {
		r.do(http.MethodGet, "/", "", nil, "Cookie", fmt.Sprint("ajs_anonymous_id=anon-", i))
		if arm, in := set.Rule("hero").Assign(fmt.Sprint("anon-", i)); in {
			converted[arm]++
		}
	}
	r.settle()
	r.track(signed)
	for range 2 {
		for i := range people {
			page := r.get("/", fmt.Sprint("user-", i))
			if arm, in := set.Rule("hero").Assign(fmt.Sprint("anon-", i)); in && strings.Contains(page, "new") != (arm == rules.Treatment) {
				t.Errorf("user-%d, first in %s, sees %q", i, arm, page)
			}
		}
		r.settle()
		if st := r.rule("hero"); st.Tally.Mixed != 0 || st.Treatment.Converted != converted[rules.Treatment] || st.Control.Converted != converted[rules.Control] {
			t.Errorf("%d saw both arms; %d and %d converted, want %v", st.Tally.Mixed, st.Treatment.Converted, st.Control.Converted, converted)
		}
		r.stop()
		r = start(t, dir)
	}
	r.stop()
}
