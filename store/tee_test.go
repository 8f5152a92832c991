package store

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
)

const teeQueue = rules.Tee + "segment"

// teeing is the shared site with a source that is sent on, and an exposure's
// destination.
func teeing(t testing.TB, most int64) *rules.Set {
	t.Helper()
	set := telling(t, 1<<20, "a")
	set.Edge.Sources = map[string]rules.Source{"segment": {Key: "k", Tee: &rules.Destination{Name: teeQueue, Kind: teeQueue, MaxBytes: most}}}
	return set
}

func forward(t testing.TB, s *Store, letter string, batch ...*events.Event) {
	t.Helper()
	if err := s.AppendTo(t.Context(), teeQueue, []byte(letter), batch); err != nil {
		t.Fatal(err)
	}
}

func bodies(letters []Letter) (list []string) {
	for _, l := range letters {
		list = append(list, string(l.Body))
	}
	return list
}

func TestEachRequestIsALetter(t *testing.T) {
	c := &clock{t: epoch}
	s := open(t, t.TempDir(), c, nil)
	defer closed(t, s)
	set := teeing(t, 1<<20)
	use(t, s, set)
	e := track(c, "ann", "Project Created")
	e.ID = "m-1"
	forward(t, s, "first", e)
	forward(t, s, "without events")
	again := *e
	forward(t, s, "repeated", &again)
	expose(t, s, set, c, "ann")
	settle(t, s)
	if got, want := bodies(take(t, s, teeQueue, 10, 1<<20)), []string{"first", "without events", "repeated"}; !slices.Equal(got, want) {
		t.Errorf("the letters are %q, want %q", got, want)
	}
	if got := units(t, take(t, s, "a", 10, 1<<20)); fmt.Sprint(got) != "[ann]" {
		t.Errorf("of exposures %v is told, want ann", got)
	}
	if n := len(logged(t, s)); n != 1 {
		t.Errorf("%d events are logged, want 1", n)
	}
	// The tee goes away while a request is under way.
	use(t, s, telling(t, 1<<20, "a"))
	forward(t, s, "late", track(c, "ann", "Project Created"))
	if n := len(logged(t, s)); n != 2 {
		t.Errorf("%d events are logged, want 2", n)
	}
	if b := s.Backlog(teeQueue); b != (Backlog{}) {
		t.Errorf("a queue that is gone has %+v", b)
	}
}

// TestRefusedAppendPostsNothing: what the sender is told to send again is not
// told on.
func TestRefusedAppendPostsNothing(t *testing.T) {
	c := &clock{t: epoch}
	s := open(t, t.TempDir(), c, nil)
	defer closed(t, s)
	use(t, s, teeing(t, 1<<20))
	if err := s.AppendTo(t.Context(), teeQueue, []byte("letter"), []*events.Event{{Source: "test", Kind: events.Track, Name: "A"}}); err == nil {
		t.Fatal("an event without a visitor is appended")
	}
	settle(t, s)
	if b := s.Backlog(teeQueue); b.Pending != 0 {
		t.Errorf("%+v", b)
	}
}

// TestLargeLettersTogether has many senders post letters of a MiB: each is
// there, and a full queue keeps the newest.
func TestLargeLettersTogether(t *testing.T) {
	c := &clock{t: epoch}
	s := open(t, t.TempDir(), c, nil)
	defer closed(t, s)
	const most = 48 << 20
	use(t, s, teeing(t, most))
	big := strings.Repeat("x", 1<<20)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 8 {
				if err := s.AppendTo(context.Background(), teeQueue, []byte(big), []*events.Event{track(c, "ann", "Project Created")}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	b := s.Backlog(teeQueue)
	if b.Bytes != int64(b.Pending)<<20 || b.Bytes > most || b.Pending+int(b.Dropped) != 64 || b.Pending < most>>20*8/10 {
		t.Errorf("of 64 letters: %+v", b)
	}
	if n := len(logged(t, s)); n != 64 {
		t.Errorf("%d events are logged, want 64", n)
	}
	for _, l := range take(t, s, teeQueue, 100, 100<<20) {
		if !bytes.Equal(l.Body, []byte(big)) {
			t.Fatalf("letter %d has %d bytes", l.Seq, len(l.Body))
		}
	}
}

// TestLetterIsWrittenWithItsEvents cuts the write-ahead log at many a byte:
// what is in the log is told on, and nothing else.
func TestLetterIsWrittenWithItsEvents(t *testing.T) {
	c := &clock{t: epoch}
	dir := t.TempDir()
	s := open(t, dir, c, nil)
	use(t, s, teeing(t, 1<<20))
	begin := logSize(t, dir)
	const n = 6
	acknowledged := map[int64]int{} // by the log's size: how many letters
	for i := range n {
		forward(t, s, fmt.Sprint("letter ", i), track(c, "ann", "Project Created"), track(c, "bob", "Report Exported"))
		acknowledged[logSize(t, dir)] = i + 1
	}
	end := logSize(t, dir)
	image := t.TempDir()
	if err := os.CopyFS(image, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	step := int64(29)
	if testing.Short() {
		step = 211
	}
	seen := map[int]bool{}
	for size := end; size >= begin; size -= step {
		s, cut := openCut(t, image, size, c)
		sure := 0
		for at, n := range acknowledged {
			if at <= size {
				sure = max(sure, n)
			}
		}
		pending, in := s.Backlog(teeQueue).Pending, len(logged(t, s))
		if in != 2*pending || pending < sure {
			t.Fatalf("cut at %d: %d events and %d letters; %d letters were acknowledged", size, in, pending, sure)
		}
		if pending > 0 {
			if got := take(t, s, teeQueue, n, 1<<20); len(got) != pending || string(got[pending-1].Body) != fmt.Sprint("letter ", pending-1) {
				t.Fatalf("cut at %d: the letters are %q", size, bodies(got))
			}
		}
		seen[pending] = true
		closed(t, s)
		os.RemoveAll(cut)
	}
	if !seen[n] || len(seen) < 3 {
		t.Errorf("the cuts left %v", seen)
	}
}
