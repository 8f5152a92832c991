package outcomes

import "github.com/seed14307185/refract/rules"

// State is the state of a guardrail.
type State string

// The states.
const (
	Undecided State = "undecided"
	Cleared   State = "cleared"  // exposure may be widened
	Breached  State = "breached" // roll back; it stays so for the rule's version
)

// Verdict is what the counts say of a rule.
type Verdict struct {
	Guardrail State `json:"guardrail"`
	// Blind says that the guardrail sees nothing: of the units that were exposed
	// last, in whole days, so many windows are over that by the declared baseline at
	// least 20 would have been harmed, and in neither arm was any. Then no evidence
	// can come up, whatever treatment does.
	Blind   bool    `json:"blind"`
	LogE    float64 `json:"log_e"`     // now
	MaxLogE float64 `json:"max_log_e"` // the greatest so far
	P       float64 `json:"p"`         // anytime p of the guardrail: min(1, 1/exp(MaxLogE))
	// Harm is the change of harm among the units whose guardrail window is
	// over, at the guardrail's alpha.
	Harm Lift `json:"harm"`
	// Lift is the change of the metric among the units whose metric window is
	// over. Its P is by the greatest evidence so far.
	Lift Lift `json:"lift"`
	SRM  SRM  `json:"srm"`
	// Days is how many whole days of the run its exposures span, and TooEarly
	// says that these are fewer than the 7 that it takes to say that a rule
	// helped. Of a run that an earlier release began, neither is known.
	Days     int      `json:"days"`
	TooEarly bool     `json:"too_early"`
	Novelty  *Novelty `json:"novelty,omitempty"` // nil: not known yet
}

// Judge judges a tally, and moves its extremes. A breach latches: no later
// count takes it back.
//
// While the sample ratio is invalid, which also latches, the results are, and
// Judge draws no conclusion from them: the extremes of the guardrail and the
// lift stay where they were, so that neither a breach nor a clearance comes
// from arms that can't be compared.
func Judge(t *Tally, r *rules.Rule) Verdict {
	// Room for the usual number of epochs, so that judging allocates nothing.
	var exposed, settled, closed, matured [4]Sample
	g := GuardrailTest{Tolerate: r.Guardrail.Tolerate, Baseline: r.Guardrail.Baseline, Alpha: r.Guardrail.Alpha}

	v := Verdict{
		SRM: t.judgeSRM(exposed[:0]),
		LogE: g.LogE(t.samples(settled[:0], func(c *Counts) Proportion {
			return Proportion{X: c.Harmed, N: c.Settled}
		})),
		Harm: LiftTest{Alpha: g.Alpha}.Estimate(t.samples(closed[:0], func(c *Counts) Proportion {
			return Proportion{X: c.ClosedHarmed, N: c.Closed}
		})),
	}
	if r.Metric.IsRate() {
		v.Lift = LiftTest{}.Estimate(t.samples(matured[:0], func(c *Counts) Proportion {
			return Proportion{X: c.MaturedConverted, N: c.Matured}
		}))
	} else {
		var room [4]MomentSample
		v.Lift = LiftTest{}.EstimateRatio(t.moments(room[:0], &r.Metric))
	}

	if v.SRM.State != SRMInvalid {
		t.MaxLogE = max(t.MaxLogE, v.LogE)
		t.MaxLiftLogE = max(t.MaxLiftLogE, v.Lift.LogE)
	}
	v.MaxLogE = t.MaxLogE
	v.P = AnytimeP(t.MaxLogE)
	v.Lift.P = AnytimeP(t.MaxLiftLogE)
	v.Guardrail = g.State(t.MaxLogE, v.Harm)
	v.Blind = g.Baseline*float64(t.Unharmed()) >= BlindFrom
	if t.Started != 0 {
		v.Days = t.days()
		v.TooEarly = v.Days < minRuntime
	}
	v.Novelty = LiftTest{}.novelty(t, &r.Metric)
	if v.SRM.State == SRMInvalid && v.Guardrail == Cleared {
		v.Guardrail = Undecided
	}
	return v
}

// sum adds up a count over epochs and arms.
func (t *Tally) sum(of func(*Counts) int64) (n int64) {
	for i := range t.Epochs {
		n += of(&t.Epochs[i].TreatmentArm) + of(&t.Epochs[i].ControlArm)
	}
	return n
}

// samples appends the tally's epochs to room as the tests see them.
func (t *Tally) samples(room []Sample, of func(*Counts) Proportion) []Sample {
	for i := range t.Epochs {
		e := &t.Epochs[i]
		room = append(room, Sample{Share: e.Treatment, Treatment: of(&e.TreatmentArm), Control: of(&e.ControlArm)})
	}
	return room
}

// moments appends the tally's epochs to room as a metric that is no rate has
// them.
func (t *Tally) moments(room []MomentSample, m *rules.Metric) []MomentSample {
	of := func(c *Counts) Moments { return c.Sums.Moments(m, c.Matured, c.MaturedConverted) }
	for i := range t.Epochs {
		e := &t.Epochs[i]
		room = append(room, MomentSample{Share: e.Treatment, Treatment: of(&e.TreatmentArm), Control: of(&e.ControlArm)})
	}
	return room
}
