package segments_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/segments"
)

// A condition folded from the log alone, while the others went on, ends in the
// state that one program would have reached, whatever an earlier program left.
func TestOnlyBackfills(t *testing.T) {
	for seed := range uint64(50) {
		list := busy(rand.New(rand.NewPCG(seed, 0)), 300)
		old := compile(t, reference()[3:]...)
		all := compile(t, append(reference(), segments.Segment{Name: "counted", Who: segments.Visitor, Condition: segments.Did{Event: "Report Viewed", Times: segments.AtLeast(40)}})...)
		lived, whole := &segments.State{}, &segments.State{}
		for i, e := range list {
			all.Fold(segments.Visitor, whole, e)
			if i < 50 { // when the new segments were there already, for a while
				all.Fold(segments.Visitor, lived, e)
			} else {
				old.Fold(segments.Visitor, lived, e)
			}
		}
		kept := all.Only(old.Leaves())
		cold := all.Only(slices.DeleteFunc(all.Leaves(), func(k segments.LeafKey) bool { return slices.Contains(old.Leaves(), k) }))
		now := list[len(list)-1].Received.UnixMilli()
		kept.Forget(lived)
		if got, want := kept.Record(segments.Visitor, lived, now), old.Record(segments.Visitor, whole, now); !slices.Equal(got.Open, want.Open) {
			t.Fatalf("seed %d: a program that knows some conditions records %v, want %v", seed, got, want)
		}
		for _, e := range list {
			cold.Fold(segments.Visitor, lived, e)
		}
		if got, want := all.AppendState(nil, lived), all.AppendState(nil, whole); !bytes.Equal(got, want) {
			t.Fatalf("seed %d: backfilled to %x, want %x", seed, got, want)
		}
	}
}

// A segment is true for nobody while one of its conditions is not folded, and
// never for the other kind of unit.
func TestRecordIsOfWholeSegments(t *testing.T) {
	seg := segments.Segment{Who: segments.Account, Condition: segments.Any{
		segments.Did{Event: "A", Times: segments.Exactly(0)},
		segments.Did{Event: "B"},
	}}
	p := compile(t, seg)
	s := &segments.State{}
	now := start.UnixMilli()
	if !p.Record(segments.Account, s, now).Holds(seg.Key(), now) {
		t.Error("an account that did nothing did A")
	}
	if r := p.Record(segments.Visitor, s, now); len(r.Open) > 0 {
		t.Errorf("a visitor has the account's segment: %v", r)
	}
	for _, key := range p.Leaves() {
		if r := p.Only([]segments.LeafKey{key}).Record(segments.Account, s, now); len(r.Open) > 0 {
			t.Errorf("half a segment is recorded: %v", r)
		}
	}
	if got := p.Only(p.Leaves()).Record(segments.Account, s, now); !got.Holds(seg.Key(), now) {
		t.Error("a whole segment is not recorded")
	}
}

func TestListens(t *testing.T) {
	p := compile(t, reference()...)
	for _, tt := range []struct {
		who  segments.Who
		name string
		want bool
	}{
		{segments.Visitor, "Project Created", true},
		{segments.Visitor, "Teammate Invited", true},
		{segments.Visitor, "Report Exported", false},
		{segments.Account, "Report Exported", true},
		{segments.Account, "Project Created", false},
		{segments.Account, "Anything", false},
	} {
		if got := p.Listens(tt.who, tt.name); got != tt.want {
			t.Errorf("Listens(%s, %s) = %v", tt.who, tt.name, got)
		}
	}
}

func TestEventsOfSegment(t *testing.T) {
	list := reference()
	for i, want := range [][]string{{"Project Created", "Teammate Invited"}, {"Report Viewed"}, {"Error Shown"}, {"Report Exported", "Teammate Invited"}} {
		if got := list[i].Events(); !slices.Equal(got, want) {
			t.Errorf("%s hears %q, want %q", list[i].Name, got, want)
		}
	}
}

