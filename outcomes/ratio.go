package outcomes

import "math"

// Moments are what is known of one arm's units for the ratio of two sums over
// them: of a numerator m and a denominator d, that each unit has. For the mean
// of m per unit, d is 1.
type Moments struct {
	N          int64   // units
	X          int64   // units that did the metric's event
	Sum        float64 // of m
	Squares    float64 // of m²
	Per        float64 // sum of d
	PerSquares float64 // of d²
	Products   float64 // of m·d
}

// MeanMoments returns the moments for the mean of m over n units, of which x
// did the metric's event.
func MeanMoments(n, x int64, sum, squares float64) Moments {
	return Moments{n, x, sum, squares, float64(n), float64(n), sum}
}

// MomentSample is a Sample of moments.
type MomentSample struct {
	Share              float64 // the probability of treatment
	Treatment, Control Moments
}

// EstimateRatio is Estimate for a ratio of sums over units: the mean of a value
// per unit, or how often one event comes per another. Units are what is
// randomised, and so what is counted; what one of them does may depend on what
// else it does. An epoch takes part once 20 units of each arm did the event, and
// its sums are spread as over 50 units that all came to the same:
// (Σm)²/Σm² ≥ 50, and so for d.
//
// The logarithm of R = Σm/Σd has, by the delta method, the variance
// (s_m² + R²·s_d² − 2R·s_md)/(n·d̄²)/R² (Deng, Knoblich and Lu, "Applying the Delta
// Method in Metric Analytics"), which is Σm²/(Σm)² + Σd²/(Σd)² − 2Σmd/(Σm·Σd).
func (l LiftTest) EstimateRatio(epochs []MomentSample) Lift {
	var s strata
	for _, e := range epochs {
		s.addRatio(e)
	}
	return l.lift(s)
}

// minSpread is among how many units, that came to the same, a sum has to be
// spread at least before anything is said of it: while a few make up most of
// it, no estimate is normal. By simulation: of means that 5 % of the units make
// up log-normally with σ = 1.5, without it 7 % miss the truth at some look.
const minSpread = 50

// addRatio adds the ratio of two ratios.
func (s *strata) addRatio(e MomentSample) {
	t, c := e.Treatment, e.Control
	if !(Sample{Share: e.Share}).randomised() || t.X < minSuccesses || c.X < minSuccesses {
		return
	}
	lt, vt, ok1 := t.logRatio()
	lc, vc, ok2 := c.logRatio()
	if ok1 && ok2 {
		s.add(float64(t.N+c.N), lt-lc, vt+vc)
	}
}

// logRatio returns ln R and its variance; ok is false where a sum is spread too
// little, and where there is no variance, or no more than rounding leaves: every
// unit did the same.
func (m Moments) logRatio() (ratio, variance float64, ok bool) {
	if !(m.Sum > 0 && m.Sum*m.Sum >= minSpread*m.Squares) || !(m.Per > 0 && m.Per*m.Per >= minSpread*m.PerSquares) {
		return 0, 0, false
	}
	a, b := m.Squares/(m.Sum*m.Sum), m.PerSquares/(m.Per*m.Per)
	variance = a + b - 2*m.Products/(m.Sum*m.Per)
	ratio = math.Log(m.Sum / m.Per)
	return ratio, variance, variance > 1e-12*(a+b) && !math.IsInf(a+b, 0) && !math.IsInf(ratio, 0)
}
