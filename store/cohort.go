package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	// Members is how many there are. Those whose own end is over count until
	// they are swept out.
	Members int `json:"members"`
	// Before is the version before, which a reader may still be at, and which
	// the next refresh removes.
	Before uint64 `json:"before,omitempty"`
	// Session is that of the pages that it last came in, or empty.
	Session string `json:"session,omitempty"`
	// Ends says that a member may have an end of its own.
	Ends bool `json:"ends,omitempty"`
}

// until is when the cohort is no longer believed, in Unix ms.
func (c *Cohort) until() int64 {
	if c.Limit <= 0 {
		return segments.Forever
	}
	return c.Synced.Add(c.Limit).UnixMilli()
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
	for version := range present { // one without members too
		s.version.Store(max(s.version.Load(), version))
	}
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
// now on. A visitor is a member under the id that they are merged into. members
// is sorted, and not used further.
func (s *Store) ReplaceCohort(ctx context.Context, name string, limit time.Duration, members []segments.Unit) error {
	if err := s.Err(); err != nil {
		return err
	}
	s.refreshing.Lock() // one at a time: each takes memory and disk
	defer s.refreshing.Unlock()
	return s.replaceCohort(ctx, Cohort{Name: name, Limit: limit}, members)
}

// replaceCohort is ReplaceCohort for who holds refreshing.
func (s *Store) replaceCohort(ctx context.Context, c Cohort, members []segments.Unit) (err error) {
	select {
	case <-s.stop:
		return ErrUnavailable
	default:
	}
	// From here on the writer notes who is merged into whom: those that are
	// merged already are resolved here, the others when the versions are changed.
	c.Version = s.version.Add(1)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.do(context.WithoutCancel(ctx), func(w *writer) error { return w.giveUp(c) }))
		}
	}()
	if err := s.do(ctx, func(w *writer) error { w.noting, w.noted = true, nil; return nil }); err != nil {
		return err
	}
	if c.Members, err = s.writeMembers(ctx, c.Name, c.Version, members); err != nil {
		return fmt.Errorf("cohort %s: %w", c.Name, err)
	}
	return s.do(ctx, func(w *writer) error { return w.flip(c) })
}

// flip makes a version that is written the present one.
func (w *writer) flip(c Cohort) error {
	was := w.cohorts[c.Name]
	if was.Before != 0 {
		if err := w.g.batch.DeleteRange(seqKey(keyMember, was.Before), seqKey(keyMember, was.Before+1), nil); err != nil {
			return w.broken(err)
		}
	}
	c.Synced, c.Before = w.s.opts.Now().UTC(), was.Version
	for _, m := range w.noted {
		if err := w.moveMember(&c, m.from, m.to); err != nil {
			return err
		}
	}
	w.noting, w.noted = false, nil
	if err := w.unstage(c.Name); err != nil {
		return err
	}
	w.g.bumpAll = true
	return w.putCohort(c)
}

// writeMembers writes a version that nobody reads yet, as one table, and
// returns how many members it has.
func (s *Store) writeMembers(ctx context.Context, name string, version uint64, members []segments.Unit) (n int, err error) {
	members = sortUnits(members)
	if members, err = s.resolveAll(members); err != nil || len(members) == 0 {
		return 0, err
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

// sortUnits sorts units as their keys are, and takes out repetitions.
func sortUnits(list []segments.Unit) []segments.Unit {
	order := func(a, b segments.Unit) int {
		if a.Who != b.Who {
			return strings.Compare(string(a.Who), string(b.Who))
		}
		return strings.Compare(a.ID, b.ID)
	}
	if !slices.IsSortedFunc(list, order) { // as a database may have done it
		slices.SortFunc(list, order)
	}
	return slices.Compact(list)
}

// resolveAll puts those that visitors are merged into in their place. The list
// is sorted before and after. Few are merged, so it is walked beside the ids
// that are.
func (s *Store) resolveAll(list []segments.Unit) (_ []segments.Unit, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{keyMerged}, UpperBound: after(keyMerged)})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	more, moved := it.First(), false
	var key []byte
	for i, u := range list {
		if !more {
			break
		}
		if u.Who != segments.Visitor {
			continue
		}
		key = append(append(key[:0], keyMerged), u.ID...)
		if bytes.Compare(it.Key(), key) < 0 {
			more = it.SeekGE(key)
		}
		if more && bytes.Equal(it.Key(), key) {
			if list[i].ID, err = s.resolved(u.ID); err != nil {
				return nil, err
			}
			moved = true
		}
	}
	if moved {
		list = sortUnits(list)
	}
	return list, it.Error()
}

