package store

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

// op is one change asked of the writer. do runs on the writer's goroutine; its
// error is the asker's alone, and do must have changed nothing then. done, if
// not nil, is called after the change is on disk, or with the reason why it
// isn't.
type op struct {
	do   func(*writer) error
	done func(error)
}

// group is the operations of one batch.
type group struct {
	batch    *pebble.Batch
	ops      []*op
	errs     []error
	changed  []segments.Unit // whose decision record changed
	stops    []Stop
	staged   bool               // a rule is at another step of its ramp
	retained bool               // retain has run
	events   int                // how many were appended
	logged   []*events.Event    // they, while leaves are cold
	cohorts  map[string]*Cohort // that it changed; nil: it is gone
	bumpAll  bool               // whatever readers keep may be wrong
	queues   map[string]*queue  // of the outbox, that it changed, as they are after it; nil: dropped
}

// writer is the state of the writer's goroutine: nobody else touches it.
type writer struct {
	s          *Store
	nextEvent  uint64
	logBytes   int64 // of the events in the log
	logChanged bool  // either changed in the current group
	closing    bool  // more windows are over than one operation closes
	forgetting bool  // the log is still more than may be kept
	nextEntry  uint64
	head       string // the hash of the ledger's last line
	nextRun    uint64

	set     *rules.Set
	program *segments.Program
	tracked []*tracked            // one for each rule of the set
	hears   map[string][]*tracked // by the events that matter to them
	warm    warm
	queues  map[string]*queue // of the outbox, by name

	names   map[string]bool   // seen so far, by kind and name
	cohorts map[string]Cohort // as the last group left them
	staged  map[string]*stage // deliveries of cohorts, by cohort
	heard   map[string]*heard // of some cohorts: see heardBefore
	swept   map[string][]byte // where the sweep of a cohort's members goes on
	noting  bool              // a cohort is being refreshed
	noted   []merged          // since that began
	recent  recent            // units, as they are on disk or will be with the group
	ahead   ahead             // events that may have come before their exposure

	// What the current group changed and has not encoded yet.
	g        *group
	units    map[segments.Unit]*unit
	enrolled map[enrolID]*enrolment
	seen     map[string]bool
	touched  map[*tracked]bool
	members  map[string][]byte // by key; nil: there is none
}

type enrolID struct {
	run  uint64
	unit segments.Unit
}

type enrolment struct {
	outcomes.Enrolment
	known, dirty bool
}

// write is the writer's goroutine: it ends when stop is closed and the queue
// is empty, and closes syncs then.
func (s *Store) write() {
	defer s.ended.Done()
	defer close(s.syncs)
	ticks := time.NewTicker(tick)
	defer ticks.Stop()
	var retained time.Time
	for {
		select {
		case o := <-s.ops:
			s.commit(o)
		case <-ticks.C:
			s.checkSpace()
			if s.Err() != nil {
				continue
			}
			for more := true; more && s.Err() == nil; more = s.w.closing {
				s.commit(&op{do: (*writer).closeWindows})
			}
			s.commit(&op{do: (*writer).watchRules})
			if now := time.Now(); s.w.forgetting || now.Sub(retained) >= retainEvery {
				retained = now
				s.commit(&op{do: (*writer).retain})
			}
		case <-s.stop:
			for {
				select {
				case o := <-s.ops:
					s.commit(o)
					continue
				default:
				}
				return
			}
		}
	}
}

// commit makes one group of an operation and those that wait behind it.
func (s *Store) commit(first *op) {
	w := &s.w
	w.begin()
	w.run(first)
	for len(w.g.ops) < maxGroup && w.g.events < maxGroup && w.g.batch.Len() < maxGroupBytes {
		select {
		case o := <-s.ops:
			w.run(o)
			continue
		default:
		}
		break
	}
	err := w.finish()
	if err != nil {
		s.fail(err)
	} else if err = s.readable(); err == nil && !w.g.batch.Empty() {
		err = s.db.ApplyNoSyncWait(w.g.batch, pebble.Sync)
	}
	if err != nil {
		s.fail(err)
		s.acknowledge(w.g, s.Err())
		return
	}
	// Also a group that changed nothing waits its turn: what it repeats may be
	// in a group that is not on disk yet.
	s.syncs <- w.g
}

// sync is the syncer's goroutine: it ends when syncs is closed.
func (s *Store) sync() {
	defer s.ended.Done()
	for g := range s.syncs {
		var err error
		if !g.batch.Empty() {
			err = g.batch.SyncWait()
		}
		if err != nil {
			s.fail(err)
			err = s.Err()
		}
		s.acknowledge(g, err)
	}
}

