package outcomes

import (
	"slices"

	"github.com/seed14307185/refract/rules"
)

// Crossed is what became of the units that two rules met, by their arms in both:
// of the metric of one rule, the other is called the companion. The zero Crossed
// is that of two rules that have no unit in common.
type Crossed struct {
	Strata []Stratum `json:"strata"` // sorted by the probabilities
	Units  int64     `json:"units"`  // in an arm of each
	// First units, of Units, met the rule before its companion. They are in no
	// stratum.
	First int64 `json:"first"`
	// Open units, of Units but of First, have a metric window that is not over.
	// They are in no stratum yet.
	Open int64 `json:"open"`
}

// Stratum are the units of one epoch of either rule.
type Stratum struct {
	Treatment   float64 `json:"treatment"`    // the rule's probability of it
	Companion   float64 `json:"companion"`    // the companion's
	InTreatment Arms    `json:"in_treatment"` // of the companion
	InControl   Arms    `json:"in_control"`
}

// Arms are the rule's.
type Arms struct {
	TreatmentArm Cohort `json:"treatment_arm"`
	ControlArm   Cohort `json:"control_arm"`
}

// Add counts a unit that both a rule and its companion met. One that saw both
// arms of either is left out.
//
// Only units take part that met the companion first, or both at once: what the
// rule does before the companion could change that can have nothing to do with
// it, and who comes to the companion after the rule may depend on the rule's arm.
func (c *Crossed) Add(n, companion *Enrolment, r *rules.Rule) {
	if n.Mixed || companion.Mixed {
		return
	}
	c.Units++
	switch {
	case companion.At > n.At:
		c.First++
		return
	case !n.MetricClosed:
		c.Open++
		return
	}
	arms := &c.stratum(n.Treatment, companion.Treatment).InControl
	if companion.Arm == rules.Treatment {
		arms = &c.stratum(n.Treatment, companion.Treatment).InTreatment
	}
	cohort := &arms.ControlArm
	if n.Arm == rules.Treatment {
		cohort = &arms.TreatmentArm
	}
	cohort.add(n.cohort(), +1)
}

// stratum returns the stratum, which it adds if there is none. It is valid until
// the next call.
func (c *Crossed) stratum(treatment, companion float64) *Stratum {
	i := slices.IndexFunc(c.Strata, func(s Stratum) bool {
		return s.Treatment > treatment || s.Treatment == treatment && s.Companion >= companion
	})
	if i < 0 {
		i = len(c.Strata)
	}
	if i == len(c.Strata) || c.Strata[i].Treatment != treatment || c.Strata[i].Companion != companion {
		c.Strata = slices.Insert(c.Strata, i, Stratum{Treatment: treatment, Companion: companion})
	}
	return &c.Strata[i]
}

// Interaction is whether the change that a rule makes depends on the arm of its
// companion.
type Interaction struct {
	InTreatment Lift `json:"change_in_treatment"` // the rule's change, in the companion's treatment
	InControl   Lift `json:"change_in_control"`
	// Ratio is by how much more the rule changed the metric in the companion's
	// treatment: 0.1 if 32 % became 20 %, for 1.32 is 1.1 times 1.2.
	Ratio     Lift `json:"ratio"`
	Interacts bool `json:"interacts"` // the interval of Ratio leaves out 0
}

// Interaction tests a pair of rules. With L(T) and L(C) the log ratios of the
// rule's arms among the units in the companion's treatment and in its control,
// it is L(T) − L(C) ∓ M(n)·√(SE(T)² + SE(C)²), with M of the interval of a lift and
// n the units of the four cells: these are of different units, so variances add
// up (Kohavi, Tang and Xu, "Trustworthy Online Controlled Experiments", chapter
// 4, on tests that overlap; the sequence is that of LiftTest). Strata are
// averaged with the inverse of their variances as weights, so that an effect
// which moved while a probability did can't pass for an interaction. One takes
// part once each of its four cells has 20 successes.
//
// Of many pairs some show an interaction by themselves: let Alpha be that of all
// of them, divided by how many there are (Bonferroni).
func (l LiftTest) Interaction(c *Crossed, m *rules.Metric) Interaction {
	var treated, untreated, ratio strata
	for i := range c.Strata {
		var t, u strata
		s := &c.Strata[i]
		t.addCohorts(s.Treatment, &s.InTreatment.TreatmentArm, &s.InTreatment.ControlArm, m)
		u.addCohorts(s.Treatment, &s.InControl.TreatmentArm, &s.InControl.ControlArm, m)
		if t.weights == 0 || u.weights == 0 {
			continue
		}
		treated.add(t.n, t.mean(), t.variance())
		untreated.add(u.n, u.mean(), u.variance())
		ratio.add(t.n+u.n, t.mean()-u.mean(), t.variance()+u.variance())
	}
	is := Interaction{InTreatment: l.lift(treated), InControl: l.lift(untreated), Ratio: l.lift(ratio)}
	is.Interacts = !is.Ratio.Collecting && (is.Ratio.Low > 0 || is.Ratio.High < 0)
	return is
}

// mean and variance are those of the strata together, of which there is one.
func (s *strata) mean() float64     { return s.sum / s.weights }
func (s *strata) variance() float64 { return 1 / s.weights }
