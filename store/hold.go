package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
)

// HoldReason says why a rule is held.
type HoldReason string

// The reasons but HeldUndecided are that nothing may be concluded. A sample ratio that was doubtful and is invalid is held for the
// latter alone.
const (
	HeldBlind    HoldReason = "blind"    // the guardrail sees no harm: outcomes.Verdict.Blind
	HeldDoubtful HoldReason = "doubtful" // the sample ratio is outcomes.SRMWarn
	HeldInvalid  HoldReason = "invalid"  // the sample ratio is outcomes.SRMInvalid
	// HeldUndecided is that the guardrail is undecided for longer than the rule
	// says: see rules.Undecided.
	HeldUndecided HoldReason = "undecided"
)

// HoldReasons lists them.
var HoldReasons = [...]HoldReason{HeldBlind, HeldUndecided, HeldDoubtful, HeldInvalid}

// String is a clause: "the guardrail is blind".
func (h HoldReason) String() string {
	switch h {
	case HeldBlind:
		return "the guardrail is blind"
	case HeldUndecided:
		return "the guardrail is still undecided"
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

// held are the holds that a rule should have, by its counts. They don't come and
// go: a sample ratio never gets better, and what was blind stays it until a harm
// is seen, where units that turn out to be one leave somewhat fewer to be expected.
func (t *tracked) held(s *Standing, now time.Time) (holds []Hold) {
	r, rule, v := &t.run, t.rule, s.Verdict
	if r.idle(rule, now) != "" {
		return nil
	}
	is := func(reason HoldReason) bool { return slices.ContainsFunc(r.Holds, Hold{Reason: reason}.same) }
	v.Blind = v.Blind || is(HeldBlind) && rule.Guardrail.Baseline*float64(s.Tally.Unharmed()) >= outcomes.BlindFrom/2
	list := reasons(&v)
	if !rule.Rollout.Undecided.Revert && (t.overdue || is(HeldUndecided)) && r.overdue(rule, &v, now) {
		list = append(list, HeldUndecided)
	}
	for _, reason := range list {
		h := Hold{Reason: reason, Since: now}
		if i := slices.IndexFunc(r.Holds, h.same); i >= 0 {
			h = r.Holds[i]
		}
		holds = append(holds, h)
	}
	return holds
}

func (h Hold) same(o Hold) bool { return h.Reason == o.Reason }

// succeeds says whether the hold takes the place of another.
func (h Hold) succeeds(o Hold) bool { return h.Reason == HeldInvalid && o.Reason == HeldDoubtful }

// overdue says whether the guardrail is undecided for longer than the rule says:
// without a break, and at the present step of its ramp.
func (r *Run) overdue(rule *rules.Rule, v *outcomes.Verdict, now time.Time) bool {
	limit := rule.Rollout.Undecided.After
	return limit > 0 && v.Guardrail == outcomes.Undecided && r.idle(rule, now) == "" &&
		!r.Stage.Since.IsZero() && !now.Before(r.undecidedSince().Add(limit)) // while it is off, or just on again, no time passes
}

// undecidedSince is since when a guardrail that is undecided is so.
func (r *Run) undecidedSince() time.Time {
	if r.Undecided.After(r.Stage.Since) {
		return r.Undecided
	}
	return r.Stage.Since
}

// decide notes when a guardrail is no longer cleared, and stops a rule that is
// undecided for too long, if so it says.
func (w *writer) decide(t *tracked, s *Standing) error {
	now := w.s.opts.Now().UTC()
	if cleared := s.Verdict.Guardrail == outcomes.Cleared; cleared != t.run.Cleared {
		if t.run.Cleared = cleared; !cleared {
			t.run.Undecided = now
		}
		if err := w.putRun(t); err != nil {
			return err
		}
	}
	if !w.reverts(t, s, now) {
		return nil
	}
	return w.halt(t, Stop{Cause: ByDeadline, Why: undecidedWhy(t, s)})
}

// reverts says whether a rule is to be stopped for its time to be decided is
// over.
func (w *writer) reverts(t *tracked, s *Standing, now time.Time) bool {
	return t.rule.Rollout.Undecided.Revert && t.overdue && !w.off(t.rule) && t.run.overdue(t.rule, &s.Verdict, now)
}

// undecidedWhy says for how long the guardrail is undecided, and on what.
func undecidedWhy(t *tracked, s *Standing) string {
	var arm [2]outcomes.Counts
	for _, e := range s.Tally.Epochs {
		arm[0], arm[1] = arm[0].Plus(e.TreatmentArm), arm[1].Plus(e.ControlArm)
	}
	return fmt.Sprintf("the guardrail is still undecided after %s: of the units whose window is over %d of %d were harmed in treatment and %d of %d in control",
		rules.FormatDuration(t.rule.Rollout.Undecided.After), arm[0].ClosedHarmed, arm[0].Closed, arm[1].ClosedHarmed, arm[1].Closed)
}

// watchHolds has the rules judged that are held and should not be, or should be
// and are not, or are to be stopped: because of a load, the clock, or an earlier
// release, which knew no holds.
func (w *writer) watchHolds(now time.Time) {
	for _, t := range w.tracked {
		s, known := w.s.Standing(t.rule.Name)
		if known && (w.reverts(t, &s, now) || !slices.EqualFunc(t.run.Holds, t.held(&s, now), Hold.same)) {
			w.touched[t] = true
		}
	}
}

// hold puts on record what a judgement changes about a rule's holds.
func (w *writer) hold(t *tracked, s *Standing) error {
	now := w.s.opts.Now().UTC()
	was, is := t.run.Holds, t.held(s, now)
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
		why := t.run.idle(t.rule, now)
		switch {
		case why != "":
		case h.Reason == HeldBlind:
			why = fmt.Sprintf("the guardrail sees harm: %d of %d exposed units", sum.Harmed, sum.Exposed)
		case t.run.Cleared:
			why = "the guardrail is cleared"
		default:
			why = "the rule has more time"
		}
		if err := w.noteHold("release", t, h, s, why); err != nil {
			return err
		}
	}
	for _, h := range is {
		if slices.ContainsFunc(was, h.same) {
			continue
		}
		var why string
		switch h.Reason {
		case HeldBlind:
			last, of := s.Tally.Unharmed(), ""
			if sum.Harmed > 0 {
				of = "the last "
			}
			why = fmt.Sprintf("%s: of %s%d units whose window is over none was harmed, and by its baseline of %s about %.0f would have been", h.Reason,
				of, last, percent(t.rule.Guardrail.Baseline), t.rule.Guardrail.Baseline*float64(last))
		case HeldUndecided:
			why = undecidedWhy(t, s)
		default:
			why = h.Reason.String() + ": " + sizes(s)
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
	who := string(ByGuardrail)
	if h.Reason == HeldDoubtful || h.Reason == HeldInvalid {
		who = "sample ratio"
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

// sizes tells the arms' sizes: of the class of browsers that the sample ratio
// goes by, if it is one.
func sizes(s *Standing) string {
	browser, of := s.Verdict.SRM.Browser, ""
	size := func(c *outcomes.Counts) int64 { return c.Exposed }
	if browser != "" {
		of = fmt.Sprintf(" with %s", browser)
		size = func(c *outcomes.Counts) int64 { return *c.Browsers.Of(browser) }
	}
	var list []string
	for i := range s.Tally.Epochs {
		e := &s.Tally.Epochs[i]
		list = append(list, fmt.Sprintf("%d units%s in treatment and %d in control, where %s are to be treated",
			size(&e.TreatmentArm), of, size(&e.ControlArm), percent(e.Treatment)))
	}
	return fmt.Sprintf("%s (anytime p = %.2g)", strings.Join(list, "; "), s.Verdict.SRM.P)
}
