package rules

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// staged is the set with its rules at one share, by their names.
func staged(s *Set, shares map[string]float64) *Set {
	return s.Staged(func(r *Rule) (share, treatment float64) { return shares[r.Name], r.Rollout.Treatment })
}

// Whoever takes part at some step has the same arm at every later one, whatever
// the ramp; and a rule that is where its file says is not copied.
func TestStagedKeepsArms(t *testing.T) {
	s := load(t, site(t, deciding))
	if same := s.Staged(func(r *Rule) (float64, float64) { return r.Rollout.Share, r.Rollout.Treatment }); !slices.Equal(same.Rules, s.Rules) || !slices.Equal(same.Live(), s.Live()) {
		t.Error("rules that did not change are copies")
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		shares := []float64{random.Float64(), random.Float64(), random.Float64(), 1}
		slices.Sort(shares)
		var steps []*Set
		for _, share := range shares {
			steps = append(steps, staged(s, map[string]float64{"invite-teammate": share}))
		}
		for i := range 2000 {
			unit := fmt.Sprint("v", i)
			var was Arm
			for k, at := range steps {
				arm, in := at.Rule("invite-teammate").Assign(unit)
				if was != "" && (!in || arm != was) {
					t.Fatalf("%s was in %s, and is in %q at step %d of %v", unit, was, arm, k+1, shares)
				}
				was = arm
			}
		}
	}
	if r := s.Rule("invite-teammate"); r.Rollout.Share != 1 {
		t.Errorf("the set itself has changed: %v", r.Rollout)
	}
}

// Of two rules on one surface a visitor gets one, wherever the two are in their
// ramps: the first if it has them, else the second. Neither takes more from one
// arm of the other than from the other arm.
func TestRulesOnOneSurfaceExclude(t *testing.T) {
	s := load(t, site(t, deciding))
	first, second := s.Rule("first"), s.Rule("invite-teammate")
	const n = 20_000
	// What n fair draws with probability p can't leave but once in 10^9 tests
	// (Hoeffding's inequality).
	near := func(count, of int, p float64) bool {
		return math.Abs(float64(count)-float64(of)*p) <= math.Sqrt(float64(of)*math.Log(2e9)/2)
	}
	for _, shares := range [][2]float64{{0.05, 0.05}, {0.2, 1}, {0.5, 0.2}, {1, 1}} {
		at := staged(s, map[string]float64{"first": shares[0], "invite-teammate": shares[1]})
		got := map[string]map[Arm]int{"first": {}, "invite-teammate": {}}
		would := map[Arm]map[Arm]int{Treatment: {}, Control: {}} // the arm in first, then in second
		for i := range n {
			unit := fmt.Sprint("v", i)
			d := at.Decide("/home", Subject{Visitor: unit, VisitorRecord: in(s, "a", "b")}, noon)
			a, isFirst := at.Rule("first").Assign(unit)
			b, isSecond := at.Rule("invite-teammate").Assign(unit)
			want := ""
			if isFirst {
				want = "first"
			} else if isSecond {
				want = "invite-teammate"
			}
			switch {
			case len(d) > 1 || len(d) == 1 && d[0].Rule.Name != want || len(d) == 0 && want != "":
				t.Fatalf("%s gets %s, want %q", unit, shown(d), want)
			case len(d) == 1:
				got[want][d[0].Arm]++
			}
			if isFirst && isSecond {
				would[a][b]++
			}
		}
		for name, r := range map[string]*Rule{"first": first, "invite-teammate": second} {
			if c := got[name]; !near(c[Treatment], c[Treatment]+c[Control], r.Rollout.Treatment) {
				t.Errorf("at %v, %s has %v", shares, name, c)
			}
		}
		for arm, c := range would {
			if !near(c[Treatment], c[Treatment]+c[Control], second.Rollout.Treatment) {
				t.Errorf("at %v, of those that first has in %s, the second would have %v", shares, arm, c)
			}
		}
	}
}