func TestExplain(t *testing.T) {
	p := compile(t, reference()...)
	s := &segments.State{}
	e := done{0, "v", "Project Created", nil}.event()
	p.Fold(segments.Visitor, s, e)
	now := e.Received.UnixMilli()
	got := ""
	for _, l := range p.Explain("trial-admins-without-teammate", s, now) {
		got += fmt.Sprint(strings.Repeat("  ", l.Depth), l.Condition)
		for _, v := range l.Holds {
			got += fmt.Sprint(" from ", time.Duration(v.From-now)*time.Millisecond)
		}
		got += "\n"
	}
	want := `all
  {trait: {"plan": "trial", "role": "admin"}}
  {did: "Project Created", without: "Teammate Invited", within: 2d} from 48h0m0s
`
	if got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
	p.Fold(segments.Visitor, s, done{0, "v", "Session Started", nil}.event())
	if lines := p.Explain("sleepy-trials", s, start.Add(31*day).UnixMilli()); len(lines) != 3 || len(lines[2].Holds) > 0 {
		t.Errorf("explains what is over: %v", lines)
	}
	if lines := p.Explain("nobody", s, now); lines != nil {
		t.Errorf("explains an unknown segment: %v", lines)
	}
}

// However many events come, with as many values and visitors as events, in
// whatever order, a state is bounded.
func TestStateIsBounded(t *testing.T) {
	const (
		eventsFolded = 100_000
		maxReference = 600 // bytes, of the visitor's five reference segments in normal use
		maxHostile   = 8 << 10
	)
	r := rand.New(rand.NewPCG(1, 2))
	for _, tt := range []struct {
		name    string
		who     segments.Who
		program *segments.Program
		max     int
		event   func(e *events.Event)
	}{
		{"normal use", segments.Visitor, compile(t, reference()...), maxReference, func(e *events.Event) {
			e.Name = []string{"Report Viewed", "Error Shown", "Session Started", "Pricing Viewed", "Project Created"}[r.IntN(5)]
			e.Properties = events.Properties{"code": fmt.Sprint("E", r.IntN(5))}
		}},
		{"never twice the same", segments.Visitor, compile(t, reference()...), maxHostile, func(e *events.Event) {
			e.Name = []string{"Error Shown", "Project Created"}[r.IntN(2)]
			e.Properties = events.Properties{"code": r.Uint64()}
			if r.IntN(10) == 0 {
				e.Kind = events.Identify
				e.Traits = events.Properties{fmt.Sprint(r.Uint64()): strings.Repeat("x", r.IntN(1000))}
			}
		}},
		{"never twice the same, ever", segments.Account, compile(t, segments.Segment{Who: segments.Account, Condition: segments.All{
			segments.Repeats{Event: "A", Same: "k", Times: segments.AtLeast(3), Visitors: segments.AtLeast(2)},
			segments.Regularly{Event: "A", On: 3, Of: 4, Every: time.Hour},
			segments.Resumed{Event: "A", Quiet: time.Hour, InLast: 10 * time.Hour},
			segments.Did{Event: "A", Times: segments.AtLeast(20), Visitors: segments.AtLeast(20)},
		}}), maxHostile, func(e *events.Event) {
			e.Name = "A"
			e.Visitor = fmt.Sprint(r.Uint64())
			e.Properties = events.Properties{"k": r.Uint64()}
		}},
	} {
		s := &segments.State{}
		at, largest := start, 0
		for i := range eventsFolded {
			at = at.Add(time.Duration(r.IntN(100)) * time.Second)
			e := &events.Event{Kind: events.Track, Visitor: "v", Account: "acme", Received: at, Time: at.Add(-time.Duration(r.IntN(1000)) * time.Minute)}
			tt.event(e)
			tt.program.Fold(tt.who, s, e)
			if i%100 == 0 || i == eventsFolded-1 {
				largest = max(largest, len(tt.program.AppendState(nil, s)))
			}
		}
		t.Logf("%s: at most %d bytes", tt.name, largest)
		if largest > tt.max {
			t.Errorf("%s: %d bytes, want at most %d", tt.name, largest, tt.max)
		}
	}
}

