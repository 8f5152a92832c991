package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2"

	"github.com/seed14307185/refract/segments"
)

// Member is a unit of a cohort, until a time of its own, or, where that is
// zero, for as long as the cohort is believed.
type Member struct {
	segments.Unit
	Until time.Time
}

// Change is a difference between what a cohort was and what it is.
type Change struct {
	// Message is its sender's id of it, by which a repetition is known among the
	// last [heardMessages] of the cohort; empty: it can't be one.
	Message string
	Add     []Member
	Remove  []segments.Unit
}

const (
	heardMessages = 1024
	// maxSwept bounds how many members one operation looks at to find those whose
	// own end is over.
	maxSwept = 50_000
)

// merged is one visitor who turned out to be another.
type merged struct{ from, to segments.Unit }

// ChangeCohort adds members to a cohort and removes others, and returns when
// that is on disk. If there is no such cohort it makes one. Who is a member
// already stays one since when they were, with the new end. A change without
// anybody says that the members are still those. limit is how long after it
// the cohort is believed, 0: for ever.
func (s *Store) ChangeCohort(ctx context.Context, name string, limit time.Duration, change Change) error {
	if err := s.Err(); err != nil {
		return err
	}
	for _, m := range change.Add {
		if m.ID == "" {
			return fmt.Errorf("cohort %s: a member without an id", name)
		}
	}
	return s.do(ctx, func(w *writer) error { return w.changeCohort(name, limit, &change) })
}

func (w *writer) changeCohort(name string, limit time.Duration, change *Change) error {
	now := w.s.opts.Now().UTC()
	c, known := w.cohorts[name]
	if !known {
		c = Cohort{Name: name, Version: w.s.version.Add(1)}
	}
	if repeated, err := w.heardBefore(name, change.Message); err != nil || repeated {
		return err
	}
	// What readers keep of a member they read anew when, as they knew it, the
	// cohort is no longer believed.
	w.g.bumpAll = w.g.bumpAll || limit != c.Limit
	c.Synced, c.Limit = now, limit
	for _, u := range change.Remove {
		if err := w.setMember(&c, u, nil); err != nil {
			return err
		}
	}
	for _, m := range change.Add {
		is := member{since: now.UnixMilli()}
		if !m.Until.IsZero() {
			is.until, c.Ends = m.Until.UnixMilli(), true
		}
		if err := w.setMember(&c, m.Unit, &is); err != nil {
			return err
		}
	}
	return w.putCohort(c)
}

// DropCohort forgets a cohort: nobody is a member any more.
func (s *Store) DropCohort(ctx context.Context, name string) error {
	if err := s.Err(); err != nil {
		return err
	}
	return s.do(ctx, func(w *writer) error {
		c, known := w.cohorts[name]
		if !known {
			return fmt.Errorf("%w: %s", ErrNoCohort, name)
		}
		delete(w.cohorts, name)
		delete(w.heard, name)
		w.cohortChanged(name, nil)
		w.g.bumpAll = true
		b := w.g.batch
		for _, version := range []uint64{c.Version, c.Before} {
			if version == 0 {
				continue
			}
			if err := b.DeleteRange(seqKey(keyMember, version), seqKey(keyMember, version+1), nil); err != nil {
				return w.broken(err)
			}
		}
		if err := b.DeleteRange(heardKey(name, 0), heardKey(name, heardMessages), nil); err != nil {
			return w.broken(err)
		}
		if err := w.unstage(name); err != nil {
			return err
		}
		return b.Delete(cohortKey(name), nil)
	})
}

// giveUp forgets a version that has not become the present one. It comes after
// whatever its refresh has asked for: who asked may have left before the answer.
func (w *writer) giveUp(c Cohort) error {
	w.noting, w.noted = false, nil
	if w.cohorts[c.Name].Version == c.Version {
		return nil
	}
	return w.g.batch.DeleteRange(seqKey(keyMember, c.Version), seqKey(keyMember, c.Version+1), nil)
}

// memberOf returns a member's value as the group has left it; nil: they are
// none.
func (w *writer) memberOf(key []byte) ([]byte, error) {
	if b, known := w.members[string(key)]; known {
		return b, nil
	}
	b, err := w.s.get(key)
	if err != nil {
		return nil, w.broken(err)
	}
	return b, nil
}

// setMember makes a unit a member, or, with nil, none. A visitor is one under
// the id that they are merged into.
func (w *writer) setMember(c *Cohort, u segments.Unit, is *member) error {
	if u.Who == segments.Visitor {
		id, err := w.resolve(u.ID)
		if err != nil {
			return err
		}
		u.ID = id
	}
	return w.putMember(c, u, is)
}

// putMember is setMember for an id that is merged into none.
func (w *writer) putMember(c *Cohort, u segments.Unit, is *member) error {
	key := memberKey(nil, c.Version, u)
	was, err := w.memberOf(key)
	switch {
	case err != nil:
		return err
	case is == nil && was == nil:
		return nil
	case is == nil:
		c.Members--
		w.members[string(key)] = nil
		err = w.g.batch.Delete(key, nil)
	default:
		if was != nil {
			if before := parseMember(was); before.until == 0 || before.until > is.since {
				is.since = min(is.since, before.since) // else they had ceased to be one
			}
		} else {
			c.Members++
		}
		b := appendMember(nil, *is)
		if was != nil && string(was) == string(b) {
			return nil
		}
		w.members[string(key)] = b
		err = w.g.batch.Set(key, b, nil)
	}
	if err != nil {
		return w.broken(err)
	}
	w.g.changed = append(w.g.changed, u)
	return nil
}

