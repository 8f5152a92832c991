package outcomes

import (
	"math"

	"github.com/seed14307185/refract/rules"
)

// fewWeight is how many successes the prior of an EventShare is worth.
const fewWeight = 100

// EventShare is the relative change of a rate that the arms' successes alone
// show, for as long as they are too few for a LiftTest: an interval that holds
// at every look at once, whatever their number.
//
// A success is treatment's with the probability θ = ρ·RR/(ρ·RR + 1 − ρ), where RR
// is the ratio of the rates. The interval has each RR at which the posterior
// density of θ is at least alpha times its prior one, Beta(100ρ, 100(1 − ρ)): the
// prior-posterior ratio (Waudby-Smith and Ramdas, "Confidence sequences for
// sampling without replacement") is a martingale where RR is true, and so is the
// product of those of several epochs. It is exact for any rates; that it makes no
// use of who had no success makes it wide where these are few.
type EventShare struct {
	Low  float64 `json:"low"` // 0.25 is 25 % more
	High float64 `json:"high"`
}

// Few returns the interval that the successes of the metric show, whose windows
// are over. It says false where an arm has none, or the metric is no rate.
func (t *Tally) Few(r *rules.Rule) (EventShare, bool) {
	if !r.Metric.IsRate() {
		return EventShare{}, false
	}
	return LiftTest{}.Few(t.samples(nil, func(c *Counts) Proportion { return Proportion{X: c.MaturedConverted, N: c.Matured} }))
}

// Few returns the interval that the epochs' successes show. It says false where
// an arm has none.
func (l LiftTest) Few(epochs []Sample) (EventShare, bool) {
	var few []fewEpoch
	var x [2]float64
	// What the log-likelihood must be at least: ln alpha over the marginal one.
	least := math.Log(orDefault(l.Alpha, DefaultAlpha))
	for _, e := range epochs {
		t, c := float64(e.Treatment.X), float64(e.Control.X)
		if !e.randomised() || t+c == 0 {
			continue
		}
		few = append(few, fewEpoch{math.Log(e.Share / (1 - e.Share)), t, c})
		x[0], x[1] = x[0]+t, x[1]+c
		a, b := fewWeight*e.Share, fewWeight*(1-e.Share)
		least += lnBeta(a+t, b+c) - lnBeta(a, b)
	}
	if x[0] == 0 || x[1] == 0 {
		return EventShare{}, false
	}
	top := bisect(-fewEnd, fewEnd, func(ratio float64) bool { return slope(few, ratio) > 0 })
	inside := func(ratio float64) bool { return likelihood(few, ratio) >= least }
	low := bisect(-fewEnd, top, func(ratio float64) bool { return !inside(ratio) })
	high := bisect(top, fewEnd, inside)
	return EventShare{math.Expm1(low), math.Expm1(high)}, true
}

// fewEnd is beyond the log ratio of any rates that can be told from 0.
const fewEnd = 60

// fewEpoch are the successes of an epoch, and the log odds of treatment.
type fewEpoch struct{ odds, treatment, control float64 }

// likelihood is the log-likelihood of a log ratio: a concave function.
func likelihood(epochs []fewEpoch, ratio float64) (sum float64) {
	for _, e := range epochs {
		z := e.odds + ratio
		sum -= e.treatment*math.Log1p(math.Exp(-z)) + e.control*math.Log1p(math.Exp(z))
	}
	return sum
}

// slope is its derivative.
func slope(epochs []fewEpoch, ratio float64) (sum float64) {
	for _, e := range epochs {
		sum += e.treatment - (e.treatment+e.control)/(1+math.Exp(-e.odds-ratio))
	}
	return sum
}

// bisect returns where is, true at low, becomes false on the way to high.
func bisect(low, high float64, is func(float64) bool) float64 {
	for range 64 {
		middle := low + (high-low)/2
		if is(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

func lnBeta(a, b float64) float64 { return lnGamma(a) + lnGamma(b) - lnGamma(a+b) }
