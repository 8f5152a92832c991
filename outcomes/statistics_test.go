package outcomes

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// near compares printed digits: those that the reference gives.
func near(t *testing.T, what string, got float64, want string) {
	t.Helper()
	decimals := 0
	if _, after, ok := strings.Cut(want, "."); ok {
		decimals = len(after)
	}
	if s := fmt.Sprintf("%.*f", decimals, got); s != want {
		t.Errorf("%s = %s, want %s", what, s, want)
	}
}

func TestGuardrailReferenceValues(t *testing.T) {
	for _, c := range []struct {
		xT, nT, xC, nC            int64
		tolerate, share, baseline float64
		want                      string
		breached                  bool
	}{
		{65, 500, 40, 500, 0, .5, 0, "2.133878428", false},
		{65, 500, 40, 500, 0, .5, .08, "2.271023068", false},
		{130, 1000, 80, 1000, .10, .5, .08, "2.995794576", true},
		{560, 9000, 40, 1000, 0, .9, 0, "3.114638800", true},
		{300, 500, 200, 500, 0, .5, .4, "17.944776222", true}, // the bet at 1.2 is left out
		{0, 0, 0, 0, 0, .5, 0, "0.000000000", false},
	} {
		g := GuardrailTest{Tolerate: c.tolerate, Baseline: c.baseline}
		got := g.LogE([]Sample{{c.share, Proportion{c.xT, c.nT}, Proportion{c.xC, c.nC}}})
		near(t, fmt.Sprintf("ln E of %+v", c), got, c.want)
		if state := g.State(got, Lift{Collecting: true}); (state == Breached) != c.breached {
			t.Errorf("%+v: %s", c, state)
		}
	}
}

func TestBetFactors(t *testing.T) {
	f := atBaseline(.5, 1, 1.5, .08)
	near(t, "treatment, harm", f.treatmentHarm, "1.200000000")
	near(t, "treatment, ok", f.treatmentOK, "0.977777778")
	near(t, "control, harm", f.controlHarm, "0.800000000")
	near(t, "control, ok", f.controlOK, "1.022222222")
}

// A factor is an e-value if no null makes its expectation exceed 1, and no
// weaker than it need be if some null reaches 1.
func TestBetsAreEValues(t *testing.T) {
	for _, share := range []float64{.1, .5, .9} {
		for _, r0 := range []float64{1, 1.1, 1.5} {
			for _, k := range betRatios() {
				for _, p0 := range []float64{1e-9, .001, .08, .3} {
					if k*r0*p0 >= maxBetRate {
						continue
					}
					for name, f := range map[string]factors{
						"free": baselineFree(share, r0, k*r0), "based": atBaseline(share, r0, k*r0, p0),
					} {
						top := 0.0
						for i := range 2000 {
							pc := float64(i) / 2000 / r0
							for _, pt := range []float64{pc * r0, pc * r0 * .9, pc * r0 / 2} {
								top = max(top, share*(pt*f.treatmentHarm+(1-pt)*f.treatmentOK)+
									(1-share)*(pc*f.controlHarm+(1-pc)*f.controlOK))
							}
						}
						if top > 1+1e-9 || top < 1-1e-3 {
							t.Errorf("%s, share %g, r0 %g, k %g, p0 %g: greatest expectation %.12f", name, share, r0, k, p0, top)
						}
					}
				}
			}
		}
	}
}

// The probability of a false rollback by the thousandth harm, by dynamic
// programming over how many of the harms fell in treatment.
func TestGuardrailExactFalseRollbacks(t *testing.T) {
	const harms = 1000
	g := GuardrailTest{}
	alive := make([]float64, harms+1) // alive[x]: x of the harms so far in treatment, not yet rolled back
	alive[0] = 1
	var rolledBack float64
	for h := 1; h <= harms; h++ {
		for x := h; x >= 0; x-- {
			p := alive[x] / 2
			if x > 0 {
				p += alive[x-1] / 2
			}
			alive[x] = p
			xT, xC := int64(x), int64(h-x)
			if g.LogE([]Sample{{.5, Proportion{xT, xT}, Proportion{xC, xC}}}) >= g.Threshold() {
				rolledBack, alive[x] = rolledBack+p, 0
			}
		}
	}
	near(t, "probability", rolledBack, "0.035983879")
}

// With no harm at all in control, these many in treatment roll back.
func TestGuardrailNeedsFewHarms(t *testing.T) {
	for share, want := range map[float64]int64{.5: 11, .9: 61} {
		g, n := GuardrailTest{}, int64(1)
		for g.LogE([]Sample{{share, Proportion{n, n}, Proportion{}}}) < g.Threshold() {
			n++
		}
		if n != want {
			t.Errorf("at %g: %d harms, want %d", share, n, want)
		}
	}
}

