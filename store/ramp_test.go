package store

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

const (
	ramped   = "invite-teammate"
	rampFile = "rules/" + ramped + ".yaml"
	fixed    = "rollout: {share: 100%, treatment: 50%}"
	day      = 24 * time.Hour
)

// ramping is the shared site with a ramp of four steps.
func ramping(t *testing.T) *rules.Set {
	t.Helper()
	return edited(t, rampFile, fixed, "rollout: {ramp: [5%, {share: 20%, for: 2d}, {share: 50%, treatment: 80%}]}")
}

// openWith opens a store whose first set is that one, and counts how often it
// told of a step.
func openWith(t *testing.T, dir string, set *rules.Set, c *clock) (*Store, *atomic.Int64) {
	t.Helper()
	told := new(atomic.Int64)
	s, err := Open(Options{Dir: dir, Log: slog.New(slog.DiscardHandler), Now: c.now, Reserve: 1, Staged: func() { told.Add(1) }})
	if err != nil {
		t.Fatal(err)
	}
	use(t, s, set)
	return s, told
}

// reach exposes so many units in each arm, of which so many are harmed.
func reach(t *testing.T, s *Store, set *rules.Set, c *clock, name string, each, harmedT, harmedC int) {
	t.Helper()
	r := set.Rule(ramped)
	at, treatment := c.now(), r.Rollout.Treatment
	if st, ok := s.Standing(ramped); ok {
		treatment = st.Run.Stage.Treatment
	}
	harmed := map[rules.Arm]int{rules.Treatment: harmedT, rules.Control: harmedC}
	var list []*events.Event
	for i := range each {
		for arm, n := range harmed {
			visitor := fmt.Sprint(name, "-", arm, "-", i)
			x := rules.Exposure{Rule: r.Name, Version: r.Version, Unit: segments.Unit{Who: segments.Visitor, ID: visitor},
				Arm: arm, Treatment: treatment, At: at}
			if !s.Expose(x) {
				t.Fatal("the queue is full")
			}
			if i < n {
				e := track(c, visitor, "Setup Abandoned")
				e.Time, e.Received = at.Add(time.Minute), at.Add(time.Minute)
				list = append(list, e)
			}
		}
	}
	c.advance(time.Hour)
	if len(list) > 0 {
		appendAll(t, s, list...)
	}
	settle(t, s)
}

// tickAll does what a tick of the writer does.
func tickAll(t *testing.T, s *Store) {
	t.Helper()
	tickOnce(t, s)
	if err := s.do(context.Background(), (*writer).watchRules); err != nil {
		t.Fatal(err)
	}
}

func stageOf(t *testing.T, s *Store) Stage {
	t.Helper()
	st, ok := s.Standing(ramped)
	if !ok {
		t.Fatal("the rule has no standing")
	}
	return st.Run.Stage
}

// entries are the ledger's, of some kinds.
func entries(t *testing.T, s *Store, kinds ...string) (list []Entry) {
	t.Helper()
	lines, err := s.Ledger(context.Background(), 1, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		for _, k := range kinds {
			if e.Kind == k {
				list = append(list, e)
			}
		}
	}
	return list
}

// A rule goes through its ramp: only as fast as its steps last, only with a
// cleared guardrail, one step at a time, over a restart, and with all of it in
// the ledger.
func TestRamp(t *testing.T) {
	c := &clock{t: epoch}
	dir, set := t.TempDir(), ramping(t)
	s, told := openWith(t, dir, set, c)
	is := func(step int, when string) {
		t.Helper()
		if st := stageOf(t, s); st.Step != step {
			standing, _ := s.Standing(ramped)
			t.Fatalf("%s it is at step %d, want %d: %v", when, st.Step, step, standing.Awaits(set.Rule(ramped), c.now()))
		}
	}
	reach(t, s, set, c, "a", 240, 24, 120)
	tickAll(t, s)
	is(1, "before any window is over")
	c.advance(7*day - time.Hour - time.Second)
	tickAll(t, s)
	is(1, "a second before the step is over")
	c.advance(2 * time.Second)
	tickAll(t, s)
	is(2, "when the windows are over and the guardrail is cleared")
	if told.Load() != 1 {
		t.Errorf("the edge was told %d times, want once", told.Load())
	}
	c.advance(3 * day)
	tickAll(t, s)
	is(2, "when nobody has come in since")
	reach(t, s, set, c, "b", 1, 0, 0)
	is(3, "when the step has lasted, and somebody came in")
	if st := stageOf(t, s); st.Share != 0.5 || st.Treatment != 0.8 || !st.Since.Equal(c.now()) {
		t.Errorf("it is at %+v", st)
	}
	closed(t, s)

	s, _ = openWith(t, dir, set, c)
	is(3, "after a restart")
	reach(t, s, set, c, "c", 1, 0, 0)
	c.advance(7 * day)
	tickAll(t, s)
	is(4, "at the end")
	c.advance(100 * day)
	tickAll(t, s)
	is(4, "long after")

	var noted []string
	for _, e := range entries(t, s, "ramp", "epoch") {
		if e.Verdict == nil || e.Verdict.Guardrail != outcomes.Cleared || e.Tally == nil || e.From == nil {
			t.Errorf("the entry %s lacks what decided: %+v", e.Kind, e)
		}
		noted = append(noted, fmt.Sprintf("%s to step %d: %s", e.Kind, e.Stage.Step, e.Why))
	}
	want := "ramp to step 2: 5 % to 20 % take part; ramp to step 3: 20 % to 50 % take part; epoch to step 3: treatment from 50 % to 80 %; " +
		"ramp to step 4: 50 % to 100 % take part; epoch to step 4: treatment from 80 % to 50 %"
	if got := strings.Join(noted, "; "); got != want {
		t.Errorf("the ledger has\n%s\nwant\n%s", got, want)
	}
	st, _ := s.Standing(ramped)
	if n := len(st.Tally.Epochs); n != 2 {
		t.Errorf("%d epochs, want 2: 50 %% and 80 %%", n)
	}
	closed(t, s)
}

