package demo

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/seed14307185/refract/demo/planner"
	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
)

func vars() Vars {
	return Vars{Listen: "127.0.0.1:8080", Origin: "http://127.0.0.1:3000", Admin: "127.0.0.1:9180", Data: `C:\demo "data"`, WriteKey: "env:DEMO_WRITE_KEY"}
}

// read parses every file of a kind, by name.
func read[T any](t *testing.T, dir, kind string) map[string]T {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, kind, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]T{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var v T
		if err := yaml.Unmarshal(b, &v); err != nil {
			t.Errorf("%s: %v", f, err)
		}
		all[strings.TrimSuffix(filepath.Base(f), ".yaml")] = v
	}
	return all
}

type judged struct {
	Event  string
	Within string
}

type ruleFile struct {
	Segment, Surface  string
	Response          struct{ Inner string }
	Metric, Guardrail judged
}

type edgeFile struct {
	Listen, Origin, Admin, Data string
	Sources                     struct {
		Segment struct {
			WriteKey string `yaml:"write_key"`
		}
	}
	Events []struct{ Event string }
}

// TestSite writes the site and looks whether its parts fit each other and the
// app: every segment has its rule, every rule its response, every event is
// observed, and every surface is on a page of the app that it may be on.
func TestSite(t *testing.T) {
	dir := t.TempDir()
	if err := Site(dir, vars()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "refract.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var edge edgeFile
	if err := yaml.Unmarshal(b, &edge); err != nil {
		t.Fatal(err)
	}
	got := Vars{edge.Listen, edge.Origin, edge.Admin, edge.Data, edge.Sources.Segment.WriteKey}
	if got != vars() {
		t.Errorf("refract.yaml says %+v, want %+v", got, vars())
	}
	var observed []string
	for _, e := range edge.Events {
		observed = append(observed, e.Event)
	}

	segments := read[map[string]any](t, dir, "segments")
	surfaces := read[struct{ Pages []string }](t, dir, "surfaces")
	rules := read[ruleFile](t, dir, "rules")
	if len(segments) != 7 || len(rules) != 7 {
		t.Errorf("%d segments and %d rules, want 7 of each", len(segments), len(rules))
	}
	used := map[string]bool{}
	for name, r := range rules {
		used[r.Segment] = true
		if _, ok := segments[r.Segment]; !ok {
			t.Errorf("rule %s: no segment %q", name, r.Segment)
		}
		if _, err := os.Stat(filepath.Join(dir, "responses", r.Response.Inner)); err != nil {
			t.Errorf("rule %s: %v", name, err)
		}
		for _, j := range []judged{r.Metric, r.Guardrail} {
			if !slices.Contains(observed, j.Event) {
				t.Errorf("rule %s: %q is observed nowhere", name, j.Event)
			}
		}
		if _, ok := surfaces[r.Surface]; !ok {
			t.Errorf("rule %s: no surface %q", name, r.Surface)
		}
	}
	for name, s := range segments {
		if !used[name] {
			t.Errorf("segment %s has no rule", name)
		}
		for _, e := range eventsOf(s) {
			if !slices.Contains(observed, e) {
				t.Errorf("segment %s: %q is observed nowhere", name, e)
			}
		}
	}
	pages := appPages(t)
	for name, s := range surfaces {
		if !slices.ContainsFunc(s.Pages, func(pattern string) bool { return carries(pages, pattern, name) }) {
			t.Errorf("surface %s is on no page that it may be on (%v)", name, s.Pages)
		}
	}
}

// eventsOf lists the names of events in a segment's condition.
func eventsOf(v any) []string {
	var all []string
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			all = append(all, eventsOf(e)...)
		}
	case map[string]any:
		for k, e := range v {
			if name, ok := e.(string); ok && slices.Contains([]string{"did", "did_not", "without", "before", "repeats", "days", "stopped"}, k) {
				all = append(all, name)
				continue
			}
			all = append(all, eventsOf(e)...)
		}
	}
	return all
}

// use sends the app one request of one signed-in person.
func use(app http.Handler, method, path string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.AddCookie(&http.Cookie{Name: planner.UserCookie, Value: "ada"})
	r.AddCookie(&http.Cookie{Name: planner.TeamCookie, Value: "engines"})
	w := httptest.NewRecorder()
	app.ServeHTTP(w, r)
	return w
}

