package outcomes

import "math"

// Units returns how many units, of both arms together, are exposed until the
// guardrail is breached with the given probability, if harm in control is base
// and that in treatment harm times as much. share is the probability of
// treatment. The result is +Inf where the evidence does not grow: a rate outside
// (0, 1), or a harm that the test does not chase.
//
// A bet's logarithm is a sum over units, with a mean g and a variance v for each:
// a random walk with drift. Those of the mixture differ, so they are averaged
// with the weights that the bets have when the mixture's mean evidence reaches
// the threshold, after n0 units; by then the walk has come to h = g·n0. When it
// first does so is taken as of a Brownian motion, and that is the inverse
// Gaussian distribution: P(N ≤ n) = Φ((g·n − h)/√(v·n)) + exp(2·g·h/v)·Φ(−(g·n + h)/√(v·n))
// (Wald, "Sequential Analysis", 1947, appendix A.6; Siegmund, "Sequential
// Analysis", 1985, section 3.2). It takes every unit's outcome for known: windows
// come on top.
func (g GuardrailTest) Units(base, harm, share, power float64) float64 {
	pt := base * harm
	if !rate(base) || !rate(pt) || !rate(share) || !rate(power) {
		return math.Inf(1)
	}
	// What a unit is, and how often.
	odds := [4]float64{share * pt, share * (1 - pt), (1 - share) * base, (1 - share) * (1 - base)}
	var bet [][4]float64 // the logarithm that a unit adds to each
	var mean []float64
	for _, f := range g.factors(share) {
		logs := [4]float64{math.Log(f.treatmentHarm), math.Log(f.treatmentOK), math.Log(f.controlHarm), math.Log(f.controlOK)}
		bet, mean = append(bet, logs), append(mean, dot(odds, logs))
	}
	grown := func(n float64) float64 {
		var sum float64
		for _, m := range mean {
			sum += math.Exp(n * m)
		}
		return math.Log(sum/float64(len(mean))) - g.Threshold()
	}
	n0 := crossing(grown)
	if math.IsInf(n0, 1) {
		return n0
	}
	var logs [4]float64
	var weights float64
	for i, m := range mean {
		w := math.Exp(n0 * m)
		weights += w
		for k := range logs {
			logs[k] += w * bet[i][k]
		}
	}
	var drift, square float64
	for k := range logs {
		logs[k] /= weights
		drift += odds[k] * logs[k]
		square += odds[k] * logs[k] * logs[k]
	}
	v, h := square-drift*drift, drift*n0
	return math.Ceil(crossing(func(n float64) float64 {
		at := math.Sqrt(v * n)
		return normalCDF((drift*n-h)/at) + math.Exp(2*drift*h/v)*normalCDF(-(drift*n+h)/at) - power
	}))
}

// factors are those of every bet.
func (g GuardrailTest) factors(share float64) (list []factors) {
	r0 := 1 + g.Tolerate
	for _, k := range betRatios() {
		list = append(list, baselineFree(share, r0, k*r0))
	}
	for _, k := range betRatios() {
		if g.Baseline > 0 && g.Baseline < 1 && k*r0*g.Baseline < maxBetRate {
			list = append(list, atBaseline(share, r0, k*r0, g.Baseline))
		}
	}
	return list
}

// crossing is where a function of a number of units becomes positive, to half a
// unit; +Inf: not within 10^12.
func crossing(f func(float64) float64) float64 {
	low, high := 0.0, 1.0
	for f(high) < 0 {
		if low, high = high, 2*high; high > 1e12 {
			return math.Inf(1)
		}
	}
	for high-low > .5 {
		if mid := (low + high) / 2; f(mid) < 0 {
			low = mid
		} else {
			high = mid
		}
	}
	return high
}

func dot(a, b [4]float64) (sum float64) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

// normalCDF is the standard normal distribution.
func normalCDF(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }
