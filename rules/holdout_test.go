package rules

import (
	"fmt"
	"math"
	"testing"

	"github.com/seed14307185/refract/segments"
)

// The holdout is the share that it says, of visitors and of accounts, no rule
// takes it in, and it takes as much from either arm of every rule.
func TestHoldout(t *testing.T) {
	s := load(t, site(t, deciding))
	const n, share = 20_000, 0.2
	with := *s
	with.Edge.Holdout = share
	// See TestRulesOnOneSurfaceExclude.
	near := func(count, of int, p float64) bool {
		return math.Abs(float64(count)-float64(of)*p) <= math.Sqrt(float64(of)*math.Log(2e9)/2)
	}
	out := map[segments.Who]int{}
	took := map[string]map[Arm][2]int{} // by rule and arm: all, and those of them in the holdout
	for i := range n {
		id := fmt.Sprint("u", i)
		who := Subject{Visitor: id, Account: id, VisitorRecord: in(s, "a", "b"), AccountRecord: in(s, "team")}
		for _, kind := range []segments.Who{segments.Visitor, segments.Account} {
			if with.HeldOut(segments.Unit{Who: kind, ID: id}) {
				out[kind]++
			}
		}
		for _, p := range with.Decide("/home", who, noon) {
			if with.HeldOut(p.Unit) {
				t.Fatalf("%s %s is held out, and gets %s", p.Unit.Who, id, p.Rule.Name)
			}
		}
		for _, p := range s.Decide("/home", who, noon) {
			if s.HeldOut(p.Unit) {
				t.Fatal("a site without a holdout holds out")
			}
			if took[p.Rule.Name] == nil {
				took[p.Rule.Name] = map[Arm][2]int{}
			}
			c := took[p.Rule.Name][p.Arm]
			c[0]++
			if with.HeldOut(p.Unit) {
				c[1]++
			}
			took[p.Rule.Name][p.Arm] = c
		}
	}
	for kind, count := range out {
		if !near(count, n, share) {
			t.Errorf("of %d units of kind %s, %d are held out", n, kind, count)
		}
	}
	if len(took) != 2 {
		t.Fatalf("the rules are %v", took)
	}
	for name, by := range took {
		for arm, c := range by {
			if !near(c[1], c[0], share) {
				t.Errorf("%s in %s: %d of %d are held out", name, arm, c[1], c[0])
			}
		}
	}
	larger := with
	larger.Edge.Holdout = 0.5
	for i := range 1000 {
		u := segments.Unit{Who: segments.Visitor, ID: fmt.Sprint(i)}
		if with.HeldOut(u) && !larger.HeldOut(u) {
			t.Fatalf("%s leaves a holdout that grows", u.ID)
		}
	}
}
