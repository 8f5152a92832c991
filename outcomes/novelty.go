package outcomes

import (
	"math"
	"slices"

	"github.com/seed14307185/refract/rules"
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
func (l LiftTest) novelty(t *Tally, m *rules.Metric) *Novelty {
	var first, later strata
	var room [4]Week
	rest := room[:0] // the later weeks of each epoch, as one
	for _, w := range t.Weeks {
		if w.Week == 0 {
			first.addCohorts(w.Treatment, &w.TreatmentArm, &w.ControlArm, m)
			continue
		}
		at := slices.IndexFunc(rest, func(r Week) bool { return r.Treatment == w.Treatment })
		if at < 0 {
			rest = append(rest, w)
			continue
		}
		rest[at].TreatmentArm.add(w.TreatmentArm, +1)
		rest[at].ControlArm.add(w.ControlArm, +1)
	}
	for i := range rest {
		later.addCohorts(rest[i].Treatment, &rest[i].TreatmentArm, &rest[i].ControlArm, m)
	}
	if first.weights == 0 || later.weights == 0 {
		return nil
	}
	n := Novelty{First: l.lift(first), Later: l.lift(later)}
	n.Ratio = l.at(first.n+later.n, first.sum/first.weights-later.sum/later.weights, math.Sqrt(1/first.weights+1/later.weights))
	n.Differs = n.Ratio.Low > 0 || n.Ratio.High < 0
	return &n
}

// addCohorts adds what the arms' units show, of one epoch.
func (s *strata) addCohorts(treatment float64, t, c *Cohort, m *rules.Metric) {
	if m.IsRate() {
		s.addRates(Sample{treatment, Proportion{t.Converted, t.Matured}, Proportion{c.Converted, c.Matured}})
		return
	}
	s.addRatio(MomentSample{treatment, t.Sums.Moments(m, t.Matured, t.Converted), c.Sums.Moments(m, c.Matured, c.Converted)})
}

// days is how many whole days of a run its exposures span: from the first one
// on, for a rule may be live long before its surface is on any page.
func (t *Tally) days() int { return int(max(0, t.Latest-max(t.Started, t.Earliest)) / dayMillis) }
