package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

// warmChunk is how many units or events one warming operation takes, so that
// events never wait long behind it.
const warmChunk = 256

// A new or edited segment is computed from the retained log before it is used.
// Its leaf conditions that no earlier program folded are cold: while the log
// is replayed for them, the writer folds new events into the others alone.
// When the replay has caught up, inside one operation of the writer, the cold
// leaves join them. Then every unit's decision record is made anew. Until that
// is done the segment is warming, and true for nobody. A crash in between
// begins it again.
type warm struct {
	Live  []segments.LeafKey // leaves that are folded by every event
	Ready []segments.Key     // segments that records are made for
	cold  []segments.LeafKey
	from  uint64 // the first event that the cold leaves have not seen

	halt context.CancelFunc
	done sync.WaitGroup
}

func (w *writer) loadWarm() error {
	b, err := w.s.meta("program")
	if err != nil || b == nil {
		return err
	}
	if err := json.Unmarshal(b, &w.warm); err != nil {
		return fmt.Errorf("program: %w", err)
	}
	return nil
}

func (w *writer) putWarm() error {
	b, err := json.Marshal(&w.warm)
	if err != nil {
		return w.broken(err)
	}
	return w.g.batch.Set(metaKey("program"), b, nil)
}

// Use makes a set the one whose segments are computed and whose rules are
// counted. Segments that are new to the store are warming when it returns,
// unless the store has no events; warmed is called when they no longer are.
// It must not block.
func (s *Store) Use(ctx context.Context, set *rules.Set, warmed func()) error {
	s.using.Lock()
	defer s.using.Unlock()
	select {
	case <-s.stop:
		return ErrUnavailable
	default:
	}
	s.haltWarm()
	return s.do(context.WithoutCancel(ctx), func(w *writer) error {
		if err := w.use(set); err != nil {
			return err
		}
		if len(s.Warming()) == 0 {
			return nil
		}
		ctx, cancel := context.WithCancel(context.Background())
		w.warm.halt = cancel
		w.warm.done.Go(func() {
			if err := s.warmUp(ctx); err == nil {
				warmed()
			} else if !errors.Is(err, context.Canceled) && !errors.Is(err, ErrUnavailable) {
				s.fail(fmt.Errorf("warming: %w", err))
			}
		})
		return nil
	})
}

// haltWarm ends a warming that is under way. The caller holds using; not for the
// writer's goroutine.
func (s *Store) haltWarm() {
	if s.w.warm.halt != nil {
		s.w.warm.halt()
		s.w.warm.done.Wait()
	}
}

// Warming lists the segments that are true for nobody yet.
func (s *Store) Warming() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.warming
}

func (w *writer) use(set *rules.Set) error {
	before, tracked := w.set, w.tracked
	if err := w.track(set); err != nil {
		return err
	}
	if err := w.noteLoad(before, set); err != nil {
		return err
	}
	if err := w.releaseGone(tracked, before == nil); err != nil {
		return err
	}
	if err := w.follow(); err != nil {
		return err
	}
	if err := w.noteStarts(); err != nil {
		return err
	}
	w.watchHolds(w.s.opts.Now().UTC())
	leaves := set.Program.Leaves()
	live := func(l segments.LeafKey) bool { return slices.Contains(w.warm.Live, l) }
	w.warm.cold, w.warm.from = nil, 1
	for _, l := range leaves {
		if !live(l) {
			w.warm.cold = append(w.warm.cold, l)
		}
	}
	ready := keysOf(set.Segments)
	if w.nextEvent == 1 { // nothing to learn from
		w.warm.cold, w.warm.Ready = nil, ready
	}
	var warming []string
	for _, seg := range set.Segments {
		if !slices.Contains(w.warm.Ready, seg.Key()) {
			warming = append(warming, seg.Name)
		}
	}
	w.warm.Live = slices.DeleteFunc(slices.Clone(leaves), func(l segments.LeafKey) bool { return slices.Contains(w.warm.cold, l) })
	w.warm.Ready = slices.DeleteFunc(ready, func(k segments.Key) bool { return !slices.Contains(w.warm.Ready, k) })
	w.program = set.Program.Only(w.warm.Live)
	w.s.setWarming(set, warming)
	return w.putWarm()
}

func keysOf(list []segments.Segment) []segments.Key {
	var keys []segments.Key
	for _, s := range list {
		keys = append(keys, s.Key())
	}
	return keys
}

// setWarming says which segments of a set are true for nobody yet.
func (s *Store) setWarming(set *rules.Set, names []string) {
	s.mu.Lock()
	s.warming = names
	s.mu.Unlock()
	a := &asked{set: set, program: set.Program, cohorts: map[segments.Who][]string{}, warming: map[segments.Key]bool{}}
	for _, who := range []segments.Who{segments.Visitor, segments.Account} {
		a.cohorts[who] = set.Program.Cohorts(who)
	}
	for _, seg := range set.Segments {
		if slices.Contains(names, seg.Name) {
			a.warming[seg.Key()] = true
		}
	}
	s.asked.Store(a)
	s.cache.bumpAll()
}

