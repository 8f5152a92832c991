package oracle

import (
	"math/rand/v2"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/segments"
)

// Generator generates cases.
type Generator struct {
	*rand.Rand
	Who  segments.Who
	Unit time.Duration // times and durations are multiples of it, give or take a millisecond
	// Cohorts says that conditions may ask for cohorts, of which Cohorts are the
	// memberships.
	Cohorts  bool
	steadied bool
}

func pick[T any](c *Generator, from ...T) T { return from[c.IntN(len(from))] }

// Event generates an event that arrives now, and may be late.
func (c *Generator) Event(now time.Time, late time.Duration) *events.Event {
	e := &events.Event{
		Source:   "test",
		Kind:     events.Track,
		Visitor:  pick(c, "v1", "v2", "v3"),
		Received: now,
		Time:     now,
	}
	if late > 0 && c.IntN(3) == 0 {
		ago := time.Duration(c.IntN(int(late/c.Unit)+1))*c.Unit - time.Duration(c.IntN(2))*time.Millisecond
		e.Time = now.Add(-max(0, ago))
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

func (c *Generator) name() string    { return pick(c, "A", "A", "B", "C") }
func (c *Generator) account() string { return pick(c, "acme", "globex") }

func (c *Generator) properties() events.Properties {
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
func (c *Generator) number() any { return pick[any](c, 1.0, 2.0, 5.0, 0.1, 0.2, 0.7, -3.0, "5", nil) }

func (c *Generator) value() any {
	return pick[any](c, 1.0, 1.0, 2.0, "1", "xy", "x", true, nil)
}

func (c *Generator) duration() time.Duration { return time.Duration(1+c.IntN(6)) * c.Unit }

// window is a duration, or none.
func (c *Generator) window() time.Duration {
	if c.IntN(4) == 0 {
		return 0
	}
	return c.duration()
}

func (c *Generator) comparison() segments.Comparison {
	n := 1 + c.IntN(3)
	return pick(c, segments.AtLeast(n), segments.AtLeast(n), segments.Exactly(n-1), segments.AtMost(n-1), segments.Between(n, n+1))
}

func (c *Generator) visitors() segments.Comparison {
	if c.Who == segments.Visitor || c.IntN(2) == 0 {
		return segments.Comparison{}
	}
	return c.comparison()
}

func (c *Generator) match() segments.Match {
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

func (c *Generator) where() []segments.Match {
	if c.IntN(4) != 0 {
		return nil
	}
	return []segments.Match{c.match()}
}

func (c *Generator) conditions(depth int) []segments.Condition {
	list := make([]segments.Condition, c.IntN(4))
	for i := range list {
		list[i] = c.Condition(depth)
	}
	return list
}

// Condition generates a condition of at most so many levels of connectives.
func (c *Generator) Condition(depth int) segments.Condition {
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
		if !c.Cohorts {
			return segments.Trait{Match: []segments.Match{c.match()}}
		}
		return segments.Cohort{Name: pick(c, "m", "m", "nobody's")}
	case 13:
		return segments.All(c.conditions(depth - 1))
	case 14:
		return segments.Any(c.conditions(depth - 1))
	case 15:
		return segments.Ref{Name: "other", Condition: c.Condition(depth - 1)}
	case 16:
		if c.steadied = !c.steadied; !c.steadied && c.IntN(8) > 0 { // the oracle takes long for one in another
			return c.Condition(depth - 1)
		}
		h := segments.Held{Condition: c.Condition(depth - 1)}
		if c.IntN(3) > 0 {
			h.StableFor = c.duration()
		}
		if c.IntN(3) > 0 {
			h.StickyFor = c.duration()
		}
		return h
	default:
		return segments.Not{Condition: c.Condition(depth - 1)}
	}
}
