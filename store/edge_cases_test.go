package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

// edited is the shared site with one file changed.
func edited(t *testing.T, file, old, new string) *rules.Set {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../testdata/sites/loop")); err != nil {
		t.Fatal(err)
	}
	edit(t, dir, file, old, new)
	set, err := rules.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func use(t testing.TB, s *Store, set *rules.Set) {
	t.Helper()
	warm := make(chan struct{})
	if err := s.Use(context.Background(), set, func() { close(warm) }); err != nil {
		t.Fatal(err)
	}
	if len(s.Warming()) > 0 {
		<-warm
	}
}

func tickOnce(t *testing.T, s *Store) {
	t.Helper()
	if err := s.do(context.Background(), (*writer).closeWindows); err != nil {
		t.Fatal(err)
	}
}

// held runs f while the writer is held up, so that what f hands over ends up
// in one group.
func held(s *Store, f func()) {
	holding, release := make(chan struct{}), make(chan struct{})
	s.ops <- &op{do: func(*writer) error { close(holding); <-release; return nil }}
	<-holding
	f()
	close(release)
}

func TestReloadAndExposureInOneGroup(t *testing.T) {
	set := loadSite(t)
	changed := edited(t, "rules/invite-teammate.yaml", "tolerate: 10%", "tolerate: 11%")
	for range 20 { // a group's changes are written in no particular order
		c := &clock{t: epoch}
		s := open(t, t.TempDir(), c, nil)
		done := make(chan error, 1)
		held(s, func() {
			expose(t, s, set, c, "ann")
			s.ops <- &op{do: func(w *writer) error { return w.use(changed) }, done: func(err error) { done <- err }}
		})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if st, _ := s.Standing("invite-teammate"); st.Run.Version != changed.Rule("invite-teammate").Version {
			t.Fatal("the standing is that of the version that was replaced")
		}
		closed(t, s)
	}
}

