package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
)

// HoldReason says why nothing may be concluded from a run's counts.
type HoldReason string

// The reasons. A sample ratio that was doubtful and is invalid is held for the
// latter alone.
const (
	HeldBlind    HoldReason = "blind"    // the guardrail sees no harm: outcomes.Verdict.Blind
	HeldDoubtful HoldReason = "doubtful" // the sample ratio is outcomes.SRMWarn
	HeldInvalid  HoldReason = "invalid"  // the sample ratio is outcomes.SRMInvalid
)

// String is a clause: "the guardrail is blind".
func (h HoldReason) String() string {
	if h == HeldBlind {
		return "the guardrail is blind"
	}
	return "the sample ratio is " + string(h)
}

// Hold is that a live rule is held: its ramp, if it has one, stands still, and a
// person is needed. It goes on being served. Its beginning and its end are on
// record, each in the batch of what brought it.
type Hold struct {
	Reason HoldReason `json:"reason"`
	Since  time.Time  `json:"since"`
}

// String is a clause: "the guardrail is blind, since 2026-11-30T12:00:01Z".
func (h Hold) String() string {
	return h.Reason.String() + ", since " + h.Since.UTC().Format(time.RFC3339)
}

// reasons are why a rule with that verdict is held.
func reasons(v *outcomes.Verdict) (list []HoldReason) {
	if v.Blind {
		list = append(list, HeldBlind)
	}
	switch v.SRM.State {
	case outcomes.SRMWarn:
		list = append(list, HeldDoubtful)
	case outcomes.SRMInvalid:
		list = append(list, HeldInvalid)
	}
	return list
}

// idle says why a run's rule is not live: a clause, empty if it is.
func (r *Run) idle(rule *rules.Rule, now time.Time) string {
	switch {
	case r.Stop != nil || rule.State == rules.RolledBack:
		return "the rule is rolled back"
	case rule.State == rules.Draft:
		return "the rule is a draft"
	case expired(rule, now):
		return "the rule has expired"
	case !rule.Approved(now):
		return "the rule is unapproved"
	}
	return ""
}

// held are the holds that a run should have, by its counts. They don't come and
// go: a sample ratio never gets better, and what was blind stays it until a harm
// is seen, also where units that turn out to be one leave fewer to be expected.
func (r *Run) held(rule *rules.Rule, s *Standing, now time.Time) (list []Hold) {
	if r.idle(rule, now) != "" {
		return nil
	}
	v := s.Verdict
	v.Blind = v.Blind || slices.ContainsFunc(r.Holds, Hold{Reason: HeldBlind}.same) && both(&s.Tally).Harmed == 0
	for _, reason := range reasons(&v) {
		h := Hold{Reason: reason, Since: now}
		if i := slices.IndexFunc(r.Holds, h.same); i >= 0 {
			h = r.Holds[i]
		}
		list = append(list, h)
	}
	return list
}

func (h Hold) same(o Hold) bool { return h.Reason == o.Reason }

// succeeds says whether the hold takes the place of another.
func (h Hold) succeeds(o Hold) bool { return h.Reason == HeldInvalid && o.Reason == HeldDoubtful }

// watchHolds has the rules judged that are held and should not be, or should be
// and are not: because of a load, the clock, or an earlier release, which knew no
// holds.
func (w *writer) watchHolds(now time.Time) {
	for _, t := range w.tracked {
		if s, known := w.s.Standing(t.rule.Name); known && !slices.EqualFunc(t.run.Holds, t.run.held(t.rule, &s, now), Hold.same) {
			w.touched[t] = true
		}
	}
}

// hold puts on record what a judgement changes about a rule's holds.
func (w *writer) hold(t *tracked, s *Standing) error {
	now := w.s.opts.Now().UTC()
	was, is := t.run.Holds, t.run.held(t.rule, s, now)
	if slices.EqualFunc(was, is, Hold.same) {
		return nil
	}
	t.run.Holds = is
	sum := both(&s.Tally)
	if err := w.putRun(t); err != nil {
		return err
	}
	for _, h := range was {
		if slices.ContainsFunc(is, func(o Hold) bool { return o.same(h) || o.succeeds(h) }) {
			continue
		}
		why := cmp.Or(t.run.idle(t.rule, now), fmt.Sprintf("the guardrail sees harm: %d of %d exposed units", sum.Harmed, sum.Exposed))
		if err := w.noteHold("release", t, h, s, why); err != nil {
			return err
		}
	}
	for _, h := range is {
		if slices.ContainsFunc(was, h.same) {
			continue
		}
		why := h.Reason.String() + ": "
		if h.Reason == HeldBlind {
			why += fmt.Sprintf("of %d units whose window is over none was harmed, and by its baseline of %s about %.0f would have been",
				sum.Closed, percent(t.rule.Guardrail.Baseline), t.rule.Guardrail.Baseline*float64(sum.Closed))
		} else {
			why += sizes(s)
		}
		if err := w.noteHold("hold", t, h, s, why); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) noteHold(kind string, t *tracked, h Hold, s *Standing, why string) error {
	e := h.entry(kind, &t.run, why)
	e.Tally, e.Verdict = &s.Tally, &s.Verdict
	if len(t.rule.Rollout.Steps()) > 1 {
		e.Stage = &t.run.Stage
	}
	return w.note(e)
}

func (h Hold) entry(kind string, r *Run, why string) Entry {
	who := "sample ratio"
	if h.Reason == HeldBlind {
		who = string(ByGuardrail)
	}
	return Entry{Kind: kind, Rule: r.Rule, Version: r.Version, Who: who, Why: why, Hold: &h}
}

// releaseGone ends the holds of the runs that the set has no more: their rule is
// gone, or has new content. before are those that were tracked. When the process
// has just begun there are none, and the disk says which runs there are.
func (w *writer) releaseGone(before []*tracked, first bool) error {
	var runs []Run
	for _, t := range before {
		runs = append(runs, t.run)
	}
	if first {
		var err error
		if runs, err = runsIn(context.Background(), w.s.db, ""); err != nil {
			return w.broken(err)
		}
	}
	for _, r := range runs {
		if len(r.Holds) == 0 || slices.ContainsFunc(w.tracked, func(t *tracked) bool { return t.run.ID == r.ID }) {
			continue
		}
		why := "the rule is gone"
		if w.set.Rule(r.Rule) != nil {
			why = "the rule has new content"
		}
		holds := r.Holds
		r.Holds = nil
		b, err := json.Marshal(r)
		if err != nil {
			return w.broken(err)
		}
		if err := w.g.batch.Set(runKey(r.Rule, r.Version), b, nil); err != nil {
			return err
		}
		for _, h := range holds {
			if err := w.note(h.entry("release", &r, why)); err != nil {
				return err
			}
		}
	}
	return nil
}

// both adds up a tally's arms and epochs: to be told, not to be judged.
func both(t *outcomes.Tally) (sum outcomes.Counts) {
	for _, e := range t.Epochs {
		sum = sum.Plus(e.TreatmentArm).Plus(e.ControlArm)
	}
	return sum
}

// sizes tells the arms' sizes.
func sizes(s *Standing) string {
	var list []string
	for _, e := range s.Tally.Epochs {
		list = append(list, fmt.Sprintf("%d units in treatment and %d in control, where %s are to be treated",
			e.TreatmentArm.Exposed, e.ControlArm.Exposed, percent(e.Treatment)))
	}
	return fmt.Sprintf("%s (anytime p = %.2g)", strings.Join(list, "; "), s.Verdict.SRM.P)
}
