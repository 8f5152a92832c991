package store

import (
	"bytes"
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/seed14307185/refract/outcomes"
)

// Shared calls row for every unit that was exposed in at least two of the runs,
// with its enrolment in each of them, nil: none, in the order of the runs. All are
// of one moment. Each run is read once, side by side with the others; nothing is
// held in memory. It ends as Enrolments does.
//
// The slice and what it points to are row's until it returns.
func (s *Store) Shared(ctx context.Context, runs []uint64, row func([]*outcomes.Enrolment) error) error {
	snapshot, done, err := s.snapshot()
	if err != nil {
		return err
	}
	defer done()
	its := make([]*pebble.Iterator, len(runs))
	for i, run := range runs {
		it, err := snapshot.NewIterWithContext(ctx, runBounds(keyEnrol, run))
		if err != nil {
			return err
		}
		defer it.Close()
		it.First()
		its[i] = it
	}
	unit := func(it *pebble.Iterator) []byte { return it.Key()[9:] }
	enrolments := make([]outcomes.Enrolment, len(runs))
	of := make([]*outcomes.Enrolment, len(runs))
	var least []byte // the unit that comes next
	for {
		select {
		case <-s.stop:
			return ErrUnavailable
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		least = least[:0]
		met := 0 // in how many runs it is; 0: all are at their ends
		for _, it := range its {
			if !it.Valid() {
				if err := it.Error(); err != nil {
					return err
				}
				continue
			}
			switch order := bytes.Compare(unit(it), least); {
			case met == 0 || order < 0:
				least, met = append(least[:0], unit(it)...), 1
			case order == 0:
				met++
			}
		}
		if met == 0 {
			return nil
		}
		for i, it := range its {
			of[i] = nil
			if !it.Valid() || !bytes.Equal(unit(it), least) {
				continue
			}
			if met > 1 {
				if err := enrolments[i].UnmarshalBinary(it.Value()); err != nil {
					return fmt.Errorf("enrolment %x: %w", it.Key(), err)
				}
				of[i] = &enrolments[i]
			}
			it.Next()
		}
		if met > 1 {
			if err := row(of); err != nil {
				return err
			}
		}
	}
}
