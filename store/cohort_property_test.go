package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

const (
	teams  = "crm/teams"
	people = 16 // visitors, or accounts, that there may be
)

// cohortsSite has a segment of the visitors in one cohort, and one of the
// accounts in another.
func cohortsSite(t *testing.T) *rules.Set {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../testdata/sites/loop")); err != nil {
		t.Fatal(err)
	}
	for name, is := range map[string]string{
		"exporters": "describe: synced\nall: [{cohort: " + synced + "}]\n",
		"teams":     "describe: synced\nwho: account\nall: [{cohort: " + teams + "}]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, "segments", name+".yaml"), []byte(is), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	set, err := rules.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// kept is a cohort as its documentation says that it behaves.
type kept struct {
	members map[segments.Unit]time.Time // until when; zero: no end of their own
	synced  time.Time
	limit   time.Duration
	heard   map[string]bool
	session string
}

type keptStage struct {
	session, passed string
	of              int
	pages           map[int][]segments.Unit
}

// keeper is a store beside what it should have in it.
type keeper struct {
	t      *testing.T
	rnd    *rand.Rand
	clock  *clock
	set    *rules.Set
	dir    string
	s      *Store
	kept   map[string]*kept
	staged map[string]*keptStage // of cohorts that there are not yet
	merged map[string]string
	done   []string
}

func (k *keeper) note(format string, args ...any) {
	k.done = append(k.done, fmt.Sprintf(format, args...))
}

func (k *keeper) fail(format string, args ...any) {
	k.t.Helper()
	for _, line := range k.done[max(0, len(k.done)-40):] {
		k.t.Log(line)
	}
	k.t.Fatalf(format, args...)
}

func (k *keeper) must(err error) {
	k.t.Helper()
	if err != nil {
		k.fail("%v", err)
	}
}

func (k *keeper) is(u segments.Unit) segments.Unit {
	for u.Who == segments.Visitor && k.merged[u.ID] != "" {
		u.ID = k.merged[u.ID]
	}
	return u
}

func (k *keeper) unit(cohort string) segments.Unit {
	if cohort == teams {
		return segments.Unit{Who: segments.Account, ID: fmt.Sprint("team-", k.rnd.IntN(people))}
	}
	return segments.Unit{Who: segments.Visitor, ID: fmt.Sprint("v", k.rnd.IntN(people))}
}

func (k *keeper) units(cohort string) []segments.Unit {
	var list []segments.Unit
	for range k.rnd.IntN(8) {
		list = append(list, k.unit(cohort))
	}
	return list
}

func (k *keeper) limit() time.Duration {
	return []time.Duration{0, time.Hour, 2 * time.Hour}[k.rnd.IntN(3)]
}

func (k *keeper) replace(name string, limit time.Duration, list []segments.Unit, session string) {
	c := &kept{members: map[segments.Unit]time.Time{}, synced: k.clock.now(), limit: limit, heard: map[string]bool{}, session: session}
	if was := k.kept[name]; was != nil {
		c.heard = was.heard
	}
	for _, u := range list {
		c.members[k.is(u)] = time.Time{}
	}
	k.kept[name] = c
	delete(k.staged, name)
}

// step does one random thing to both.
func (k *keeper) step() {
	ctx := context.Background()
	name := []string{synced, teams}[k.rnd.IntN(2)]
	limit := k.limit()
	switch n := k.rnd.IntN(100); {
	case n < 10:
		list := k.units(name)
		k.note("replace %s, %v: %v", name, limit, list)
		k.replace(name, limit, list, "")
		k.must(k.s.ReplaceCohort(ctx, name, limit, list))
	case n < 35:
		k.change(name, limit)
	case n < 55:
		k.page(name, limit)
	case n < 57:
		k.note("drop %s", name)
		if err := k.s.DropCohort(ctx, name); (k.kept[name] == nil) != errors.Is(err, ErrNoCohort) {
			k.fail("drop: %v", err)
		} else if err == nil {
			delete(k.kept, name)
			delete(k.staged, name)
		}
	case n < 63:
		k.merge()
	case n < 90:
		d := time.Duration(k.rnd.IntN(50)) * time.Minute
		k.note("%v later", d)
		k.clock.advance(d)
	case n < 95:
		k.note("retain")
		k.must(k.s.do(ctx, (*writer).retain))
	default:
		k.note("restart")
		closed(k.t, k.s)
		k.open()
	}
}

func (k *keeper) change(name string, limit time.Duration) {
	change := Change{Remove: k.units(name)}
	if k.rnd.IntN(2) == 0 {
		change.Message = fmt.Sprint("m", k.rnd.IntN(20))
	}
	for _, u := range k.units(name) {
		m := Member{Unit: u}
		if k.rnd.IntN(2) == 0 {
			m.Until = k.clock.now().Add(time.Duration(k.rnd.IntN(400)) * time.Minute)
		}
		change.Add = append(change.Add, m)
	}
	k.note("change %s, %v: %+v", name, limit, change)
	k.must(k.s.ChangeCohort(context.Background(), name, limit, change))
	c := k.kept[name]
	if c == nil {
		c = &kept{members: map[segments.Unit]time.Time{}, heard: map[string]bool{}}
		k.kept[name] = c
	}
	if c.heard[change.Message] {
		return
	}
	if change.Message != "" {
		c.heard[change.Message] = true
	}
	c.synced, c.limit = k.clock.now(), limit
	for _, u := range change.Remove {
		delete(c.members, k.is(u))
	}
	for _, m := range change.Add {
		c.members[k.is(m.Unit)] = m.Until
	}
}

func (k *keeper) page(name string, limit time.Duration) {
	p := Page{Session: fmt.Sprint("s", k.rnd.IntN(3)), Of: 2, Number: 1 + k.rnd.IntN(2), Members: k.units(name)}
	k.note("page %s, %v: %+v", name, limit, p)
	whole, err := k.s.StagePage(context.Background(), name, limit, p)
	k.must(err)
	c, st := k.kept[name], k.staged[name]
	want := false
	switch {
	case c != nil && c.session == p.Session, st != nil && st.passed == p.Session:
	default:
		if st == nil || st.session != p.Session {
			passed := ""
			if st != nil {
				passed = st.session
			}
			st = &keptStage{session: p.Session, passed: passed, of: p.Of, pages: map[int][]segments.Unit{}}
			k.staged[name] = st
		}
		st.pages[p.Number] = p.Members
		if len(st.pages) == st.of {
			want = true
			var all []segments.Unit
			for _, list := range st.pages {
				all = append(all, list...)
			}
			k.replace(name, limit, all, p.Session)
		}
	}
	if whole != want {
		k.fail("complete is %v", whole)
	}
}

// merge signs a visitor in under an id of another.
func (k *keeper) merge() {
	from, to := k.unit(synced), k.unit(synced)
	k.note("%s is %s", from.ID, to.ID)
	e := identify(k.clock, to.ID)
	e.Anonymous = from.ID
	appendAll(k.t, k.s, e)
	to = k.is(to)
	if k.is(from) != from || to == from {
		return
	}
	k.merged[from.ID] = to.ID
	for _, c := range k.kept {
		until, was := c.members[from]
		if !was {
			continue
		}
		delete(c.members, from)
		if other, is := c.members[to]; is && !until.IsZero() && (other.IsZero() || other.After(until)) {
			until = other
		}
		c.members[to] = until
	}
}

func (k *keeper) open() {
	s, err := Open(Options{Dir: k.dir, Log: slog.New(slog.DiscardHandler), Now: k.clock.now, Reserve: 1})
	k.must(err)
	k.s = s
	use(k.t, s, k.set)
}

// compare looks everybody up.
func (k *keeper) compare() {
	now := k.clock.now()
	for name, segment := range map[string]string{synced: "exporters", teams: "teams"} {
		var key segments.Key
		for _, seg := range k.set.Segments {
			if seg.Name == segment {
				key = seg.Key()
			}
		}
		c := k.kept[name]
		for i := range people {
			u := segments.Unit{Who: segments.Visitor, ID: fmt.Sprint("v", i)}
			if name == teams {
				u = segments.Unit{Who: segments.Account, ID: fmt.Sprint("team-", i)}
			}
			want := false
			if c != nil {
				until, member := c.members[k.is(u)]
				want = member && (until.IsZero() || now.Before(until)) && (c.limit == 0 || now.Before(c.synced.Add(c.limit)))
			}
			if _, record := k.s.Lookup(u); record.Holds(key, now.UnixMilli()) != want {
				k.fail("%v in %s: want %v", u, name, want)
			}
		}
		is, known := k.s.Cohorts()[name]
		if known != (c != nil) {
			k.fail("%s is known: %v", name, known)
		}
		if c == nil {
			continue
		}
		if !is.Synced.Equal(c.synced) || is.Limit != c.limit || !is.Ends && is.Members != len(c.members) || is.Members > len(c.members) {
			k.fail("%s is %+v, want %d members, synced %v, limit %v", name, is, len(c.members), c.synced, c.limit)
		}
	}
}

// TestCohortsAgree does random things to cohorts of a store, and to a plain
// map, and compares who is a member after each.
func TestCohortsAgree(t *testing.T) {
	runs := 60
	if testing.Short() {
		runs = 10
	}
	set := cohortsSite(t)
	for seed := range runs {
		k := &keeper{
			t: t, rnd: rand.New(rand.NewPCG(uint64(seed), 7)), clock: &clock{t: epoch}, set: set, dir: t.TempDir(),
			kept: map[string]*kept{}, staged: map[string]*keptStage{}, merged: map[string]string{},
		}
		k.open()
		for range 150 {
			k.step()
			k.compare()
		}
		closed(t, k.s)
	}
}
