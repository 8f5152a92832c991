package segments_test

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/segments"
)

var (
	seed  = flag.Uint64("seed", 0, "first case of TestAgainstOracle; 0: by the clock")
	cases = flag.Int("cases", 10_000, "how many cases TestAgainstOracle generates")
)

// The engine's records agree with the oracle at every time that could matter,
// whatever the segments, the events and the order of their arrival.
func TestAgainstOracle(t *testing.T) {
	first := *seed
	if first == 0 {
		first = uint64(time.Now().UnixNano())
	}
	t.Logf("%d cases from -seed %d", *cases, first)
	checked := 0
	for i := range uint64(*cases) {
		c := newTrial(first + i)
		if err := c.run(); err != nil {
			t.Fatalf("%v\nagain: -run TestAgainstOracle -cases 1 -seed %d\n%v", err, first+i, c)
		}
		checked += c.checked
	}
	t.Logf("%d comparisons", checked)
}

// trial is one generated case: a program, and events of two units of which the
// second may turn out to be the first.
type trial struct {
	*rand.Rand
	who      segments.Who
	segments []segments.Segment
	program  *segments.Program
	parts    []*segments.Program // folded one after the other, instead of program
	unit     time.Duration       // times and durations are multiples of it, give or take a millisecond
	late     time.Duration
	now      time.Time
	states   [2]*segments.State
	history  [2]history
	merged   bool
	steadied bool
	checked  int
	log      []string
}

func newTrial(seed uint64) *trial {
	c := &trial{Rand: rand.New(rand.NewPCG(seed, 0))}
	c.who = pick(c, segments.Visitor, segments.Account)
	c.unit = pick(c, 2*time.Millisecond, time.Second, 6*time.Hour)
	c.late = time.Duration(c.IntN(6)) * c.unit
	// Shortly before midnight, so that days change.
	c.now = time.UnixMilli(1_700_006_400_000).UTC().Add(-3 * c.unit)
	for i := range 1 + c.IntN(2) {
		c.segments = append(c.segments, segments.Segment{Name: fmt.Sprint("s", i), Who: c.who, Condition: c.condition(2)})
	}
	c.states = [2]*segments.State{{}, {}}
	return c
}

func pick[T any](c *trial, from ...T) T { return from[c.IntN(len(from))] }

func (c *trial) String() string {
	var b strings.Builder
	for _, s := range c.segments {
		fmt.Fprintf(&b, "%s %s %v\n", s.Name, s.Who, s.Condition)
	}
	fmt.Fprintf(&b, "late %v\n%s\n", c.late, strings.Join(c.log, "\n"))
	return b.String()
}

func (c *trial) note(format string, args ...any) { c.log = append(c.log, fmt.Sprintf(format, args...)) }

func (c *trial) run() (err error) {
	if c.program, err = segments.Compile(c.segments, c.late); err != nil {
		return err
	}
	c.parts = []*segments.Program{c.program}
	if leaves := c.program.Leaves(); c.IntN(4) == 0 && len(leaves) > 0 {
		n := c.IntN(len(leaves))
		c.parts = []*segments.Program{c.program.Only(leaves[:n]), c.program.Only(leaves[n:])}
	}
	n := 1 + c.IntN(14)
	for i := range n {
		c.now = c.now.Add(time.Duration(c.IntN(3))*c.unit + time.Duration(c.IntN(3))*time.Millisecond)
		if err := c.arrive(c.event()); err != nil {
			return err
		}
		if c.IntN(8) == 0 && !c.merged {
			c.merged = true
			c.note("merge")
			c.program.Merge(c.states[0], c.states[1], c.now.UnixMilli())
			c.history[0] = append(c.history[0], c.history[1]...)
		}
		if i == n-1 || c.IntN(3) == 0 {
			if err := c.check(); err != nil {
				return err
			}
		}
	}
	return nil
}

