package outcomes

import "math"

// DefaultPlanned is the number of units for which the interval of a LiftTest
// without Planned is narrowest.
const DefaultPlanned = 5000

// minSuccesses is how many successes an epoch needs in each arm before
// anything is said of it.
const minSuccesses = 20

// LiftTest estimates the relative change of a rate that treatment makes, with
// an interval that holds at every look at once. Its parameters are frozen with
// the rule's version.
//
// The interval is an asymptotic confidence sequence for the logarithm of the
// ratio of the rates, from Robbins' normal mixture (Howard, Ramdas, McAuliffe
// and Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence
// sequences"; Waudby-Smith et al., "Time-uniform central limit theory and
// asymptotic confidence sequences").
//
// Epochs are strata: each gives a log ratio of its own, and these are averaged
// with the inverse of their variances as weights. Raw counts of different
// epochs are never added, so a base rate that moved while the probability of
// treatment did can't pass for an effect. An epoch takes part, with its
// units, once it has 20 successes in each arm.
type LiftTest struct {
	Alpha   float64 // the error rate, over all looks; 0: DefaultAlpha
	Planned float64 // n*, the units for which to be narrowest; 0: DefaultPlanned
}

// Lift is an estimate of a relative change with its always-valid interval:
// 0.25 is 25 % more.
type Lift struct {
	// Collecting says that there is nothing to show yet: then LogE is 0, P is
	// 1, and Change, Low and High mean nothing.
	Collecting bool    `json:"collecting"`
	Change     float64 `json:"change"`
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	// Alpha is the probability that the interval misses the truth at any look.
	Alpha float64 `json:"alpha"`
	LogE  float64 `json:"log_e"` // against no change
	P     float64 `json:"p"`     // anytime p of no change: by the greatest LogE known
}

// Estimate returns the lift that the epochs show.
func (l LiftTest) Estimate(epochs []Sample) Lift {
	alpha := orDefault(l.Alpha, DefaultAlpha)
	var n, weights, sum float64
	for _, e := range epochs {
		t, c := e.Treatment, e.Control
		if !e.randomised() || t.X < minSuccesses || c.X < minSuccesses {
			continue
		}
		a, b := float64(t.X)/float64(t.N), float64(c.X)/float64(c.N)
		variance := (1-a)/float64(t.X) + (1-b)/float64(c.X)
		if variance <= 0 {
			continue // everyone succeeded: nothing tells how sure that is
		}
		n += float64(t.N + c.N)
		weights += 1 / variance
		sum += math.Log(a/b) / variance
	}
	if weights == 0 {
		return Lift{Collecting: true, Alpha: alpha, P: 1}
	}
	ratio, se := sum/weights, 1/math.Sqrt(weights)
	r := l.mixture()
	nr := n*r + 1
	margin := se * l.width(n)
	z := ratio / se
	logE := n*r*z*z/(2*nr) - math.Log(nr)/2
	return Lift{
		Change: math.Expm1(ratio),
		Low:    math.Expm1(ratio - margin),
		High:   math.Expm1(ratio + margin),
		Alpha:  alpha,
		LogE:   logE,
		P:      AnytimeP(logE),
	}
}

// mixture is the parameter of the mixing distribution, by which the interval is
// narrowest at Planned.
func (l LiftTest) mixture() float64 {
	alpha := orDefault(l.Alpha, DefaultAlpha)
	return (-2*math.Log(alpha) + math.Log(1-2*math.Log(alpha))) / orDefault(l.Planned, DefaultPlanned)
}

// width is half of the interval after n units, in standard errors.
func (l LiftTest) width(n float64) float64 {
	r := l.mixture()
	nr := n*r + 1
	return math.Sqrt(2 * nr / (n * r) * math.Log(math.Sqrt(nr)/orDefault(l.Alpha, DefaultAlpha)))
}