// moveMember makes a visitor a member in place of another, who is the same
// person, if that one was. Of two ends the later counts.
func (w *writer) moveMember(c *Cohort, from, to segments.Unit) error {
	b, err := w.memberOf(memberKey(nil, c.Version, from))
	if err != nil || b == nil {
		return err
	}
	is := parseMember(b)
	if b, err = w.memberOf(memberKey(nil, c.Version, to)); err != nil {
		return err
	}
	if b != nil {
		if other := parseMember(b); other.until == 0 || is.until == 0 {
			is.until = 0
		} else {
			is.until = max(is.until, other.until)
		}
	}
	if err := w.putMember(c, from, nil); err != nil {
		return err
	}
	return w.putMember(c, to, &is)
}

// mergeMembers makes a visitor a member of the cohorts of another, who is the
// same person, in their place.
func (w *writer) mergeMembers(from, to segments.Unit) error {
	if w.noting {
		w.noted = append(w.noted, merged{from, to})
	}
	key := append([]byte{keyMerged}, from.ID...)
	if err := w.g.batch.Set(key, nil, nil); err != nil {
		return w.broken(err)
	}
	for _, name := range slices.Sorted(maps.Keys(w.cohorts)) {
		c := w.cohorts[name]
		was := len(w.g.changed)
		if err := w.moveMember(&c, from, to); err != nil {
			return err
		}
		if len(w.g.changed) == was {
			continue
		}
		if err := w.putCohort(c); err != nil {
			return err
		}
	}
	return nil
}

// heard are the messages that a cohort was changed by, as far back as they are
// remembered.
type heard struct {
	slots [heardMessages]uint64 // hashes, as a ring
	count uint64                // of all that ever were
}

func heardKey(name string, slot int) []byte {
	b := append(append([]byte{keyHeard}, name...), 0)
	return binary.BigEndian.AppendUint16(b, uint16(slot))
}

// heardBefore says whether a message was, and remembers it.
func (w *writer) heardBefore(name, message string) (bool, error) {
	if message == "" {
		return false, nil
	}
	h := w.heard[name]
	if h == nil {
		var err error
		if h, err = w.s.loadHeard(name); err != nil {
			return false, w.broken(err)
		}
		w.heard[name] = h
	}
	hash := xxhash.Sum64String(message)
	if slices.Contains(h.slots[:], hash) {
		return true, nil
	}
	slot := int(h.count % heardMessages)
	h.slots[slot] = hash
	h.count++
	b := binary.BigEndian.AppendUint64(nil, hash)
	if err := w.g.batch.Set(heardKey(name, slot), binary.BigEndian.AppendUint64(b, h.count), nil); err != nil {
		return false, w.broken(err)
	}
	return false, nil
}

func (s *Store) loadHeard(name string) (*heard, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: heardKey(name, 0), UpperBound: heardKey(name, heardMessages)})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	h := &heard{}
	for it.First(); it.Valid(); it.Next() {
		k, v := it.Key(), it.Value()
		slot := binary.BigEndian.Uint16(k[len(k)-2:])
		if len(v) != 16 || slot >= heardMessages {
			return nil, errors.New("a mark of a message is damaged")
		}
		h.slots[slot] = binary.BigEndian.Uint64(v)
		h.count = max(h.count, binary.BigEndian.Uint64(v[8:]))
	}
	return h, it.Error()
}

// sweepMembers takes out members whose own end is over, of some of those that
// have one: whoever reads them doesn't see them any more anyway.
func (w *writer) sweepMembers() error {
	now := w.s.opts.Now().UnixMilli()
	for _, name := range slices.Sorted(maps.Keys(w.cohorts)) {
		c := w.cohorts[name]
		if !c.Ends {
			continue
		}
		from := w.swept[name]
		if !bytesInside(from, seqKey(keyMember, c.Version)) {
			from = seqKey(keyMember, c.Version)
		}
		over, next, err := w.s.membersOver(from, seqKey(keyMember, c.Version+1), now)
		if err != nil {
			return w.broken(err)
		}
		w.swept[name] = next
		if len(over) == 0 {
			continue
		}
		for _, u := range over {
			if err := w.putMember(&c, u, nil); err != nil {
				return err
			}
		}
		if err := w.putCohort(c); err != nil {
			return err
		}
	}
	return nil
}

func bytesInside(key, prefix []byte) bool {
	return len(key) >= len(prefix) && string(key[:len(prefix)]) == string(prefix)
}

// membersOver looks at some members from a key on and returns those whose own
// end is over, and where to go on; nil: that was the last.
func (s *Store) membersOver(from, to []byte, now int64) (over []segments.Unit, next []byte, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return nil, nil, err
	}
	defer it.Close()
	n := 0
	for it.First(); it.Valid(); it.Next() {
		if n++; n > maxSwept {
			return over, append([]byte(nil), it.Key()...), nil
		}
		if m := parseMember(it.Value()); m.until != 0 && m.until <= now {
			over = append(over, parseUnit(it.Key()[9:]))
		}
	}
	return over, nil, it.Error()
}
