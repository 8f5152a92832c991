package simulate

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
)

// ForecastHarm is the harm that a forecast says how long it takes to find: times
// the rate of control.
const ForecastHarm = 1.5

// forecastPower is the probability with which what a forecast speaks of is found
// by then.
const forecastPower = outcomes.DefaultPower

// leastHistory is how long a history must be for its rates a day to say anything:
// there are nights.
const leastHistory = 24 * time.Hour

// maxForecast is how many days a forecast looks ahead: ten years.
const maxForecast = 3653

// Forecast is what the test of one rule would take if it began now, at the rate
// at which units reached its surface in the second half of the history.
type Forecast struct {
	Rule    string      `json:"rule"`
	State   rules.State `json:"state"`
	Reached int64       `json:"reached"`
	PerDay  float64     `json:"reached_per_day"`
	Metric  Base        `json:"metric"`
	Harm    Base        `json:"guardrail"`
	// Problems are why the rule could not be judged.
	Problems []string       `json:"problems"`
	Steps    []ForecastStep `json:"steps"`
	Lift     []Test         `json:"lift"`
	Found    Test           `json:"harm"` // a harm of ForecastHarm
}

// ForecastStep is one step of a rule's ramp, if treatment does no harm.
type ForecastStep struct {
	Share     float64 `json:"share"`
	Treatment float64 `json:"treatment"`
	// Day is when it begins, in days after the rule does; nil: not in ten years.
	Day *float64 `json:"day"`
}

// Forecast says what the tests of the set's rules would take. r must be of the
// set. changes are relative changes of the metric, above 0; where it is to fall,
// they are changes downwards.
func (r *Report) Forecast(set *rules.Set, changes []float64) []Forecast {
	list := []Forecast{}
	for i, rule := range set.Rules {
		list = append(list, r.forecast(rule, &r.Rules[i], set.Edge.Holdout, changes))
	}
	return list
}

func (r *Report) forecast(rule *rules.Rule, known *Rule, holdout float64, changes []float64) Forecast {
	f := Forecast{Rule: rule.Name, State: rule.State, Reached: known.Reached, PerDay: known.PerDay, Metric: known.Metric, Harm: known.Harm, Problems: []string{}}
	guardrail := outcomes.GuardrailTest{Tolerate: rule.Guardrail.Tolerate, Baseline: rule.Guardrail.Baseline, Alpha: rule.Guardrail.Alpha}
	treatment := rule.Rollout.Treatment
	// Units of which it is known that treatment does no more harm than tolerated.
	clear := outcomes.LiftTest{Alpha: guardrail.Alpha}.UnitsToClear(f.Harm.Rate, guardrail.Tolerate, treatment, forecastPower)
	e := newEntry(rule, f.PerDay*(1-holdout), clear)
	for i, s := range rule.Rollout.Steps() {
		step := ForecastStep{Share: s.Share, Treatment: s.Treatment}
		if day := e.begins[i]; day < maxForecast {
			step.Day = &day
		}
		f.Steps = append(f.Steps, step)
	}
	for _, change := range changes {
		if rule.Metric.Expect == "decrease" {
			change = -change
		}
		n := outcomes.LiftTest{}.Units(f.Metric.Rate, change, treatment, forecastPower)
		f.Lift = append(f.Lift, e.test(change, n, rule.Metric.Within))
	}
	f.Found = e.test(ForecastHarm-1, guardrail.Units(f.Harm.Rate, ForecastHarm, treatment, forecastPower), rule.Guardrail.Within)
	if span := r.Until.Sub(r.From); f.Reached > 0 && span < leastHistory {
		f.Problems = append(f.Problems, fmt.Sprintf("the history spans %s, from which no rate a day can be told: its days mean little", span.Round(time.Second)))
	}
	f.problems(rule)
	return f
}

func (f *Forecast) problems(r *rules.Rule) {
	note := func(format string, args ...any) { f.Problems = append(f.Problems, fmt.Sprintf(format, args...)) }
	if f.Reached == 0 {
		note("nobody: no %s was in %s and did anything then", r.Unit, r.Segment.Name)
	}
	switch h := f.Harm; {
	case !h.Seen:
		note("blind: the guardrail's event %q was never seen, so nothing would stop the rule", h.Event)
	case h.Of > 0 && h.Hits == 0:
		note("blind: %q was seen, but after none of the %d %ss whose time is over, so nothing would stop the rule", h.Event, h.Of, r.Unit)
	}
	switch m := f.Metric; {
	case !m.Seen:
		note("the metric's event %q was never seen, so nothing would be measured", m.Event)
	case m.Of > 0 && m.Hits == 0:
		note("the metric's event %q was seen, but after none of the %d %ss whose time is over", m.Event, m.Of, r.Unit)
	}
}

