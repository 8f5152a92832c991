package outcomes

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// What GuardrailTest.Units says is within 15 % of the number of units by which
// 80 % of simulated rules with that harm are rolled back.
func TestGuardrailUnits(t *testing.T) {
	const runs = 300
	for _, c := range []struct {
		g           GuardrailTest
		base, share float64
	}{
		{GuardrailTest{}, .1, .5},
		{GuardrailTest{}, .3, .9},
		{GuardrailTest{Tolerate: .1, Baseline: .3}, .3, .5},
		{GuardrailTest{Tolerate: .1}, .3, .2},
	} {
		want := c.g.Units(c.base, 1.5, c.share, DefaultPower)
		random := rand.New(rand.NewPCG(6, uint64(100*c.base)))
		var took []float64
		for range runs {
			s, n := Sample{Share: c.share}, 0
			for n < int(4*want) {
				n++
				arm, p := &s.Control, c.base
				if random.Float64() < c.share {
					arm, p = &s.Treatment, 1.5*c.base
				}
				arm.N++
				if random.Float64() >= p {
					continue
				}
				arm.X++
				if arm == &s.Treatment && c.g.LogE([]Sample{s}) >= c.g.Threshold() {
					break
				}
			}
			took = append(took, float64(n))
		}
		slices.Sort(took)
		got := took[runs*8/10]
		t.Logf("%+v, %g %% harm, %g treatment: %g units by the formula, %g in the simulation", c.g, 100*c.base, c.share, want, got)
		if want < .85*got || want > 1.15*got {
			t.Errorf("%+v: the formula is %.1f %% off", c, 100*(want/got-1))
		}
	}
}

func TestGuardrailUnitsOfNothing(t *testing.T) {
	for _, c := range []struct{ base, harm, share float64 }{{0, 1.5, .5}, {.1, 1, .5}, {.1, 1.04, .5}, {.8, 1.5, .5}, {.1, 1.5, 1}} {
		if n := (GuardrailTest{}).Units(c.base, c.harm, c.share, .8); !math.IsInf(n, 1) {
			t.Errorf("%+v: %g units", c, n)
		}
	}
}

// After as many units as UnitsToClear says, the guardrail of a rule without any
// effect is cleared in about as many simulations as asked for.
func TestUnitsToClear(t *testing.T) {
	const runs, base, tolerate = 200, .3, .5
	n := LiftTest{}.UnitsToClear(base, tolerate, .5, DefaultPower)
	random := rand.New(rand.NewPCG(7, 8))
	cleared := 0
	for range runs {
		s := Sample{Share: .5}
		for range int(n) {
			arm := &s.Control
			if random.Float64() < .5 {
				arm = &s.Treatment
			}
			arm.N++
			if random.Float64() < base {
				arm.X++
			}
		}
		if (GuardrailTest{Tolerate: tolerate}).State(0, LiftTest{}.Estimate([]Sample{s})) == Cleared {
			cleared++
		}
	}
	if t.Logf("%g units: %d of %d cleared", n, cleared, runs); cleared < runs*72/100 || cleared > runs*88/100 {
		t.Errorf("%g units clear %d of %d", n, cleared, runs)
	}
}
