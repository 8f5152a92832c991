package outcomes

import (
	"cmp"
	"slices"

	"github.com/seed14307185/refract/rules"
)

// Counts are one arm's counts, in units, in one epoch.
type Counts struct {
	Exposed   int64 `json:"exposed"`
	Converted int64 `json:"converted"` // of Exposed, within the metric's window so far
	Harmed    int64 `json:"harmed"`    // of Exposed, within the guardrail's window so far
	// Settled units are those whose guardrail outcome is known: harmed, or
	// their window closed. The guardrail is judged on Harmed of Settled, which
	// is the fast way: it also stops a rule that only makes the same harm come
	// earlier. Harmed/Settled is no estimate of a harm rate, for the harmed
	// settle first.
	Settled int64 `json:"settled"`
	// Closed units are those whose guardrail window closed; ClosedHarmed of
	// them had been harmed. Whether a guardrail is cleared, and by how much
	// harm changed, is said from these.
	Closed       int64 `json:"closed"`
	ClosedHarmed int64 `json:"closed_harmed"`
	// Matured units are those whose metric window closed; MaturedConverted of
	// them had converted. The lift is estimated from these.
	Matured          int64 `json:"matured"`
	MaturedConverted int64 `json:"matured_converted"`
	// Moved units, of Exposed, were put in the other arm later, by a change of
	// the rollout. They stay where they were first assigned.
	Moved int64 `json:"moved"`
	// Early, Late and Dropped units, of Exposed, also did the metric or guardrail
	// event at a time at which it does not count: see Enrolment.
	Early   int64 `json:"early,omitempty"`
	Late    int64 `json:"late,omitempty"`
	Dropped int64 `json:"dropped,omitempty"`
	// Sums are of the Matured units, for a metric that is no rate.
	Sums Sums `json:"sums,omitzero"`
	// NoValue, NotNumber and Negative units, of Exposed, did the metric event
	// with a value that could not be added: see Enrolment.
	NoValue   int64 `json:"no_value,omitempty"`
	NotNumber int64 `json:"not_number,omitempty"`
	Negative  int64 `json:"negative,omitempty"`
	// Browsers are the Exposed by the class of the browser of the first exposure.
	// Those that an earlier release enrolled are of none.
	Browsers ByBrowser[int64] `json:"browsers,omitzero"`
}

// Plus returns the sum of the counts of different units.
func (c Counts) Plus(o Counts) Counts {
	c.add(o, +1)
	return c
}

// Epoch is a span of a rule's life with one probability of treatment. Counts
// of different epochs are never pooled.
type Epoch struct {
	Treatment    float64 `json:"treatment"` // the probability
	TreatmentArm Counts  `json:"treatment_arm"`
	ControlArm   Counts  `json:"control_arm"`
}

// Tally is what a version of a rule did so far. The zero Tally is that of a
// rule that nobody reached yet. It is stored as JSON.
type Tally struct {
	Epochs []Epoch `json:"epochs"` // sorted by Treatment; none is empty
	Mixed  int64   `json:"mixed"`  // units excluded because they saw both arms
	// The greatest evidence that Judge ever found, as natural logarithms, and
	// never below 0: by these, anytime p-values only ever fall.
	MaxLogE     float64 `json:"max_log_e"`      // that the guardrail is breached
	MaxLiftLogE float64 `json:"max_lift_log_e"` // that the metric changed
	MaxSRMLogE  float64 `json:"max_srm_log_e"`  // that the arms' sizes are wrong
	// And that those of a class of browsers are.
	MaxBrowserSRMLogE ByBrowser[float64] `json:"max_browser_srm_log_e,omitzero"`

	// Started is when the run began, in Unix milliseconds, set before the first
	// fold: when its rule was first live in it. While it is 0, as in the tally of a run that an earlier release
	// began, Earliest, Latest, Days, Weeks and Watched are not kept.
	Started int64 `json:"started,omitempty"`
	// Earliest and Latest are the earliest and the latest first exposure, in Unix
	// milliseconds. An earlier release did not keep Earliest.
	Earliest int64 `json:"earliest,omitempty"`
	Latest   int64 `json:"latest,omitempty"`
	// Days has the first outcomes by whole days since the unit's exposure, the
	// 30th also what came later. Epochs are pooled: it is to be looked at, and
	// no test reads it.
	Days []Day `json:"days,omitempty"`
	// Weeks has the units whose metric window closed by the week of the run in
	// which they were exposed, sorted by Week and Treatment; none is empty.
	// Exposures before Started are of the first week, those after a year of the
	// 52nd.
	Weeks []Week `json:"weeks,omitempty"`
	// Watched has the units, of both arms and all epochs, by the day of the run on
	// which they were exposed. Exposures before Started are of the first day, those
	// after a year of the last.
	Watched []Watched `json:"watched,omitempty"`
}