// An undecided guardrail holds the ramp, for good.
func TestRampIsHeldWhileUndecided(t *testing.T) {
	c := &clock{t: epoch}
	set := ramping(t)
	s, _ := openWith(t, t.TempDir(), set, c)
	defer closed(t, s)
	reach(t, s, set, c, "a", 240, 60, 60)
	for range 5 {
		c.advance(30 * day)
		tickAll(t, s)
	}
	if st := stageOf(t, s); st.Step != 1 {
		t.Fatalf("it is at step %d", st.Step)
	}
	st, _ := s.Standing(ramped)
	if got := st.Awaits(set.Rule(ramped), c.now()); len(got) != 1 || got[0] != "the guardrail is undecided" {
		t.Errorf("it awaits %v", got)
	}
}

func TestAwaits(t *testing.T) {
	set := ramping(t)
	r := set.Rule(ramped)
	since := epoch
	fine := func() Standing {
		return Standing{
			Run:     Run{Stage: Stage{Step: 2, Share: 0.2, Treatment: 0.5, Since: since, Before: 10}},
			Tally:   outcomes.Tally{Epochs: []outcomes.Epoch{{Treatment: 0.5, ControlArm: outcomes.Counts{Exposed: 11}}}},
			Verdict: outcomes.Verdict{Guardrail: outcomes.Cleared, SRM: outcomes.SRM{State: outcomes.SRMFine}},
		}
	}
	for _, c := range []struct {
		name   string
		change func(*Standing)
		after  time.Duration
		want   string
	}{
		{"all is well", func(*Standing) {}, 2 * day, ""},
		{"early", func(*Standing) {}, 2*day - 1, "the step lasts until 2026-11-25T12:00:00Z"},
		{"undecided", func(s *Standing) { s.Verdict.Guardrail = outcomes.Undecided }, 2 * day, "the guardrail is undecided"},
		{"breached", func(s *Standing) { s.Verdict.Guardrail = outcomes.Breached }, 2 * day, "the guardrail is breached"},
		{"blind", func(s *Standing) { s.Verdict.Blind = true }, 2 * day, "the guardrail is blind"},
		{"doubtful", func(s *Standing) { s.Verdict.SRM.State = outcomes.SRMWarn }, 2 * day, "the sample ratio is doubtful"},
		{"invalid", func(s *Standing) { s.Verdict.SRM.State = outcomes.SRMInvalid }, 2 * day, "the sample ratio is invalid"},
		{"empty", func(s *Standing) { s.Run.Stage.Before = 11 }, 2 * day, "nobody has come in since the step began"},
		{"stopped", func(s *Standing) { s.Run.Stop = &Stop{} }, 2 * day, "the rule is rolled back"},
		{"over", func(*Standing) {}, 10 * 365 * day, "the rule has expired"},
	} {
		s := fine()
		c.change(&s)
		if got := strings.Join(s.Awaits(r, since.Add(c.after)), "; "); got != c.want {
			t.Errorf("%s: it awaits %q, want %q", c.name, got, c.want)
		}
	}
	s := fine()
	s.Run.Stage.Step = 4
	if _, _, ok := s.Next(r); ok {
		t.Error("there is a step after the last")
	}
}

