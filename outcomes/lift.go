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
	var s strata
	for _, e := range epochs {
		s.addRates(e)
	}
	return l.lift(s)
}

// strata are log ratios, weighted with the inverse of their variances.
type strata struct{ n, weights, sum float64 }

// add adds the log ratio that n units show. One whose variance is 0 shows
// nothing: everyone did the same, and nothing tells how sure that is.
func (s *strata) add(n, ratio, variance float64) {
	if variance <= 0 {
		return
	}
	s.n += n
	s.weights += 1 / variance
	s.sum += ratio / variance
}

// addRates adds the ratio of two rates.
func (s *strata) addRates(e Sample) {
	t, c := e.Treatment, e.Control
	if !e.randomised() || t.X < minSuccesses || c.X < minSuccesses {
		return
	}
	a, b := float64(t.X)/float64(t.N), float64(c.X)/float64(c.N)
	s.add(float64(t.N+c.N), math.Log(a/b), (1-a)/float64(t.X)+(1-b)/float64(c.X))
}

// lift words the mean of the strata.
func (l LiftTest) lift(s strata) Lift {
	if s.weights == 0 {
		return Lift{Collecting: true, Alpha: orDefault(l.Alpha, DefaultAlpha), P: 1}
	}
	return l.at(s.n, s.sum/s.weights, 1/math.Sqrt(s.weights))
}

// at words a log ratio and its standard error after n units.
func (l LiftTest) at(n, ratio, se float64) Lift {
	r := l.mixture()
	nr := n*r + 1
	margin := se * l.width(n)
	z := ratio / se
	logE := n*r*z*z/(2*nr) - math.Log(nr)/2
	return Lift{
		Change: math.Expm1(ratio),
		Low:    math.Expm1(ratio - margin),
		High:   math.Expm1(ratio + margin),
		Alpha:  orDefault(l.Alpha, DefaultAlpha),
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
