package store

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

// TestKeptIDs: a person is assigned by the id of their first exposure, whoever
// they turn out to be, after a restart too, and by a new treatment as that id is.
func TestKeptIDs(t *testing.T) {
	c := &clock{t: epoch}
	dir, ctx := t.TempDir(), context.Background()
	s := open(t, dir, c, nil)
	rule := loadSite(t).Rule(invite)
	expose := func(id string) {
		arm, _ := rule.Assign(id)
		s.Expose(rules.Exposure{Rule: rule.Name, Version: rule.Version, Unit: segments.Unit{Who: segments.Visitor, ID: id},
			Arm: arm, Treatment: rule.Rollout.Treatment, At: c.now()})
	}
	alias := func(from, to string) {
		e := &events.Event{Source: "edge", Kind: events.Alias, Visitor: to, Anonymous: from, Time: c.now(), Received: c.now()}
		if err := s.Append(ctx, []*events.Event{e}); err != nil {
			t.Fatal(err)
		}
	}
	const people = 40
	for i := range people {
		expose(fmt.Sprint("browser-", i))
		c.advance(time.Second)
		alias(fmt.Sprint("browser-", i), fmt.Sprint("user-", i))
		if i%2 == 0 {
			alias(fmt.Sprint("user-", i), fmt.Sprint("person-", i))
		}
	}
	other := *rule
	other.Rollout.Treatment = .9
	for range 2 {
		for i := range people {
			from, to := fmt.Sprint("browser-", i), fmt.Sprint("user-", i)
			for _, id := range []string{from, to} {
				unit, record := s.Lookup(segments.Unit{Who: segments.Visitor, ID: id})
				for _, r := range []*rules.Rule{rule, &other} {
					want, _ := r.Assign(from)
					if arm, in := r.Arm(unit, record); arm != want || !in {
						t.Fatalf("%s, now %s, is in %s, and was in %s", id, unit.ID, arm, want)
					}
				}
			}
		}
		closed(t, s)
		s = open(t, dir, c, nil)
	}
	closed(t, s)
}

// Who was exposed before a resume, and is merged again before they are exposed
// after it, is assigned by the first id still; and so they are where a page that
// they were assigned for by it ends after the merge.
func TestKeptIDAfterAResume(t *testing.T) {
	c := &clock{t: epoch}
	s := open(t, t.TempDir(), c, nil)
	defer closed(t, s)
	rule := loadSite(t).Rule(invite)
	arm, _ := rule.Assign("browser")
	expose := func(id string) {
		s.Expose(rules.Exposure{Rule: rule.Name, Version: rule.Version, Unit: segments.Unit{Who: segments.Visitor, ID: id},
			Arm: arm, Treatment: rule.Rollout.Treatment, At: c.now()})
		settle(t, s)
	}
	alias := func(from, to string) {
		c.advance(time.Second)
		appendAll(t, s, &events.Event{Source: "edge", Kind: events.Alias, Visitor: to, Anonymous: from, Time: c.now(), Received: c.now()})
		unit, record := s.Lookup(segments.Unit{Who: segments.Visitor, ID: "browser"})
		if len(record.Kept) != 1 || record.Kept[0].As != "browser" {
			t.Errorf("%s, now %s, is assigned as %+v", from, unit.ID, record.Kept)
		}
	}
	expose("browser")
	alias("browser", "user")
	if err := s.Rollback(context.Background(), invite, ByPerson, "me", "to see"); err != nil {
		t.Fatal(err)
	}
	if err := s.Resume(context.Background(), invite, "me", "seen"); err != nil {
		t.Fatal(err)
	}
	alias("user", "person")
	expose("user")
	alias("person", "member")
}
