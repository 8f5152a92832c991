package store

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

// maxClosings bounds how many windows one operation closes, so that events
// never wait long behind them.
const maxClosings = 512

// expose enrols a unit that reached a surface, the first time in a run.
func (w *writer) expose(x *rules.Exposure) error {
	t, err := w.find(x.Rule)
	if err != nil || t.rule.Version != x.Version || t.run.Stop != nil {
		return nil // a response that was on its way when the rule changed
	}
	unit := x.Unit
	if unit.Who == segments.Visitor {
		if unit.ID, err = w.resolve(unit.ID); err != nil {
			return err
		}
	}
	n, err := w.enrolment(t, unit)
	if err != nil {
		return err
	}
	var known *outcomes.Enrolment
	if n.known {
		known = &n.Enrolment
	}
	was := n.Enrolment
	now, first := outcomes.Enrol(t.tally, known, x)
	if n.known && now == was {
		return nil
	}
	n.Enrolment, n.known, n.dirty = now, true, true
	t.breach = x.At
	w.touched[t] = true
	if !first {
		return nil
	}
	if unit.ID != x.Unit.ID { // it was merged while its page was on the way
		if err := w.keepFirst(t.rule, unit, x.Unit.ID); err != nil {
			return err
		}
	}
	did := w.ahead.of(unit, now.At)
	if unit != x.Unit {
		did = append(did, w.ahead.of(x.Unit, now.At)...)
	}
	for _, e := range did {
		if outcomes.Observe(t.tally, &n.Enrolment, t.rule, e) {
			t.breach = e.Received
		}
	}
	w.s.counters.exposures.Add(1)
	if err := w.tell(x, t.rule, unit); err != nil {
		return err
	}
	return w.setTimers(t, unit, n.At)
}

// setTimers marks when the windows of an enrolment close.
func (w *writer) setTimers(t *tracked, unit segments.Unit, from int64) error {
	metric, guardrail := from+t.rule.Metric.Within.Milliseconds(), from+t.rule.Guardrail.Within.Milliseconds()
	if err := w.g.batch.Set(timerKey(metric, t.run.ID, unit), nil, nil); err != nil || metric == guardrail {
		return err
	}
	return w.g.batch.Set(timerKey(guardrail, t.run.ID, unit), nil, nil)
}

// attribute counts an event as conversion or harm where its unit is enrolled. It
// returns the units of rules that it matters to and that have not enrolled them.
func (w *writer) attribute(e *events.Event) (missed []segments.Unit, err error) {
	for _, t := range w.hears[e.Name] {
		unit := segments.Unit{Who: segments.Visitor, ID: e.Visitor}
		if t.rule.Unit == segments.Account {
			unit = segments.Unit{Who: segments.Account, ID: e.Account}
		}
		if unit.ID == "" {
			continue
		}
		n, err := w.enrolment(t, unit)
		if err != nil {
			return nil, err
		}
		if !n.known {
			if !slices.Contains(missed, unit) {
				missed = append(missed, unit)
			}
			continue
		}
		if outcomes.Observe(t.tally, &n.Enrolment, t.rule, e) {
			n.dirty = true
			t.breach = e.Received
			w.touched[t] = true
		}
	}
	return missed, nil
}

func (w *writer) enrolment(t *tracked, unit segments.Unit) (*enrolment, error) {
	id := enrolID{t.run.ID, unit}
	if n := w.enrolled[id]; n != nil {
		return n, nil
	}
	b, err := w.s.get(enrolKey(id.run, unit))
	if err != nil {
		return nil, w.broken(err)
	}
	n := &enrolment{known: b != nil}
	if b != nil {
		if err := n.UnmarshalBinary(b); err != nil {
			return nil, w.broken(fmt.Errorf("enrolment of %s %q: %w", unit.Who, unit.ID, err))
		}
	}
	w.enrolled[id] = n
	return n, nil
}

