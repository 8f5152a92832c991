package outcomes

import (
	"cmp"
	"math"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

// Enrolment is what is remembered of one unit that was exposed to one version
// of a rule. Times are Unix milliseconds.
type Enrolment struct {
	Arm       rules.Arm // rules.Treatment or rules.Control
	Treatment float64   // the probability of treatment at the first exposure: its epoch. See Merge
	At        int64     // the first exposure
	Converted int64     // the first metric event within the window; 0: none
	Harmed    int64     // the first guardrail event within the window; 0: none
	// MetricClosed and GuardrailClosed say that the window is over and counted.
	MetricClosed, GuardrailClosed bool
	// Moved marks a unit that a change of the rollout later put in the other
	// arm. It is analysed as first assigned: to leave it out would take from
	// one arm only, and from its returning units only.
	Moved bool
	// Mixed marks a unit that saw both arms under one probability, or under
	// two ids: counted in Tally.Mixed alone. Nothing further is kept of it.
	Mixed bool
	// Early, Late and Dropped say that the unit also did the metric or guardrail
	// event when it doesn't count: before the exposure or in its millisecond,
	// told after it; after the window; within it, but received more than Grace
	// after its end.
	Early, Late, Dropped bool
	// Sum is what the unit came to within the metric's window: the sum of the
	// metric's value in millionths, up to its cap, or how often its event came.
	// Per is how often the event came that it is per. A metric that is a rate has
	// neither.
	Sum, Per int64
	// NoValue, NotNumber and Negative say that a metric event of the unit added
	// nothing to Sum: its value was absent, no number, or below 0.
	NoValue, NotNumber, Negative bool
	// Browser is that of the first exposure; "": an earlier release kept none.
	Browser rules.Browser
}

// Grace is how long after the end of a window an event of within it may be
// received and still count.
const Grace = 24 * time.Hour

// Enrol folds an exposure into what is known of the unit (nil: nothing) and
// the tally. The exposure folded first is the first exposure. A further one
// changes nothing, but one in the other arm marks the unit: Mixed if the
// probability of treatment was the same, Moved if it was another. It reports
// whether this was the unit's first.
func Enrol(t *Tally, known *Enrolment, x *rules.Exposure) (now Enrolment, first bool) {
	if known == nil {
		now = Enrolment{Arm: x.Arm, Treatment: x.Treatment, At: x.At.UnixMilli(), Browser: x.Browser}
		t.count(&now, +1)
		if t.Started != 0 {
			t.Earliest, t.Latest = earlier(t.Earliest, now.At), max(t.Latest, now.At)
		}
		return now, true
	}
	now = *known
	switch {
	case known.Mixed || known.Arm == x.Arm:
		return now, false
	case known.Treatment == x.Treatment:
		now = now.mix()
	default:
		now.Moved = true
	}
	t.replace(known, &now)
	return now, false
}

// Observe folds an event of an enrolled unit: a conversion or a harm, if it is
// the rule's metric or guardrail event, matches its where, and lies within the
// window after the first exposure. A late one is counted also after the window
// closed, until Grace is over. One that doesn't count is noted, with the reason.
// It reports whether anything changed. Whether the event is one of this unit,
// and folded for the first time, is up to the caller: folding it again changes
// nothing of the first times, but adds to sums once more.
func Observe(t *Tally, n *Enrolment, r *rules.Rule, e *events.Event) (changed bool) {
	if n.Mixed || e.Kind != events.Track {
		return false
	}
	old, at := *n, e.Time.UnixMilli()
	m, g := &r.Metric, &r.Guardrail
	if e.Name == m.Event && holds(m.Where, e.Properties) && n.takes(e, m.Within) {
		n.Converted = earlier(n.Converted, at)
		n.measure(m, e)
	}
	if m.Per != "" && e.Name == m.Per && n.takes(e, m.Within) {
		n.Per = plus(n.Per, 1, rules.MaxMetricValue*millionths)
	}
	if e.Name == g.Event && holds(g.Where, e.Properties) && n.takes(e, g.Within) {
		n.Harmed = earlier(n.Harmed, at)
	}
	if *n == old {
		return false
	}
	t.replace(&old, n)
	return true
}

// takes says whether an event counts by its time, and notes why not.
func (n *Enrolment) takes(e *events.Event, within time.Duration) bool {
	switch at := e.Time.UnixMilli(); {
	case at <= n.At:
		n.Early = true
	case at > n.end(within):
		n.Late = true
	case e.Received.UnixMilli() > n.end(within+Grace):
		n.Dropped = true
	default:
		return true
	}
	return false
}

// Close counts that windows of the unit are over at now. It reports whether
// anything changed. Call it at Due, or at any time after.
func Close(t *Tally, n *Enrolment, r *rules.Rule, now int64) (changed bool) {
	if n.Mixed {
		return false
	}
	old := *n
	n.MetricClosed = n.MetricClosed || now >= n.end(r.Metric.Within)
	n.GuardrailClosed = n.GuardrailClosed || now >= n.end(r.Guardrail.Within)
	if *n == old {
		return false
	}
	t.replace(&old, n)
	return true
}

// Due returns the next time at which Close has something to count, or
// segments.Forever.
func Due(n *Enrolment, r *rules.Rule) int64 {
	due := segments.Forever
	if n.Mixed {
		return due
	}
	if !n.MetricClosed {
		due = n.end(r.Metric.Within)
	}
	if !n.GuardrailClosed {
		due = min(due, n.end(r.Guardrail.Within))
	}
	return due
}

// Merge returns the enrolment of a person of whom n and other, two units of
// the tally, are two ids. It changes neither, but the tally counts the result
// in their place. The earlier exposure counts, with its window: what either
// did for the first time after that is dropped again. What both came to is added
// up, each by its own window, for when its parts came is not kept. A person whose ids were enrolled in
// different arms is Mixed; one whose ids were in the same arm is of an epoch of its
// own, unless treatment is one half: see alike.
//
// What an id did before its own first exposure was not kept, so it does not
// count even if the other id had been exposed by then.
func Merge(t *Tally, n, other *Enrolment, r *rules.Rule) Enrolment {
	now, later := *n, *other
	if cmp.Or(cmp.Compare(later.At, now.At), cmp.Compare(later.Treatment, now.Treatment), cmp.Compare(later.Browser, now.Browser)) < 0 {
		now, later = later, now
	}
	if now.Mixed || later.Mixed || now.Arm != later.Arm {
		now = now.mix()
	} else {
		if now.within(later.Converted, r.Metric.Within) {
			now.Converted = earlier(now.Converted, later.Converted)
		}
		if now.within(later.Harmed, r.Guardrail.Within) {
			now.Harmed = earlier(now.Harmed, later.Harmed)
		}
		now.Treatment = alike(now.Treatment, later.Treatment)
		now.MetricClosed = now.MetricClosed || later.MetricClosed
		now.GuardrailClosed = now.GuardrailClosed || later.GuardrailClosed
		now.Moved = now.Moved || later.Moved
		now.Early = now.Early || later.Early
		now.Late = now.Late || later.Late
		now.Dropped = now.Dropped || later.Dropped
		now.Sum = plus(now.Sum, later.Sum, limitOf(&r.Metric))
		now.Per = plus(now.Per, later.Per, rules.MaxMetricValue*millionths)
		now.NoValue = now.NoValue || later.NoValue
		now.NotNumber = now.NotNumber || later.NotNumber
		now.Negative = now.Negative || later.Negative
	}
	t.count(&now, +1)
	t.count(n, -1)
	t.count(other, -1)
	return now
}

// alike is the probability of treatment of two ids, whose own are p and q, given
// that both are in the same arm. To leave out who is in two arms takes more from
// the smaller arm than from the greater, so of those who are left this is the
// chance that they had. It is rounded, to be the same in any order of merges.
func alike(p, q float64) float64 {
	both, neither := p*q, (1-p)*(1-q)
	return math.Round(both/(both+neither)*1e12) / 1e12
}

// end is the last millisecond of a window.
func (n *Enrolment) end(within time.Duration) int64 { return n.At + within.Milliseconds() }

// within says whether a time, that is not 0, lies in a window.
func (n *Enrolment) within(at int64, within time.Duration) bool {
	return at != 0 && n.At < at && at <= n.end(within)
}

// earlier returns the earlier of the time known, if any, and at.
func earlier(known, at int64) int64 {
	if known == 0 {
		return at
	}
	return min(known, at)
}

// holds says whether an event of these properties passes every test.
func holds(where []segments.Match, p events.Properties) bool {
	for _, m := range where {
		if !m.Holds(p) {
			return false
		}
	}
	return true
}

// mix returns what is kept of a unit that saw both arms.
func (n Enrolment) mix() Enrolment {
	return Enrolment{Arm: n.Arm, Treatment: n.Treatment, At: n.At, Mixed: true}
}

// counts is what the unit contributes to the counts of its arm and epoch.
func (n *Enrolment) counts() Counts {
	one := func(b bool) int64 {
		if b {
			return 1
		}
		return 0
	}
	converted, harmed := n.Converted != 0, n.Harmed != 0
	var sums Sums
	if n.MetricClosed {
		sums = n.sums()
	}
	c := Counts{
		Exposed:          1,
		Converted:        one(converted),
		Harmed:           one(harmed),
		Settled:          one(harmed || n.GuardrailClosed),
		Closed:           one(n.GuardrailClosed),
		ClosedHarmed:     one(harmed && n.GuardrailClosed),
		Matured:          one(n.MetricClosed),
		MaturedConverted: one(converted && n.MetricClosed),
		Moved:            one(n.Moved),
		Early:            one(n.Early),
		Late:             one(n.Late),
		Dropped:          one(n.Dropped),
		Sums:             sums,
		NoValue:          one(n.NoValue),
		NotNumber:        one(n.NotNumber),
		Negative:         one(n.Negative),
	}
	if b := c.Browsers.Of(n.Browser); b != nil {
		*b = 1
	}
	return c
}
