package planner

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/html"
)

// client is a browser of the app: it keeps its cookies.
type client struct {
	t       *testing.T
	app     http.Handler
	cookies map[string]string
}

func enter(t *testing.T, app http.Handler, who string) *client {
	t.Helper()
	c := &client{t: t, app: app, cookies: map[string]string{}}
	if got := c.get("/login?as=" + who); got.Code != http.StatusSeeOther {
		t.Fatalf("sign-in of %s: %d", who, got.Code)
	}
	return c
}

func (c *client) get(path string) *httptest.ResponseRecorder {
	return c.do(httptest.NewRequest("GET", path, nil))
}

func (c *client) post(path string, fields ...string) *httptest.ResponseRecorder {
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	r := httptest.NewRequest("POST", path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.do(r)
}

func (c *client) do(r *http.Request) *httptest.ResponseRecorder {
	for name, value := range c.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	c.app.ServeHTTP(w, r)
	for _, k := range w.Result().Cookies() {
		c.cookies[k.Name] = k.Value
	}
	return w
}

// created returns the path that a form's submission led to.
func (c *client) created(path string, fields ...string) string {
	c.t.Helper()
	w := c.post(path, fields...)
	if w.Code != http.StatusSeeOther {
		c.t.Fatalf("POST %s: %d, want 303", path, w.Code)
	}
	return w.Header().Get("Location")
}

// TestPages looks at every page: it is there, well-formed, the same when asked
// for again, and carries the surfaces that it should.
func TestPages(t *testing.T) {
	app := New()
	ada := enter(t, app, "ada")
	noProjects := enter(t, app, "ben")
	project := ada.created("/projects", "name", "Website <relaunch> & more")
	ada.created(project+"/invitations", "email", "bo@example.com")
	report := ada.created("/reports", "name", "By team")
	nobody := &client{t: t, app: app, cookies: map[string]string{}}

	for _, c := range []struct {
		who      *client
		path     string
		surfaces []string
	}{
		{nobody, "/", []string{"home.hero"}},
		{nobody, "/pricing", []string{"pricing.cta"}},
		{nobody, "/login?next=/projects/1", nil},
		{ada, "/", []string{"home.hero"}},
		{ada, "/pricing", []string{"pricing.cta"}},
		{noProjects, "/projects", []string{"projects.empty"}},
		{ada, "/projects", nil},
		{ada, "/projects?notice=ready", nil},
		{ada, project, []string{"project-home.card"}},
		{ada, "/import", []string{"import.help"}},
		{ada, "/import/problems/missing-due-date", []string{"import.help"}},
		{ada, "/import/done", nil},
		{ada, "/reports", []string{"reports.banner"}},
		{ada, "/reports/workload", []string{"reports.share"}},
		{ada, report, []string{"reports.share"}},
		{ada, "/setup/workspace", []string{"setup.help"}},
		{ada, "/setup/domain", []string{"setup.help"}},
		{ada, "/setup/calendar", []string{"setup.help"}},
		{ada, "/setup/review", []string{"setup.help"}},
		{ada, "/billing", nil},
		{ada, "/support", nil},
	} {
		w := c.who.get(c.path)
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("GET %s: %d %s", c.path, w.Code, w.Header().Get("Content-Type"))
			continue
		}
		body := w.Body.String()
		surfaces, err := wellFormed(body)
		if err != nil {
			t.Errorf("GET %s: %v", c.path, err)
		}
		if !slices.Equal(surfaces, c.surfaces) {
			t.Errorf("GET %s: surfaces %q, want %q", c.path, surfaces, c.surfaces)
		}
		if again := c.who.get(c.path).Body.String(); again != body {
			t.Errorf("GET %s: two answers to one request", c.path)
		}
	}
	if body := ada.get(project).Body.String(); !strings.Contains(body, "Website &lt;relaunch&gt; &amp; more") {
		t.Error("a project's name is not escaped on its page")
	}
}

