package store

import (
	"fmt"

	"github.com/seed14307185/refract/segments"
)

// unit is what the writer knows of a unit.
type unit struct {
	segments.Unit
	state         *segments.State // nil: not read yet
	record        []byte          // as last written
	dirty, merged bool
	kept          []segments.Kept // the arms that it keeps; see keptOf
	keeps         bool            // kept is known
	bytes         int             // of the state's encoding
}

// recent keeps the units that the writer used last, decoded: who did one thing
// is likely to do another. Only the writer changes units, so what it keeps is
// what is on disk, or will be with the current group. It holds two
// generations, and drops the older one when the younger is full.
type recent struct {
	young, old map[segments.Unit]*unit
	bytes      int
}

const (
	maxRecent   = 8 << 20 // bytes of encodings in a generation; decoded they take about four times as much
	recentExtra = 200     // bytes that an entry takes beside its state
)

func (r *recent) get(u segments.Unit) *unit {
	if have := r.young[u]; have != nil {
		return have
	}
	have := r.old[u]
	if have != nil {
		r.put(have)
	}
	return have
}

func (r *recent) put(u *unit) {
	if r.young == nil || r.bytes > maxRecent {
		r.young, r.old, r.bytes = map[segments.Unit]*unit{}, r.young, 0
	}
	r.young[u.Unit] = u
	r.bytes += recentExtra + u.bytes
}

// known returns a unit with its record, and perhaps without its state. An error
// is the store's failure, not the asker's.
func (w *writer) known(u segments.Unit) (*unit, error) {
	if have := w.units[u]; have != nil {
		return have, nil
	}
	have := w.recent.get(u)
	if have == nil {
		record, err := w.s.get(unitKey(nil, keyRecord, u))
		if err != nil {
			return nil, w.broken(err)
		}
		have = &unit{Unit: u, record: record}
		w.recent.put(have)
	}
	w.units[u] = have
	return have, nil
}

// unit is known with the state.
func (w *writer) unit(u segments.Unit) (*unit, error) {
	have, err := w.known(u)
	if err != nil || have.state != nil {
		return have, err
	}
	b, err := w.s.get(unitKey(nil, keyState, u))
	if err != nil {
		return nil, w.broken(err)
	}
	if have.state, err = segments.DecodeState(b); err != nil {
		return nil, w.broken(fmt.Errorf("state of %s %q: %w", u.Who, u.ID, err))
	}
	have.bytes = len(b)
	return have, nil
}

// encode writes a unit's state, and its decision record if that changed.
func (w *writer) encode(u *unit, now int64) error {
	b := w.g.batch
	if u.merged {
		return nil // merge has written what is left of it
	}
	state := w.program.AppendState(nil, u.state)
	u.bytes = len(state)
	if err := b.Set(unitKey(nil, keyState, u.Unit), state, nil); err != nil {
		return err
	}
	decided := w.program.Record(u.Who, u.state, now)
	var err error
	if decided.Kept, err = w.keptOf(u); err != nil {
		return err
	}
	record := appendRecord(nil, decided)
	same := u.record != nil && string(record) == string(u.record)
	if !same || len(w.s.asked.Load().cohorts[u.Who]) > 0 { // what a reader adds to a record follows from the state
		w.g.changed = append(w.g.changed, u.Unit)
	}
	if same {
		return nil
	}
	u.record = record
	return b.Set(unitKey(nil, keyRecord, u.Unit), record, nil)
}