// NewTally returns the tally of a rule that nobody reached yet.
func NewTally() *Tally { return &Tally{} }

// Add adds the counts of other units' tally of the same version, as another
// node folded them. The extremes of the evidence stay t's own: those of a part
// are none of the whole, which is to be judged anew.
func (t *Tally) Add(o *Tally) {
	t.addDetail(o)
	for _, e := range o.Epochs {
		i := t.epoch(e.Treatment)
		t.Epochs[i].TreatmentArm.add(e.TreatmentArm, +1)
		t.Epochs[i].ControlArm.add(e.ControlArm, +1)
	}
	t.Mixed += o.Mixed
}

// Clone returns a copy that shares nothing with t.
func (t *Tally) Clone() Tally {
	c := *t
	c.Epochs, c.Days, c.Weeks, c.Watched = slices.Clone(t.Epochs), slices.Clone(t.Days), slices.Clone(t.Weeks), slices.Clone(t.Watched)
	return c
}

// Exposed is how many units were exposed, over arms and epochs.
func (t *Tally) Exposed() int64 { return t.sum(func(c *Counts) int64 { return c.Exposed }) }

// replace counts now instead of old, the same unit.
func (t *Tally) replace(old, now *Enrolment) {
	t.count(now, +1)
	t.count(old, -1)
}

// count adds (times +1) or takes away (times -1) all that a unit contributes.
func (t *Tally) count(n *Enrolment, times int64) {
	if n.Mixed {
		t.Mixed += times
		return
	}
	i := t.epoch(n.Treatment)
	e := &t.Epochs[i]
	if n.Arm == rules.Treatment {
		e.TreatmentArm.add(n.counts(), times)
	} else {
		e.ControlArm.add(n.counts(), times)
	}
	if *e == (Epoch{Treatment: e.Treatment}) {
		t.Epochs = slices.Delete(t.Epochs, i, i+1)
	}
	if t.Started != 0 {
		t.countDays(n, times)
		t.countWeeks(n, times)
		t.watch(n, times)
	}
}

// epoch returns the index of the epoch, which it adds if there is none.
func (t *Tally) epoch(treatment float64) int {
	i, ok := slices.BinarySearchFunc(t.Epochs, treatment, func(e Epoch, p float64) int {
		return cmp.Compare(e.Treatment, p)
	})
	if !ok {
		t.Epochs = slices.Insert(t.Epochs, i, Epoch{Treatment: treatment})
	}
	return i
}

func (c *Counts) add(o Counts, times int64) {
	c.Exposed += times * o.Exposed
	c.Converted += times * o.Converted
	c.Harmed += times * o.Harmed
	c.Settled += times * o.Settled
	c.Closed += times * o.Closed
	c.ClosedHarmed += times * o.ClosedHarmed
	c.Matured += times * o.Matured
	c.MaturedConverted += times * o.MaturedConverted
	c.Moved += times * o.Moved
	c.Early += times * o.Early
	c.Late += times * o.Late
	c.Dropped += times * o.Dropped
	c.Sums.add(o.Sums, times)
	c.NoValue += times * o.NoValue
	c.NotNumber += times * o.NotNumber
	c.Negative += times * o.Negative
	addBrowsers(&c.Browsers, o.Browsers, times)
}