// wellFormed checks that every element of the page that needs an end tag has
// it, in the right order, and lists the surfaces.
func wellFormed(page string) (surfaces []string, err error) {
	void := []string{"meta", "link", "img", "input", "br"}
	var open []string
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			if z.Err() != io.EOF {
				return surfaces, z.Err()
			}
			if len(open) > 0 {
				return surfaces, fmt.Errorf("left open: %v", open)
			}
			return surfaces, nil
		case html.StartTagToken:
			t := z.Token()
			for _, a := range t.Attr {
				if a.Key == "data-surface" {
					surfaces = append(surfaces, a.Val)
				}
			}
			if !slices.Contains(void, t.Data) {
				open = append(open, t.Data)
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			if len(open) == 0 || open[len(open)-1] != string(name) {
				return surfaces, fmt.Errorf("</%s> ends none of %v", name, open)
			}
			open = open[:len(open)-1]
		}
	}
}

// TestForms submits every form: what works redirects, what does not says so on
// a page with status 422 (or, for imports, on a page of its own).
func TestForms(t *testing.T) {
	ada := enter(t, New(), "ada")
	for _, c := range []struct {
		path     string
		fields   []string
		status   int
		location string
	}{
		{"/projects", []string{"name", "Relaunch"}, 303, "/projects/1"},
		{"/projects", []string{"name", " "}, 422, ""},
		{"/projects", []string{"name", strings.Repeat("x", 81)}, 422, ""},
		{"/projects/1/tasks", []string{"title", "Call the printer"}, 303, "/projects/1"},
		{"/projects/1/tasks", []string{"title", ""}, 422, ""},
		{"/projects/1/invitations", []string{"email", "bo@example.com"}, 303, "/projects/1?notice=invited"},
		{"/projects/1/invitations", []string{"email", "bo"}, 422, ""},
		{"/projects/9/invitations", []string{"email", "bo@example.com"}, 404, ""},
		{"/import", []string{"table", "title,due\na,Friday\n"}, 303, "/import/done"},
		{"/import", []string{"table", "title,deadline\na,Friday\n"}, 303, "/import/problems/missing-due-date"},
		{"/import", []string{"table", "due\nFriday\n"}, 303, "/import/problems/missing-title"},
		{"/import", []string{"table", "title,due\n"}, 303, "/import/problems/no-tasks"},
		{"/import", []string{"table", "\""}, 303, "/import/problems/unreadable"},
		{"/reports", []string{"name", "By team"}, 303, "/reports/1"},
		{"/reports", []string{"name", ""}, 422, ""},
		{"/reports/workload/schedule", nil, 303, "/reports/workload?notice=scheduled"},
		{"/reports/workload/export", nil, 200, ""},
		{"/reports/none/export", nil, 404, ""},
		{"/setup/workspace", []string{"answer", "Engines"}, 303, "/setup/domain"},
		{"/setup/workspace", []string{"answer", ""}, 422, ""},
		{"/setup/domain", []string{"answer", "acme"}, 422, ""},
		{"/setup/domain", []string{"answer", "acme.example.com"}, 303, "/setup/calendar"},
		{"/setup/calendar", []string{"answer", "ftp://x"}, 422, ""},
		{"/setup/calendar", []string{"answer", "https://example.com/c.ics"}, 303, "/setup/review"},
		{"/setup/none", []string{"answer", "x"}, 404, ""},
		{"/setup/finish", nil, 303, "/projects?notice=ready"},
		{"/setup/abandon", nil, 303, "/projects?notice=later"},
		{"/billing/upgrade", nil, 303, "/billing?notice=upgraded"},
		{"/billing/cancel", nil, 303, "/billing?notice=cancelled"},
		{"/support", []string{"message", "Help"}, 303, "/support?notice=ticket"},
		{"/support", nil, 422, ""},
	} {
		w := ada.post(c.path, c.fields...)
		if w.Code != c.status || w.Header().Get("Location") != c.location {
			t.Errorf("POST %s %q: %d %q, want %d %q", c.path, c.fields, w.Code, w.Header().Get("Location"), c.status, c.location)
			continue
		}
		if c.location == "" {
			continue
		}
		if w := ada.get(c.location); w.Code != http.StatusOK {
			t.Errorf("POST %s leads to %s, which answers %d", c.path, c.location, w.Code)
		}
	}
	page := ada.get("/projects/1").Body.String()
	for _, want := range []string{"Call the printer", "bo@example.com"} {
		if !strings.Contains(page, want) {
			t.Errorf("the project's page does not show %q", want)
		}
	}
}