func TestNearlyFullDisk(t *testing.T) {
	c := &clock{t: epoch}
	s := open(t, t.TempDir(), c, nil)
	defer closed(t, s)
	ctx := context.Background()
	queued := make(chan error, 1)
	reserve := func(bytes uint64) func(*writer) error {
		return func(*writer) error { s.opts.Reserve = bytes; s.checkSpace(); return nil }
	}
	held(s, func() { // an event that was taken before the disk filled up
		s.ops <- &op{do: reserve(1 << 62)}
		s.ops <- &op{do: func(w *writer) error { return w.append(track(c, "ann", "Report Exported")) }, done: func(err error) { queued <- err }}
	})
	if err := <-queued; err != nil {
		t.Errorf("what was queued: %v", err)
	}
	if err := s.Append(ctx, []*events.Event{track(c, "ann", "X")}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Append: %v", err)
	}
	if s.Observe(track(c, "ann", "X")) {
		t.Error("Observe takes an event")
	}
	if err := s.Rollback(ctx, "invite-teammate", ByPerson, "sre", "now"); err != nil {
		t.Errorf("a rollback is refused: %v", err)
	}
	if err := s.do(ctx, reserve(1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(ctx, []*events.Event{track(c, "ann", "X")}); err != nil {
		t.Errorf("there is room again: %v", err)
	}
}

func TestBreachWhileRolledBackByFile(t *testing.T) {
	c := &clock{t: epoch}
	s := open(t, t.TempDir(), c, nil)
	defer closed(t, s)
	set := loadSite(t)
	var treated []string
	for i := 0; len(treated) < 30; i++ {
		if v := fmt.Sprint("v", i); expose(t, s, set, c, v) == rules.Treatment {
			treated = append(treated, v)
		}
	}
	settle(t, s)
	use(t, s, edited(t, "rules/invite-teammate.yaml", "state: live", "state: rolled_back"))
	for _, v := range treated {
		appendAll(t, s, track(c, v, "Setup Abandoned"))
	}
	use(t, s, set)
	if st, _ := s.Standing("invite-teammate"); st.Verdict.Guardrail != outcomes.Breached || st.Run.Stop == nil {
		t.Errorf("the guardrail is %s, the stop %v: the file starts it again", st.Verdict.Guardrail, st.Run.Stop)
	}
}

func TestRetentionKeepsUpAndIsExact(t *testing.T) {
	c := &clock{t: epoch}
	dir := t.TempDir()
	s := open(t, dir, c, nil)
	for range 3 {
		var batch []*events.Event
		for i := range maxForgotten {
			batch = append(batch, track(c, fmt.Sprint("v", i), "X"))
		}
		appendAll(t, s, batch...)
	}
	appendAll(t, s, identify(c, "ann"), track(c, "ann", "Project Created"))
	size := s.w.logBytes
	closed(t, s)
	s = open(t, dir, c, nil)
	if s.w.logBytes != size {
		t.Errorf("after a restart the log has %d bytes, before it %d", s.w.logBytes, size)
	}
	retain := func() (more bool) {
		err := s.do(context.Background(), func(w *writer) error { err := w.retain(); more = w.forgetting; return err })
		if err != nil {
			t.Fatal(err)
		}
		return more
	}
	s.opts.Retain.Bytes = size / 2
	for retain() {
	}
	if n := len(logged(t, s)); n < 3*maxForgotten/2-10 || n > 3*maxForgotten/2+10 {
		t.Errorf("%d events are left of %d, where half may be kept", n, 3*maxForgotten)
	}
	c.advance(100 * 24 * time.Hour)
	for retain() {
	}
	if n := len(logged(t, s)); n != 0 || s.w.logBytes != 0 {
		t.Errorf("%d events and %d bytes are left", n, s.w.logBytes)
	}
	closed(t, s)

	// An emptied log is no reason to take a new segment for computed.
	set := edited(t, "segments/exporters.yaml", "all: [{did: Report Exported, in_last: 7d}]", "all: [{trait: {plan: trial}}]")
	s, err := Open(Options{Dir: dir, Log: slog.New(slog.DiscardHandler), Now: c.now, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, s)
	use(t, s, set)
	if !holds(s, "ann", "exporters", set, c.now()) {
		t.Error("the new segment does not hold for whom it describes")
	}
}

func TestWindowsCloseThoughTheRuleWasAway(t *testing.T) {
	c := &clock{t: epoch}
	dir := t.TempDir()
	s := open(t, dir, c, nil)
	set := loadSite(t)
	settled := func() (n int64) {
		st, _ := s.Standing("invite-teammate")
		for _, e := range st.Tally.Epochs {
			n += e.TreatmentArm.Settled + e.ControlArm.Settled
		}
		return n
	}
	expose(t, s, set, c, "ann")
	settle(t, s)
	use(t, s, edited(t, "rules/invite-teammate.yaml", "tolerate: 10%", "tolerate: 11%"))
	c.advance(8 * 24 * time.Hour)
	tickOnce(t, s)
	use(t, s, set)
	tickOnce(t, s)
	if settled() != 1 {
		t.Errorf("%d settled after the content came back", settled())
	}
	expose(t, s, set, c, "bob")
	settle(t, s)
	closed(t, s)

	c.advance(8 * 24 * time.Hour)
	s, err := Open(Options{Dir: dir, Log: slog.New(slog.DiscardHandler), Now: c.now, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, s)
	tickOnce(t, s) // before anybody has said which rules there are
	use(t, s, set)
	tickOnce(t, s)
	if settled() != 2 {
		t.Errorf("%d settled after a restart", settled())
	}
}

func TestLongChainOfMerges(t *testing.T) {
	c := &clock{t: epoch}
	s := open(t, t.TempDir(), c, nil)
	defer closed(t, s)
	set := loadSite(t)
	const n = 40
	for i := range n {
		e := track(c, fmt.Sprint("id", i+1), "")
		e.Kind, e.Anonymous = events.Alias, fmt.Sprint("id", i)
		appendAll(t, s, e)
	}
	last := fmt.Sprint("id", n)
	appendAll(t, s, track(c, "id0", "Report Exported"))
	for i := range n + 1 {
		u, _ := s.Lookup(segments.Unit{Who: segments.Visitor, ID: fmt.Sprint("id", i)})
		if u.ID != last {
			t.Fatalf("id%d stands for %s", i, u.ID)
		}
	}
	if !holds(s, last, "exporters", set, c.now()) {
		t.Error("what the first id did is not the last one's")
	}
}

func TestBatchWithABadEventIsRefusedWhole(t *testing.T) {
	c := &clock{t: epoch}
	s := open(t, t.TempDir(), c, nil)
	defer closed(t, s)
	if err := s.Append(context.Background(), []*events.Event{track(c, "ann", "X"), track(c, "", "X")}); err == nil {
		t.Error("no error")
	}
	if n := len(logged(t, s)); n != 0 {
		t.Errorf("%d events in the log", n)
	}
}

func TestUseOutlivesItsAsker(t *testing.T) {
	c := &clock{t: epoch}
	s := open(t, t.TempDir(), c, nil)
	defer closed(t, s)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	set := edited(t, "rules/invite-teammate.yaml", "tolerate: 10%", "tolerate: 11%")
	if err := s.Use(ctx, set, func() {}); err != nil {
		t.Errorf("a change that is made is reported as %v", err)
	}
	if st, _ := s.Standing("invite-teammate"); st.Run.Version != set.Rule("invite-teammate").Version {
		t.Error("the set is not in use")
	}
}
