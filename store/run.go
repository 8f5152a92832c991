package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
)

// Run is one period of a rule's life with its own counts: from its first load,
// new content or a resume, to a rollback or new content.
type Run struct {
	ID      uint64    `json:"id"`
	Rule    string    `json:"rule"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Stop    *Stop     `json:"stop,omitempty"` // nil: running
	// Stage is the step of the ramp. What was stopped keeps the one that it had.
	Stage   Stage `json:"stage,omitzero"`
	Expired bool  `json:"expired,omitempty"` // it is on record that its time was over
	// Holds are why it is held, none of one reason twice. Those of a rule that is
	// not live have ended.
	Holds []Hold `json:"holds,omitempty"`
	// Cleared says that the guardrail was, when it was last judged, and Undecided
	// is since when it no longer is; zero: it never was.
	Cleared   bool      `json:"cleared,omitempty"`
	Undecided time.Time `json:"undecided,omitzero"`
	// Live is when the run's rule was first live in it; zero: it is a draft.
	Live time.Time `json:"live,omitzero"`
	// Launches is how often the rule of that name was made live so far, in any
	// version, and AlphaSpent the sum of its guardrail's alpha over these: with
	// every launch it may be stopped by chance once more.
	Launches   int     `json:"launches,omitempty"`
	AlphaSpent float64 `json:"alpha_spent,omitempty"`
}

// Cause says who stopped a rule.
type Cause string

// The causes.
const (
	ByGuardrail Cause = "guardrail"
	ByServing   Cause = "serving" // a serving guardrail: see Store.StopServing
	ByPerson    Cause = "person"
	ByFile      Cause = "file"    // state: rolled_back in the rule's file; no run is stopped by it
	ByMonitor   Cause = "monitor" // Who is its name in refract.yaml
	// ByDeadline is that the guardrail was undecided for too long: see
	// rules.Undecided.
	ByDeadline Cause = "deadline"
)

// Stop is a rollback on record, with the numbers that decided: the receipt.
type Stop struct {
	Rule     string    `json:"rule"`
	Version  string    `json:"version"`
	Revision string    `json:"revision"` // that was live
	Node     string    `json:"node,omitempty"`
	Cause    Cause     `json:"cause"`
	Who      string    `json:"who,omitempty"`
	Why      string    `json:"why,omitempty"`
	Breach   time.Time `json:"breach,omitzero"` // when the deciding event was received
	Decided  time.Time `json:"decided"`
	// Published is when the revision without the rule was live on this node:
	// before Decided where the rule was held off until the stop was on disk.
	// LastTreated is when the last byte of a treated response was written, zero if
	// none was since the process started.
	Published   time.Time `json:"published,omitzero"`
	LastTreated time.Time `json:"last_treated,omitzero"`
	// TreatedAfter is how many treated responses ended after the decision. They
	// were under way when it was made, or until it was on disk and published.
	TreatedAfter uint64            `json:"treated_after,omitempty"`
	Serving      *outcomes.Breach  `json:"serving,omitempty"` // the counts that decided, of ByServing
	Tally        *outcomes.Tally   `json:"tally,omitempty"`
	Verdict      *outcomes.Verdict `json:"verdict,omitempty"`
	// Drill says that the rule is a twin, and nothing is on record.
	Drill bool `json:"-"`

	treated uint64 // responses of the process until it was decided
}

// Standing is how a rule stands now. Tally is a snapshot.
type Standing struct {
	Run     Run
	Tally   outcomes.Tally
	Verdict outcomes.Verdict
}

// tracked is a rule of the present set with its run and tally. Owned by the
// writer.
type tracked struct {
	rule   *rules.Rule
	run    Run
	tally  *outcomes.Tally
	breach time.Time // of the event last attributed
	// Of the history: when the next point is due, zero: now; and the interval
	// that was kept so far, 0: there is no point.
	nextPoint time.Time
	interval  time.Duration
	drill     bool // it is a twin: see Drill
	// overdue says that the guardrail was undecided for too long when all windows
	// that are over were counted: after a time without the process, the first of
	// them decide nothing.
	overdue bool
}

var (
	// ErrNoRule is returned for a rule that the present set doesn't have.
	ErrNoRule = errors.New("no such rule")
	// ErrStopped is returned for a rule that is rolled back already.
	ErrStopped = errors.New("already rolled back")
	// ErrRunning is returned for a rule that isn't rolled back.
	ErrRunning = errors.New("not rolled back")
)

// track makes the rules of a set the ones that are counted.
func (w *writer) track(set *rules.Set) error {
	now := w.s.opts.Now().UTC()
	var list []*tracked
	hears := map[string][]*tracked{}
	for _, r := range set.Rules {
		t, err := w.trackedRun(r, now)
		if err == nil {
			err = w.inherit(t)
		}
		if err != nil {
			return err
		}
		list = append(list, t)
		for _, name := range []string{r.Metric.Event, r.Metric.Per, r.Guardrail.Event} {
			if name != "" && !slices.Contains(hears[name], t) {
				hears[name] = append(hears[name], t)
			}
		}
	}
	w.set, w.tracked, w.hears = set, list, hears
	standings := map[string]Standing{}
	for _, t := range list {
		standings[t.rule.Name] = t.standing()
	}
	w.s.mu.Lock()
	w.s.standings = standings
	w.s.mu.Unlock()
	return w.useQueues(set)
}

// trackedRun finds the run of a rule's version, or begins its first.
func (w *writer) trackedRun(r *rules.Rule, now time.Time) (*tracked, error) {
	for _, t := range w.tracked { // what it holds may be newer than what is on disk
		if t.run.Rule == r.Name && t.run.Version == r.Version {
			t.rule = r
			return t, nil
		}
	}
	t := &tracked{rule: r, tally: outcomes.NewTally()}
	b, err := w.s.get(runKey(r.Name, r.Version))
	if err != nil {
		return nil, w.broken(err)
	}
	if b == nil {
		t.run = w.newRun(r, now)
		t.tally.Started = t.run.Started.UnixMilli()
		return t, w.putRun(t)
	}
	if err := json.Unmarshal(b, &t.run); err != nil {
		return nil, w.broken(fmt.Errorf("run of %s: %w", r.Name, err))
	}
	if b, err = w.s.get(tallyKey(t.run.ID)); err != nil {
		return nil, w.broken(err)
	}
	if b != nil {
		if err := json.Unmarshal(b, t.tally); err != nil {
			return nil, w.broken(fmt.Errorf("tally of %s: %w", r.Name, err))
		}
	}
	if err := w.loadPoints(t); err != nil {
		return nil, err
	}
	return t, w.restoreTimers(t)
}

func (w *writer) newRun(r *rules.Rule, now time.Time) Run {
	w.nextRun++
	return Run{ID: w.nextRun - 1, Rule: r.Name, Version: r.Version, Started: now, Stage: placed(r, Stage{}, 0, now, w.off(r))}
}

// putRun writes a run and its tally, so that the run's id is never given twice.
func (w *writer) putRun(t *tracked) error {
	w.touched[t] = true
	b, err := json.Marshal(t.run)
	if err != nil {
		return w.broken(err)
	}
	return w.g.batch.Set(runKey(t.run.Rule, t.run.Version), b, nil)
}

func (t *tracked) standing() Standing {
	s := Standing{Run: t.run, Tally: t.tally.Clone()}
	s.Verdict = outcomes.Judge(&s.Tally, t.rule)
	return s
}

// judge looks at a rule whose counts changed, and stops it if its guardrail is
// breached: in the batch of the event that decided.
func (w *writer) judge(t *tracked) error {
	if !slices.Contains(w.tracked, t) {
		return nil // the rule was replaced within this group
	}
	verdict := outcomes.Judge(t.tally, t.rule)
	if verdict.Guardrail == outcomes.Breached && t.run.Stop == nil && t.rule.State != rules.Draft {
		if err := w.halt(t, Stop{Cause: ByGuardrail, Breach: t.breach}); err != nil {
			return err
		}
	}
	if t.drill {
		return nil // nothing else is kept of it
	}
	standing := Standing{Run: t.run, Tally: t.tally.Clone(), Verdict: verdict}
	if err := w.decide(t, &standing); err != nil {
		return err
	}
	if err := w.hold(t, &standing); err != nil {
		return err
	}
	if err := w.widen(t, &standing); err != nil {
		return err
	}
	standing.Run = t.run
	w.s.mu.Lock()
	w.s.standings[t.rule.Name] = standing
	w.s.mu.Unlock()
	return w.sample(t, &standing)
}

// Own says whether it is the store that decides on such a stop.
func (c Cause) Own() bool { return c == ByGuardrail || c == ByDeadline }

// halt is the one door of every rollback: it puts the stop on record, with the
// numbers, and has it published once the record is on disk.
func (w *writer) halt(t *tracked, stop Stop) error {
	standing := t.standing()
	stop.Rule, stop.Version, stop.Revision = t.rule.Name, t.rule.Version, w.set.Revision
	stop.Decided, stop.Node = w.s.opts.Now().UTC(), w.s.opts.Node
	if w.s.opts.Treated != nil {
		stop.treated = w.s.opts.Treated(stop.Rule)
	}
	stop.Tally, stop.Verdict = &standing.Tally, &standing.Verdict
	t.run.Stop, t.nextPoint = &stop, time.Time{}
	stop.Drill = t.drill
	w.g.stops = append(w.g.stops, stop)
	if t.drill {
		return w.haltTwin()
	}
	if w.s.opts.Stopping != nil && stop.Cause.Own() {
		w.s.opts.Stopping(stop.Rule)
	}
	if err := w.putRun(t); err != nil {
		return err
	}
	if err := w.note(Entry{Kind: "rollback", Rule: stop.Rule, Version: stop.Version, Who: stop.Who, Why: stop.Why, Stop: &stop}); err != nil {
		return err
	}
	return w.hold(t, &standing)
}

func (w *writer) find(rule string) (*tracked, error) {
	for _, t := range w.tracked {
		if t.rule.Name == rule {
			return t, nil
		}
	}
	return nil, fmt.Errorf("%w: %q", ErrNoRule, rule)
}

// Rollback stops a rule for a person, and returns when the stop is on disk and
// was handed to Options.Stopped.
func (s *Store) Rollback(ctx context.Context, rule string, cause Cause, who, why string) error {
	return s.do(context.WithoutCancel(ctx), func(w *writer) error {
		t, err := w.find(rule)
		if err != nil {
			return err
		}
		if t.run.Stop != nil {
			return fmt.Errorf("%w: %s", ErrStopped, rule)
		}
		return w.halt(t, Stop{Cause: cause, Who: who, Why: why})
	})
}

// Resume begins a new run of a rule that is rolled back: new counts, a ramp from
// its first step, and the same arm for everyone. It returns when that is on disk.
func (s *Store) Resume(ctx context.Context, rule, who, why string) error {
	return s.do(context.WithoutCancel(ctx), func(w *writer) error {
		t, err := w.find(rule)
		if err != nil {
			return err
		}
		if t.run.Stop == nil {
			return fmt.Errorf("%w: %s", ErrRunning, rule)
		}
		if err := w.retire(t.run); err != nil {
			return err
		}
		before := t.run
		t.run = w.newRun(t.rule, w.s.opts.Now().UTC())
		t.run.Launches, t.run.AlphaSpent = before.Launches, before.AlphaSpent
		t.tally, t.nextPoint, t.interval = outcomes.NewTally(), time.Time{}, 0
		t.tally.Started = t.run.Started.UnixMilli()
		if w.starts(t) {
			err = w.launch(t)
		} else { // a load will
			err = w.putRun(t)
			w.show(t)
		}
		if err != nil {
			return err
		}
		return w.note(Entry{Kind: "resume", Rule: rule, Version: t.rule.Version, Who: who, Why: why})
	})
}

// Standings returns how each rule of the present set stands, by name.
func (s *Store) Standings() map[string]Standing {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.standings)
}

// Standing returns how a rule stands.
func (s *Store) Standing(rule string) (Standing, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.standings[rule]
	return st, ok
}