// TestSignIn signs in by link, and shows that links lead nowhere else.
func TestSignIn(t *testing.T) {
	app := New()
	for next, want := range map[string]string{
		"/projects/7":         "/projects/7",
		"":                    "/start",
		"//evil.example":      "/start",
		"https://evil.test/":  "/start",
		`/\evil.example`:      "/start",
		"javascript:alert(1)": "/start",
	} {
		c := &client{t: t, app: app, cookies: map[string]string{}}
		w := c.get("/login?as=ada&next=" + url.QueryEscape(next))
		if w.Header().Get("Location") != want {
			t.Errorf("next=%q leads to %q, want %q", next, w.Header().Get("Location"), want)
		}
		if c.cookies[UserCookie] != "ada" || c.cookies[TeamCookie] != "analytical-engines" {
			t.Errorf("cookies %v", c.cookies)
		}
	}
	nobody := &client{t: t, app: app, cookies: map[string]string{}}
	if w := nobody.get("/login?as=nobody"); w.Code != http.StatusUnprocessableEntity || len(nobody.cookies) > 0 {
		t.Errorf("an unknown person gets %d and the cookies %v", w.Code, nobody.cookies)
	}
	if got := nobody.get("/projects").Header().Get("Location"); got != "/login?next=%2Fprojects" {
		t.Errorf("someone who is not signed in is sent to %q", got)
	}
	nobody.cookies = map[string]string{UserCookie: "<b>", TeamCookie: "x"}
	if w := nobody.get("/projects"); w.Code != http.StatusSeeOther {
		t.Errorf("a cookie that the app did not set is accepted: %d", w.Code)
	}
}

// TestTeamsAreApart shows that a project is its team's.
func TestTeamsAreApart(t *testing.T) {
	app := New()
	ada, ben := enter(t, app, "ada"), enter(t, app, "ben")
	project := ada.created("/projects", "name", "Secret")
	if w := ben.get(project); w.Code != http.StatusNotFound {
		t.Errorf("another team's project: %d, want 404", w.Code)
	}
	if strings.Contains(ben.get("/projects").Body.String(), "Secret") {
		t.Error("another team's project is listed")
	}
}

// TestAtOnce is for the race detector: everyone does everything at once.
func TestAtOnce(t *testing.T) {
	app := New()
	var all sync.WaitGroup
	for _, p := range People() {
		c := enter(t, app, p.ID)
		all.Go(func() {
			for range 20 {
				project := c.post("/projects", "name", "P").Header().Get("Location")
				c.post(project+"/tasks", "title", "T")
				c.post(project+"/invitations", "email", "a@example.com")
				if w := c.get(project); w.Code != http.StatusOK {
					t.Errorf("GET %s: %d", project, w.Code)
				}
				c.get("/projects")
			}
		})
	}
	all.Wait()
}

// TestBounded fills a shelf beyond its limits.
func TestBounded(t *testing.T) {
	s := newShelf[int]()
	for range maxPerTeam {
		if _, ok := s.add("full", func(id int) int { return id }); !ok {
			t.Fatal("refused before the team's limit")
		}
	}
	if _, ok := s.add("full", func(id int) int { return id }); ok {
		t.Error("a team may have more than maxPerTeam items")
	}
	for i := range maxItems {
		s.add(fmt.Sprint("team", i), func(id int) int { return id })
	}
	if len(s.items) != maxItems {
		t.Errorf("%d items are kept, want %d", len(s.items), maxItems)
	}
	if got := s.list("full"); got != nil {
		t.Errorf("the oldest items are still listed: %v", got)
	}
	if _, ok := s.teams["full"]; ok {
		t.Error("a team without items is remembered")
	}
	if got := s.list("team7"); len(got) != 1 || got[0] != maxPerTeam+8 {
		t.Errorf("team7 has %v", got)
	}
}