// appPages fetches pages of the app, by path.
func appPages(t *testing.T) map[string]string {
	app := planner.New()
	pages := map[string]string{"/projects": use(app, "GET", "/projects", nil).Body.String()}
	use(app, "POST", "/projects", url.Values{"name": {"P"}})
	for _, p := range []string{"/", "/pricing", "/projects/1", "/import", "/import/problems/no-tasks", "/reports", "/reports/velocity", "/setup/domain"} {
		w := use(app, "GET", p, nil)
		if w.Code != http.StatusOK {
			t.Errorf("GET %s: %d", p, w.Code)
		}
		pages[p] = w.Body.String()
	}
	return pages
}

func carries(pages map[string]string, pattern, surface string) bool {
	for p, body := range pages {
		if ok, _ := path.Match(pattern, p); ok && strings.Contains(body, fmt.Sprintf("data-surface=%q", surface)) {
			return true
		}
	}
	return false
}

// TestSiteOverwritesNothing writes the site twice.
func TestSiteOverwritesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	if err := Site(dir, vars()); err != nil {
		t.Fatal(err)
	}
	rule := filepath.Join(dir, "rules", "invite-teammate.yaml")
	if err := os.WriteFile(rule, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Site(dir, vars()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("the second time: %v, want fs.ErrExist", err)
	}
	if b, _ := os.ReadFile(rule); string(b) != "mine" {
		t.Error("a file of the user's was overwritten")
	}
}

func load(t *testing.T) *rules.Set {
	t.Helper()
	t.Setenv("DEMO_WRITE_KEY", "key")
	dir := t.TempDir()
	if err := Site(dir, vars()); err != nil {
		t.Fatal(err)
	}
	set, err := rules.Load(dir)
	if err != nil {
		t.Fatalf("the site does not load:\n%v", err)
	}
	return set
}

// TestSiteLoads validates the site as the edge would: nothing is wrong with
// it, and nothing is even warned of.
func TestSiteLoads(t *testing.T) {
	set := load(t)
	for _, w := range set.Warnings {
		t.Errorf("warning: %+v", w)
	}
	if len(set.Live()) != 7 {
		t.Errorf("%d rules are live, want 7", len(set.Live()))
	}
	for _, r := range set.Rules {
		t.Log(r.Sentence())
	}
}

// TestTheAppIsObserved uses the app and looks at it as the edge does: every
// event of refract.yaml comes of the request that it should, and of no other.
func TestTheAppIsObserved(t *testing.T) {
	observations := load(t).Edge.Events
	app := planner.New()
	for _, c := range []struct {
		method, path string
		form         url.Values
		want         string
	}{
		{"GET", "/start", nil, "Session Started"},
		{"GET", "/projects", nil, ""},
		{"POST", "/projects", url.Values{"name": {""}}, ""},
		{"POST", "/projects", url.Values{"name": {"P"}}, "Project Created"},
		{"POST", "/projects/1/invitations", url.Values{"email": {"nobody"}}, ""},
		{"POST", "/projects/1/invitations", url.Values{"email": {"a@example.com"}}, "Teammate Invited"},
		{"POST", "/reports", url.Values{"name": {"R"}}, "Report Created"},
		{"GET", "/reports", nil, ""},
		{"GET", "/reports/1", nil, "Report Viewed"},
		{"GET", "/reports/404", nil, ""},
		{"POST", "/reports/1/schedule", nil, "Report Scheduled"},
		{"POST", "/reports/1/export", nil, "Report Exported"},
		{"POST", "/import", url.Values{"table": {"title"}}, ""},
		{"GET", "/import/problems/missing-due-date", nil, "Error Shown map[code:missing-due-date]"},
		{"GET", "/import/done", nil, "Import Finished"},
		{"GET", "/setup/domain", nil, ""},
		{"POST", "/setup/domain", url.Values{"answer": {"acme"}}, "Setup Error map[step:domain]"},
		{"POST", "/setup/domain", url.Values{"answer": {"acme.example"}}, ""},
		{"POST", "/setup/finish", nil, "Setup Finished"},
		{"POST", "/setup/abandon", nil, "Setup Abandoned"},
		{"GET", "/pricing", nil, "Pricing Viewed"},
		{"POST", "/billing/upgrade", nil, "Plan Upgraded"},
		{"POST", "/billing/cancel", nil, "Trial Cancelled"},
		{"POST", "/support", url.Values{"message": {"help"}}, "Support Asked"},
	} {
		w := use(app, c.method, c.path, c.form)
		x := events.Exchange{Method: c.method, Path: c.path, Status: w.Code}
		var got []string
		for i := range observations {
			e, ok := observations[i].Match(&x)
			switch {
			case ok && len(e.Properties) > 0:
				got = append(got, fmt.Sprint(e.Name, " ", e.Properties))
			case ok:
				got = append(got, e.Name)
			}
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s %s (%d) is observed as %q, want %q", c.method, c.path, w.Code, got, c.want)
		}
	}
}
