package console

import (
	"testing"
	"time"

	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
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

// While the lift is collecting, what the successes alone show is told, and then no
// more.
func TestFewSuccesses(t *testing.T) {
	set, err := rules.Load("../testdata/sites/loop")
	if err != nil {
		t.Fatal(err)
	}
	r := set.Rules[0]
	for converted, want := range map[int64]bool{0: false, 12: true, 40: false} {
		s := store.Standing{Tally: outcomes.Tally{Epochs: []outcomes.Epoch{{Treatment: .5,
			TreatmentArm: outcomes.Counts{Matured: 400, MaturedConverted: converted},
			ControlArm:   outcomes.Counts{Matured: 400, MaturedConverted: converted},
		}}}}
		s.Verdict = outcomes.Judge(&s.Tally, r)
		got := ruleStatus(r, set, s, nil, time.Now()).Few
		if (got != nil) != want || want && !(got.Low < 0 && got.High > 0) {
			t.Errorf("with %d in each arm: %+v", converted, got)
		}
	}
}
