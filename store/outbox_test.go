package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

// telling is the shared site with destinations of these names.
func telling(t testing.TB, most int64, names ...string) *rules.Set {
	t.Helper()
	set := loadSite(t)
	for _, name := range names {
		set.Edge.Exposures = append(set.Edge.Exposures, rules.Destination{Name: name, Kind: "webhook", MaxBytes: most})
	}
	return set
}

func take(t testing.TB, s *Store, queue string, most, bytes int) []Letter {
	t.Helper()
	letters, err := s.Take(t.Context(), queue, most, bytes)
	if err != nil {
		t.Fatal(err)
	}
	return letters
}

func settleLetters(t testing.TB, s *Store, queue string, letters []Letter) {
	t.Helper()
	if err := s.Settle(t.Context(), queue, letters); err != nil {
		t.Fatal(err)
	}
}

// units are whom the letters are about, in their order.
func units(t testing.TB, letters []Letter) []string {
	t.Helper()
	var ids []string
	for _, l := range letters {
		var e Exposed
		if err := json.Unmarshal(l.Body, &e); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, e.UnitID)
	}
	return ids
}

func TestLetterIsWrittenOncePerFirstExposure(t *testing.T) {
	c := &clock{t: epoch}
	s := open(t, t.TempDir(), c, nil)
	defer closed(t, s)
	set := telling(t, 1<<20, "a", "b")
	use(t, s, set)
	appendAll(t, s, identify(c, "ann"))
	rule := set.Rule("invite-teammate")
	x := rules.Exposure{
		Rule: rule.Name, Version: rule.Version, Unit: segments.Unit{Who: segments.Visitor, ID: "ann"},
		Arm: rules.Treatment, Treatment: 0.5, At: c.now(), Visitor: "ann", Anonymous: "device-1",
	}
	for range 3 {
		if !s.Expose(x) {
			t.Fatal("the queue is full")
		}
	}
	settle(t, s)
	for _, queue := range []string{"a", "b"} {
		letters := take(t, s, queue, 10, 1<<20)
		if len(letters) != 1 || !letters[0].At.Equal(c.now()) {
			t.Fatalf("%s: %d letters, want one of now", queue, len(letters))
		}
		var e Exposed
		if err := json.Unmarshal(letters[0].Body, &e); err != nil {
			t.Fatal(err)
		}
		want := Exposed{
			ID: e.ID, At: x.At, Rule: rule.Name, Version: rule.Version, Segment: rule.Segment.Name, Surface: rule.Surface.Name,
			Arm: x.Arm, Treatment: 0.5, Unit: "visitor", UnitID: "ann", User: "ann", Anonymous: "device-1",
		}
		if e != want {
			t.Errorf("%+v\nwant %+v", e, want)
		}
		if e.ID != exposureID(&x, x.Unit) || len(e.ID) != 36 {
			t.Errorf("the id is %q", e.ID)
		}
	}
	// An anonymous visitor has no user id.
	x.Unit.ID, x.Visitor, x.Anonymous = "device-2", "device-2", "device-2"
	s.Expose(x)
	settle(t, s)
	var e Exposed
	if err := json.Unmarshal(take(t, s, "a", 10, 1<<20)[1].Body, &e); err != nil {
		t.Fatal(err)
	}
	if e.User != "" || e.Anonymous != "device-2" || e.UnitID != "device-2" {
		t.Errorf("an anonymous visitor is told as %+v", e)
	}
}

// Exposures' ids tell repetitions for good: they must be the same in every
// version of refract, and differ with each of their parts.
func TestExposureID(t *testing.T) {
	x := rules.Exposure{Rule: "r", Version: "0123456789ab", Arm: rules.Treatment}
	ann := segments.Unit{Who: segments.Visitor, ID: "ann"}
	if got := exposureID(&x, ann); got != "d31df1b6-587c-5da7-82f0-6342ce639e31" {
		t.Errorf("the id is %s: ids of what was sent before are no longer known", got)
	}
	seen := map[string]bool{exposureID(&x, ann): true}
	control, newer, other := x, x, x
	control.Arm, newer.Version, other.Rule = rules.Control, "1123456789ab", "q"
	for _, id := range []string{
		exposureID(&control, ann), exposureID(&newer, ann), exposureID(&other, ann),
		exposureID(&x, segments.Unit{Who: segments.Visitor, ID: "bob"}), exposureID(&x, segments.Unit{Who: segments.Account, ID: "ann"}),
	} {
		if seen[id] {
			t.Errorf("%s is there twice", id)
		}
		seen[id] = true
	}
}

