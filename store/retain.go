package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/seed14307185/refract/events"
)

// maxForgotten bounds how many events one operation removes from the log.
const maxForgotten = 4096

// retain removes from the event log what is older than it may be, or more than
// may be kept. With an event goes the mark by which its repetition is known.
// States, records and tallies stay.
func (w *writer) retain() error {
	oldest := w.s.opts.Now().Add(-w.s.opts.Retain.Age)
	if w.g.retained {
		return nil // what this group removes is still to be seen
	}
	w.g.retained, w.forgetting = true, false
	if err := errors.Join(w.forgetStages(), w.sweepMembers()); err != nil {
		return err
	}
	excess := w.logBytes - w.s.opts.Retain.Bytes
	it, err := w.s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{keyEvent}, UpperBound: after(keyEvent)})
	if err != nil {
		return w.broken(err)
	}
	defer it.Close()
	end := []byte(nil)
	forgotten := 0
	for it.First(); it.Valid() && forgotten < maxForgotten; it.Next() {
		var e struct {
			ID, Source string
			Received   time.Time
		}
		if err := json.Unmarshal(it.Value(), &e); err != nil {
			return w.broken(fmt.Errorf("event %x: %w", it.Key(), err))
		}
		if excess <= 0 && !e.Received.Before(oldest) {
			break
		}
		excess -= int64(len(it.Value()))
		w.logBytes -= int64(len(it.Value()))
		forgotten++
		if e.ID != "" {
			if err := w.g.batch.Delete(seenKey(e.Source, e.ID), nil); err != nil {
				return err
			}
		}
		end = seqKey(keyEvent, binary.BigEndian.Uint64(it.Key()[1:])+1)
	}
	if err := it.Error(); err != nil {
		return w.broken(err)
	}
	if end == nil {
		return nil
	}
	w.logChanged = true
	w.forgetting = forgotten == maxForgotten
	return w.g.batch.DeleteRange([]byte{keyEvent}, end, nil)
}

// The mark of the log: the next event's sequence number, which must not begin
// anew when all events are forgotten, and the log's size in bytes.
func (w *writer) appendLogMeta(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, w.nextEvent)
	return binary.BigEndian.AppendUint64(b, uint64(w.logBytes))
}

func (w *writer) loadLogMeta() error {
	b, err := w.s.meta("log")
	if err != nil || b == nil {
		w.nextEvent = 1
		return err
	}
	if len(b) != 16 {
		return errors.New("the mark of the event log is damaged")
	}
	w.nextEvent, w.logBytes = binary.BigEndian.Uint64(b), int64(binary.BigEndian.Uint64(b[8:]))
	return nil
}

// Events calls f for the events of the log from a sequence number on, oldest
// first, until f returns false.
func (s *Store) Events(from uint64, f func(seq uint64, e *events.Event) bool) error {
	if err := s.readable(); err != nil {
		return err
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: seqKey(keyEvent, from), UpperBound: after(keyEvent)})
	if err != nil {
		return err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		e := new(events.Event)
		if err := json.Unmarshal(it.Value(), e); err != nil {
			return fmt.Errorf("event %x: %w", it.Key(), err)
		}
		if !f(binary.BigEndian.Uint64(it.Key()[1:]), e) {
			break
		}
	}
	return it.Error()
}
