package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

const synced = "amplitude/abc123"

// cohortSite is the shared site whose segment exporters asks for a cohort.
func cohortSite(t *testing.T) *rules.Set {
	t.Helper()
	return edited(t, "segments/exporters.yaml", "all: [{did: Report Exported, in_last: 7d}]",
		"all: [{cohort: "+synced+"}, {not: {did: Report Exported}}]")
}

func visitors(ids ...string) []segments.Unit {
	var list []segments.Unit
	for _, id := range ids {
		list = append(list, segments.Unit{Who: segments.Visitor, ID: id})
	}
	return list
}

func added(ids ...string) []Member {
	var list []Member
	for _, u := range visitors(ids...) {
		list = append(list, Member{Unit: u})
	}
	return list
}

// members says who of the visitors is in the segment that asks for the cohort.
func members(s *Store, set *rules.Set, at time.Time, ids ...string) string {
	list := ""
	for _, id := range ids {
		if holds(s, id, "exporters", set, at) {
			list += id + " "
		}
	}
	return list
}

func TestCohortMembership(t *testing.T) {
	ctx := context.Background()
	c := &clock{t: epoch}
	dir := t.TempDir()
	s := open(t, dir, c, nil)
	set := cohortSite(t)
	use(t, s, set)
	all := []string{"anon-1", "ann", "bob", "cid", "dee"}
	is := func(when, want string) {
		t.Helper()
		if got := members(s, set, c.now(), all...); got != want {
			t.Errorf("%s: in the segment: %q, want %q", when, got, want)
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	is("before the first sync", "")
	if err := s.DropCohort(ctx, synced); !errors.Is(err, ErrNoCohort) {
		t.Errorf("a cohort that was never delivered is dropped: %v", err)
	}
	do(s.ReplaceCohort(ctx, synced, 48*time.Hour, visitors("bob", "anon-1", "bob")))
	is("after a sync", "anon-1 bob ")
	if n := s.Cohorts()[synced].Members; n != 2 {
		t.Errorf("%d members", n)
	}
	do(s.ChangeCohort(ctx, synced, 48*time.Hour, Change{Add: added("cid", "cid"), Remove: visitors("bob", "nobody")}))
	is("after a change", "anon-1 cid ")
	appendAll(t, s, track(c, "cid", "Report Exported"))
	is("after an event of a member", "anon-1 ")
	in := identify(c, "ann")
	in.Anonymous = "anon-1"
	appendAll(t, s, in)
	is("after a sign-in", "anon-1 ann ")
	if n := s.Cohorts()[synced].Members; n != 2 { // anon-1 is ann
		t.Errorf("%d members after a sign-in", n)
	}
	closed(t, s)

	s, err := Open(Options{Dir: dir, Log: slog.New(slog.DiscardHandler), Now: c.now, Reserve: 1})
	do(err)
	defer closed(t, s)
	use(t, s, set)
	is("after a restart", "anon-1 ann ")
	c.advance(47 * time.Hour)
	is("shortly before it is too old", "anon-1 ann ")
	c.advance(time.Hour)
	is("when it is too old", "")
	do(s.ReplaceCohort(ctx, synced, 48*time.Hour, visitors("dee")))
	is("after the next sync", "dee ")
	do(s.ReplaceCohort(ctx, synced, 0, nil))
	is("after an empty one", "")
}

// A refresh that is given up, or that a crash cut short, leaves the members as
// they were, and nothing behind.
func TestHalfARefreshIsNeverSeen(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	c := &clock{t: epoch}
	dir := t.TempDir()
	s := open(t, dir, c, nil)
	set := cohortSite(t)
	use(t, s, set)
	if err := s.ReplaceCohort(ctx, synced, 0, visitors("ann")); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := s.ReplaceCohort(ctx, synced, 0, visitors("bob")); err == nil {
		t.Error("a refresh whose asker left was made")
	}
	if _, err := s.writeMembers(context.Background(), synced, s.version.Add(1), visitors("bob")); err != nil { // and then a crash
		t.Fatal(err)
	}
	if got := members(s, set, c.now(), "ann", "bob"); got != "ann " {
		t.Errorf("in the segment: %q", got)
	}
	closed(t, s)
	s, err := Open(Options{Dir: dir, Log: slog.New(slog.DiscardHandler), Now: c.now, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, s)
	use(t, s, set)
	if got := members(s, set, c.now(), "ann", "bob"); got != "ann " {
		t.Errorf("in the segment after a restart: %q", got)
	}
	for version := range s.version.Load() + 1 {
		if b, err := s.get(memberKey(nil, version, visitors("bob")[0])); err != nil || b != nil {
			t.Errorf("version %d of the members is still there: %v", version, err)
		}
	}
}

// Who asks for a refresh may leave at any moment of it: nothing of one that was
// not made stays behind.
func TestRefreshIsGivenUp(t *testing.T) {
	c := &clock{t: epoch}
	s := open(t, t.TempDir(), c, nil)
	defer closed(t, s)
	for n := 1; ; n++ {
		ctx := &leaving{Context: context.Background(), looks: n}
		err := s.ReplaceCohort(ctx, synced, 0, visitors("ann", "bob"))
		noting, is := false, Cohort{}
		if err := s.do(context.Background(), func(w *writer) error { noting, is = w.noting, w.cohorts[synced]; return nil }); err != nil {
			t.Fatal(err)
		}
		if noting {
			t.Errorf("left at look %d: merges are noted for ever", n)
		}
		for version := uint64(1); version <= s.version.Load(); version++ {
			b, err := s.get(memberKey(nil, version, visitors("bob")[0]))
			if err != nil || b != nil != (version == is.Version || version == is.Before) {
				t.Errorf("left at look %d: version %d of the members is there: %v, and %d is the present one: %v", n, version, b != nil, is.Version, err)
			}
		}
		if err == nil {
			break
		}
	}
}

// leaving is a context that ends when it is looked at so many times.
type leaving struct {
	context.Context
	looks int
}

func (l *leaving) Done() <-chan struct{} {
	if l.looks--; l.looks >= 0 {
		return nil
	}
	over := make(chan struct{})
	close(over)
	return over
}

func (l *leaving) Err() error {
	if l.looks >= 0 {
		return nil
	}
	return context.Canceled
}

// Readers see the old members or the new ones, whole, while a refresh is made.
func TestRefreshIsAtomic(t *testing.T) {
	ctx := context.Background()
	c := &clock{t: epoch}
	s := open(t, t.TempDir(), c, nil)
	defer closed(t, s)
	set := cohortSite(t)
	use(t, s, set)
	const n = 200
	var even, odd []segments.Unit
	for i := range n {
		even = append(even, visitors(fmt.Sprint("even-", i))...)
		odd = append(odd, visitors(fmt.Sprint("odd-", i))...)
	}
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			list := [][]segments.Unit{even, odd}[i%2]
			if err := s.ReplaceCohort(ctx, synced, 0, list); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	seen := map[string]bool{}
	for i := 0; len(seen) < 2 || i < 2000; i++ {
		k := fmt.Sprint(i % n)
		before := s.Cohorts()[synced].Version
		got := members(s, set, c.now(), "even-"+k, "odd-"+k)
		if s.Cohorts()[synced].Version != before || before == 0 {
			continue
		}
		if got != "even-"+k+" " && got != "odd-"+k+" " {
			t.Fatalf("in the segment: %q", got)
		}
		seen[got[:3]] = true
	}
	close(stop)
	<-done
}

// BenchmarkReplaceCohort replaces a million members.
func BenchmarkReplaceCohort(b *testing.B) {
	s := benchStore(b, b.TempDir())
	defer closed(b, s)
	list := make([]segments.Unit, 1_000_000)
	for i := range list {
		list[i] = segments.Unit{Who: segments.Visitor, ID: fmt.Sprintf("visitor-%d", mix(uint64(i)))}
	}
	for b.Loop() {
		b.StopTimer()
		members := slices.Clone(list) // which is sorted in place
		b.StartTimer()
		if err := s.ReplaceCohort(context.Background(), synced, 0, members); err != nil {
			b.Fatal(err)
		}
	}
}

// A visitor who signs in while a refresh is built is a member under the new
// id, once.
func TestMergeDuringARefresh(t *testing.T) {
	ctx := context.Background()
	c := &clock{t: epoch}
	s := open(t, t.TempDir(), c, nil)
	defer closed(t, s)
	set := cohortSite(t)
	use(t, s, set)
	signIn := func(anonymous, visitor string) {
		e := identify(c, visitor)
		e.Anonymous = anonymous
		appendAll(t, s, e)
	}
	signIn("anon-1", "ann") // before
	do := func(f func(*writer) error) {
		t.Helper()
		if err := s.do(ctx, f); err != nil {
			t.Fatal(err)
		}
	}
	// What replaceCohort does, with a moment between.
	do(func(w *writer) error { w.noting = true; return nil })
	n, err := s.writeMembers(ctx, synced, s.version.Add(1), visitors("anon-1", "ann", "anon-2", "bob", "anon-3", "dee"))
	if err != nil {
		t.Fatal(err)
	}
	signIn("anon-2", "bob")
	signIn("anon-3", "cid")
	signIn("anon-4", "dee")
	do(func(w *writer) error { return w.flip(Cohort{Name: synced, Version: s.version.Load(), Members: n}) })
	signIn("dee", "eve") // after
	if got := members(s, set, c.now(), "ann", "bob", "cid", "dee", "eve", "fay"); got != "ann bob cid dee eve " {
		t.Errorf("in the segment: %q", got)
	}
	if n := s.Cohorts()[synced].Members; n != 4 {
		t.Errorf("%d members", n)
	}
}

// Pages that came before a crash still count after it, a torn one doesn't, and
// the delivery that they are of is seen as a whole or not at all.
func TestDeliveryCutAtEveryByte(t *testing.T) {
	ctx := context.Background()
	c := &clock{t: epoch}
	dir := t.TempDir()
	s := open(t, dir, c, nil)
	set := cohortSite(t)
	use(t, s, set)
	if err := s.ReplaceCohort(ctx, synced, 0, visitors("ann")); err != nil {
		t.Fatal(err)
	}
	const pages = 3
	page := func(s *Store, i int) (bool, error) {
		return s.StagePage(ctx, synced, 0, Page{"s", i, pages, visitors(fmt.Sprint("p", i), "bob")})
	}
	sizes := []int64{logSize(t, dir)}
	for i := range pages - 1 {
		if whole, err := page(s, i+1); err != nil || whole {
			t.Fatalf("page %d: whole %v, %v", i+1, whole, err)
		}
		sizes = append(sizes, logSize(t, dir))
	}
	image := t.TempDir()
	if err := os.CopyFS(image, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	step := int64(7)
	if testing.Short() {
		step = 97
	}
	all := []string{"ann", "bob", "p1", "p2", "p3"}
	for size := sizes[0]; size <= sizes[pages-1]; size += step {
		s, cut := openCut(t, image, size, c)
		use(t, s, set)
		if got := members(s, set, c.now(), all...); got != "ann " {
			t.Fatalf("cut at %d: in the segment: %q", size, got)
		}
		missing := 0 // pages that were not acknowledged at that size
		for _, have := range sizes[1:] {
			if size < have {
				missing++
			}
		}
		for i := pages - missing; i <= pages; i++ { // the sender goes on where it had no answer
			whole, err := page(s, i)
			if err != nil || whole != (i == pages) {
				t.Fatalf("cut at %d: page %d: whole %v, %v", size, i, whole, err)
			}
		}
		if got := members(s, set, c.now(), all...); got != "bob p1 p2 p3 " {
			t.Fatalf("cut at %d, then whole: in the segment: %q", size, got)
		}
		closed(t, s)
		os.RemoveAll(cut)
	}
}

// A delivery that came to a standstill is forgotten, and members whose end is
// over are swept out.
func TestCohortsAreTidied(t *testing.T) {
	ctx := context.Background()
	c := &clock{t: epoch}
	s := open(t, t.TempDir(), c, nil)
	defer closed(t, s)
	if _, err := s.StagePage(ctx, synced, 0, Page{"s", 1, 2, visitors("ann")}); err != nil {
		t.Fatal(err)
	}
	change := Change{Add: append(added("bob"), Member{visitors("cid")[0], epoch.Add(time.Hour)})}
	if err := s.ChangeCohort(ctx, synced, 0, change); err != nil {
		t.Fatal(err)
	}
	c.advance(stagedFor + time.Second)
	if err := s.do(ctx, (*writer).retain); err != nil {
		t.Fatal(err)
	}
	if n := s.Cohorts()[synced].Members; n != 1 {
		t.Errorf("%d members", n)
	}
	if whole, err := s.StagePage(ctx, synced, 0, Page{"s", 2, 2, visitors("dee")}); err != nil || whole {
		t.Errorf("page 2 without page 1: whole %v, %v", whole, err)
	}
	for _, p := range []Page{{"", 1, 1, nil}, {"s", 0, 1, nil}, {"s", 2, 1, nil}, {"s", 1, maxPages + 1, nil}, {"s", 2, 3, nil}} {
		if _, err := s.StagePage(ctx, synced, 0, p); !errors.Is(err, ErrPage) {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

// A delivery with more members than may be is refused at the page that is too
// much, also after a restart, and one in its place is not.
func TestDeliveryIsBounded(t *testing.T) {
	ctx := context.Background()
	c, dir := &clock{t: epoch}, t.TempDir()
	s := open(t, dir, c, nil)
	s.maxStaged = 3
	stage := func(number int, ids ...string) (bool, error) {
		return s.StagePage(ctx, synced, 0, Page{"s", number, 3, visitors(ids...)})
	}
	if _, err := stage(1, "ann", "bob"); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	s = open(t, dir, c, nil)
	defer func() { closed(t, s) }()
	s.maxStaged = 3
	if _, err := stage(2, "cid", "dee"); !errors.Is(err, ErrPage) {
		t.Errorf("a fourth member: %v", err)
	}
	if _, err := stage(1, "ann", "bob"); err != nil {
		t.Errorf("the first page again: %v", err)
	}
	if _, err := stage(2, "cid"); err != nil {
		t.Errorf("a third member: %v", err)
	}
	if whole, err := stage(3); err != nil || !whole || s.Cohorts()[synced].Members != 3 {
		t.Errorf("the last page: %v, %v, %d members", whole, err, s.Cohorts()[synced].Members)
	}
}
