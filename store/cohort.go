package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/seed14307185/refract/segments"
)

// Cohort is what another system's cohort is known by. Its members are keys of
// their own, under its version: a refresh builds the next version beside the
// present one, and one small write makes it the present.
type Cohort struct {
	Name    string        `json:"name"` // amplitude/abc123
	Version uint64        `json:"version"`
	Synced  time.Time     `json:"synced"` // when its owner last said who is in it
	Limit   time.Duration `json:"limit"`  // how long after that it is believed; 0: for ever
	Members int           `json:"members"`
	// Before is the version before, which a reader may still be at, and which
	// the next refresh removes.
	Before uint64 `json:"before,omitempty"`
}

// ErrNoCohort is returned for a cohort that was never delivered.
var ErrNoCohort = errors.New("no such cohort")

func memberKey(b []byte, version uint64, u segments.Unit) []byte {
	b = binary.BigEndian.AppendUint64(append(b, keyMember), version)
	return appendUnit(b, u)
}

func cohortKey(name string) []byte { return append([]byte{keyCohort}, name...) }

// Cohorts returns what is known of each cohort, by name: its age is the time
// since Synced.
func (s *Store) Cohorts() map[string]Cohort { return maps.Clone(*s.cohorts.Load()) }

// loadCohorts reads the cohorts, and removes the members of refreshes that
// were never finished.
func (s *Store) loadCohorts() error {
	cohorts := map[string]Cohort{}
	s.cohorts.Store(&cohorts)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{keyCohort}, UpperBound: after(keyCohort)})
	if err != nil {
		return err
	}
	present := map[uint64]bool{}
	for it.First(); it.Valid(); it.Next() {
		var c Cohort
		if err := json.Unmarshal(it.Value(), &c); err != nil {
			return errors.Join(fmt.Errorf("cohort %q: %w", it.Key()[1:], err), it.Close())
		}
		cohorts[c.Name] = c
		present[c.Version] = true
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return err
	}
	return s.removeOrphans(present)
}

func (s *Store) removeOrphans(present map[uint64]bool) error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{keyMember}, UpperBound: after(keyMember)})
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; {
		version := binary.BigEndian.Uint64(it.Key()[1:])
		s.version.Store(max(s.version.Load(), version))
		if !present[version] {
			if err := s.db.DeleteRange(seqKey(keyMember, version), seqKey(keyMember, version+1), pebble.Sync); err != nil {
				return err
			}
		}
		ok = it.SeekGE(seqKey(keyMember, version+1))
	}
	return it.Error()
}

// ReplaceCohort makes the units the members of a cohort, in place of those it
// had, and returns when that is on disk. Until then, and if ctx ends before or
// the process dies, the previous members stay: no reader ever sees a part of
// either. Who was a member stays one since when they were; the others are from
// now on. members is sorted, and not used further.
func (s *Store) ReplaceCohort(ctx context.Context, name string, limit time.Duration, members []segments.Unit) error {
	if err := s.Err(); err != nil {
		return err
	}
	s.refreshing.Lock() // one at a time: each takes memory and disk
	defer s.refreshing.Unlock()
	select {
	case <-s.stop:
		return ErrUnavailable
	default:
	}
	version := s.version.Add(1)
	n, err := s.writeMembers(ctx, name, version, members)
	if err != nil {
		return fmt.Errorf("cohort %s: %w", name, err)
	}
	return s.do(ctx, func(w *writer) error {
		was, known := w.cohorts[name]
		c := Cohort{Name: name, Version: version, Synced: w.s.opts.Now().UTC(), Limit: limit, Members: n, Before: was.Version}
		if known && was.Before != 0 {
			err := w.g.batch.DeleteRange(seqKey(keyMember, was.Before), seqKey(keyMember, was.Before+1), nil)
			if err != nil {
				return err
			}
		}
		return w.putCohort(c)
	})
}

// writeMembers writes a version that nobody reads yet, as one table, and
// returns how many members it has.
func (s *Store) writeMembers(ctx context.Context, name string, version uint64, members []segments.Unit) (n int, err error) {
	slices.SortFunc(members, func(a, b segments.Unit) int {
		return cmp.Or(cmp.Compare(a.Who, b.Who), cmp.Compare(a.ID, b.ID)) // as their keys
	})
	members = slices.Compact(members)
	if len(members) == 0 {
		return 0, nil
	}
	was := (*s.cohorts.Load())[name]
	old, err := s.db.NewIter(&pebble.IterOptions{LowerBound: seqKey(keyMember, was.Version), UpperBound: seqKey(keyMember, was.Version+1)})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, old.Close()) }()
	path := filepath.Join(s.opts.Dir, fmt.Sprintf("cohort-%d.tmp", version))
	defer os.Remove(path)
	f, err := vfs.Default.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return 0, err
	}
	t := sstable.NewWriter(objstorageprovider.NewFileWritable(f), s.options.MakeWriterOptions(0, s.db.TableFormat()))
	if err := s.fillTable(ctx, t, version, members, old); err != nil {
		return 0, errors.Join(err, t.Close())
	}
	if err := t.Close(); err != nil {
		return 0, err
	}
	return len(members), s.db.Ingest(ctx, []string{path})
}