func TestQueueSurvivesAndSettles(t *testing.T) {
	c := &clock{t: epoch}
	dir := t.TempDir()
	s := open(t, dir, c, nil)
	set := telling(t, 1<<20, "a")
	use(t, s, set)
	var want []string
	for i := range 10 {
		v := fmt.Sprint("v", i)
		want = append(want, v)
		expose(t, s, set, c, v)
	}
	settle(t, s)
	all := take(t, s, "a", 100, 1<<20)
	if got := units(t, all); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("%v, want %v", got, want)
	}
	if got := take(t, s, "a", 3, 1<<20); len(got) != 3 {
		t.Errorf("%d letters, want 3", len(got))
	}
	if got := take(t, s, "a", 100, 2*len(all[0].Body)); len(got) != 2 {
		t.Errorf("%d letters in the bytes of two", len(got))
	}
	if got := take(t, s, "a", 100, 1); len(got) != 1 {
		t.Errorf("%d letters in one byte, want one all the same", len(got))
	}
	settleLetters(t, s, "a", all[:4])
	settleLetters(t, s, "a", all[:4]) // told twice
	closed(t, s)

	s, err := Open(Options{Dir: dir, Log: slog.New(slog.DiscardHandler), Now: c.now, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, s)
	b, bytes := s.Backlog("a"), 0
	for _, l := range all[4:] {
		bytes += len(l.Body)
	}
	if b.Pending != 6 || b.Bytes != int64(bytes) || !b.Oldest.Equal(all[4].At) {
		t.Errorf("the backlog is %+v, want 6 letters", b)
	}
	if got := units(t, take(t, s, "a", 100, 1<<20)); fmt.Sprint(got) != fmt.Sprint(want[4:]) {
		t.Errorf("after a restart %v, want %v", got, want[4:])
	}
	use(t, s, set)
	expose(t, s, set, c, "later")
	settle(t, s)
	got := take(t, s, "a", 100, 1<<20)
	if ids := units(t, got); len(ids) != 7 || ids[6] != "later" || got[6].Seq != all[9].Seq+1 {
		t.Errorf("after a restart %v", ids)
	}
}

func TestTakeWaits(t *testing.T) {
	c := &clock{t: epoch}
	s := open(t, t.TempDir(), c, nil)
	defer closed(t, s)
	set := telling(t, 1<<20, "a")
	use(t, s, set)
	got := make(chan []Letter)
	go func() { got <- take(t, s, "a", 10, 1<<20) }()
	expose(t, s, set, c, "ann")
	if l := <-got; len(l) != 1 {
		t.Errorf("%d letters", len(l))
	}
	ctx, cancel := context.WithCancel(t.Context())
	settleLetters(t, s, "a", take(t, s, "a", 10, 1<<20))
	failed := make(chan error)
	go func() { _, err := s.Take(ctx, "a", 10, 1<<20); failed <- err }()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("Take ended with %v", err)
	}
	go func() { _, err := s.Take(t.Context(), "a", 10, 1<<20); failed <- err }()
	use(t, s, loadSite(t))
	if err := <-failed; !errors.Is(err, ErrNoQueue) {
		t.Errorf("Take of a queue that is dropped ended with %v", err)
	}
}