// resolved returns the id that the visitor's is merged into as the disk has it,
// or the id itself.
func (s *Store) resolved(id string) (string, error) {
	for range maxMerges {
		b, err := s.get(unitKey(nil, keyRecord, segments.Unit{Who: segments.Visitor, ID: id}))
		if err != nil {
			return "", err
		}
		into, merged := mergedInto(b)
		if !merged {
			break
		}
		id = into
	}
	return id, nil
}

// fillTable writes members that are sorted. Those that old has too are members
// since when they were.
func (s *Store) fillTable(ctx context.Context, t *sstable.Writer, version uint64, members []segments.Unit, old *pebble.Iterator) error {
	now := appendMember(nil, member{since: s.opts.Now().UnixMilli()})
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
		value := now
		if more && bytes.Equal(old.Key()[9:], key[9:]) {
			value = appendMember(nil, member{since: parseMember(old.Value()).since})
		}
		if err := t.Set(key, value); err != nil {
			return err
		}
	}
	return old.Error()
}

// member is a member's value: since when they are one, and until when; until of
// 0 means as long as the cohort is believed. Both in Unix ms.
type member struct{ since, until int64 }

func appendMember(b []byte, m member) []byte {
	b = binary.AppendVarint(b, m.since)
	if m.until != 0 {
		b = binary.AppendVarint(b, m.until)
	}
	return b
}

func parseMember(b []byte) (m member) {
	n := 0
	m.since, n = binary.Varint(b)
	m.until, _ = binary.Varint(b[max(n, 0):])
	return m
}

func (w *writer) putCohort(c Cohort) error {
	b, err := json.Marshal(c)
	if err != nil {
		return w.broken(err)
	}
	w.cohorts[c.Name] = c
	w.cohortChanged(c.Name, &c)
	return w.g.batch.Set(cohortKey(c.Name), b, nil)
}

func (w *writer) cohortChanged(name string, c *Cohort) {
	if w.g.cohorts == nil {
		w.g.cohorts = map[string]*Cohort{}
	}
	w.g.cohorts[name] = c
}

// publishCohorts makes the cohorts of a group what readers see, once they are
// on disk.
func (s *Store) publishCohorts(g *group) {
	if len(g.cohorts) == 0 {
		return
	}
	before := *s.cohorts.Load()
	cohorts := maps.Clone(before)
	for name, c := range g.cohorts {
		if c == nil {
			delete(cohorts, name)
		} else {
			cohorts[name] = *c
		}
	}
	s.cohorts.Store(&cohorts)
	// Of a cohort that was no longer believed, readers may keep that it isn't.
	// They read the clock before the cohorts.
	now, all := s.opts.Now().UnixMilli(), g.bumpAll
	for name := range g.cohorts {
		if was, known := before[name]; known && now >= was.until() {
			all = true
		}
	}
	if all {
		s.cache.bumpAll()
	}
}

// membership is when a unit is a member of a cohort, as far as is known now:
// believed is when that ends unless the cohort's owner speaks up before.
func (s *Store) membership(name string, u segments.Unit) (is segments.Interval, believed int64, err error) {
	c, ok := (*s.cohorts.Load())[name]
	if !ok {
		return is, 0, nil
	}
	b, err := s.get(memberKey(make([]byte, 0, 64), c.Version, u))
	if err != nil || b == nil {
		return is, 0, err
	}
	m := parseMember(b)
	is = segments.Interval{From: m.since, Until: segments.Forever}
	if m.until != 0 {
		is.Until = m.until
	}
	believed = c.until()
	is.Until = min(is.Until, believed)
	if is.Until <= is.From {
		return segments.Interval{}, believed, nil
	}
	return is, believed, nil
}