// A "without" remembers few of many events before its end. That changes
// nothing as long as no end comes late, nor if few of them are recent enough
// for a late end to matter. Otherwise a late end may delay the opening, but
// never hastens it.
func TestManyOpenings(t *testing.T) {
	const within = 10 * time.Minute
	seg := segments.Segment{Who: segments.Visitor, Condition: segments.Without{Event: "A", Without: "B", Within: within}}
	for _, tt := range []struct {
		name          string
		every, latest time.Duration // between events; of the end, if any
		delay         time.Duration
	}{
		{"no end", time.Hour, 0, 0},
		{"few recent", time.Hour, late, 0},
		{"many recent", time.Minute, 3 * time.Hour, 30 * time.Minute},
	} {
		delayed := false
		for seed := range uint64(100) {
			r := rand.New(rand.NewPCG(seed, 3))
			p := compile(t, seg)
			s := &segments.State{}
			now := start
			fold := func(name string, at time.Time) {
				p.Fold(segments.Visitor, s, &events.Event{Kind: events.Track, Name: name, Time: at, Received: now})
			}
			var begun []time.Time
			for range 200 {
				now = now.Add(tt.every + time.Duration(r.IntN(60_000))*time.Millisecond)
				begun = append(begun, now)
				fold("A", now)
			}
			if tt.latest > 0 {
				end := now.Add(-time.Duration(1+r.Int64N(tt.latest.Milliseconds())) * time.Millisecond)
				fold("B", end)
				begun = slices.DeleteFunc(begun, func(t time.Time) bool { return !t.After(end) })
			}
			open := p.Record(segments.Visitor, s, now.UnixMilli()).Open
			if len(open) != 1 || open[0].Until != segments.Forever {
				t.Fatalf("%s, seed %d: opens %v", tt.name, seed, open)
			}
			delay := time.UnixMilli(open[0].From).Sub(begun[0].Add(within))
			if delay < 0 || delay > tt.delay {
				t.Fatalf("%s, seed %d: opens %v after its time", tt.name, seed, delay)
			}
			delayed = delayed || delay > 0
		}
		if delayed != (tt.delay > 0) {
			t.Errorf("%s: delayed %v", tt.name, delayed)
		}
	}
}

func TestConditionsThatDoNotCompile(t *testing.T) {
	did := segments.Did{Event: "A"}
	for _, tt := range []struct {
		c    segments.Condition
		want string
	}{
		{nil, "a condition is missing"},
		{segments.All{did, nil}, "a condition is missing"},
		{segments.Not{}, "a condition is missing"},
		{segments.Trait{}, "which one"},
		{segments.Trait{Match: []segments.Match{{Key: "k", Test: segments.Test{Op: segments.GT, Values: []any{"5"}}}}}, `k: can't compare with 5 by "gt"`},
		{segments.Trait{Match: []segments.Match{{Key: "k", Test: segments.Test{Op: "like", Values: []any{"5"}}}}}, `k: no operator "like"`},
		{segments.Trait{Match: []segments.Match{{Key: "k", Test: segments.Test{Op: segments.Is, Values: []any{[]any{}}}}}}, "k: can't compare with []"},
		{segments.Did{}, "an event without a name"},
		{segments.Did{Event: "A", InLast: -time.Hour}, "in_last: -1h0m0s is not a span"},
		{segments.Did{Event: "A", InLast: time.Microsecond}, "in_last: 1µs is not a span"},
		{segments.Did{Event: "A", Times: segments.AtLeast(1001)}, "compares with more than 1000"},
		{segments.Did{Event: "A", Visitors: segments.AtLeast(2)}, "only the segment of an account"},
		{segments.Without{Event: "A", Without: "B"}, "within: 0s is not a span"},
		{segments.Before{Event: "A"}, "an event without a name"},
		{segments.Repeats{Event: "A", Times: segments.AtLeast(2)}, "same: which property"},
		{segments.Repeats{Event: "A", Same: "k", Times: segments.Exactly(2)}, `times: "= 2" is not of the form`},
		{segments.Days{Event: "A"}, `is: "" is true of every count`},
		{segments.Stopped{Event: "A", Active: time.Hour, Quiet: time.Hour}, "active: 1h0m0s is not longer than quiet"},
		{segments.Regularly{Event: "A", On: 5, Of: 4, Every: time.Hour}, "on 5 of 4"},
		{segments.Resumed{Event: "A", Quiet: time.Second, InLast: time.Hour}, "more than 100 times quiet"},
		{segments.Sequence{Event: "A", Within: time.Hour}, "then: 0 steps"},
		{segments.Sequence{Event: "A", Then: []string{"B"}}, "within: 0s is not a span"},
		{segments.Sequence{Event: "A", Then: []string{"B", "B", "B", "B", "B", "B", "B", "B"}, Within: time.Hour}, "then: 8 steps"},
		{segments.Distinct{Event: "A", Of: "k", Is: segments.AtLeast(257)}, "compares with more than 256"},
		{segments.Distinct{Event: "A", Is: segments.AtLeast(2)}, "of: which property"},
		{segments.Aggregate{Function: segments.Sum, Event: "A", Of: "k"}, "is: compare with what"},
		{segments.Cohort{}, "cohort: which one"},
		{segments.Ref{Name: "other"}, "a condition is missing"},
		{segments.Held{}, "a condition is missing"},
		{segments.Held{Condition: did, StableFor: -time.Hour}, "stable_for: -1h0m0s is not a span"},
	} {
		_, err := segments.Compile([]segments.Segment{{Name: "s", Who: segments.Visitor, Condition: tt.c}}, late)
		if err == nil || !strings.Contains(err.Error(), "segment s: ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v, want %s", tt.c, err, tt.want)
		}
	}
	if _, err := segments.Compile([]segments.Segment{{Name: "s", Who: "team", Condition: did}}, late); err == nil {
		t.Error("a segment of teams compiles")
	}
}