// arrive folds an event into one of the units.
func (c *trial) arrive(e *events.Event) error {
	u := c.IntN(2)
	if c.merged {
		u = 0
	}
	c.history[u] = append(c.history[u], e)
	s := c.states[u]
	before := c.program.AppendState(nil, s)
	changed := false
	for _, p := range c.parts {
		changed = p.Fold(c.who, s, e) || changed
	}
	after := c.program.AppendState(nil, s)
	c.note("%d <- %s %s at %d received %d by %s of %q %v %v", u, e.Kind, e.Name, at(e), e.Received.UnixMilli(), e.Visitor, e.Account, e.Properties, e.Traits)
	if changed == bytes.Equal(before, after) {
		return fmt.Errorf("Fold says changed %v of %x and %x", changed, before, after)
	}
	if c.IntN(3) == 0 {
		s, err := segments.DecodeState(after)
		if err != nil {
			return err
		}
		if again := c.program.AppendState(nil, s); !bytes.Equal(again, after) {
			return fmt.Errorf("%x is decoded and encoded to %x", after, again)
		}
		c.states[u] = s
	}
	return nil
}

func (c *trial) check() error {
	now := c.now.UnixMilli()
	if c.IntN(3) == 0 {
		now += int64(c.IntN(4)) * ms(c.unit)
	}
	for u, s := range c.states {
		if u == 1 && c.merged {
			break
		}
		r := c.program.Record(c.who, s, now)
		s.Cohorts = cohorts
		r.Open = append(r.Open, c.program.Synced(c.who, s, now)...)
		slices.SortStableFunc(r.Open, func(a, b segments.Open) int { return cmp.Compare(a.Segment, b.Segment) })
		if err := wellFormed(r, now); err != nil {
			return fmt.Errorf("unit %d at %d: %w: %v", u, now, err, r)
		}
		if want := c.history[u].account(); c.who == segments.Visitor && r.Account != want {
			return fmt.Errorf("unit %d is of account %q, want %q", u, r.Account, want)
		}
		for _, seg := range c.segments {
			key := seg.Key()
			for _, at := range moments(seg.Condition, c.history[u], now) {
				c.checked++
				got, want := r.Holds(key, at), c.history[u].holds(seg.Condition, c.who, at)
				if got != want {
					return fmt.Errorf("unit %d, recorded at %d: %s holds at %d (now + %d): %v, want %v: %v", u, now, seg.Name, at, at-now, got, want, r.Open)
				}
			}
		}
	}
	return nil
}

func wellFormed(r segments.Record, now int64) error {
	for i, o := range r.Open {
		if o.From >= o.Until || o.Until <= now {
			return fmt.Errorf("%v is empty or over", o)
		}
		if i == 0 {
			continue
		}
		p := r.Open[i-1]
		if p.Segment > o.Segment || p.Segment == o.Segment && p.Until >= o.From {
			return fmt.Errorf("%v comes after %v", o, p)
		}
	}
	return nil
}

