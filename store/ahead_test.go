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

// TestEventsAheadOfTheirExposure: what a visitor does while the page is still on
// its way counts, and what they did before it was asked for doesn't.
func TestEventsAheadOfTheirExposure(t *testing.T) {
	c := &clock{t: epoch}
	ctx := context.Background()
	s := open(t, t.TempDir(), c, nil)
	defer closed(t, s)
	rule := loadSite(t).Rule(invite)
	did := func(who, name string) {
		e := &events.Event{Source: "edge", Kind: events.Track, Name: name, Visitor: who, Time: c.now(), Received: c.now()}
		if err := s.Append(ctx, []*events.Event{e}); err != nil {
			t.Fatal(err)
		}
	}
	const people = 10
	for i := range people {
		who := fmt.Sprint("visitor-", i)
		if i%2 == 0 {
			did(who, rule.Guardrail.Event)
		}
		c.advance(time.Second)
		asked := c.now()
		c.advance(time.Second)
		did(who, rule.Metric.Event)
		if i%2 == 1 {
			did(who, rule.Guardrail.Event)
		}
		did("stranger", rule.Guardrail.Event)
		arm, _ := rule.Assign(who)
		s.Expose(rules.Exposure{Rule: rule.Name, Version: rule.Version, Unit: segments.Unit{Who: segments.Visitor, ID: who},
			Arm: arm, Treatment: rule.Rollout.Treatment, At: asked})
		did(who, "Something Else") // is on disk after it
	}
	st, _ := s.Standing(invite)
	var sum struct{ exposed, converted, harmed, early int64 }
	for _, e := range st.Tally.Epochs {
		n := e.TreatmentArm.Plus(e.ControlArm)
		sum.exposed, sum.converted, sum.harmed, sum.early = n.Exposed, n.Converted, n.Harmed, n.Early
	}
	if sum.exposed != people || sum.converted != people || sum.harmed != people/2 || sum.early != 0 {
		t.Errorf("%+v of %d", sum, people)
	}
}

// What is kept is bounded, whoever sends it.
func TestEventsAheadAreBounded(t *testing.T) {
	var a ahead
	for i := range 100_000 {
		a.keep(segments.Unit{Who: segments.Visitor, ID: fmt.Sprint(i % 30_000)}, &events.Event{Time: time.UnixMilli(int64(i))}, 1000)
	}
	if len(a.list) != maxAhead/1000 || a.bytes > maxAhead || len(a.by) != len(a.list) {
		t.Errorf("%d events of %d bytes, of %d units", len(a.list), a.bytes, len(a.by))
	}
	if got := a.of(segments.Unit{Who: segments.Visitor, ID: "9999"}, 0); len(got) != 1 || got[0].Time.UnixMilli() != 99_999 {
		t.Errorf("the last one is %v", got)
	}
}

// So do those of an id that is merged into another meanwhile.
func TestEventsAheadOfAMerge(t *testing.T) {
	c := &clock{t: epoch}
	s := open(t, t.TempDir(), c, nil)
	defer closed(t, s)
	rule := loadSite(t).Rule(invite)
	arm, _ := rule.Assign("browser")
	asked := c.now()
	c.advance(time.Second)
	appendAll(t, s, track(c, "browser", rule.Guardrail.Event))
	c.advance(time.Second)
	appendAll(t, s, &events.Event{Source: "edge", Kind: events.Alias, Visitor: "user", Anonymous: "browser", Time: c.now(), Received: c.now()})
	s.Expose(rules.Exposure{Rule: rule.Name, Version: rule.Version, Unit: segments.Unit{Who: segments.Visitor, ID: "browser"},
		Arm: arm, Treatment: rule.Rollout.Treatment, At: asked})
	settle(t, s)
	st, _ := s.Standing(invite)
	if n := both(&st.Tally); n.Exposed != 1 || n.Harmed != 1 {
		t.Errorf("%+v", n)
	}
}
