package outcomes

import "math"

// GuardrailTest tests that harm in treatment is at most 1 + Tolerate times
// harm in control, however often anyone looks. Its parameters are frozen with
// the rule's version.
//
// Its evidence E is a mixture of bets, each that treatment's rate is k times
// the tolerated ratio, for k in {1.1, 1.25, 1.5, 2, 3}: without regard to the
// base rate (only the harmed count, by the arm they fall in), and, if Baseline
// is declared, at that base rate too. A bet is a product over units of the
// likelihood ratio of what it claims to the closest thing that the null
// allows: an e-value (Grünwald, de Heide and Koolen, "Safe Testing"). While
// the null holds, a mixture of such products (Robbins' method of mixtures) is
// a nonnegative supermartingale that starts at 1, and so the probability that
// it ever reaches 1/alpha is at most alpha (Ville 1939).
//
// E depends on the counts alone, not on their order: duplicates can be
// removed, late events added, and anyone can recompute it. A wrong Baseline
// costs power, never validity. Harms a little above the tolerated ratio, up to
// 1.049 times, are deliberately not chased.
type GuardrailTest struct {
	Tolerate float64 // relative increase that is tolerated: 0.1 is 10 %
	Baseline float64 // declared rate in control; outside (0, 1): not declared
	Alpha    float64 // the rate of false rollbacks accepted; 0: DefaultAlpha
}

const (
	bets = 5
	// maxBetRate is the rate in treatment from which on a bet at the declared
	// base rate is left out.
	maxBetRate = 0.98
)

func betRatios() [bets]float64 { return [...]float64{1.1, 1.25, 1.5, 2, 3} }

// LogE returns ln E of the harmed and the settled units of every epoch, which
// are never pooled: a bet's logarithms are added over the epochs, then the
// bets are averaged.
func (g GuardrailTest) LogE(epochs []Sample) float64 {
	var free, based [bets]float64 // each bet's ln so far
	r0 := 1 + g.Tolerate
	ratios := betRatios()
	n := g.based()
	for _, e := range epochs {
		if !e.randomised() {
			continue
		}
		for i, k := range ratios {
			free[i] += baselineFree(e.Share, r0, k*r0).logE(e)
		}
		for i, k := range ratios[:n] {
			based[i] += atBaseline(e.Share, r0, k*r0, g.Baseline).logE(e)
		}
	}
	top := free[0]
	for _, x := range free {
		top = max(top, x)
	}
	for _, x := range based[:n] {
		top = max(top, x)
	}
	var sum float64
	for _, x := range free {
		sum += math.Exp(x - top)
	}
	for _, x := range based[:n] {
		sum += math.Exp(x - top)
	}
	return top + math.Log(sum/float64(bets+n))
}

// based is how many of the bets are made at the declared base rate too: the
// first ones.
func (g GuardrailTest) based() (n int) {
	ratios := betRatios()
	if g.Baseline > 0 && g.Baseline < 1 {
		for n < bets && ratios[n]*(1+g.Tolerate)*g.Baseline < maxBetRate {
			n++
		}
	}
	return n
}

// Bet is one of the bets: what each unit of an epoch multiplies it by.
type Bet struct {
	Ratio                      float64 // of treatment's rate to control's, that it is on
	Baseline                   float64 // control's rate, that it is on; 0: on none
	TreatmentHarm, TreatmentOK float64
	ControlHarm, ControlOK     float64
}

// Bets returns the bets of an epoch with the probability of treatment share,
// which lies in (0, 1). E is the average of their products.
func (g GuardrailTest) Bets(share float64) []Bet {
	var all []Bet
	r0, ratios := 1+g.Tolerate, betRatios()
	add := func(k, p0 float64, f factors) {
		all = append(all, Bet{k * r0, p0, f.treatmentHarm, f.treatmentOK, f.controlHarm, f.controlOK})
	}
	for _, k := range ratios {
		add(k, 0, baselineFree(share, r0, k*r0))
	}
	for _, k := range ratios[:g.based()] {
		add(k, g.Baseline, atBaseline(share, r0, k*r0, g.Baseline))
	}
	return all
}

// Threshold is the ln E at which the guardrail is breached: ln 1/alpha.
func (g GuardrailTest) Threshold() float64 { return -math.Log(orDefault(g.Alpha, DefaultAlpha)) }

// State judges the greatest ln E so far, and the change of harm among units
// whose window is over, estimated at the test's Alpha: cleared is a guardrail
// whose interval ends below what is tolerated.
func (g GuardrailTest) State(maxLogE float64, harm Lift) State {
	switch {
	case maxLogE >= g.Threshold():
		return Breached
	case !harm.Collecting && harm.High < g.Tolerate:
		return Cleared
	}
	return Undecided
}

// factors are what one unit multiplies a bet by.
type factors struct{ treatmentHarm, treatmentOK, controlHarm, controlOK float64 }

func (f factors) logE(e Sample) float64 {
	t, c := e.Treatment, e.Control
	return float64(t.X)*math.Log(f.treatmentHarm) + float64(t.N-t.X)*math.Log(f.treatmentOK) +
		float64(c.X)*math.Log(f.controlHarm) + float64(c.N-c.X)*math.Log(f.controlOK)
}

// baselineFree bets that a harm falls in treatment as often as the ratio rr of
// the rates implies, against r0.
func baselineFree(share, r0, rr float64) factors {
	t0 := share * r0 / (share*r0 + 1 - share)
	t1 := share * rr / (share*rr + 1 - share)
	return factors{t1 / t0, 1, (1 - t1) / (1 - t0), 1}
}

// atBaseline bets that the rates are rr·p0 and p0, against r0·q and q, where q
// is the null that is closest to them in Kullback-Leibler divergence.
func atBaseline(share, r0, rr, p0 float64) factors {
	pt := rr * p0
	a := share*pt + (1-share)*p0
	b := a*(1+r0) + share*(1-pt)*r0 + (1-share)*(1-p0)
	q := 2 * a / (b + math.Sqrt(b*b-4*r0*a)) // the smaller root of r0·q² − b·q + a
	return factors{pt / (r0 * q), (1 - pt) / (1 - r0*q), p0 / q, (1 - p0) / (1 - q)}
}
