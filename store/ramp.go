package store

import (
	"fmt"
	"slices"
	"time"

	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
)

// Stage is the step of a rule's ramp that a run is served at. A rule without a
// ramp has one.
type Stage struct {
	Step      int       `json:"step"`      // from 1
	Share     float64   `json:"share"`     // of the units, that take part at all
	Treatment float64   `json:"treatment"` // of those, that get the response
	Since     time.Time `json:"since,omitzero"`
	// Before is how many units had been exposed when it began.
	Before int64 `json:"before"`
}

// placed is the step that a rule is at, if it was at now before. A step that is
// still there goes on. Of a ramp that is another, or of a run that is new, it is
// the last step that takes in no more units than take part already, else the
// first: to go further is for the guardrail to allow. Since is when the rule is
// live with it; zero: it is not, or off. So a step's time begins anew after that,
// and has no time in it in which nobody got the treatment.
func placed(r *rules.Rule, now Stage, exposed int64, at time.Time, off bool) Stage {
	steps := r.Rollout.Steps()
	i := 0
	for i+1 < len(steps) && steps[i+1].Share <= now.Share {
		i++
	}
	s := Stage{Step: i + 1, Share: steps[i].Share, Treatment: steps[i].Treatment, Since: now.Since, Before: now.Before}
	if r.State != rules.Live || !r.Approved(at) || off {
		s.Since = time.Time{}
	} else if s.Share != now.Share || s.Treatment != now.Treatment || now.Since.IsZero() {
		s.Since, s.Before = at, exposed
	}
	return s
}

// Next returns the step after the one that the run is at, and the earliest time
// for it. It is false at the last one, and for a rule that is not live.
func (s *Standing) Next(r *rules.Rule) (next rules.Step, from time.Time, ok bool) {
	steps := r.Rollout.Steps()
	at := s.Run.Stage.Step
	if at < 1 || at >= len(steps) || s.Run.Stage.Since.IsZero() {
		return next, from, false
	}
	return steps[at], s.Run.Stage.Since.Add(steps[at-1].For), true
}

// Awaits says what keeps a run from the next step of its ramp; nothing: it goes
// on, if there is one. An undecided guardrail holds it where it is, for as long
// as that lasts.
func (s *Standing) Awaits(r *rules.Rule, now time.Time) (list []string) {
	_, from, ok := s.Next(r)
	if !ok {
		return nil
	}
	v := &s.Verdict
	if why := s.Run.idle(r, now); why != "" {
		list = append(list, why)
	}
	for _, reason := range reasons(v) {
		list = append(list, reason.String())
	}
	if v.Guardrail != outcomes.Cleared {
		list = append(list, fmt.Sprintf("the guardrail is %s", v.Guardrail))
	}
	if now.Before(from) {
		list = append(list, "the step lasts until "+from.UTC().Format(time.RFC3339))
	}
	if s.Tally.Exposed() <= s.Run.Stage.Before {
		list = append(list, "nobody has come in since the step began")
	}
	return list
}

func expired(r *rules.Rule, now time.Time) bool { return !r.Expires.IsZero() && !now.Before(r.Expires) }

