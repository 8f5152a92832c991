package outcomes

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/seed14307185/refract/rules"
)

// Sentence words the verdict for people: whether the rule was rolled back,
// whether it helped, and what is not known yet. A change is never given
// without its always-valid interval.
func (v Verdict) Sentence(r *rules.Rule) string {
	if r.Response.Operation == rules.None {
		return v.ofNothing(r)
	}
	var s []string
	if v.Guardrail == Breached {
		s = append(s, v.breach(r))
	}
	switch v.SRM.State {
	case SRMInvalid:
		s = append(s, fmt.Sprintf("The results are invalid: the sizes of the arms do not fit the probability of treatment%s "+
			"(sample ratio, anytime p = %.2g); nothing can be concluded from this version.", v.SRM.who(), v.SRM.P))
		return strings.Join(s, " ")
	case SRMWarn:
		s = append(s, fmt.Sprintf("Doubtful: the sizes of the arms hardly fit the probability of treatment%s "+
			"(sample ratio, anytime p = %.2g).", v.SRM.who(), v.SRM.P))
	}
	s = append(s, v.lift(r))
	if v.Novelty != nil && v.Novelty.Differs {
		s = append(s, v.Novelty.sentence())
	}
	if v.Guardrail != Breached {
		s = append(s, v.guardrail(r))
	}
	return strings.Join(s, " ")
}

// breach says why the rule was rolled back.
func (v Verdict) breach(r *rules.Rule) string {
	s := fmt.Sprintf("Rolled back: the guardrail, %s, came more often or earlier than the %s tolerated "+
		"(E = %s, rolled back from %s on; anytime p = %.2g).",
		within(r.Guardrail.Event, r.Guardrail.Within), percent(r.Guardrail.Tolerate),
		number(v.MaxLogE), number(limit(r)), v.P)
	if !v.Harm.Collecting && v.SRM.State != SRMInvalid {
		s += fmt.Sprintf(" Among those whose time is over it changed by %s; an estimate at a stop leans to the extreme.",
			v.Harm.interval())
	}
	return s
}

// lift says what is known of the metric.
func (v Verdict) lift(r *rules.Rule) string {
	metric, l := within(r.Metric.Subject(), r.Metric.Within), v.Lift
	if l.Collecting && !r.Metric.IsRate() {
		return fmt.Sprintf("Not known yet whether it helps: collecting until in both arms %d units, of those whose time is over, did %s, and no few of them make up most of it.",
			minSuccesses, within(r.Metric.Event, r.Metric.Within))
	}
	if l.Collecting {
		return fmt.Sprintf("Not known yet whether it helps: collecting until both arms have %d times %s, of those whose time is over.",
			minSuccesses, metric)
	}
	rose, fell := l.Low > 0, l.High < 0
	if r.Metric.Expect == "decrease" {
		rose, fell = fell, rose
	}
	switch {
	case rose && v.TooEarly:
		return fmt.Sprintf("Not known yet whether it helps: it is too early to call it, on day %d of %d; so far %s changed by %s.",
			v.Days+1, minRuntime, metric, l.interval())
	case rose:
		return fmt.Sprintf("It helped: %s changed by %s.", metric, l.interval())
	case fell:
		return fmt.Sprintf("It did not help: %s changed the wrong way, by %s.", metric, l.interval())
	}
	return fmt.Sprintf("Not known yet whether it helps: %s changed by %s, which includes no change.", metric, l.interval())
}

// sentence says that the change depends on when units were exposed.
func (n *Novelty) sentence() string {
	return fmt.Sprintf("It changed by %s for units exposed in the first week and by %s for later ones, which is more than chance explains: "+
		"the later ones say more of what is to come.", n.First.interval(), n.Later.interval())
}

// guardrail says what is known of a guardrail that is not breached.
func (v Verdict) guardrail(r *rules.Rule) string {
	event := within(r.Guardrail.Event, r.Guardrail.Within)
	if v.Blind {
		return fmt.Sprintf("The guardrail is blind: by its baseline of %s, %s would have come to at least %d of those who were exposed last and whose time is over, and came to none in either arm. "+
			"Nothing would stop the rule: see whether the event still arrives.", percent(r.Guardrail.Baseline), event, BlindFrom)
	}
	if v.Guardrail == Cleared {
		return fmt.Sprintf("The guardrail is cleared: %s changed by %s, which is below the %s tolerated.",
			event, v.Harm.interval(), percent(r.Guardrail.Tolerate))
	}
	return fmt.Sprintf("The guardrail is undecided: the evidence that %s rose by more than the %s tolerated is E = %s; %s would roll it back.",
		event, percent(r.Guardrail.Tolerate), number(v.LogE), number(limit(r)))
}

// limit is the ln E that rolls the rule back.
func limit(r *rules.Rule) float64 { return GuardrailTest{Alpha: r.Guardrail.Alpha}.Threshold() }

// interval words an estimate.
func (l Lift) interval() string {
	return fmt.Sprintf("%+.1f %% (%g %% interval at any look: %+.1f %% to %+.1f %%)",
		100*l.Change, math.Round(1000*(1-l.Alpha))/10, 100*l.Low, 100*l.High)
}

// within words an event and its window.
func within(event string, d time.Duration) string {
	return event + " within " + rules.FormatDuration(d)
}

func percent(x float64) string { return fmt.Sprintf("%.4g %%", 100*x) }

// number words e to the x, also where it has no float64.
func number(x float64) string {
	if x < math.Log(1e6) {
		return fmt.Sprintf("%.4g", math.Exp(x))
	}
	return fmt.Sprintf("10^%.1f", x/math.Ln10)
}
