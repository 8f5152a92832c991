package store

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/seed14307185/refract/segments"
)

// Page is one of the messages that a cohort's whole membership comes in.
type Page struct {
	Session string // the same for all pages of one delivery
	Number  int    // from 1
	Of      int    // how many there are
	Members []segments.Unit
}

// ErrPage is returned for a page that can't be one of its delivery, or with which
// the delivery would have more members than a cohort may.
var ErrPage = errors.New("no such page")

const (
	maxPages = 100_000
	// maxStaged bounds the members of a delivery: all are in memory when they
	// become the cohort.
	maxStaged = 10_000_000
	// stagedFor is how long a delivery may take from its last page on.
	stagedFor = 3 * 24 * time.Hour
)

// stage is a delivery that is not whole yet: its pages wait under keys of their
// own, which no reader looks at.
type stage struct {
	Session string    `json:"session"`
	Of      int       `json:"of"`
	At      time.Time `json:"at"` // of the last page
	// Passed is the delivery that this one took the place of, unfinished: what
	// still comes of it is late.
	Passed string      `json:"passed,omitempty"`
	have   map[int]int // how many members each page that came has
	total  int         // and all of them
}

// The keys of a stage: its name and 0, then its pages by 1 and their number.
func stageKey(name string) []byte { return append(append([]byte{keyStage}, name...), 0) }

func pageKey(name string, number int) []byte {
	b := append(append([]byte{keyStage}, name...), 0, 1)
	return binary.BigEndian.AppendUint32(b, uint32(number))
}

// StagePage keeps a page of a delivery, and makes all that came in its pages
// the members of the cohort once they are all there, in whatever order they
// came: then it returns true. It returns when that is on disk. Until then the
// previous members stay. The same page again takes its own place; a page of a
// delivery that is made already, or that a newer one took the place of, does
// nothing. Of a cohort there is one unfinished delivery, the newest; after
// three days without a page it is forgotten.
func (s *Store) StagePage(ctx context.Context, name string, limit time.Duration, p Page) (complete bool, err error) {
	if err := s.Err(); err != nil {
		return false, err
	}
	if p.Session == "" || p.Number < 1 || p.Number > p.Of || p.Of > maxPages {
		return false, fmt.Errorf("%w: %d of %d in delivery %q", ErrPage, p.Number, p.Of, p.Session)
	}
	body, err := appendUnits(nil, p.Members)
	if err != nil {
		return false, fmt.Errorf("cohort %s: %w", name, err)
	}
	whole := false
	err = s.do(ctx, func(w *writer) (err error) { whole, err = w.stagePage(name, &p, body); return err })
	if err != nil || !whole {
		return false, err // first err: without an answer, whole may still be written
	}
	return true, s.deliver(ctx, name, limit, p.Session)
}

// stagePage says whether the delivery is whole with the page.
func (w *writer) stagePage(name string, p *Page, body []byte) (bool, error) {
	st := w.staged[name]
	switch {
	case w.cohorts[name].Session == p.Session || st != nil && st.Passed == p.Session:
		return false, nil
	case st != nil && st.Session == p.Session && st.Of != p.Of:
		return false, fmt.Errorf("%w: %d of %d, and others of the delivery are of %d", ErrPage, p.Number, p.Of, st.Of)
	case st != nil && st.Session == p.Session && st.total-st.have[p.Number]+len(p.Members) > w.s.maxStaged:
		return false, fmt.Errorf("%w: with it, delivery %q has more than %d members", ErrPage, p.Session, w.s.maxStaged)
	case st == nil || st.Session != p.Session:
		passed := ""
		if st != nil {
			passed = st.Session
		}
		if err := w.unstage(name); err != nil {
			return false, err
		}
		st = &stage{Session: p.Session, Of: p.Of, Passed: passed, have: map[int]int{}}
		w.staged[name] = st
	}
	st.At = w.s.opts.Now().UTC()
	b, err := json.Marshal(st)
	if err != nil {
		return false, w.broken(err)
	}
	if err := w.g.batch.Set(stageKey(name), b, nil); err != nil {
		return false, w.broken(err)
	}
	if err := w.g.batch.Set(pageKey(name, p.Number), body, nil); err != nil {
		return false, w.broken(err)
	}
	st.keep(p.Number, len(p.Members))
	return len(st.have) == st.Of, nil
}