func TestLiftReferenceValues(t *testing.T) {
	l := LiftTest{Planned: 5000}
	one := func(xT, nT, xC, nC int64) []Sample {
		return []Sample{{.5, Proportion{xT, nT}, Proportion{xC, nC}}}
	}
	a := l.Estimate(one(260, 2000, 200, 2000))
	near(t, "lift", a.Change, "0.300000")
	near(t, "low", a.Low, "-0.006923455")
	near(t, "high", a.High, "0.701782212")
	near(t, "p", a.P, "0.061275729")
	b := l.Estimate(one(1250, 5000, 1000, 5000))
	near(t, "lift", b.Change, "0.250000")
	near(t, "low", b.Low, "0.114709199")
	near(t, "high", b.High, "0.401710869")
	near(t, "p · 10^7", b.P*1e7, "2.23")
	if c := l.Estimate(one(24, 200, 9, 40)); !c.Collecting || c.P != 1 {
		t.Errorf("9 successes are too few: %+v", c)
	}
}

// A rate that doubles while the probability of treatment goes from 10 % to
// 90 % is no effect, though the pooled counts show one of +66 %.
func TestLiftDoesNotPoolEpochs(t *testing.T) {
	first := Sample{.1, Proportion{50, 500}, Proportion{450, 4500}}
	second := Sample{.9, Proportion{900, 4500}, Proportion{100, 500}}
	l := LiftTest{}.Estimate([]Sample{first, second})
	if math.Abs(l.Change) > 1e-12 || l.Low >= 0 || l.High <= 0 {
		t.Errorf("no epoch shows a change, together they show %+v", l)
	}
	if one := (LiftTest{}).Estimate([]Sample{first}); l.High-l.Low >= one.High-one.Low {
		t.Errorf("a second epoch does not narrow the interval: %+v after %+v", l, one)
	}
	// Two halves of one epoch say what the whole says.
	half := Sample{.5, Proportion{125, 1000}, Proportion{100, 1000}}
	whole := Sample{.5, Proportion{250, 2000}, Proportion{200, 2000}}
	x, y := LiftTest{}.Estimate([]Sample{half, half}), LiftTest{}.Estimate([]Sample{whole})
	for what, d := range map[string]float64{"change": x.Change - y.Change, "low": x.Low - y.Low, "high": x.High - y.High, "ln E": x.LogE - y.LogE} {
		if math.Abs(d) > 1e-12 {
			t.Errorf("%s differs by %g", what, d)
		}
	}
}

// A guardrail that is met by everyone has no variance to judge by.
func TestLiftOfCertainty(t *testing.T) {
	if l := (LiftTest{}).Estimate([]Sample{{.5, Proportion{50, 50}, Proportion{50, 50}}}); !l.Collecting {
		t.Errorf("%+v", l)
	}
}

func TestSRMReferenceValues(t *testing.T) {
	s := SRMTest{}
	even, uneven := Sample{.5, Proportion{N: 5150}, Proportion{N: 4850}}, Sample{.9, Proportion{N: 89600}, Proportion{N: 10400}}
	near(t, "ln BF", s.Check([]Sample{even}).LogBF, "2.892613532")
	near(t, "ln BF", s.Check([]Sample{uneven}).LogBF, "6.374021945")
	near(t, "ln BF of both", s.Check([]Sample{even, uneven}).LogBF, "9.266635477")
	if got := s.Check([]Sample{even}).State; got != SRMFine {
		t.Errorf("ln BF 2.89: %s", got)
	}
	if got := s.Check([]Sample{uneven}).State; got != SRMWarn {
		t.Errorf("ln BF 6.37: %s", got)
	}
	if got := s.Check([]Sample{even, uneven}).State; got != SRMInvalid {
		t.Errorf("ln BF 9.27: %s", got)
	}
}

// An epoch without randomisation is no evidence, and never a NaN.
func TestDegenerateShares(t *testing.T) {
	for _, share := range []float64{0, 1, -1, 2, math.NaN()} {
		e := []Sample{{share, Proportion{50, 100}, Proportion{30, 100}}}
		if got := (GuardrailTest{Baseline: .1}).LogE(e); got != 0 {
			t.Errorf("share %g: ln E = %g", share, got)
		}
		if got := (LiftTest{}).Estimate(e); !got.Collecting {
			t.Errorf("share %g: %+v", share, got)
		}
		if got := (SRMTest{}).Check(e); got.LogBF != 0 || got.P != 1 {
			t.Errorf("share %g: %+v", share, got)
		}
	}
}
