package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

// append folds one event into everything that it changes, and logs it.
func (w *writer) append(e *events.Event) error {
	if e.ID != "" {
		repeated, err := w.repeated(e)
		if err != nil || repeated {
			return err
		}
	}
	logged := *e // the asker's stays as it is
	e = &logged
	w.clamp(e)
	visitor, err := w.resolve(e.Visitor)
	if err != nil {
		return err
	}
	e.Visitor = visitor
	v, err := w.unit(segments.Unit{Who: segments.Visitor, ID: visitor})
	if err != nil {
		return err
	}
	if e.Anonymous != "" {
		if err := w.merge(e.Anonymous, v, e.Received.UnixMilli()); err != nil {
			return err
		}
	}
	if w.program.Fold(segments.Visitor, v.state, e) || v.record == nil { // from now on it is known
		v.dirty = true
	}
	if e.Account == "" {
		e.Account = v.state.Account
	}
	if e.Account != "" {
		if err := w.foldAccount(e); err != nil {
			return err
		}
	}
	var missed []segments.Unit
	if e.Kind == events.Track {
		if missed, err = w.attribute(e); err != nil {
			return err
		}
	}
	w.s.counters.events.Add(1)
	if err := w.noteNames(e); err != nil {
		return err
	}
	before := w.logBytes
	if err := w.log(e); err != nil {
		return err
	}
	for _, unit := range missed {
		w.ahead.keep(unit, e, int(w.logBytes-before)+recentExtra)
	}
	return nil
}

func (w *writer) foldAccount(e *events.Event) error {
	a, err := w.known(segments.Unit{Who: segments.Account, ID: e.Account})
	if err != nil || a.record != nil && e.Kind == events.Track && !w.program.Listens(segments.Account, e.Name) {
		return err
	}
	if a, err = w.unit(a.Unit); err != nil {
		return err
	}
	if w.program.Fold(segments.Account, a.state, e) || a.record == nil {
		a.dirty = true
	}
	return nil
}

// clamp does not believe a time that is not plausible: the states rely on it.
func (w *writer) clamp(e *events.Event) {
	late := rules.DefaultLate
	if w.set != nil {
		late = w.set.Edge.Late
	}
	if e.Clamp(late); e.Misdated {
		w.s.counters.clamped.Add(1)
	}
}

// repeated says whether the event was appended before, and remembers it.
func (w *writer) repeated(e *events.Event) (bool, error) {
	key := seenKey(e.Source, e.ID)
	was := w.seen[string(key)]
	if !was {
		b, err := w.s.get(key)
		if err != nil {
			return false, w.broken(err)
		}
		was = b != nil
	}
	if was {
		w.s.counters.repeated.Add(1)
		return true, nil
	}
	w.seen[string(key)] = true
	return false, w.g.batch.Set(key, binary.BigEndian.AppendUint64(nil, w.nextEvent), nil)
}

func (w *writer) log(e *events.Event) error {
	b, err := json.Marshal(e)
	if err != nil {
		return w.broken(fmt.Errorf("event of %q: %w", e.Visitor, err))
	}
	seq := w.nextEvent
	w.nextEvent++
	w.logBytes += int64(len(b))
	w.logChanged = true
	w.g.events++
	if w.warm.cold != nil {
		w.g.logged = append(w.g.logged, e)
	}
	return w.g.batch.Set(seqKey(keyEvent, seq), b, nil)
}

// resolve returns the id that the visitor's is merged into, or the id itself.
func (w *writer) resolve(id string) (string, error) {
	for first, hops := id, 0; ; hops++ {
		u, err := w.known(segments.Unit{Who: segments.Visitor, ID: id})
		if err != nil {
			return "", err
		}
		into, merged := mergedInto(u.record)
		switch {
		case merged:
			id = into
			continue
		case hops > 1: // the next time it is one
			u, err := w.known(segments.Unit{Who: segments.Visitor, ID: first})
			if err != nil {
				return "", err
			}
			u.record = appendMerged(nil, id)
			w.g.changed = append(w.g.changed, u.Unit)
			return id, w.g.batch.Set(unitKey(nil, keyRecord, u.Unit), u.record, nil)
		}
		return id, nil
	}
}

// merge makes the visitor with the anonymous id one with v: once, and for
// good. An id that is merged into somebody else already stays theirs.
func (w *writer) merge(anonymous string, v *unit, now int64) error {
	id, err := w.resolve(anonymous)
	if err != nil || id != anonymous || id == v.ID {
		return err
	}
	other, err := w.unit(segments.Unit{Who: segments.Visitor, ID: id})
	if err != nil {
		return err
	}
	w.program.Merge(v.state, other.state, now)
	v.dirty = true
	if err := w.mergeEnrolments(other.Unit, v.Unit); err != nil {
		return err
	}
	if err := w.mergeMembers(other.Unit, v.Unit); err != nil {
		return err
	}
	if account := other.state.Account; account != "" {
		a, err := w.unit(segments.Unit{Who: segments.Account, ID: account})
		if err != nil {
			return err
		}
		if w.set != nil && w.set.Program.Rename(a.state, id, v.ID) {
			a.dirty = true
		}
	}
	other.state, other.record, other.merged = &segments.State{}, appendMerged(nil, v.ID), true
	b := w.g.batch
	if err := b.Delete(unitKey(nil, keyState, other.Unit), nil); err != nil {
		return err
	}
	w.g.changed = append(w.g.changed, other.Unit)
	return b.Set(unitKey(nil, keyRecord, other.Unit), other.record, nil)
}
