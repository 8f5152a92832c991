package cohorts

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
	"github.com/seed14307185/refract/store"
)

var now = time.Date(2026, 11, 23, 20, 28, 0, 0, time.UTC)

// edge is a store with a system's mount in front of it.
type edge struct {
	t       *testing.T
	store   *store.Store
	server  *httptest.Server
	refused []string
}

func serve(t *testing.T, system string, feed rules.CohortFeed) *edge {
	t.Helper()
	s, err := store.Open(store.Options{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	e := &edge{t: t, store: s}
	h := Handler(system, Feed{CohortFeed: feed, Keeper: s, Now: func() time.Time { return now },
		Refused: func(reason string) { e.refused = append(e.refused, reason) }})
	e.server = httptest.NewServer(http.StripPrefix("/mount", h))
	t.Cleanup(func() {
		e.server.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// send sends a message and returns the answer.
func (e *edge) send(method, path, body string, header ...string) (int, string) {
	e.t.Helper()
	r, err := http.NewRequest(method, e.server.URL+"/mount"+path, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		e.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(b))
}

// is compares the members of a cohort: visitors by their ids, accounts after
// an @, with the seconds that are left to who has an end.
func (e *edge) is(when, cohort, want string) {
	e.t.Helper()
	var have []string
	for _, id := range []string{"ann", "bob", "cid", "dee", "7", "acme"} {
		for _, who := range []segments.Who{segments.Visitor, segments.Account} {
			state, err := e.store.State(segments.Unit{Who: who, ID: id})
			if err != nil {
				e.t.Fatal(err)
			}
			v := state.Cohorts(cohort)
			if v == (segments.Interval{}) {
				continue
			}
			if who == segments.Account {
				id = "@" + id
			}
			if v.Until != segments.Forever {
				id += fmt.Sprintf("+%d", (v.Until-now.UnixMilli())/1000)
			}
			have = append(have, id)
		}
	}
	if got := strings.Join(have, " "); got != want {
		e.t.Errorf("%s: members of %s: %q, want %q", when, cohort, got, want)
	}
}

func (e *edge) answers(when string, status int, body, wantBody string, is int) {
	e.t.Helper()
	if status != is || !strings.Contains(body, wantBody) {
		e.t.Errorf("%s: %d %s, want %d with %s", when, status, body, is, wantBody)
	}
}

func basic(user, password string) []string {
	r := httptest.NewRequest("GET", "/", nil)
	r.SetBasicAuth(user, password)
	return []string{"Authorization", r.Header.Get("Authorization")}
}

func bomb(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.CopyN(w, spaces{}, 64<<20); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// documented returns what docs/integrations has of a vendor to be pasted there:
// the block that begins with a brace.
func documented(t *testing.T, vendor string) string {
	t.Helper()
	b, err := os.ReadFile("../docs/integrations/" + vendor + ".md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(b), "```\n   {")
	block, _, ended := strings.Cut(rest, "\n   ```")
	if !found || !ended {
		t.Fatalf("%s: no template", vendor)
	}
	return "{" + block
}

// TestDocumentedTemplates: what the vendors make of the templates that their
// pages have is taken.
func TestDocumentedTemplates(t *testing.T) {
	e := serve(t, "amplitude", rules.CohortFeed{Token: "secret"})
	before, rest, _ := strings.Cut(documented(t, "amplitude"), "<#list input.users as user>")
	user, after, _ := strings.Cut(rest, "<#sep>,</#list>")
	filled := strings.NewReplacer("${input.cohort_id}", "7khm89cz", "${input.in_cohort?c}", "true", "${input.message_id}", "m").Replace(
		before + strings.ReplaceAll(user, "${user.user_id}", "ann") + "," + strings.ReplaceAll(user, "${user.user_id}", "bob") + after)
	status, text := e.send("POST", "", filled, "X-Refract-Token", "secret")
	e.answers(filled, status, text, "true", 200)
	e.is(filled, "amplitude/7khm89cz", "ann bob")

	e = serve(t, "rudderstack", rules.CohortFeed{Token: "secret"})
	filled = strings.NewReplacer("$$.records.", "", `: user_id}`, `: "ann"}`).Replace(documented(t, "rudderstack"))
	status, text = e.send("POST", "/audiences/stuck-in-setup/members", filled, "X-Api-Key", "secret")
	e.answers(filled, status, text, "true", 200)
	e.is(filled, "rudderstack/stuck-in-setup", "ann")

	e = serve(t, "braze", rules.CohortFeed{Token: "secret"})
	filled = strings.ReplaceAll(documented(t, "braze"), "{{${user_id}}}", "ann")
	status, text = e.send("POST", "", filled, "Authorization", "Bearer secret")
	e.answers(filled, status, text, "true", 200)
	e.is(filled, "braze/stuck-in-setup", "ann+604800")
}

// broken is a store that can't be written.
type broken struct{}

var errDisk = errors.New("the disk of /var/lib is full")

func (broken) ReplaceCohort(context.Context, string, time.Duration, []segments.Unit) error {
	return errDisk
}

func (broken) StagePage(context.Context, string, time.Duration, store.Page) (bool, error) {
	return false, errDisk
}

func (broken) ChangeCohort(context.Context, string, time.Duration, store.Change) error {
	return errDisk
}

// TestStoreIsDown: what is no fault of the sender's is for them to repeat, and
// none of their business.
func TestStoreIsDown(t *testing.T) {
	entered := `{"type":"track","event":"Audience Entered","userId":"ann","properties":{"audience_key":"k"}}`
	for vendor, m := range map[string]struct{ path, body string }{
		"mixpanel":    {"/", mixpanelMessage("members", "s", 1, 1, "ann")},
		"amplitude":   {"/", `{"cohort_id":"c","in_cohort":true,"users":[{"user_id":"ann"}]}`},
		"segment":     {"/", entered},
		"rudderstack": {"/audiences/a/members", `["ann"]`},
		"braze":       {"/", `{"segment":"s","external_id":"ann"}`},
	} {
		h := Handler(vendor, Feed{CohortFeed: rules.CohortFeed{Token: "secret", Password: "secret", Secret: "shared"}, Keeper: broken{}})
		r := httptest.NewRequest("POST", m.path, strings.NewReader(m.body))
		r.Header.Set("Authorization", "Bearer secret")
		if vendor == "mixpanel" {
			r.SetBasicAuth("", "secret")
		}
		r.Header.Set("X-Signature", signature("shared", m.body))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		want := 503
		if vendor == "braze" {
			want = 500
		}
		if w.Code != want || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "/var") {
			t.Errorf("%s: %d %v %s", vendor, w.Code, w.Header(), w.Body)
		}
	}
	if Handler("hubspot", Feed{}) != nil {
		t.Error("there is a handler for a vendor that nobody knows")
	}
}
