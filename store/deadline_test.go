package store

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
)

// undecidedFor is the shared site with a ramp of two steps, and a guardrail that
// may be undecided for 14 days.
func undecidedFor(t *testing.T, then string) *rules.Set {
	t.Helper()
	return noticed(edited(t, rampFile, fixed, "rollout: {ramp: [5%], undecided: {after: 14d, then: "+then+"}}"))
}

// tickWhole does what a tick of the writer does, also where more windows are over
// than one operation closes.
func tickWhole(t *testing.T, s *Store) {
	t.Helper()
	for more := true; more; {
		tickOnce(t, s)
		if err := s.do(context.Background(), func(w *writer) error { more = w.closing; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	tickAll(t, s)
}

func guardrailOf(t *testing.T, s *Store, want outcomes.State) {
	t.Helper()
	if st, _ := s.Standing(ramped); st.Verdict.Guardrail != want {
		t.Fatalf("the guardrail is %s, want %s: %+v", st.Verdict.Guardrail, want, st.Verdict.Harm)
	}
}

// A guardrail that is not decided in time holds the rule, and says so once. Its
// time begins anew with each step, and each time that it is no longer cleared.
func TestUndecidedHolds(t *testing.T) {
	c := &clock{t: epoch}
	dir, set := t.TempDir(), undecidedFor(t, "hold")
	s, _ := openWith(t, dir, set, c)
	defer func() { closed(t, s) }()
	is := func(when, want string) {
		t.Helper()
		tickWhole(t, s)
		var list []string
		for _, e := range entries(t, s, "hold", "release", "ramp") {
			if e.Hold != nil && e.Hold.Reason != HeldUndecided {
				t.Fatalf("%s it is held as %s", when, e.Hold)
			}
			list = append(list, e.Kind)
		}
		if got := strings.Join(list, " "); got != want {
			t.Fatalf("%s the ledger has %q, want %q", when, got, want)
		}
	}
	reach(t, s, set, c, "a", 240, 60, 60) // and it is an hour later
	c.advance(14*day - time.Hour - time.Second)
	is("before its time is over", "")
	c.advance(time.Second)
	is("when it is", "hold")
	closed(t, s)
	s, _ = openWith(t, dir, set, c)
	is("after a restart", "hold")
	e := entries(t, s, "hold")[0]
	if want := "the guardrail is still undecided after 14 days: of the units whose window is over 60 of 240 were harmed in treatment and 60 of 240 in control"; e.Why != want || e.Who != "guardrail" || e.Verdict == nil || e.Stage == nil {
		t.Errorf("the entry is %+v, want %s", e, want)
	}

	reach(t, s, set, c, "b", 300, 10, 200)
	c.advance(8 * day)
	is("once it is cleared", "hold release ramp")
	guardrailOf(t, s, outcomes.Cleared)
	if got := entries(t, s, "release")[0].Why; got != "the guardrail is cleared" {
		t.Errorf("it is released since %s", got)
	}
	c.advance(20 * day)
	is("while it is cleared", "hold release ramp")
	reach(t, s, set, c, "c", 200, 195, 0)
	guardrailOf(t, s, outcomes.Cleared)
	c.advance(7 * day)
	tickWhole(t, s)
	guardrailOf(t, s, outcomes.Undecided)
	c.advance(13 * day)
	is("before its time is over once more", "hold release ramp")
	c.advance(day)
	is("when it is once more", "hold release ramp hold")
	use(t, s, noticed(edited(t, rampFile, fixed, "rollout: {ramp: [5%], undecided: {after: 28d}}")))
	is("with more time", "hold release ramp hold release")
}

// A rule that says so is rolled back instead, once, and a resume has its whole
// time again.
func TestUndecidedReverts(t *testing.T) {
	c := &clock{t: epoch}
	dir, set := t.TempDir(), undecidedFor(t, "revert")
	s, _ := openWith(t, dir, set, c)
	defer func() { closed(t, s) }()
	reach(t, s, set, c, "a", 240, 60, 60)
	c.advance(14*day - time.Hour - time.Second)
	tickWhole(t, s)
	if st, _ := s.Standing(ramped); st.Run.Stop != nil {
		t.Fatalf("it is stopped before its time is over: %+v", st.Run.Stop)
	}
	c.advance(time.Second)
	for range 2 {
		tickWhole(t, s)
		closed(t, s)
		s, _ = openWith(t, dir, set, c)
	}
	list := entries(t, s, "rollback", "hold", "release")
	if len(list) != 1 || list[0].Stop == nil || list[0].Stop.Cause != ByDeadline || list[0].Stop.Tally == nil ||
		!strings.HasPrefix(list[0].Why, "the guardrail is still undecided after 14 days: ") {
		t.Fatalf("the ledger has %+v", list)
	}
	if got := notices(t, s); len(got) != 1 || got[0].Kind != "rollback" {
		t.Errorf("told is %+v", got)
	}
	if err := s.Resume(context.Background(), ramped, "ann", "once more"); err != nil {
		t.Fatal(err)
	}
	tickWhole(t, s)
	if st, _ := s.Standing(ramped); st.Run.Stop != nil {
		t.Errorf("it is stopped at once: %+v", st.Run.Stop)
	}
}

// A process that was down when the time was over decides by all windows that are
// over, and not by the first of them.
func TestUndecidedAwaitsTheCounts(t *testing.T) {
	c := &clock{t: epoch}
	dir, set := t.TempDir(), undecidedFor(t, "revert")
	s, _ := openWith(t, dir, set, c)
	reach(t, s, set, c, "a", maxClosings/2, 60, 60)
	reach(t, s, set, c, "b", 300, 10, 200)
	closed(t, s)
	c.advance(30 * day)
	s, _ = openWith(t, dir, set, c)
	defer closed(t, s)
	tickOnce(t, s)
	tickWhole(t, s)
	guardrailOf(t, s, outcomes.Cleared)
	if list := entries(t, s, "rollback"); len(list) > 0 {
		t.Errorf("it is rolled back: %+v", list)
	}
}

// A rule that was off and is on again has all of its time, also before the store
// has looked at it.
func TestUndecidedBeginsAnewAfterOff(t *testing.T) {
	for _, then := range []string{"hold", "revert"} {
		c := &clock{t: epoch}
		set := undecidedFor(t, then)
		var off atomic.Bool
		s, err := Open(Options{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler), Now: c.now, Reserve: 1,
			Off: func(rule string) bool { return rule == ramped && off.Load() }})
		if err != nil {
			t.Fatal(err)
		}
		use(t, s, set)
		reach(t, s, set, c, "a", 24, 6, 6)
		tickAll(t, s)
		off.Store(true)
		tickAll(t, s)
		c.advance(15 * day)
		tickWhole(t, s)
		off.Store(false)
		reach(t, s, set, c, "b", 1, 1, 0)
		tickWhole(t, s)
		if list := entries(t, s, "hold", "release", "rollback"); len(list) > 0 {
			t.Errorf("%s: %s %s", then, list[0].Kind, list[0].Why)
		}
		closed(t, s)
	}
}
