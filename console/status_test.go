package console

import (
	"testing"

	"github.com/seed14307185/refract/outcomes"
)

// Rules whose change isn't known yet are looked at too: of two, the evidence of
// one must be 2/α for it to stand, and 1/α if it is alone.
func TestDiscover(t *testing.T) {
	const logOf30 = 3.4
	found := RuleStatus{Verdict: outcomes.Verdict{Lift: outcomes.Lift{Alpha: .05, LogE: logOf30}}}
	collecting := RuleStatus{Verdict: outcomes.Verdict{Lift: outcomes.Lift{Collecting: true}}}
	for _, c := range []struct {
		list []RuleStatus
		want bool
	}{
		{[]RuleStatus{found}, true},
		{[]RuleStatus{found, collecting}, false},
		{[]RuleStatus{found, found}, true},
	} {
		discover(c.list)
		if got := c.list[0].Discovery; got != c.want {
			t.Errorf("of %d: %t", len(c.list), got)
		}
	}
}