func TestQueueOfRemovedDestinationIsDropped(t *testing.T) {
	c := &clock{t: epoch}
	s := open(t, t.TempDir(), c, nil)
	defer closed(t, s)
	both := telling(t, 1<<20, "a", "b")
	use(t, s, both)
	expose(t, s, both, c, "ann")
	settle(t, s)
	old := take(t, s, "a", 10, 1<<20)
	c.advance(time.Second)
	use(t, s, telling(t, 1<<20, "b"))
	if b := s.Backlog("a"); b != (Backlog{}) {
		t.Errorf("of a queue that is gone %+v is left", b)
	}
	settleLetters(t, s, "a", old) // what was on its way
	use(t, s, both)
	expose(t, s, both, c, "bob")
	settle(t, s)
	fresh := take(t, s, "a", 10, 1<<20)
	if got := units(t, fresh); fmt.Sprint(got) != "[bob]" {
		t.Errorf("a queue that came back has %v", got)
	}
	if fresh[0].Seq <= old[0].Seq {
		t.Errorf("sequence %d is given again as %d", old[0].Seq, fresh[0].Seq)
	}
	settleLetters(t, s, "a", old) // of a queue of that name before
	if got := units(t, take(t, s, "b", 10, 1<<20)); fmt.Sprint(got) != "[ann bob]" {
		t.Errorf("the other queue has %v", got)
	}
	if got := s.Backlog("a").Pending; got != 1 {
		t.Errorf("%d letters wait, want 1", got)
	}
}

func TestFullQueueDropsTheOldest(t *testing.T) {
	c := &clock{t: epoch}
	s := open(t, t.TempDir(), c, nil)
	defer closed(t, s)
	const most = 16 << 10
	set := telling(t, most, "a")
	use(t, s, set)
	const n = 200
	for i := range n {
		expose(t, s, set, c, fmt.Sprintf("v%03d", i))
		if i%10 == 0 {
			settle(t, s)
		}
	}
	settle(t, s)
	b := s.Backlog("a")
	letters := take(t, s, "a", n, 1<<20)
	ids := units(t, letters)
	bytes := 0
	for _, l := range letters {
		bytes += len(l.Body)
	}
	if b.Bytes > most || b.Bytes < most/2 || int(b.Bytes) != bytes || b.Pending != len(letters) || b.Dropped != uint64(n-len(letters)) {
		t.Errorf("%+v of %d letters, %d bytes", b, len(letters), bytes)
	}
	if ids[len(ids)-1] != fmt.Sprintf("v%03d", n-1) || ids[0] != fmt.Sprintf("v%03d", n-len(ids)) {
		t.Errorf("what is left is %s to %s", ids[0], ids[len(ids)-1])
	}
}

// TestLetterIsWrittenWithItsEnrolment cuts the write-ahead log at many a byte:
// what was counted is told, and nothing else.
func TestLetterIsWrittenWithItsEnrolment(t *testing.T) {
	c := &clock{t: epoch}
	dir := t.TempDir()
	s := open(t, dir, c, nil)
	set := telling(t, 1<<20, "a", "b")
	use(t, s, set)
	begin := logSize(t, dir)
	for i := range 4 {
		expose(t, s, set, c, fmt.Sprint("v", i))
		settle(t, s)
		if i == 1 {
			settleLetters(t, s, "b", take(t, s, "b", 1, 1<<20))
		}
	}
	end := logSize(t, dir)
	image := t.TempDir()
	if err := os.CopyFS(image, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	step := int64(7)
	if testing.Short() {
		step = 211
	}
	counts := map[int]bool{}
	for size := begin; size <= end; size += step {
		s, cut := openCut(t, image, size, c)
		enrolled := 0
		for i := range 4 {
			b, err := s.get(enrolKey(runID(t, s, set), segments.Unit{Who: segments.Visitor, ID: fmt.Sprint("v", i)}))
			if err != nil {
				t.Fatal(err)
			}
			if b != nil {
				enrolled++
			}
		}
		if got := s.Backlog("a"); got.Pending != enrolled {
			t.Fatalf("cut at %d: %d units are counted, %d are told of", size, enrolled, got.Pending)
		} else if got.Pending > 0 && len(take(t, s, "a", 10, 1<<20)) != enrolled {
			t.Fatalf("cut at %d: the mark and the letters differ", size)
		}
		counts[enrolled] = true
		closed(t, s)
		os.RemoveAll(cut)
	}
	if len(counts) < 2 {
		t.Errorf("every cut left the same: %v", counts)
	}
}

// runID is the id of the run of invite-teammate, as the disk has it.
func runID(t *testing.T, s *Store, set *rules.Set) uint64 {
	t.Helper()
	b, err := s.get(runKey("invite-teammate", set.Rule("invite-teammate").Version))
	if err != nil {
		t.Fatal(err)
	}
	var run Run
	if err := json.Unmarshal(b, &run); err != nil {
		t.Fatal(err)
	}
	return run.ID
}
