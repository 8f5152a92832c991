package outcomes

import (
	"cmp"
	"slices"
	"time"

	"github.com/seed14307185/refract/rules"
)

const (
	// maxDays is how many days after the exposure are told apart, and maxWeeks
	// how many weeks of a run: the last has all that came later.
	maxDays  = 30
	maxWeeks = 52

	dayMillis  = int64(24 * time.Hour / time.Millisecond)
	weekMillis = 7 * dayMillis
)

// Day is what units did for the first time on one day after their exposure.
type Day struct {
	TreatmentArm FirstOutcomes `json:"treatment_arm,omitzero"`
	ControlArm   FirstOutcomes `json:"control_arm,omitzero"`
}

// FirstOutcomes are how many units of an arm converted, and were harmed.
type FirstOutcomes struct {
	Converted int64 `json:"converted,omitempty"`
	Harmed    int64 `json:"harmed,omitempty"`
}

// Week is what became of the units of one epoch that were first exposed in one
// week of the run.
type Week struct {
	Week         int     `json:"week"` // 0 is the first
	Treatment    float64 `json:"treatment"`
	TreatmentArm Cohort  `json:"treatment_arm"`
	ControlArm   Cohort  `json:"control_arm"`
}

// Cohort are the units of one arm and week whose metric window closed.
type Cohort struct {
	Matured   int64 `json:"matured"`
	Converted int64 `json:"converted"` // of Matured
	Sums      Sums  `json:"sums,omitzero"`
}

// countDays counts a unit in Days.
func (t *Tally) countDays(n *Enrolment, times int64) {
	for _, o := range []struct {
		at int64
		of func(*FirstOutcomes) *int64
	}{
		{n.Converted, func(d *FirstOutcomes) *int64 { return &d.Converted }},
		{n.Harmed, func(d *FirstOutcomes) *int64 { return &d.Harmed }},
	} {
		if o.at == 0 {
			continue
		}
		day := int(min(maxDays-1, (o.at-n.At)/dayMillis))
		for len(t.Days) <= day {
			t.Days = append(t.Days, Day{})
		}
		arm := &t.Days[day].ControlArm
		if n.Arm == rules.Treatment {
			arm = &t.Days[day].TreatmentArm
		}
		*o.of(arm) += times
	}
	t.trimDays()
}

func (t *Tally) trimDays() {
	for len(t.Days) > 0 && t.Days[len(t.Days)-1] == (Day{}) {
		t.Days = t.Days[:len(t.Days)-1]
	}
}

// countWeeks counts a unit in Weeks.
func (t *Tally) countWeeks(n *Enrolment, times int64) {
	if !n.MetricClosed {
		return
	}
	one := n.cohort()
	w := Week{Week: t.week(n.At), Treatment: n.Treatment}
	if n.Arm == rules.Treatment {
		w.TreatmentArm.add(one, times)
	} else {
		w.ControlArm.add(one, times)
	}
	t.addWeek(w)
}

// cohort is what the unit, whose metric window closed, contributes to its cohort.
func (n *Enrolment) cohort() Cohort {
	one := Cohort{Matured: 1, Sums: n.sums()}
	if n.Converted != 0 {
		one.Converted = 1
	}
	return one
}

// week is the week of the run that a time is in.
func (t *Tally) week(at int64) int {
	return int(min(maxWeeks-1, max(0, at-t.Started)/weekMillis))
}

func (t *Tally) addWeek(w Week) {
	i, ok := slices.BinarySearchFunc(t.Weeks, w, func(a, b Week) int {
		return cmp.Or(cmp.Compare(a.Week, b.Week), cmp.Compare(a.Treatment, b.Treatment))
	})
	if !ok {
		t.Weeks = slices.Insert(t.Weeks, i, Week{Week: w.Week, Treatment: w.Treatment})
	}
	t.Weeks[i].TreatmentArm.add(w.TreatmentArm, +1)
	t.Weeks[i].ControlArm.add(w.ControlArm, +1)
	if t.Weeks[i] == (Week{Week: w.Week, Treatment: w.Treatment}) {
		t.Weeks = slices.Delete(t.Weeks, i, i+1)
	}
}

func (c *Cohort) add(o Cohort, times int64) {
	c.Matured += times * o.Matured
	c.Converted += times * o.Converted
	c.Sums.add(o.Sums, times)
}

// addDetail adds what another tally knows of days and weeks. If one of the two
// doesn't know, or counts its weeks from another start, the sum doesn't either:
// a part is not shown for the whole.
func (t *Tally) addDetail(o *Tally) {
	if t.empty() {
		t.Started = o.Started
	}
	if !o.empty() && t.Started != o.Started {
		t.Started = 0
	}
	if t.Started == 0 {
		t.Earliest, t.Latest, t.Days, t.Weeks, t.Watched = 0, 0, nil, nil, nil
		return
	}
	if o.Earliest != 0 {
		t.Earliest = earlier(t.Earliest, o.Earliest)
	}
	t.Latest = max(t.Latest, o.Latest)
	for len(t.Days) < len(o.Days) {
		t.Days = append(t.Days, Day{})
	}
	for i, d := range o.Days {
		t.Days[i].TreatmentArm.add(d.TreatmentArm)
		t.Days[i].ControlArm.add(d.ControlArm)
	}
	for _, w := range o.Weeks {
		t.addWeek(w)
	}
	for i, w := range o.Watched {
		t.addWatched(i, w)
	}
}

func (d *FirstOutcomes) add(o FirstOutcomes) {
	d.Converted += o.Converted
	d.Harmed += o.Harmed
}

func (t *Tally) empty() bool { return len(t.Epochs) == 0 && t.Mixed == 0 }
