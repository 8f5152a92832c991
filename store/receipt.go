package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/seed14307185/refract/rules"
)

// Measured is what the serving side knows of a stop, a while after it.
type Measured struct {
	Published   time.Time // when the set without the rule was live
	LastTreated time.Time // when the last treated response ended; zero: there was none
	Treated     uint64    // responses since the process started, as Options.Treated counts them
}

// Receipt completes the receipt of a stop. It is put on record also where the
// rule was resumed, or is gone, since.
func (s *Store) Receipt(ctx context.Context, stop Stop, m Measured) error {
	stop.Published, stop.LastTreated = m.Published.UTC(), m.LastTreated
	stop.TreatedAfter = m.Treated - min(stop.treated, m.Treated)
	return s.do(ctx, func(w *writer) error {
		t, err := w.find(stop.Rule)
		if err == nil && t.run.Stop != nil && t.run.Version == stop.Version && t.run.Stop.Decided.Equal(stop.Decided) {
			t.run.Stop = &stop
			if err := w.putRun(t); err != nil {
				return err
			}
		}
		return w.note(Entry{Kind: "receipt", Rule: stop.Rule, Version: stop.Version, Revision: stop.Revision, Stop: &stop})
	})
}

// Receipts returns the stops of a rule that are on record, of all its versions
// and runs, the oldest first; of every rule if the name is empty. One whose
// Published is zero was not completed, because the process ended.
func (s *Store) Receipts(ctx context.Context, rule string) ([]Stop, error) {
	if err := s.readable(); err != nil {
		return nil, err
	}
	it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: []byte{keyLedger}, UpperBound: after(keyLedger)})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	type id struct{ rule, version, decided string }
	at := map[id]int{}
	stops := []Stop{}
	for it.First(); it.Valid(); it.Next() {
		var e Entry
		if err := json.Unmarshal(it.Value(), &e); err != nil {
			return nil, fmt.Errorf("ledger: %w", err)
		}
		if e.Stop == nil || rule != "" && e.Rule != rule {
			continue
		}
		k := id{e.Rule, e.Version, e.Stop.Decided.Format(time.RFC3339Nano)}
		if i, known := at[k]; known {
			stops[i] = *e.Stop
			continue
		}
		at[k] = len(stops)
		stops = append(stops, *e.Stop)
	}
	return stops, it.Error()
}

// noteStarts puts on record which rules are live for the first time in their
// version.
func (w *writer) noteStarts() error {
	for _, t := range w.tracked {
		if !w.starts(t) || t.run.Stop != nil || !t.run.Live.IsZero() {
			continue
		}
		if err := w.launch(t); err != nil {
			return err
		}
		if err := w.note(Entry{Kind: "start", Rule: t.rule.Name, Version: t.rule.Version}); err != nil {
			return err
		}
	}
	return nil
}

// starts says whether a rule is live once it isn't stopped: so its file says, and
// it has its approvals.
func (w *writer) starts(t *tracked) bool {
	now := w.s.opts.Now()
	return t.rule.State == rules.Live && !w.set.Edge.Off && t.rule.Approved(now) && !expired(t.rule, now)
}

// launch counts that a rule is made live, in a run that was not.
func (w *writer) launch(t *tracked) error {
	t.run.Live = w.s.opts.Now().UTC()
	if t.tally.Exposed() == 0 && t.tally.Mixed == 0 { // as a draft it had no weeks
		t.tally.Started = t.run.Live.UnixMilli()
	}
	t.run.Launches++
	t.run.AlphaSpent += t.rule.Guardrail.Alpha
	if err := w.putRun(t); err != nil {
		return err
	}
	w.show(t)
	return nil
}

// inherit counts for a run what was launched under the rule's name before it,
// or meanwhile.
func (w *writer) inherit(t *tracked) error {
	most := func(r *Run) {
		if r.Launches > t.run.Launches {
			t.run.Launches, t.run.AlphaSpent = r.Launches, r.AlphaSpent
		}
	}
	before := t.run.Launches
	from := runKey(t.rule.Name, "")
	it, err := w.s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: runKey(t.rule.Name, "\xff")})
	if err != nil {
		return w.broken(err)
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		var r Run
		if err := json.Unmarshal(it.Value(), &r); err != nil {
			return w.broken(fmt.Errorf("run of %s: %w", t.rule.Name, err))
		}
		most(&r)
	}
	if err := it.Error(); err != nil {
		return w.broken(err)
	}
	for _, other := range w.tracked { // newer than what is on disk
		if other.run.Rule == t.rule.Name {
			most(&other.run)
		}
	}
	if t.run.Launches == before {
		return nil
	}
	return w.putRun(t)
}

// show makes known how a rule stands.
func (w *writer) show(t *tracked) {
	standing := t.standing()
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.s.standings[t.rule.Name] = standing
}
