package cohorts

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
	"github.com/seed14307185/refract/store"
)

// FuzzWebhooks: no message makes a handler panic, or is answered with anything
// but JSON and a status that its sender knows; and who is refused changes
// nothing.
func FuzzWebhooks(f *testing.F) {
	systems := []string{"mixpanel", "amplitude", "segment", "rudderstack", "braze"}
	for i, body := range []string{
		mixpanelMessage("members", "s", 1, 2, "ann", "$device:bob"),
		`{"cohort_id":"c","in_cohort":true,"message_id":"m","users":[{"user_id":"ann"}]}`,
		`[{"type":"track","event":"Audience Entered","userId":"ann","properties":{"audience_key":"k"}}]`,
		`{"users":[{"user_id":"ann"},7]}`,
		`{"segment":"s","external_id":"ann","ttl_s":"60"}`,
	} {
		f.Add(uint8(i), body)
	}
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		system := systems[int(which)%len(systems)]
		kept := &counting{}
		h := Handler(system, Feed{CohortFeed: rules.CohortFeed{Token: "secret", Password: "secret", Secret: "shared"}, Keeper: kept})
		path := "/"
		if system == "rudderstack" {
			path = "/audiences/a/members"
		}
		r := httptest.NewRequest("POST", path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer secret")
		if system == "mixpanel" {
			r.SetBasicAuth("", "secret")
		}
		signed := body
		if list, err := elements([]byte(body)); err == nil && len(list) > 0 {
			signed = string(list[0])
		}
		r.Header.Set("X-Signature", signature("shared", signed))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if !json.Valid(w.Body.Bytes()) || !slices.Contains([]int{200, 400, 413}, w.Code) {
			t.Fatalf("%s: %d %s", system, w.Code, w.Body)
		}
		if w.Code != 200 && kept.changes > 0 {
			t.Fatalf("%s: %d, and yet there were %d changes", system, w.Code, kept.changes)
		}
	})
}

// counting keeps nothing but how often it was asked, and checks what it is
// given.
type counting struct{ changes int }

func (c *counting) ReplaceCohort(context.Context, string, time.Duration, []segments.Unit) error {
	c.changes++
	return nil
}

func (c *counting) StagePage(_ context.Context, name string, _ time.Duration, p store.Page) (bool, error) {
	if p.Number < 1 || p.Number > p.Of {
		return false, store.ErrPage
	}
	for _, u := range p.Members {
		c.unit(name, u)
	}
	c.changes++
	return false, nil
}

func (c *counting) ChangeCohort(_ context.Context, name string, _ time.Duration, change store.Change) error {
	for _, m := range change.Add {
		c.unit(name, m.Unit)
	}
	for _, u := range change.Remove {
		c.unit(name, u)
	}
	c.changes++
	return nil
}

func (c *counting) unit(name string, u segments.Unit) {
	if !rules.CohortName(name) || u.ID == "" || len(u.ID) > 200 || u.Who != segments.Visitor && u.Who != segments.Account {
		panic(fmt.Sprintf("%q in %q", u, name))
	}
}