// moments are the times from now on at which the truth of a condition could
// change, the millisecond before, and the one after.
func moments(c segments.Condition, h history, now int64) []int64 {
	list := []int64{now, now + 1, segments.Forever - 1}
	for _, d := range append(spans(c), 0) {
		for _, e := range h {
			for _, t := range []int64{at(e) + ms(d) - 1, at(e) + ms(d), at(e) + ms(d) + 1} {
				if t >= now {
					list = append(list, t)
				}
			}
		}
	}
	for _, edge := range memberEdges {
		for _, d := range append(spans(c), 0) {
			if t := edge + ms(d); t > now && asks(c) {
				list = append(list, t-1, t)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// asks says whether a condition asks for a cohort.
func asks(c segments.Condition) bool { return strings.Contains(c.String(), "{cohort: ") }

// spans are the durations after an event at which it may matter.
func spans(c segments.Condition) []time.Duration {
	list := spansOf(c)
	slices.Sort(list)
	return slices.Compact(list)
}

func spansOf(c segments.Condition) (list []time.Duration) {
	switch c := c.(type) {
	case segments.All:
		for _, kid := range c {
			list = append(list, spans(kid)...)
		}
	case segments.Any:
		for _, kid := range c {
			list = append(list, spans(kid)...)
		}
	case segments.Not:
		return spans(c.Condition)
	case segments.Did:
		return []time.Duration{c.InLast}
	case segments.Without:
		return []time.Duration{c.Within}
	case segments.Repeats:
		return []time.Duration{c.InLast}
	case segments.Days:
		return []time.Duration{c.InLast}
	case segments.Stopped:
		return []time.Duration{c.Active, c.Quiet}
	case segments.First:
		return []time.Duration{c.InLast}
	case segments.Regularly:
		for i := range c.Of + 1 {
			list = append(list, time.Duration(i)*c.Every)
		}
	case segments.Resumed:
		return []time.Duration{c.Quiet, c.InLast}
	case segments.Sequence:
		return []time.Duration{c.Within, c.InLast}
	case segments.Distinct:
		return []time.Duration{c.InLast}
	case segments.Aggregate:
		return []time.Duration{c.InLast}
	case segments.Ref:
		return spans(c.Condition)
	case segments.Held:
		for _, d := range append(spans(c.Condition), 0) {
			list = append(list, d, d+c.StableFor, d+c.StickyFor, d+c.StableFor+c.StickyFor)
		}
	}
	return list
}

// event generates the next event to arrive, at c.now.
func (c *trial) event() *events.Event {
	e := &events.Event{
		Source:   "test",
		Kind:     events.Track,
		Visitor:  pick(c, "v1", "v2", "v3"),
		Received: c.now,
		Time:     c.now,
	}
	if c.late > 0 && c.IntN(3) == 0 {
		ago := time.Duration(c.IntN(int(c.late/c.unit)+1))*c.unit - time.Duration(c.IntN(2))*time.Millisecond
		e.Time = c.now.Add(-max(0, ago))
	}
	switch c.IntN(8) {
	case 0:
		e.Kind, e.Traits = events.Identify, c.properties()
	case 1:
		e.Kind, e.Traits, e.Account = events.Group, c.properties(), c.account()
	default:
		e.Name, e.Properties = c.name(), c.properties()
	}
	if c.IntN(8) == 0 {
		e.Account = c.account()
	}
	return e
}

func (c *trial) name() string    { return pick(c, "A", "A", "B", "C") }
func (c *trial) account() string { return pick(c, "acme", "globex") }

func (c *trial) properties() events.Properties {
	if c.IntN(3) == 0 {
		return nil
	}
	p := events.Properties{"k": c.value(), "n": c.number()}
	switch c.IntN(6) {
	case 0:
		p["o"] = map[string]any{"k": c.value()}
	case 1:
		p["o.k"] = c.value()
	case 2:
		p["k"] = []any{c.value(), c.value()}
	}
	return p
}

// number is the value of property "n", or none.
func (c *trial) number() any { return pick[any](c, 1.0, 2.0, 5.0, 0.1, 0.2, 0.7, -3.0, "5", nil) }

func (c *trial) value() any {
	return pick[any](c, 1.0, 1.0, 2.0, "1", "xy", "x", true, nil)
}

func (c *trial) duration() time.Duration { return time.Duration(1+c.IntN(6)) * c.unit }

// window is a duration, or none.
func (c *trial) window() time.Duration {
	if c.IntN(4) == 0 {
		return 0
	}
	return c.duration()
}

func (c *trial) comparison() segments.Comparison {
	n := 1 + c.IntN(3)
	return pick(c, segments.AtLeast(n), segments.AtLeast(n), segments.Exactly(n-1), segments.AtMost(n-1), segments.Between(n, n+1))
}

func (c *trial) visitors() segments.Comparison {
	if c.who == segments.Visitor || c.IntN(2) == 0 {
		return segments.Comparison{}
	}
	return c.comparison()
}

func (c *trial) match() segments.Match {
	test := segments.Test{Op: pick(c, segments.Is, segments.Is, segments.Is, segments.IsNot, segments.Exists, segments.Contains, segments.GT, segments.GTE, segments.LT, segments.LTE)}
	switch test.Op {
	case segments.Is, segments.IsNot:
		test.Values = []any{c.value()}
		if c.IntN(2) == 0 {
			test.Values = append(test.Values, c.value())
		}
	case segments.Exists:
		test.Values = []any{c.IntN(2) == 0}
	case segments.Contains:
		test.Values = []any{pick[any](c, "x", "1", 1.0, true)}
	default:
		test.Values = []any{pick[any](c, 1.0, 1.5)}
	}
	return segments.Match{Key: pick(c, "k", "k", "k", "o.k", "k.z"), Test: test}
}

func (c *trial) where() []segments.Match {
	if c.IntN(4) != 0 {
		return nil
	}
	return []segments.Match{c.match()}
}

func (c *trial) conditions(depth int) []segments.Condition {
	list := make([]segments.Condition, c.IntN(4))
	for i := range list {
		list[i] = c.condition(depth)
	}
	return list
}

func (c *trial) condition(depth int) segments.Condition {
	kinds := 18
	if depth == 0 {
		kinds = 13
	}
	switch c.IntN(kinds) {
	case 0:
		return segments.Trait{Match: []segments.Match{c.match()}}
	case 1, 2:
		times := c.comparison()
		if c.IntN(4) == 0 {
			times = segments.Comparison{}
		}
		return segments.Did{Event: c.name(), Where: c.where(), Times: times, InLast: c.window(), Visitors: c.visitors()}
	case 3:
		return segments.Without{Event: c.name(), Where: c.where(), Without: c.name(), Within: c.duration()}
	case 4:
		return segments.Before{Event: c.name(), Where: c.where(), Before: c.name()}
	case 5:
		return segments.Repeats{Event: c.name(), Where: c.where(), Same: pick(c, "k", "k", "o.k"), Times: segments.AtLeast(1 + c.IntN(3)), InLast: c.window(), Visitors: c.visitors()}
	case 6:
		return segments.Days{Event: c.name(), Where: c.where(), Is: c.comparison(), InLast: c.window()}
	case 7:
		quiet := c.duration()
		return segments.Stopped{Event: c.name(), Where: c.where(), Active: quiet + c.duration(), Quiet: quiet}
	case 8:
		of := 1 + c.IntN(4)
		return segments.Regularly{Event: c.name(), Where: c.where(), On: 1 + c.IntN(of), Of: of, Every: c.duration()}
	case 9:
		if c.IntN(3) == 0 {
			return segments.First{Event: c.name(), Where: c.where(), InLast: c.duration()}
		}
		return segments.Resumed{Event: c.name(), Where: c.where(), Quiet: c.duration(), InLast: c.duration()}
	case 10:
		var then []string
		for range 1 + c.IntN(3) {
			then = append(then, c.name())
		}
		return segments.Sequence{Event: c.name(), Where: c.where(), Then: then, Within: c.duration(), InLast: c.window()}
	case 11:
		if c.IntN(3) == 0 {
			return segments.Distinct{Event: c.name(), Where: c.where(), Of: pick(c, "k", "o.k"), Is: c.comparison(), InLast: c.window()}
		}
		limit := pick(c, ">= ", "> ", "= ", "<= ", "< ", "between -0.9 and ") + pick(c, "0", "0.3", "1", "2.7", "5")
		is, err := segments.ParseLimit(limit)
		if err != nil {
			panic(err)
		}
		f := pick(c, segments.Sum, segments.Average, segments.Minimum, segments.Maximum)
		return segments.Aggregate{Function: f, Event: c.name(), Where: c.where(), Of: pick(c, "n", "n", "n", "k"), Is: is, InLast: c.window()}
	case 12:
		return segments.Cohort{Name: pick(c, "m", "m", "nobody's")}
	case 13:
		return segments.All(c.conditions(depth - 1))
	case 14:
		return segments.Any(c.conditions(depth - 1))
	case 15:
		return segments.Ref{Name: "other", Condition: c.condition(depth - 1)}
	case 16:
		if c.steadied = !c.steadied; !c.steadied && c.IntN(8) > 0 { // the oracle takes long for one in another
			return c.condition(depth - 1)
		}
		h := segments.Held{Condition: c.condition(depth - 1)}
		if c.IntN(3) > 0 {
			h.StableFor = c.duration()
		}
		if c.IntN(3) > 0 {
			h.StickyFor = c.duration()
		}
		return h
	default:
		return segments.Not{Condition: c.condition(depth - 1)}
	}
}
