package outcomes

import (
	"math"
	"math/rand/v2"
	"testing"
)

// What R says: power.prop.test(p1 = .5, p2 = .75, power = .9) is the example of
// its manual, n = 76.7 in each arm; p1 = .10, p2 = .12 with a power of .8 is
// n = 3840.847.
func TestFixedUnits(t *testing.T) {
	for _, c := range []struct{ base, change, share, power, want float64 }{
		{.5, .5, .5, .9, 2 * 76.7},
		{.10, .2, .5, .8, 2 * 3840.847},
	} {
		got := FixedUnits(c.base, c.change, c.share, .05, c.power)
		if math.Abs(got/c.want-1) > 1e-3 {
			t.Errorf("FixedUnits(%g, %g, %g, .05, %g) = %.3f, want %.3f", c.base, c.change, c.share, c.power, got, c.want)
		}
	}
}

func TestUnitsWithoutATest(t *testing.T) {
	for _, c := range []struct{ base, change, share float64 }{{0, .1, .5}, {1, .1, .5}, {.1, 0, .5}, {.6, 1, .5}, {.1, -1, .5}, {.1, .1, 0}, {.1, .1, 1}} {
		if n := (LiftTest{}).Units(c.base, c.change, c.share, .8); !math.IsInf(n, 1) {
			t.Errorf("Units(%+v) = %g", c, n)
		}
		if n := FixedUnits(c.base, c.change, c.share, .05, .8); !math.IsInf(n, 1) {
			t.Errorf("FixedUnits(%+v) = %g", c, n)
		}
	}
}

// A test that is looked at after each tenth of the units that Units says finds
// the change with the power asked for, and not much before.
func TestUnits(t *testing.T) {
	const runs = 400
	for _, c := range []struct{ base, change, share float64 }{{.1, .3, .5}, {.3, -.2, .5}, {.05, .5, .2}} {
		n := (LiftTest{}).Units(c.base, c.change, c.share, .8)
		if fixed := FixedUnits(c.base, c.change, c.share, .05, .8); n < fixed || n > 3*fixed {
			t.Errorf("%+v: %g units, a fixed test %g", c, n, fixed)
		}
		r := rand.New(rand.NewPCG(1, uint64(1000*c.base)))
		found, last := 0, 0
		for range runs {
			s := Sample{Share: c.share}
			for look := 1; look <= 10; look++ {
				for range int(n) / 10 {
					arm, p := &s.Control, c.base
					if r.Float64() < c.share {
						arm, p = &s.Treatment, c.base*(1+c.change)
					}
					arm.N++
					if r.Float64() < p {
						arm.X++
					}
				}
				if l := (LiftTest{}).Estimate([]Sample{s}); !l.Collecting && (l.Low > 0 || l.High < 0) {
					if found++; look == 10 {
						last++
					}
					break
				}
			}
		}
		if found < runs*78/100 || found > runs*93/100 {
			t.Errorf("%+v: %d units find it in %d of %d runs", c, int(n), found, runs)
		}
		t.Logf("%+v: %g units, found in %d of %d, %d of them at the end", c, n, found, runs, last)
	}
}