// follow puts the runs where the rules' files say now, and on record what that
// changes.
func (w *writer) follow() error {
	now := w.s.opts.Now().UTC()
	for _, t := range w.tracked {
		if t.run.Stop != nil {
			continue
		}
		if err := w.followRule(t, now); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) followRule(t *tracked, now time.Time) error {
	was := t.run
	t.run.Stage = placed(t.rule, was.Stage, t.tally.Exposed(), now, w.off(t.rule))
	t.run.Expired = was.Expired && expired(t.rule, now)
	if t.run.Stage == was.Stage && t.run.Expired == was.Expired {
		return nil
	}
	if err := w.putRun(t); err != nil || was.Stage.Step == 0 {
		return err
	}
	return w.noteStage(t, was.Stage, string(ByFile), nil)
}

// noteStage puts on record that a run's share or treatment is another.
func (w *writer) noteStage(t *tracked, was Stage, who string, why *outcomes.Verdict) error {
	now := t.run.Stage
	e := Entry{Rule: t.rule.Name, Version: t.rule.Version, Who: who, Stage: &now, From: &was, Verdict: why}
	if why != nil {
		tally := *t.tally
		tally.Epochs = slices.Clone(tally.Epochs)
		e.Tally = &tally
	}
	if now.Share != was.Share {
		e.Kind = "ramp"
		e.Why = fmt.Sprintf("%s to %s take part", percent(was.Share), percent(now.Share))
		if err := w.note(e); err != nil {
			return err
		}
	}
	if now.Treatment == was.Treatment {
		return nil
	}
	e.Kind = "epoch"
	e.Why = fmt.Sprintf("treatment from %s to %s", percent(was.Treatment), percent(now.Treatment))
	return w.note(e)
}

func percent(share float64) string { return fmt.Sprintf("%.4g %%", 100*share) }

// widen takes a run to the next step of its ramp if nothing keeps it: in the
// batch of what decided. It moves by one step, whose own units are to be judged
// before the one after.
func (w *writer) widen(t *tracked, s *Standing) error {
	now := w.s.opts.Now().UTC()
	next, _, ok := s.Next(t.rule)
	if !ok || w.off(t.rule) || len(s.Awaits(t.rule, now)) > 0 {
		return nil
	}
	was := t.run.Stage
	t.run.Stage = Stage{Step: was.Step + 1, Share: next.Share, Treatment: next.Treatment, Since: now, Before: t.tally.Exposed()}
	w.g.staged = true
	if err := w.putRun(t); err != nil {
		return err
	}
	return w.noteStage(t, was, string(ByGuardrail), &s.Verdict)
}

// off says whether a rule is switched off.
func (w *writer) off(r *rules.Rule) bool {
	return w.set != nil && w.set.Edge.Off || w.s.opts.Off != nil && w.s.opts.Off(r.Name)
}

// watchRules looks at the rules, once the windows that are over are counted, for
// what the clock alone brings: the time for the next step of a ramp, the end of a
// rule, and with it of what holds it, and the end of the time that a guardrail may
// be undecided. So it does for what was switched off or on.
func (w *writer) watchRules() error {
	if w.set == nil {
		return nil
	}
	if err := w.follow(); err != nil {
		return err
	}
	now := w.s.opts.Now().UTC()
	for _, t := range w.tracked {
		s, known := w.s.Standing(t.rule.Name)
		t.overdue = known && t.run.overdue(t.rule, &s.Verdict, now)
	}
	w.watchHolds(now)
	for _, t := range w.tracked {
		if ended := t.rule.State == rules.Live && expired(t.rule, now); ended && !t.run.Expired {
			if err := w.expire(t); err != nil {
				return err
			}
		}
		s, known := w.s.Standing(t.rule.Name)
		if _, from, ok := s.Next(t.rule); known && ok && !now.Before(from) && len(s.Awaits(t.rule, now)) == 0 {
			w.touched[t] = true // to be judged, with what else is in the group
		}
	}
	return nil
}

// expire puts on record that a rule's time is over, once, with how it stood.
func (w *writer) expire(t *tracked) error {
	t.run.Expired = true
	if err := w.putRun(t); err != nil {
		return err
	}
	s := t.standing()
	e := Entry{Kind: "expire", Rule: t.rule.Name, Version: t.rule.Version, Who: string(ByFile),
		Why: "expires: " + t.rule.Expires.UTC().Format(time.RFC3339), Tally: &s.Tally, Verdict: &s.Verdict}
	if n := len(t.rule.Rollout.Steps()); t.run.Stage.Step < n {
		e.Stage = &t.run.Stage
		e.Why += fmt.Sprintf("; held at step %d of %d", t.run.Stage.Step, n)
	}
	return w.note(e)
}
