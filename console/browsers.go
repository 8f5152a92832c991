package console

import (
	"fmt"

	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
)

// Browsers says of each class of browsers that units came with how many are in
// treatment and in control, and what the sample ratio is if it isn't right.
func (r *RuleStatus) Browsers() (list []string) {
	t, c, srm := r.Treatment, r.Control, r.Verdict.SRM
	for _, b := range rules.Browsers {
		n, m := *t.Browsers.Of(b), *c.Browsers.Of(b)
		if n+m == 0 {
			continue
		}
		text := fmt.Sprintf("%s %d/%d", b, n, m)
		if is := srm.Browsers.Of(b); is.State == outcomes.SRMWarn || is.State == outcomes.SRMInvalid {
			text += fmt.Sprintf(" %s (ln BF %.9f, anytime p %.3g)", is.State, is.LogBF, is.P)
		}
		list = append(list, text)
	}
	return list
}

// SampleRatio is what the sizes of the arms say, and of whom.
func (r *RuleStatus) SampleRatio() string {
	srm := &r.Verdict.SRM
	if srm.Browser == "" || srm.State == outcomes.SRMFine {
		return string(srm.State)
	}
	return fmt.Sprintf("%s of %s", srm.State, srm.Browser)
}

// browserCommand is the command that comes to the sample ratio of a class.
func browserCommand(t *outcomes.Tally, b rules.Browser) string {
	return statsCommand(t, "srm", func(c *outcomes.Counts) string { return fmt.Sprint(*c.Browsers.Of(b)) }, "--classes", fmt.Sprint(len(rules.Browsers)))
}