// Conditions that mean the same share a canonical form, and so a key; those
// that do not, don't.
func TestCanonicalForms(t *testing.T) {
	a, b := segments.Did{Event: "A"}, segments.Did{Event: "B"}
	for _, same := range [][2]segments.Condition{
		{segments.All{a, b}, segments.All{b, a}},
		{a, segments.Did{Event: "A", Times: segments.AtLeast(1)}},
		{segments.Did{Event: "A", InLast: 48 * time.Hour}, segments.Did{Event: "A", InLast: 2 * day}},
		{segments.Trait{Match: []segments.Match{is("a", 5.0), is("b", "x")}}, segments.Trait{Match: []segments.Match{is("b", "x"), is("a", 5.0)}}},
	} {
		if x, y := same[0].String(), same[1].String(); x != y {
			t.Errorf("%s and %s are not the same", x, y)
		}
	}
	texts := map[string]bool{}
	all := []segments.Condition{
		a, b, segments.All{a}, segments.Any{a}, segments.Not{Condition: a}, segments.All{}, segments.Any{},
		segments.Did{Event: `A", times: ">= 2`}, segments.Did{Event: "A", Times: segments.AtLeast(2)},
		segments.Did{Event: "A", Times: segments.Exactly(0)}, segments.Did{Event: "A", InLast: time.Hour},
		segments.Did{Event: "A", Visitors: segments.AtLeast(2)}, segments.Did{Event: "A", Where: []segments.Match{is("a", "5")}},
		segments.Did{Event: "A", Where: []segments.Match{is("a", 5.0)}}, segments.Did{Event: "A", Where: []segments.Match{is("a", nil)}},
		segments.Did{Event: "A", Where: []segments.Match{is("a", "null")}}, segments.Did{Event: "A", Where: []segments.Match{is("a", true)}},
		segments.First{Event: "A", InLast: time.Hour}, segments.Before{Event: "A", Before: "B"}, segments.Without{Event: "A", Without: "B", Within: time.Hour},
	}
	for _, c := range all {
		texts[c.String()] = true
	}
	if len(texts) != len(all) {
		t.Errorf("%d conditions have %d forms: %v", len(all), len(texts), texts)
	}
}

