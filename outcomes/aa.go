package outcomes

import (
	"fmt"
	"strings"

	"github.com/seed14307185/refract/rules"
)

// ofNothing words the verdict on a rule that changes nothing. Whatever is found
// is found in the measurement.
func (v Verdict) ofNothing(r *rules.Rule) string {
	var found []string
	if v.SRM.State == SRMInvalid {
		found = append(found, fmt.Sprintf("the sizes of the arms do not fit the probability of treatment (sample ratio, anytime p = %.2g)", v.SRM.P))
	}
	if v.Guardrail == Breached {
		found = append(found, fmt.Sprintf("the guardrail was breached (E = %s, from %s on), which chance alone does in at most %s of such tests",
			number(v.MaxLogE), number(limit(r)), percent(orDefault(r.Guardrail.Alpha, DefaultAlpha))))
	}
	for _, l := range []struct {
		of     string
		change Lift
	}{{within(r.Metric.Event, r.Metric.Within), v.Lift}, {within(r.Guardrail.Event, r.Guardrail.Within), v.Harm}} {
		if !l.change.Collecting && (l.change.Low > 0 || l.change.High < 0) {
			found = append(found, fmt.Sprintf("%s changed by %s", l.of, l.change.interval()))
		}
	}
	const is = "This is an A/A test: both arms get the app's own page, so nothing is to be found. "
	switch {
	case len(found) > 0:
		return is + "Something is wrong with the measurement: " + strings.Join(found, "; ") + "."
	case v.Lift.Collecting:
		return is + fmt.Sprintf("Nothing is known yet: collecting until both arms have %d times %s, of those whose time is over.",
			minSuccesses, within(r.Metric.Event, r.Metric.Within))
	}
	return is + fmt.Sprintf("And nothing was found: %s changed by %s, which includes no change.", within(r.Metric.Event, r.Metric.Within), v.Lift.interval())
}