// entry is how units come into a rule, over the steps of its ramp.
type entry struct {
	begins []float64 // of each step, in days; +Inf: never
	perDay []float64 // units that take part for the first time, while it lasts
}

// newEntry follows a ramp: each step lasts as long as it must, and the first
// ones until so many units as clear the guardrail have had its window.
func newEntry(r *rules.Rule, perDay, clear float64) entry {
	var e entry
	day, enrolled, cleared := 0.0, 0.0, math.Inf(1)
	for i, s := range r.Rollout.Steps() {
		rate := perDay * s.Share
		if i > 0 {
			last := r.Rollout.Steps()[i-1]
			end := day + last.For.Hours()/24
			if math.IsInf(cleared, 1) && e.perDay[i-1] > 0 {
				cleared = day + max(0, clear-enrolled)/e.perDay[i-1] + r.Guardrail.Within.Hours()/24
			}
			end = max(end, cleared)
			enrolled += (end - day) * e.perDay[i-1]
			day = end
		}
		e.begins, e.perDay = append(e.begins, day), append(e.perDay, rate)
	}
	return e
}

// until is after how many days that many take part; +Inf: never.
func (e entry) until(n float64) float64 {
	for i, begin := range e.begins {
		end := math.Inf(1)
		if i+1 < len(e.begins) {
			end = e.begins[i+1]
		}
		if e.perDay[i] > 0 && n <= (end-begin)*e.perDay[i] {
			return begin + n/e.perDay[i]
		}
		if math.IsInf(end, 1) {
			break
		}
		n -= (end - begin) * e.perDay[i]
	}
	return math.Inf(1)
}

func (e entry) test(change, n float64, within time.Duration) Test {
	t := Test{Change: change}
	if math.IsInf(n, 1) {
		return t
	}
	units := int64(n)
	t.Units = &units
	if days := e.until(n) + within.Hours()/24; days < maxForecast {
		t.Days = &days
	}
	return t
}

// WriteForecast writes forecasts of the report's rules for people.
func (r *Report) WriteForecast(w io.Writer, list []Forecast) error {
	out := &errWriter{w: w}
	fmt.Fprintf(out, "forecast from %s, %s to %s\n", plural(int(r.Events), "event"), minute(r.From), minute(r.Until))
	for _, f := range list {
		fmt.Fprintf(out, "\n%s (%s)\n", f.Rule, f.State)
		for _, p := range f.Problems {
			fmt.Fprintf(out, "  %s\n", p)
		}
		if f.Reached == 0 {
			continue
		}
		fmt.Fprintf(out, "  reached    %d, %s a day for the first time\n", f.Reached, number(f.PerDay))
		fmt.Fprintf(out, "  metric     %s within %s: %s\n", f.Metric.Event, f.Metric.Within, f.Metric.text())
		fmt.Fprintf(out, "  guardrail  %s within %s: %s\n", f.Harm.Event, f.Harm.Within, f.Harm.text())
		if len(f.Steps) > 1 {
			var steps []string
			for _, s := range f.Steps {
				day := "never"
				if s.Day != nil {
					day = "day " + number(math.Ceil(*s.Day))
				}
				steps = append(steps, fmt.Sprintf("%s from %s", percent(s.Share), day))
			}
			fmt.Fprintf(out, "  ramp       %s, if there is no more harm than in control\n", strings.Join(steps, ", "))
		}
		for _, t := range f.Lift {
			fmt.Fprintf(out, "  tells a metric that is %+.4g %% from none: %s\n", 100*t.Change, t.needs(f.Metric))
		}
		fmt.Fprintf(out, "  finds a harm × %.4g: %s\n", 1+f.Found.Change, f.Found.needs(f.Harm))
	}
	return out.err
}

// needs says what a test takes, where the rate without a change is as known.
func (t Test) needs(known Base) string {
	switch {
	case t.Units == nil && known.Hits == 0:
		return "unknown, as the rate is"
	case t.Units == nil:
		return "no number of units would do"
	case t.Days == nil:
		return fmt.Sprintf("%d units, more than ten years", *t.Units)
	}
	return fmt.Sprintf("%d units, %s days", *t.Units, number(math.Ceil(*t.Days)))
}