// noteLoad puts a load on record, and the rules that it stopped by file.
func (w *writer) noteLoad(before, set *rules.Set) error {
	if before != nil && before.Revision == set.Revision {
		return nil
	}
	site, err := w.keepSite(set)
	if err != nil {
		return err
	}
	if err := w.note(Entry{Kind: "load", Revision: set.Revision, Start: before == nil, Site: site, Approvals: approved(before, set)}); err != nil {
		return err
	}
	if before == nil {
		return nil
	}
	for _, r := range set.Rules {
		switch old := before.Rule(r.Name); {
		case old == nil:
		case r.State == rules.RolledBack && old.State == rules.Live:
			err = w.noteFileStop(r, before.Revision)
		case r.State == rules.Live && old.State == rules.RolledBack && r.Version == old.Version:
			if t, e := w.find(r.Name); e == nil && t.run.Stop == nil {
				err = w.note(Entry{Kind: "resume", Rule: r.Name, Version: r.Version, Who: string(ByFile), Why: "its run goes on"})
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// noteFileStop puts on record that a rule was stopped by its file. That is kept
// with the site and not with the run, which goes on when the file says live.
func (w *writer) noteFileStop(r *rules.Rule, revision string) error {
	stop := Stop{Rule: r.Name, Version: r.Version, Revision: revision, Node: w.s.opts.Node, Cause: ByFile, Decided: w.s.opts.Now().UTC()}
	if t, err := w.find(r.Name); err == nil {
		if t.run.Stop != nil {
			return nil // it was stopped before
		}
		standing := t.standing()
		stop.Tally, stop.Verdict = &standing.Tally, &standing.Verdict
	}
	return w.note(Entry{Kind: "rollback", Rule: r.Name, Version: r.Version, Who: string(ByFile), Stop: &stop})
}

// warmUp is the goroutine of one warming.
func (s *Store) warmUp(ctx context.Context) error {
	var cold bool
	err := s.do(ctx, func(w *writer) error { cold = len(w.warm.cold) > 0; return nil })
	if err != nil {
		return err
	}
	if cold {
		// An abandoned warming, or a segment of long ago, may have left its
		// leaves behind.
		if err := s.sweep(ctx); err != nil {
			return err
		}
		if err := s.replay(ctx); err != nil {
			return err
		}
	}
	if err := s.sweep(ctx); err != nil {
		return err
	}
	return s.do(ctx, func(w *writer) error {
		w.warm.Ready = keysOf(w.set.Segments)
		w.s.setWarming(w.set, nil)
		return w.putWarm()
	})
}

// room waits while the disk is nearly full: warming is not what the reserve is
// for.
func (s *Store) room(ctx context.Context) error {
	for s.full.Load() {
		select {
		case <-time.After(tick):
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
	}
	return ctx.Err()
}

// sweep rewrites every unit: without the leaves that nobody folds, with the
// record that its state gives now.
func (s *Store) sweep(ctx context.Context) error {
	from := []byte{keyState}
	for from != nil {
		if err := s.room(ctx); err != nil {
			return err
		}
		err := s.do(ctx, func(w *writer) (err error) {
			from, err = w.sweepFrom(from)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sweepFrom rewrites a chunk of units and returns where the next begins, nil
// at the end.
func (w *writer) sweepFrom(from []byte) (next []byte, err error) {
	it, err := w.s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: after(keyState)})
	if err != nil {
		return nil, w.broken(err)
	}
	defer it.Close()
	n := 0
	for it.First(); it.Valid(); it.Next() {
		if n++; n > warmChunk {
			return slices.Clone(it.Key()), nil
		}
		u, err := w.unit(parseUnit(it.Key()[1:]))
		if err != nil {
			return nil, err
		}
		w.program.Forget(u.state)
		u.dirty = true
	}
	if err := it.Error(); err != nil {
		return nil, w.broken(err)
	}
	return nil, nil
}

// replay folds the log into the cold leaves, and makes them live.
func (s *Store) replay(ctx context.Context) error {
	for live := false; !live; {
		if err := s.room(ctx); err != nil {
			return err
		}
		err := s.do(ctx, func(w *writer) (err error) {
			live, err = w.replayChunk()
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// replayChunk folds the next events of the log into the cold leaves. After the
// last one it makes them live, and says so.
func (w *writer) replayChunk() (live bool, err error) {
	cold := w.set.Program.Only(w.warm.cold)
	n := 0
	var folding error
	err = w.s.Events(w.warm.from, func(seq uint64, e *events.Event) bool {
		w.warm.from = seq + 1
		folding = w.refold(cold, e)
		n++
		return folding == nil && n < warmChunk
	})
	if err = errors.Join(err, folding); err != nil {
		return false, w.broken(err)
	}
	if n == warmChunk {
		return false, nil
	}
	for _, e := range w.g.logged { // not in Pebble yet
		if err := w.refold(cold, e); err != nil {
			return false, err
		}
	}
	w.warm.Live = append(w.warm.Live, w.warm.cold...)
	w.warm.cold = nil
	w.program = w.set.Program.Only(w.warm.Live)
	return true, w.putWarm()
}

// refold folds an event of the log into the leaves of a program.
func (w *writer) refold(p *segments.Program, e *events.Event) error {
	visitor, err := w.resolve(e.Visitor)
	if err != nil {
		return err
	}
	logged := *e
	e = &logged
	e.Visitor = visitor
	account := e.Account
	for _, unit := range []segments.Unit{{Who: segments.Visitor, ID: visitor}, {Who: segments.Account, ID: account}} {
		if unit.ID == "" || e.Kind == events.Track && !p.Listens(unit.Who, e.Name) {
			continue
		}
		u, err := w.unit(unit)
		if err != nil {
			return err
		}
		// What the visitor's account was then may not have been told by the event;
		// what it is now, the state knows.
		e.Account = ""
		if unit.Who == segments.Account {
			e.Account = account
		}
		if p.Fold(unit.Who, u.state, e) {
			u.dirty = true
		}
	}
	return nil
}
