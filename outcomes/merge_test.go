package outcomes

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed14307185/refract/rules"
)

// Persons with two ids, each assigned by itself, are left out if these are in
// different arms. At 90/10 nearly all of who was in control first is, and what is
// left must not look as if units had been lost.
func TestPersonsWithTwoIds(t *testing.T) {
	tally, r := NewTally(), testRules()[0]
	const ids = 60 // in the smaller arm: every tenth
	enrol := func(i int) Enrolment {
		arm := rules.Treatment
		if i%10 == 0 {
			arm = rules.Control
		}
		n, _ := Enrol(tally, nil, &rules.Exposure{Arm: arm, Treatment: .9, At: time.UnixMilli(int64(1000 + i))})
		return n
	}
	for i := range ids {
		for j := range ids {
			a, b := enrol(i), enrol(j)
			Merge(tally, &a, &b, r)
		}
	}
	if n := len(tally.Epochs); n != 1 || tally.Epochs[0].Treatment != .987804878049 || tally.Epochs[0].TreatmentArm.Exposed != 54*54 ||
		tally.Epochs[0].ControlArm.Exposed != 6*6 || tally.Mixed != 2*6*54 {
		t.Fatalf("%d persons are %+v", ids*ids, tally)
	}
	if v := Judge(tally, r); v.SRM.State != SRMFine {
		t.Errorf("the sample ratio is %+v", v.SRM)
	}
	for p, q := range map[float64]float64{.5: .5, .8: .941176470588, .1: .012195121951} {
		if got := alike(p, p); fmt.Sprint(got) != fmt.Sprint(q) {
			t.Errorf("of two at %g it is %v, want %v", p, got, q)
		}
	}
	if got := alike(.5, .8); got != .8 {
		t.Errorf("of one at .5 and one at .8 it is %v", got)
	}
}