// fillTable writes members that are sorted. Those that old has too are members
// since when they were.
func (s *Store) fillTable(ctx context.Context, t *sstable.Writer, version uint64, members []segments.Unit, old *pebble.Iterator) error {
	now := binary.AppendVarint(nil, s.opts.Now().UnixMilli())
	more := old.First()
	var key []byte
	for i, u := range members {
		if u.ID == "" {
			return errors.New("a member without an id")
		}
		if i%4096 == 0 {
			select {
			case <-s.stop:
				return ErrUnavailable
			case <-ctx.Done():
				return ctx.Err()
			default:
			}
		}
		key = memberKey(key[:0], version, u)
		for more && bytes.Compare(old.Key()[9:], key[9:]) < 0 {
			more = old.Next()
		}
		since := now
		if more && bytes.Equal(old.Key()[9:], key[9:]) {
			since = old.Value()
		}
		if err := t.Set(key, since); err != nil {
			return err
		}
	}
	return old.Error()
}

// AddMembers adds members to a cohort, and RemoveMembers removes them. Both
// return when that is on disk; both say that its owner has told of it now.
func (s *Store) AddMembers(ctx context.Context, name string, members []segments.Unit) error {
	return s.changeMembers(ctx, name, members, true)
}

// RemoveMembers removes members: see AddMembers.
func (s *Store) RemoveMembers(ctx context.Context, name string, members []segments.Unit) error {
	return s.changeMembers(ctx, name, members, false)
}

func (s *Store) changeMembers(ctx context.Context, name string, members []segments.Unit, add bool) error {
	if err := s.Err(); err != nil {
		return err
	}
	return s.do(ctx, func(w *writer) error {
		c, known := w.cohorts[name]
		if !known {
			return fmt.Errorf("%w: %s", ErrNoCohort, name)
		}
		now := w.s.opts.Now()
		for _, u := range members {
			if u.Who == segments.Visitor {
				id, err := w.resolve(u.ID)
				if err != nil {
					return err
				}
				u.ID = id
			}
			n, err := w.setMember(c.Version, u, now.UnixMilli(), add)
			if err != nil {
				return err
			}
			c.Members += n
		}
		c.Synced = now.UTC()
		return w.putCohort(c)
	})
}

// setMember adds or removes a member and returns by how many there are more.
func (w *writer) setMember(version uint64, u segments.Unit, since int64, add bool) (int, error) {
	key := memberKey(nil, version, u)
	is, known := w.members[string(key)]
	if !known {
		b, err := w.s.get(key)
		if err != nil {
			return 0, w.broken(err)
		}
		is = b != nil
	}
	w.members[string(key)] = add
	switch {
	case add && !is:
		w.g.changed = append(w.g.changed, u)
		return 1, w.g.batch.Set(key, binary.AppendVarint(nil, since), nil)
	case !add && is:
		w.g.changed = append(w.g.changed, u)
		return -1, w.g.batch.Delete(key, nil)
	}
	return 0, nil
}

func (w *writer) putCohort(c Cohort) error {
	b, err := json.Marshal(c)
	if err != nil {
		return w.broken(err)
	}
	if w.g.cohorts == nil {
		w.g.cohorts = map[string]Cohort{}
	}
	w.g.cohorts[c.Name], w.cohorts[c.Name] = c, c
	return w.g.batch.Set(cohortKey(c.Name), b, nil)
}

// mergeMembers makes a visitor a member of the cohorts of another, who is the
// same person.
func (w *writer) mergeMembers(from, to segments.Unit) error {
	for _, c := range w.cohorts {
		b, err := w.s.get(memberKey(nil, c.Version, from))
		if err != nil {
			return w.broken(err)
		}
		if b == nil {
			continue
		}
		since, _ := binary.Varint(b)
		n, err := w.setMember(c.Version, to, since, true)
		if err != nil {
			return err
		}
		c.Members += n
		if err := w.putCohort(c); err != nil {
			return err
		}
	}
	return nil
}

// publishCohorts makes the cohorts of a group what readers see, once they are
// on disk.
func (s *Store) publishCohorts(changed map[string]Cohort) {
	if len(changed) == 0 {
		return
	}
	cohorts := s.Cohorts()
	for name, c := range changed {
		cohorts[name] = c
	}
	s.cohorts.Store(&cohorts)
	s.cache.bumpAll()
}

// membership is when a unit is a member of a cohort.
func (s *Store) membership(name string, u segments.Unit) (segments.Interval, error) {
	c, ok := (*s.cohorts.Load())[name]
	if !ok {
		return segments.Interval{}, nil
	}
	b, err := s.get(memberKey(make([]byte, 0, 64), c.Version, u))
	if err != nil || b == nil {
		return segments.Interval{}, err
	}
	since, _ := binary.Varint(b)
	v := segments.Interval{From: since, Until: segments.Forever}
	if c.Limit > 0 {
		v.Until = c.Synced.Add(c.Limit).UnixMilli()
	}
	return v, nil
}