// A draft is at its first step from when it is live. Another ramp never takes in
// more than the one before did. A file that asks for more outright has it.
func TestRampFollowsTheFile(t *testing.T) {
	c := &clock{t: epoch}
	dir, set := t.TempDir(), ramping(t)
	draft := edited(t, rampFile, fixed+"\nexpires: 2036-01-01\nstate: live", "rollout: {ramp: [5%, 50%]}\nstate: draft")
	s, _ := openWith(t, dir, draft, c)
	defer closed(t, s)
	if st := stageOf(t, s); st.Step != 1 || !st.Since.IsZero() {
		t.Errorf("a draft is at %+v", st)
	}
	c.advance(day)
	use(t, s, set)
	if st := stageOf(t, s); st.Step != 1 || !st.Since.Equal(c.now()) {
		t.Errorf("once live it is at %+v", st)
	}
	for _, next := range []struct {
		rollout string
		want    float64
	}{
		{"rollout: {ramp: [2%, 4%, 10%]}", 0.04},
		{"rollout: {ramp: [8%, 10%]}", 0.08},
		{"rollout: {share: 30%}", 0.3},
		{"rollout: {ramp: [10%, 30%, 60%]}", 0.3},
		{fixed, 1},
		{"rollout: {ramp: [10%, 30%, 60%]}", 1},
	} {
		c.advance(time.Hour)
		text := next.rollout
		if text == fixed {
			text += " # all"
		}
		use(t, s, edited(t, rampFile, fixed, text))
		if st := stageOf(t, s); st.Share != next.want {
			t.Errorf("with %s the share is %v, want %v", next.rollout, st.Share, next.want)
		}
	}
	c.advance(time.Hour)
	use(t, s, edited(t, rampFile, fixed, "rollout: {treatment: 90%}"))
	list := entries(t, s, "ramp", "epoch")
	last := list[len(list)-1]
	if last.Kind != "epoch" || last.Who != string(ByFile) || last.Why != "treatment from 50 % to 90 %" {
		t.Errorf("a change of the treatment is on record as %+v", last)
	}
}

// A resume begins with the first step, and new counts.
func TestResumeBeginsTheRampAnew(t *testing.T) {
	c := &clock{t: epoch}
	set := ramping(t)
	s, _ := openWith(t, t.TempDir(), set, c)
	defer closed(t, s)
	reach(t, s, set, c, "a", 240, 24, 120)
	c.advance(8 * day)
	tickAll(t, s)
	if st := stageOf(t, s); st.Step != 2 {
		t.Fatalf("it is at step %d", st.Step)
	}
	if err := s.Rollback(context.Background(), ramped, ByPerson, "me", "to see"); err != nil {
		t.Fatal(err)
	}
	c.advance(day)
	if err := s.Resume(context.Background(), ramped, "me", "seen"); err != nil {
		t.Fatal(err)
	}
	if st := stageOf(t, s); st.Step != 1 || st.Before != 0 || !st.Since.Equal(c.now()) {
		t.Errorf("a resume is at %+v", st)
	}
}

// runOnDisk is the run of the rule with a ramp as a restart finds it.
func runOnDisk(t *testing.T, s *Store, set *rules.Set) (run Run) {
	t.Helper()
	b, err := s.get(runKey(ramped, set.Rule(ramped).Version))
	if err == nil {
		err = json.Unmarshal(b, &run)
	}
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// Wherever a crash cuts the log, the step and the ledger agree.
func TestStepIsWrittenWithItsEntry(t *testing.T) {
	c := &clock{t: epoch}
	dir, set := t.TempDir(), ramping(t)
	s, _ := openWith(t, dir, set, c)
	reach(t, s, set, c, "a", 240, 24, 120)
	c.advance(8 * day)
	begin := logSize(t, dir)
	tickAll(t, s)
	end := logSize(t, dir)
	image := t.TempDir()
	if err := os.CopyFS(image, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	steps := map[int]bool{}
	for i := range int64(13) {
		s, cut := openCut(t, image, begin+(end-begin)*i/12, c)
		run := runOnDisk(t, s, set)
		steps[run.Stage.Step] = true
		if n := len(entries(t, s, "ramp")); n != run.Stage.Step-1 {
			t.Errorf("cut %d of 12: step %d, and %d entries", i, run.Stage.Step, n)
		}
		closed(t, s)
		os.RemoveAll(cut)
	}
	if len(steps) != 2 {
		t.Errorf("every cut left the same: %v", steps)
	}
}

// The end of a rule is on record once, with where its ramp was held.
func TestExpiryIsOnRecordOnce(t *testing.T) {
	c := &clock{t: epoch}
	dir := t.TempDir()
	set := edited(t, rampFile, fixed+"\nexpires: 2036-01-01", "rollout: {ramp: [5%]}\nexpires: 2026-11-24")
	s, _ := openWith(t, dir, set, c)
	tickAll(t, s)
	if n := len(entries(t, s, "expire")); n != 0 {
		t.Fatalf("%d entries before the time", n)
	}
	c.advance(day)
	tickAll(t, s)
	tickAll(t, s)
	closed(t, s)
	s, _ = openWith(t, dir, set, c)
	defer closed(t, s)
	tickAll(t, s)
	list := entries(t, s, "expire")
	if len(list) != 1 || list[0].Why != "expires: 2026-11-24T00:00:00Z; held at step 1 of 2" || list[0].Verdict == nil {
		t.Errorf("the ledger has %+v", list)
	}
}
