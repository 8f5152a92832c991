package outcomes

import "math"

// DefaultPower is the power that the sizes of tests are given for.
const DefaultPower = 0.8

// Units returns how many units, of both arms together, a test of this kind
// takes: with that many or fewer it tells a true relative change of the rate,
// from base to base × (1 + change), from none with at least the given power.
// share is the probability of treatment. The result is +Inf where no number
// would do: a rate outside (0, 1), or no change.
//
// After n units the interval has a half-width of M(n) standard errors, and the
// estimate is normal around the truth; so the interval leaves out no change
// with probability power once |ln(1 + change)| ≥ (M(n) + z(power)) × SE(n). Any
// look before may have found it too, which makes the number an upper bound.
// Like Estimate, it waits for 20 successes in each arm.
func (l LiftTest) Units(base, change, share, power float64) float64 {
	return l.units(base, base*(1+change), math.Abs(math.Log1p(change)), share, power)
}

// UnitsToClear is Units for an interval that is to end below a change of
// tolerate, where the rates are in truth the same in both arms.
func (l LiftTest) UnitsToClear(base, tolerate, share, power float64) float64 {
	return l.units(base, base, math.Log1p(tolerate), share, power)
}

// units is after how many units an effect, on the scale of the interval, is
// outside of it.
func (l LiftTest) units(base, treated, effect, share, power float64) float64 {
	if !rate(base) || !rate(treated) || !rate(share) || !(effect > 0) {
		return math.Inf(1)
	}
	unit := (1-treated)/(treated*share) + (1-base)/(base*(1-share)) // variance × n
	enough := func(n float64) bool {
		return effect >= (l.width(n)+normalQuantile(power))*math.Sqrt(unit/n)
	}
	high := max(minSuccesses/(treated*share), minSuccesses/(base*(1-share)))
	if enough(high) {
		return math.Ceil(high)
	}
	low := high
	for !enough(high) {
		low, high = high, 2*high
	}
	for high-low > .5 {
		if mid := (low + high) / 2; enough(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return math.Ceil(high)
}

// FixedUnits is Units for a test that is looked at once, at its end: the
// two-sided test of two proportions without a continuity correction (Fleiss,
// Levin and Paik, "Statistical Methods for Rates and Proportions", 3rd edition,
// section 4.2). It is what other calculators say, to compare with.
func FixedUnits(base, change, share, alpha, power float64) float64 {
	treated := base * (1 + change)
	if !rate(base) || !rate(treated) || !rate(share) || change == 0 {
		return math.Inf(1)
	}
	pooled := share*treated + (1-share)*base
	none := math.Sqrt(pooled * (1 - pooled) / (share * (1 - share)))
	some := math.Sqrt(treated*(1-treated)/share + base*(1-base)/(1-share))
	root := normalQuantile(1-alpha/2)*none + normalQuantile(power)*some
	return math.Pow(root/(treated-base), 2)
}

func rate(p float64) bool { return p > 0 && p < 1 }

// normalQuantile is the inverse of the standard normal distribution.
func normalQuantile(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }
