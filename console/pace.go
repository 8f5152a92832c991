package console

import (
	"fmt"
	"math"
	"time"

	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

// Pace is how fast a run comes to an answer.
type Pace struct {
	PerDay float64 `json:"exposed_per_day"` // units, of both arms, over the last seven days or the run
	// Base is the metric's rate in control, among the units whose window is over:
	// what Tests reckon with. 0: not known yet, or the metric is no rate, and then
	// there are no Tests.
	Base  float64    `json:"base,omitempty"`
	Tests []PaceTest `json:"tests,omitempty"`
}

// PaceTest is what it takes to tell a change from none with a power of 80 %.
type PaceTest struct {
	Change float64 `json:"change"` // relative
	Seen   bool    `json:"seen"`   // it is the change seen now: a guess, and a hopeful one
	Units  int64   `json:"units"`  // of both arms, whose window is over
	// Days from now until that many units are, at this pace, and no less than
	// until exposures span the seven days that an answer takes.
	Days float64 `json:"days"`
}

const (
	paceSpan   = 7 * 24 * time.Hour
	paceChange = .1 // the change that a pace is given for, whatever is seen
	answerDays = 7  // what outcomes.Verdict.TooEarly asks for
)

// pace reckons how long a run takes still, nil: nobody was exposed yet. The
// points end now.
func pace(r *rules.Rule, v *outcomes.Verdict, points []store.Point) *Pace {
	if len(points) < 2 {
		return nil
	}
	now := points[len(points)-1]
	from := points[0]
	for _, p := range points {
		if now.At.Sub(p.At) >= paceSpan {
			from = p
		}
	}
	days := now.At.Sub(from.At).Hours() / 24
	exposed := now.Treatment.Exposed + now.Control.Exposed
	fresh := exposed - from.Treatment.Exposed - from.Control.Exposed
	if days <= 0 || exposed == 0 {
		return nil
	}
	p := &Pace{PerDay: float64(fresh) / days}
	if !r.Metric.IsRate() || now.Control.Matured == 0 || now.Control.Converted == 0 || now.Control.Converted == now.Control.Matured {
		return p
	}
	p.Base = float64(now.Control.Converted) / float64(now.Control.Matured)
	share := r.Rollout.Treatment
	if now.Treatment.Exposed > 0 && now.Control.Exposed > 0 {
		share = float64(now.Treatment.Exposed) / float64(exposed)
	}
	test := func(change float64, seen bool) {
		units := outcomes.LiftTest{}.Units(p.Base, change, share, outcomes.DefaultPower)
		if math.IsInf(units, 1) || units > math.MaxInt32 {
			return
		}
		t := PaceTest{Change: change, Seen: seen, Units: int64(units)}
		if t.Units > now.Treatment.Matured+now.Control.Matured {
			missing := max(0, units-float64(exposed))
			if missing > 0 && p.PerDay == 0 {
				return // it never will be
			}
			t.Days = r.Metric.Within.Hours() / 24
			if missing > 0 {
				t.Days += missing / p.PerDay
			}
		}
		t.Days = max(t.Days, float64(answerDays-v.Days))
		p.Tests = append(p.Tests, t)
	}
	change := paceChange
	if r.Metric.Expect == "decrease" {
		change = -paceChange
	}
	test(change, false)
	if !v.Lift.Collecting && v.Lift.Change != 0 {
		test(v.Lift.Change, true)
	}
	return p
}

// Lines words the pace of a rule whose verdict is given, a sentence each.
func (p *Pace) Lines(v outcomes.Verdict) []string {
	if p == nil {
		return nil
	}
	lines := []string{fmt.Sprintf("%.3g units a day are exposed, both arms together.", p.PerDay)}
	if p.Base == 0 {
		return append(lines, "How long it takes can be reckoned for a metric that is a rate, once units of control whose time is over have converted.")
	}
	for _, t := range p.Tests {
		what := fmt.Sprintf("a change of %+.3g %%", 100*t.Change)
		if t.Seen {
			what = fmt.Sprintf("the change seen now, %+.1f %% (between %+.1f %% and %+.1f %%),", 100*t.Change, 100*v.Lift.Low, 100*v.Lift.High)
		}
		when := "in " + about(t.Days)
		if t.Days <= 0 {
			when = "there already"
		}
		lines = append(lines, fmt.Sprintf("To tell %s from none takes %d units whose time is over: %s.", what, t.Units, when))
	}
	return lines
}

// about words days, roughly.
func about(days float64) string {
	switch {
	case days < 2:
		return fmt.Sprintf("about %.0f hours", math.Ceil(24*days))
	case days < 1000:
		return fmt.Sprintf("about %.0f days", math.Ceil(days))
	}
	return fmt.Sprintf("about %.0f years", days/365)
}
