package outcomes

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The ends are where the posterior density of θ is alpha times its prior one,
// here by the densities themselves.
func TestFew(t *testing.T) {
	density := func(theta, a, b float64) float64 {
		return (a-1)*math.Log(theta) + (b-1)*math.Log1p(-theta) - lnBeta(a, b)
	}
	for _, c := range []struct{ treated, control, share float64 }{
		{24, 9, .5}, {5, 3, .5}, {40, 2, .9}, {1, 1, .5}, {300, 250, .5}, {2, 30, .1},
	} {
		few, ok := LiftTest{}.Few([]Sample{{Share: c.share, Treatment: Proportion{X: int64(c.treated), N: 400}, Control: Proportion{X: int64(c.control), N: 400}}})
		if !ok || !(few.Low < few.High) {
			t.Errorf("%+v: %+v, %t", c, few, ok)
		}
		for _, end := range []float64{few.Low, few.High} {
			theta := c.share * (1 + end) / (c.share*(1+end) + 1 - c.share)
			a, b := 100*c.share, 100*(1-c.share)
			if got := density(theta, a+c.treated, b+c.control) - density(theta, a, b); math.Abs(got-math.Log(.05)) > 1e-9 {
				t.Errorf("%+v: at %g the logarithm of the ratio is %g", c, end, got)
			}
		}
	}
	for _, none := range [][2]int64{{0, 0}, {7, 0}, {0, 7}} {
		if few, ok := (LiftTest{}).Few([]Sample{{Share: .5, Treatment: Proportion{X: none[0], N: 9}, Control: Proportion{X: none[1], N: 9}}}); ok {
			t.Errorf("of %v successes: %+v", none, few)
		}
	}
}

// Two epochs of one share are one epoch, but for what the second prior costs; and
// an epoch without a success is none.
func TestFewOfEpochs(t *testing.T) {
	one := Sample{Share: .5, Treatment: Proportion{X: 14, N: 90}, Control: Proportion{X: 7, N: 90}}
	alone, _ := LiftTest{}.Few([]Sample{one})
	if with, _ := (LiftTest{}).Few([]Sample{one, {Share: .9, Treatment: Proportion{N: 9}, Control: Proportion{N: 1}}}); with != alone {
		t.Errorf("%+v, and with an empty epoch %+v", alone, with)
	}
	other := Sample{Share: .9, Treatment: Proportion{X: 36, N: 180}, Control: Proportion{X: 2, N: 20}}
	both, _ := LiftTest{}.Few([]Sample{one, other})
	if pooled := float64(14+36)/270/(float64(7+2)/110) - 1; both.Low > pooled || both.High < pooled || both.High-both.Low >= alone.High-alone.Low {
		t.Errorf("both epochs have %+v, the first alone %+v", both, alone)
	}
}

// How often the interval misses the truth at any look, over a change of the
// rollout, where rates are small and where they aren't.
func TestFewMisses(t *testing.T) {
	const runs, units = 150, 1500
	for _, c := range []struct{ rate, lift, share float64 }{{.05, 1, .9}, {.3, -.3, .5}} {
		rnd := rand.New(rand.NewPCG(11, uint64(1000*c.rate)))
		missed, wide := 0, 0
		for range runs {
			e := []Sample{{Share: c.share}, {Share: .7}}
			miss := false
			for i := range units {
				now := &e[min(1, i/500)]
				arm, rate := &now.Control, c.rate
				if rnd.Float64() < now.Share {
					arm, rate = &now.Treatment, c.rate*(1+c.lift)
				}
				arm.N++
				if rnd.Float64() >= rate {
					continue // nothing changes
				}
				if arm.X++; rnd.IntN(5) > 0 {
					continue // not looked at
				}
				if few, ok := (LiftTest{}).Few(e); ok && (few.Low > c.lift || few.High < c.lift) {
					miss = true
				}
			}
			if miss {
				missed++
			}
			if few, _ := (LiftTest{}).Few(e); few.Low < -.99 || few.High > 50 {
				wide++
			}
		}
		atMost(t, "missed", missed, runs)
		if wide > runs/20 {
			t.Errorf("%+v: %d of %d intervals say nothing at the end", c, wide, runs)
		}
		if missed == 0 {
			t.Errorf("%+v: none of %d missed: a test that never does is no test", c, runs)
		}
	}
}