// acknowledge makes a group known to readers and callers.
func (s *Store) acknowledge(g *group, err error) {
	if err == nil {
		s.publishCohorts(g)
		for _, u := range g.changed {
			s.cache.bump(u)
		}
		s.mail.deliver(g.queues)
		for _, stop := range g.stops {
			if s.opts.Stopped != nil {
				s.opts.Stopped(stop)
			}
		}
	}
	if err == nil && g.staged && s.opts.Staged != nil {
		s.opts.Staged()
	}
	for i, o := range g.ops {
		if o.done != nil {
			o.done(firstError(g.errs[i], err))
		}
	}
	if e := g.batch.Close(); e != nil && err == nil {
		s.fail(e)
	}
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func (w *writer) begin() {
	w.g = &group{batch: w.s.db.NewBatch()}
	w.units = map[segments.Unit]*unit{}
	w.enrolled = map[enrolID]*enrolment{}
	w.seen = map[string]bool{}
	w.touched = map[*tracked]bool{}
	w.members = map[string][]byte{}
	w.logChanged = false
}

func (w *writer) run(o *op) {
	w.g.ops = append(w.g.ops, o)
	w.g.errs = append(w.g.errs, nil)
	defer func() {
		if v := recover(); v != nil { // half a change must not be written
			w.g.errs[len(w.g.errs)-1] = w.broken(fmt.Errorf("panic: %v\n%s", v, debug.Stack()))
		}
	}()
	w.g.errs[len(w.g.errs)-1] = o.do(w)
}

// finish encodes what the group changed into its batch.
func (w *writer) finish() error {
	b := w.g.batch
	now := w.s.opts.Now().UnixMilli()
	for _, u := range w.units {
		if !u.dirty {
			continue
		}
		if err := w.encode(u, now); err != nil {
			return err
		}
		u.dirty = false
	}
	for id, e := range w.enrolled {
		if e.dirty {
			enrolment, err := e.AppendBinary(nil)
			if err != nil {
				return err
			}
			if err := b.Set(enrolKey(id.run, id.unit), enrolment, nil); err != nil {
				return err
			}
		}
	}
	if w.logChanged {
		if err := b.Set(metaKey("log"), w.appendLogMeta(nil), nil); err != nil {
			return err
		}
	}
	for t := range w.touched {
		if err := w.judge(t); err != nil {
			return err
		}
		tally, err := json.Marshal(t.tally)
		if err != nil {
			return fmt.Errorf("tally of %s: %w", t.rule.Name, err)
		}
		if err := b.Set(tallyKey(t.run.ID), tally, nil); err != nil {
			return err
		}
	}
	return w.putQueues() // what was judged may have posted letters
}

// broken fails the store for an error that leaves the group half done.
func (w *writer) broken(err error) error {
	w.s.fail(err)
	return w.s.Err()
}

// do runs a change on the writer's goroutine and returns when it is on disk. If
// ctx ends before, the change may be made all the same. A disk that is nearly
// full does not stop it: the reserve is for what must go on.
func (s *Store) do(ctx context.Context, change func(*writer) error) error {
	if err := s.readable(); err != nil {
		return err
	}
	done := make(chan error, 1)
	select {
	case s.ops <- &op{do: change, done: func(err error) { done <- err }}:
	case <-s.failed:
		return s.Err()
	case <-s.gone:
		return ErrUnavailable
	case <-ctx.Done():
		return fmt.Errorf("%w in time: %w", ErrUnavailable, ctx.Err())
	}
	select {
	case err := <-done:
		return err
	case <-s.failed:
		return s.Err()
	case <-s.gone:
		select {
		case err := <-done:
			return err
		default:
			return ErrUnavailable
		}
	case <-ctx.Done():
		return fmt.Errorf("%w in time: %w", ErrUnavailable, ctx.Err())
	}
}

// try hands a change to the writer without waiting. It reports whether the
// queue had room.
func (s *Store) try(change func(*writer) error) bool {
	if s.Err() != nil {
		s.counters.refused.Add(1)
		return false
	}
	select {
	case s.ops <- &op{do: change}:
		return true
	default:
		s.counters.dropped.Add(1)
		return false
	}
}

// Append appends events and returns when all of them, and all that they
// change, are on disk. Repetitions are left out. On an error none was
// appended, but for ErrUnavailable, which may leave it open.
func (s *Store) Append(ctx context.Context, batch []*events.Event) error {
	return s.append(ctx, batch, func(*writer) error { return nil })
}

// append appends events, and does in the same write what is to follow them.
func (s *Store) append(ctx context.Context, batch []*events.Event, then func(*writer) error) error {
	err := s.Err()
	for _, e := range batch {
		if err == nil && e.Visitor == "" {
			err = fmt.Errorf("an event without a visitor: %s %q", e.Kind, e.Name)
		}
	}
	if err == nil {
		err = s.do(ctx, func(w *writer) error {
			for _, e := range batch {
				if err := w.append(e); err != nil {
					return err
				}
			}
			return then(w)
		})
	}
	if err != nil {
		s.counters.refused.Add(uint64(len(batch)))
	}
	return err
}

// Observe hands over an event observed at the edge. It never waits: the event
// is on disk within MaxCommitDelay, or it was dropped and counted because the
// queue was full or the store takes no writes.
func (s *Store) Observe(e *events.Event) bool {
	return s.try(func(w *writer) error { return w.append(e) })
}

// Expose hands over an exposure, like Observe.
func (s *Store) Expose(x rules.Exposure) bool {
	return s.try(func(w *writer) error { return w.expose(&x) })
}