// keep notes a page, which may come again.
func (st *stage) keep(page, members int) {
	st.total += members - st.have[page]
	st.have[page] = members
}

// unstage forgets what is staged of a cohort.
func (w *writer) unstage(name string) error {
	if w.staged[name] == nil {
		return nil
	}
	delete(w.staged, name)
	if err := w.g.batch.DeleteRange(stageKey(name), pageKey(name, maxPages+1), nil); err != nil {
		return w.broken(err)
	}
	return nil
}

// deliver makes a delivery that is whole the cohort.
func (s *Store) deliver(ctx context.Context, name string, limit time.Duration, session string) error {
	s.refreshing.Lock()
	defer s.refreshing.Unlock()
	var whole bool
	// Another page may have made it meanwhile, or another delivery begun.
	err := s.do(ctx, func(w *writer) error {
		st := w.staged[name]
		whole = st != nil && st.Session == session
		return nil
	})
	if err != nil || !whole {
		return err
	}
	var members []segments.Unit
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: pageKey(name, 0), UpperBound: pageKey(name, maxPages+1)})
	if err != nil {
		return err
	}
	for it.First(); it.Valid() && err == nil; it.Next() {
		members, err = parseUnits(members, it.Value())
	}
	if err = errors.Join(err, it.Error(), it.Close()); err != nil {
		return fmt.Errorf("cohort %s: %w", name, err)
	}
	return s.replaceCohort(ctx, Cohort{Name: name, Limit: limit, Session: session}, members)
}

// loadStages finds the deliveries that were under way.
func (w *writer) loadStages() error {
	w.staged = map[string]*stage{}
	it, err := w.s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{keyStage}, UpperBound: after(keyStage)})
	if err != nil {
		return err
	}
	defer it.Close()
	var st *stage
	for it.First(); it.Valid(); it.Next() {
		key := it.Key()[1:]
		name, page, _ := cutZero(key)
		if len(page) == 0 {
			st = &stage{have: map[int]int{}}
			if err := json.Unmarshal(it.Value(), st); err != nil {
				return fmt.Errorf("a delivery of the cohort %q: %w", name, err)
			}
			w.staged[name] = st
		} else if st != nil && len(page) == 5 {
			units, err := parseUnits(nil, it.Value())
			if err != nil {
				return fmt.Errorf("a delivery of the cohort %q: %w", name, err)
			}
			st.keep(int(binary.BigEndian.Uint32(page[1:])), len(units))
		}
	}
	return it.Error()
}

// cutZero cuts at the first 0.
func cutZero(b []byte) (string, []byte, bool) {
	i := slices.Index(b, 0)
	if i < 0 {
		return string(b), nil, false
	}
	return string(b[:i]), b[i+1:], true
}

// forgetStages forgets deliveries that came to a standstill.
func (w *writer) forgetStages() error {
	for name, st := range w.staged {
		if w.s.opts.Now().Sub(st.At) > stagedFor {
			if err := w.unstage(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// appendUnits writes units, each as the length of what follows, its kind and
// its id.
func appendUnits(b []byte, list []segments.Unit) ([]byte, error) {
	for _, u := range list {
		if u.ID == "" {
			return nil, errors.New("a member without an id")
		}
		b = binary.AppendUvarint(b, uint64(len(u.ID)+1))
		b = appendUnit(b, u)
	}
	return b, nil
}

func parseUnits(list []segments.Unit, b []byte) ([]segments.Unit, error) {
	for len(b) > 0 {
		n, used := binary.Uvarint(b)
		if used <= 0 || n < 2 || n > uint64(len(b)-used) {
			return nil, errors.New("a page is damaged")
		}
		list = append(list, parseUnit(b[used:used+int(n)]))
		b = b[used+int(n):]
	}
	return list, nil
}