func TestNamesOfSegment(t *testing.T) {
	s := segments.Segment{Who: segments.Visitor, Condition: segments.Held{StickyFor: time.Hour, Condition: segments.Any{
		segments.Trait{Match: []segments.Match{is("plan", "trial"), is("address.city", "Bern")}},
		segments.Not{Condition: segments.Sequence{Event: "B", Then: []string{"A", "C"}, Within: time.Hour}},
		segments.Ref{Name: "other", Condition: segments.Cohort{Name: "amplitude/x"}},
	}}}
	n := s.Names()
	if got := fmt.Sprint(n); got != "{[A B C] [address.city plan] [amplitude/x]}" {
		t.Errorf("names: %s", got)
	}
	seen := segments.Names{Events: []string{"A", "B"}, Traits: []string{"address"}, Cohorts: []string{"amplitude/y"}}
	if got := fmt.Sprint(n.Without(seen)); got != "{[C] [plan] [amplitude/x]}" {
		t.Errorf("not seen: %s", got)
	}
}

func TestPropertiesOfSegment(t *testing.T) {
	where := []segments.Match{is("plan", "pro"), is("card.kind", "visa")}
	above, err := segments.ParseLimit("> 5")
	if err != nil {
		t.Fatal(err)
	}
	s := segments.Segment{Who: segments.Account, Condition: segments.Held{StableFor: time.Hour, Condition: segments.All{
		segments.Repeats{Event: "A", Where: where, Same: "code", Times: segments.AtLeast(2), InLast: time.Hour},
		segments.Not{Condition: segments.Distinct{Event: "A", Of: "step", Is: segments.AtLeast(2)}},
		segments.Ref{Name: "other", Condition: segments.Aggregate{Function: segments.Sum, Event: "B", Of: "price", Is: above}},
		segments.Sequence{Event: "C", Where: where[:1], Then: []string{"D"}, Within: time.Hour},
		segments.Trait{Match: []segments.Match{is("size", 5.0)}},
	}}}
	if got := fmt.Sprint(s.Properties()); got != "map[A:[card.kind code plan step] B:[price] C:[plan] D:[]]" {
		t.Errorf("properties: %s", got)
	}
}

func TestParseComparison(t *testing.T) {
	for _, tt := range []struct {
		text string
		want segments.Comparison
		form string
	}{
		{">= 3", segments.AtLeast(3), ">= 3"},
		{">=3", segments.AtLeast(3), ">= 3"},
		{"> 3", segments.AtLeast(4), ">= 4"},
		{"= 3", segments.Exactly(3), "= 3"},
		{"= 0", segments.Exactly(0), "= 0"},
		{"<= 3", segments.AtMost(3), "<= 3"},
		{"<= 0", segments.Exactly(0), "= 0"},
		{"< 3", segments.AtMost(2), "<= 2"},
		{"between 2 and 5", segments.Between(2, 5), "between 2 and 5"},
		{"between 2 and 2", segments.Exactly(2), "= 2"},
	} {
		got, err := segments.ParseComparison(tt.text)
		if err != nil || got != tt.want || got.String() != tt.form {
			t.Errorf("%q: %v (%q), %v, want %v (%q)", tt.text, got, got, err, tt.want, tt.form)
		}
		if again, err := segments.ParseComparison(got.String()); err != nil || again != got {
			t.Errorf("%q: reads its own form %q as %v, %v", tt.text, got, again, err)
		}
	}
	for _, tt := range []struct{ text, want string }{
		{"", "is not a comparison"},
		{"3", "is not a comparison"},
		{">= x", "is not a comparison"},
		{">= -1", "is not a comparison"},
		{">= 3 times", "is not a comparison"},
		{"=> 3", "is not a comparison"},
		{"between 2", "is not a comparison"},
		{"between 2 and", "is not a comparison"},
		{">= 0", "is true of every count"},
		{"< 0", "is true of no count"},
		{"between 5 and 2", "is true of no count"},
		{"> 1000", "compares with more than 1000"},
	} {
		if c, err := segments.ParseComparison(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, %v, want that it %s", tt.text, c, err, tt.want)
		}
	}
}
