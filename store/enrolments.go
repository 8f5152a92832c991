package store

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/segments"
)

// Enrolments calls row for every unit that was exposed in the runs that want
// picks, run after run, oldest first, and within one by unit. All are of one
// moment, at which each run's tally was the sum of them, however long the
// reading takes; nothing is held in memory. It ends at row's first error, with
// that error, and with ErrUnavailable when the store is closed meanwhile.
//
// The run and the enrolment are row's until it returns.
func (s *Store) Enrolments(ctx context.Context, want func(*Run) bool, row func(*Run, segments.Unit, *outcomes.Enrolment) error) error {
	snapshot, done, err := s.snapshot()
	if err != nil {
		return err
	}
	defer done()
	runs, err := runsIn(ctx, snapshot, "")
	if err != nil {
		return err
	}
	read := func(run *Run) error {
		it, err := snapshot.NewIterWithContext(ctx, runBounds(keyEnrol, run.ID))
		if err != nil {
			return err
		}
		defer it.Close()
		for it.First(); it.Valid(); it.Next() {
			select {
			case <-s.stop:
				return ErrUnavailable
			case <-ctx.Done():
				return ctx.Err()
			default:
			}
			var n outcomes.Enrolment
			if err := n.UnmarshalBinary(it.Value()); err != nil {
				return fmt.Errorf("enrolment %x: %w", it.Key(), err)
			}
			if err := row(run, parseUnit(it.Key()[9:]), &n); err != nil {
				return err
			}
		}
		return it.Error()
	}
	for i := range runs {
		if want(&runs[i]) {
			if err := read(&runs[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// snapshot returns the store as it is at this moment, to be read until done is
// called, which Close waits for.
func (s *Store) snapshot() (snapshot *pebble.Snapshot, done func(), err error) {
	if err := s.readable(); err != nil {
		return nil, nil, err
	}
	if !s.reads.TryRLock() { // by Close
		return nil, nil, ErrUnavailable
	}
	snapshot = s.db.NewSnapshot()
	return snapshot, func() {
		_ = snapshot.Close()
		s.reads.RUnlock()
	}, nil
}
