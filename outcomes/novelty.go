package outcomes

import (
	"math"
	"slices"
)

// minRuntime is how many days a run's exposures must span before its metric is
// said to have helped: every day of the week is in it. A rollback waits for
// nothing.
const minRuntime = 7

// Novelty compares the lift among the units that were first exposed in the
// run's first week with that among those of later weeks: what helps only while
// it is new helps the later ones less.
type Novelty struct {
	First Lift `json:"first"`
	Later Lift `json:"later"`
	// Ratio is by how much more First changed the metric than Later: 0.1 if 32 %
	// became 20 %, for 1.32 is 1.1 times 1.2.
	Ratio   Lift `json:"ratio"`
	Differs bool `json:"differs"` // the interval of Ratio leaves out 0
}

// novelty compares the weeks of a tally, nil while one side is collecting. The
// two lifts are of different units, so the variances of their logarithms add up.
func (l LiftTest) novelty(t *Tally) *Novelty {
	var first, later strata
	var room [4]Sample
	rest := room[:0] // the later weeks of each epoch
	for i := range t.Weeks {
		w := &t.Weeks[i]
		s := Sample{Share: w.Treatment, Treatment: w.TreatmentArm.rate(), Control: w.ControlArm.rate()}
		if w.Week == 0 {
			first.addRates(s)
			continue
		}
		at := slices.IndexFunc(rest, func(r Sample) bool { return r.Share == s.Share })
		if at < 0 {
			rest = append(rest, s)
			continue
		}
		rest[at].Treatment.add(s.Treatment)
		rest[at].Control.add(s.Control)
	}
	for _, s := range rest {
		later.addRates(s)
	}
	if first.weights == 0 || later.weights == 0 {
		return nil
	}
	n := Novelty{First: l.lift(first), Later: l.lift(later)}
	n.Ratio = l.at(first.n+later.n, first.sum/first.weights-later.sum/later.weights, math.Sqrt(1/first.weights+1/later.weights))
	n.Differs = n.Ratio.Low > 0 || n.Ratio.High < 0
	return &n
}

func (c *Cohort) rate() Proportion { return Proportion{X: c.Converted, N: c.Matured} }

func (p *Proportion) add(o Proportion) {
	p.X += o.X
	p.N += o.N
}

// days is how many whole days of a run its exposures span.
func (t *Tally) days() int { return int(max(0, t.Latest-t.Started) / dayMillis) }
