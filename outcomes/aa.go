package outcomes

import (
	"fmt"
	"strings"

	"github.com/seed14307185/refract/rules"
)

// ofNothing words the verdict on a rule that changes nothing. Whatever is found
// is found in the measurement.
func (v Verdict) ofNothing(r *rules.Rule) string {
	const is = "This is an A/A test: both arms get the app's own page, so nothing is to be found. "
	if found := v.found(r); len(found) > 0 {
		return is + "Something is wrong with the measurement: " + strings.Join(found, "; ") + "."
	}
	if v.Lift.Collecting {
		return is + fmt.Sprintf("Nothing is known yet: collecting until both arms have %d times %s, of those whose time is over.",
			minSuccesses, within(r.Metric.Event, r.Metric.Within))
	}
	return is + fmt.Sprintf("And nothing was found: %s changed by %s, which includes no change.", within(r.Metric.Subject(), r.Metric.Within), v.Lift.interval())
}

// found lists what an A/A test should not have. Arms whose sizes are wrong
// can't be compared, so then that is all.
func (v Verdict) found(r *rules.Rule) (list []string) {
	if v.SRM.State == SRMInvalid {
		return []string{fmt.Sprintf("the sizes of the arms do not fit the probability of treatment%s (sample ratio, anytime p = %.2g)", v.SRM.who(), v.SRM.P)}
	}
	if v.Guardrail == Breached {
		list = append(list, fmt.Sprintf("the guardrail was breached (E = %s, from %s on), which chance alone does in at most %s of such tests",
			number(v.MaxLogE), number(limit(r)), percent(orDefault(r.Guardrail.Alpha, DefaultAlpha))))
	}
	for _, l := range []struct {
		of     string
		change Lift
	}{{within(r.Metric.Subject(), r.Metric.Within), v.Lift}, {within(r.Guardrail.Event, r.Guardrail.Within), v.Harm}} {
		if !l.change.Collecting && (l.change.Low > 0 || l.change.High < 0) {
			list = append(list, fmt.Sprintf("%s changed by %s", l.of, l.change.interval()))
		}
	}
	return list
}