// mergeEnrolments moves what rules know of one visitor to another, who is the
// same person.
func (w *writer) mergeEnrolments(from, to segments.Unit) error {
	for _, t := range w.tracked {
		if t.rule.Unit != segments.Visitor {
			continue
		}
		other, err := w.enrolment(t, from)
		if err != nil {
			return err
		}
		n, err := w.enrolment(t, to)
		if err != nil {
			return err
		}
		if !other.known {
			if n.known {
				continue
			}
			as, err := w.assignedAs(t.rule, from)
			if err == nil && as != from.ID { // of an earlier run
				err = w.keepFirst(t.rule, to, as)
			}
			if err != nil {
				return err
			}
			continue
		}
		if !n.known || other.At < n.At { // its exposure is the first one
			as, err := w.assignedAs(t.rule, from)
			if err == nil {
				err = w.keep(t.rule, to, as)
			}
			if err != nil {
				return err
			}
		}
		w.touched[t] = true
		if n.known {
			n.Enrolment = outcomes.Merge(t.tally, &n.Enrolment, &other.Enrolment, t.rule)
		} else {
			n.Enrolment = other.Enrolment
		}
		n.known, n.dirty = true, true
		other.known, other.dirty = false, false
		if err := w.g.batch.Delete(enrolKey(t.run.ID, from), nil); err != nil {
			return err
		}
		if err := w.setTimers(t, to, n.At); err != nil {
			return err
		}
	}
	return nil
}

// closeWindows counts the windows that are over.
func (w *writer) closeWindows() error {
	if w.set == nil {
		return nil // which runs there are is not known yet
	}
	now := w.s.opts.Now().UnixMilli()
	it, err := w.s.db.NewIter(&pebble.IterOptions{
		LowerBound: []byte{keyTimer},
		UpperBound: timerKey(now+1, 0, segments.Unit{}),
	})
	if err != nil {
		return w.broken(err)
	}
	defer it.Close()
	runs := map[uint64]*tracked{}
	for _, t := range w.tracked {
		runs[t.run.ID] = t
	}
	closed := 0
	for it.First(); it.Valid() && closed < maxClosings; it.Next() {
		_, run, unit := parseTimer(it.Key())
		if err := w.g.batch.Delete(it.Key(), nil); err != nil {
			return err
		}
		closed++
		t := runs[run]
		if t == nil { // of a run that is over, but may come back with its content
			if err := w.g.batch.Set(droppedKey(run), nil, nil); err != nil {
				return err
			}
			continue
		}
		n, err := w.enrolment(t, unit)
		if err != nil {
			return err
		}
		if n.known && outcomes.Close(t.tally, &n.Enrolment, t.rule, now) {
			n.dirty = true
			w.touched[t] = true
		}
	}
	if err := it.Error(); err != nil {
		return w.broken(err)
	}
	w.closing = closed == maxClosings
	return nil
}

// droppedKey marks a run some of whose timers fell due while its rule was not
// there.
func droppedKey(run uint64) []byte { return binary.BigEndian.AppendUint64(metaKey("dropped"), run) }

// restoreTimers sets the timers of a run that came back, if any were dropped:
// those that are due fire at the next tick.
func (w *writer) restoreTimers(t *tracked) error {
	mark := droppedKey(t.run.ID)
	if dropped, err := w.s.get(mark); err != nil {
		return w.broken(err)
	} else if dropped == nil {
		return nil
	}
	from := enrolKey(t.run.ID, segments.Unit{})
	from = from[:len(from)-1] // without the kind of unit
	it, err := w.s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: append(slices.Clone(from), 0xff)})
	if err != nil {
		return w.broken(err)
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		var n outcomes.Enrolment
		if err := n.UnmarshalBinary(it.Value()); err != nil {
			return w.broken(fmt.Errorf("enrolment %x: %w", it.Key(), err))
		}
		if err := w.setTimers(t, parseUnit(it.Key()[len(from):]), n.At); err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return w.broken(err)
	}
	return w.g.batch.Delete(mark, nil)
}
