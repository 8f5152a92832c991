package store

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

// come exposes so many units in one arm.
func come(t *testing.T, s *Store, set *rules.Set, c *clock, arm rules.Arm, name string, n int) {
	t.Helper()
	r := set.Rule(ramped)
	for i := range n {
		x := rules.Exposure{Rule: r.Name, Version: r.Version, Unit: segments.Unit{Who: segments.Visitor, ID: fmt.Sprint(name, "-", i)},
			Arm: arm, Treatment: r.Rollout.Treatment, At: c.now()}
		if !s.Expose(x) {
			t.Fatal("the queue is full")
		}
	}
	settle(t, s)
}

// said words the entries of some kinds: kind, rule, reason and why.
func said(t *testing.T, s *Store, kinds ...string) string {
	t.Helper()
	var lines []string
	for _, e := range entries(t, s, kinds...) {
		if e.Hold == nil {
			t.Fatalf("the entry %s lacks its hold: %+v", e.Kind, e)
		}
		lines = append(lines, fmt.Sprintf("%s %s by %s: %s", e.Kind, string(e.Hold.Reason), e.Who, e.Why))
	}
	return strings.Join(lines, "\n")
}

func holdsOf(t *testing.T, s *Store) (list []string) {
	t.Helper()
	st, ok := s.Standing(ramped)
	if !ok {
		t.Fatal("the rule has no standing")
	}
	for _, h := range st.Run.Holds {
		list = append(list, string(h.Reason))
	}
	return list
}

// seeing is the shared site, without a ramp, whose guardrail has a baseline by
// which 40 units are enough to find it blind.
func seeing(t *testing.T) *rules.Set {
	t.Helper()
	return noticed(edited(t, rampFile, "tolerate: 10%", "tolerate: 10%, baseline: 50%"))
}

const (
	blind40 = "hold blind by guardrail: the guardrail is blind: of 40 units whose window is over none was harmed, " +
		"and by its baseline of 50 % about 20 would have been"
	sees = "release blind by guardrail: the guardrail sees harm: 1 of 42 exposed units"
)

// A guardrail that is blind is on record, and told, once: whoever looks and
// however often the process starts. So is that it sees again.
func TestHoldOfABlindGuardrail(t *testing.T) {
	c := &clock{t: epoch}
	dir, set := t.TempDir(), seeing(t)
	s, _ := openWith(t, dir, set, c)
	reach(t, s, set, c, "a", 20, 0, 0)
	c.advance(7*day - time.Hour)
	if got := said(t, s, "hold"); got != "" {
		t.Fatalf("before a window is over:\n%s", got)
	}
	c.advance(time.Hour)
	for range 2 {
		for range 2 {
			tickAll(t, s)
			c.advance(time.Hour)
		}
		if got := said(t, s, "hold", "release"); got != blind40 {
			t.Fatalf("the ledger has\n%s\nwant\n%s", got, blind40)
		}
		closed(t, s)
		s, _ = openWith(t, dir, set, c)
	}
	since := entries(t, s, "hold")[0]
	if v := since.Verdict; v == nil || !v.Blind || since.Tally == nil || since.Tally.Exposed() != 40 || since.Stage != nil {
		t.Errorf("the entry lacks what decided: %+v", since)
	}
	st, _ := s.Standing(ramped)
	if want := []Hold{{HeldBlind, since.At}}; !reflect.DeepEqual(st.Run.Holds, want) {
		t.Errorf("it is held as %v, want %v", st.Run.Holds, want)
	}
	reach(t, s, set, c, "b", 1, 1, 0)
	if got := holdsOf(t, s); got != nil {
		t.Errorf("it sees, and is held as %v", got)
	}
	defer closed(t, s)
	if got, want := said(t, s, "hold", "release"), blind40+"\n"+sees; got != want {
		t.Errorf("the ledger has\n%s\nwant\n%s", got, want)
	}
	var told []string
	for _, n := range notices(t, s) {
		told = append(told, n.Kind)
		if n.Sentence == "" || n.Hold == nil || !n.Hold.Since.Equal(since.At) {
			t.Errorf("told is %+v", n)
		}
	}
	if got := strings.Join(told, " "); got != "hold release" {
		t.Errorf("told is %q", got)
	}

	c.advance(day) // and it is blind again, by those who come from now on
	reach(t, s, set, c, "c", 20, 0, 0)
	c.advance(7 * day)
	tickAll(t, s)
	if got, want := said(t, s, "hold", "release"), blind40+"\n"+sees+"\n"+strings.Replace(blind40, "of 40", "of the last 40", 1); got != want {
		t.Errorf("the ledger has\n%s\nwant\n%s", got, want)
	}
}

// Units that turn out to be one leave fewer of whom some should have been
// harmed. That is no sight of harm, and what was blind stays held.
func TestHoldDoesNotComeAndGo(t *testing.T) {
	c := &clock{t: epoch}
	set := seeing(t)
	s, _ := openWith(t, t.TempDir(), set, c)
	defer closed(t, s)
	reach(t, s, set, c, "a", 20, 0, 0)
	c.advance(7 * day)
	tickAll(t, s)
	merged := identify(c, "a-treatment-1")
	merged.Anonymous = "a-treatment-2"
	appendAll(t, s, merged)
	st, _ := s.Standing(ramped)
	if st.Verdict.Blind || both(&st.Tally).Closed != 39 {
		t.Fatalf("39 units are over, and it is blind: %+v", st.Tally)
	}
	reach(t, s, set, c, "b", 1, 0, 0)
	c.advance(7 * day)
	tickAll(t, s)
	if got := said(t, s, "hold", "release"); got != blind40 {
		t.Errorf("the ledger has\n%s\nwant\n%s", got, blind40)
	}
}

// A sample ratio is doubtful before it is invalid, and stays that. The hold ends
// with what the counts are of: by a stop, and a resume begins without.
func TestHoldOfTheSampleRatio(t *testing.T) {
	c := &clock{t: epoch}
	dir, set := t.TempDir(), noticed(ramping(t))
	s, _ := openWith(t, dir, set, c)
	defer func() { closed(t, s) }()
	var at []string
	for i, last := 0, ""; i < 400 && last != "[invalid]"; i++ {
		come(t, s, set, c, rules.Treatment, fmt.Sprint("t", i), 1)
		if is := fmt.Sprint(holdsOf(t, s)); is != last {
			st, _ := s.Standing(ramped)
			at, last = append(at, fmt.Sprintf("%s %s", st.Verdict.SRM.State, is)), is
		}
	}
	if got := strings.Join(at, ", "); got != "ok [], warn [doubtful], invalid [invalid]" {
		t.Fatalf("it was %s", got)
	}
	st, _ := s.Standing(ramped)
	if got := strings.Join(st.Awaits(set.Rule(ramped), c.now()), ", "); !strings.HasPrefix(got, "the sample ratio is invalid, ") {
		t.Errorf("the ramp awaits %s", got)
	}
	come(t, s, set, c, rules.Control, "c", 300) // even again: too late
	closed(t, s)
	s, _ = openWith(t, dir, set, c)
	tickAll(t, s)
	if err := s.Rollback(context.Background(), ramped, ByPerson, "ann", "one arm loses visitors"); err != nil {
		t.Fatal(err)
	}
	if err := s.Resume(context.Background(), ramped, "ann", "mended"); err != nil {
		t.Fatal(err)
	}
	if got := holdsOf(t, s); got != nil {
		t.Errorf("after a resume it is held as %v", got)
	}
	list := entries(t, s, "hold", "release", "rollback", "resume")
	var kinds []string
	for _, e := range list {
		kinds = append(kinds, e.Kind)
	}
	if got := strings.Join(kinds, " "); got != "hold hold rollback release resume" {
		t.Fatalf("the ledger has %s", got)
	}
	if e := list[1]; e.Hold.Reason != HeldInvalid || e.Who != "sample ratio" || e.Stage == nil || e.Stage.Step != 1 ||
		!strings.HasPrefix(e.Why, "the sample ratio is invalid: ") || !strings.Contains(e.Why, " units in treatment and 0 in control, where 50 % are to be treated (anytime p = 0.000") {
		t.Errorf("the entry is %+v", e)
	}
	if e := list[3]; e.Hold.Reason != HeldInvalid || !e.Hold.Since.Equal(list[1].At) || e.Why != "the rule is rolled back" {
		t.Errorf("it ends as %+v", e)
	}
}

// A hold is of a rule that is live, in the content that it has: it ends with
// that, also while the process was down, and begins anew with it. Of each time
// the ledger alone says the same.
func TestHoldIsOfALiveRule(t *testing.T) {
	c := &clock{t: epoch}
	dir, set := t.TempDir(), seeing(t)
	s, _ := openWith(t, dir, set, c)
	defer func() { closed(t, s) }()
	reach(t, s, set, c, "a", 20, 0, 0)
	c.advance(7 * day)
	with := func(old, new string) *rules.Set {
		t.Helper()
		next := t.TempDir()
		for name, data := range set.Files {
			if name == rampFile && new == "" {
				continue
			}
			name = filepath.Join(next, name)
			if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(strings.Replace(string(data), old, new, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		set, err := rules.Load(next)
		if err != nil {
			t.Fatal(err)
		}
		return noticed(set)
	}
	restart := func(set *rules.Set) {
		closed(t, s)
		s, _ = openWith(t, dir, set, c)
	}
	load := func(set *rules.Set) { use(t, s, set) }
	const live = "state: live"
	expires := with("expires: 2036-01-01", "expires: "+c.now().Add(2*time.Hour).UTC().Format(time.RFC3339))
	other := with("tolerate: 10%", "tolerate: 12%")
	before := 0
	for _, step := range []struct {
		name string
		do   func()
		want string // the entry that it brings
	}{
		{"blind", func() {}, "hold"},
		{"other content", func() { load(other) }, "release: the rule has new content"},
		{"the first content again", func() { load(set) }, "hold"},
		{"a draft", func() { load(with(live, "state: draft")) }, "release: the rule is a draft"},
		{"live again", func() { load(set) }, "hold"},
		{"other content at a start", func() { restart(other) }, "release: the rule has new content"},
		{"the first content at a start", func() { restart(set) }, "hold"},
		{"stopped by its file", func() { load(with(live, "state: rolled_back")) }, "release: the rule is rolled back"},
		{"live again", func() { load(set) }, "hold"},
		{"its approvals are missing", func() { load(noticed(unapproved(t, set))) }, "release: the rule is unapproved"},
		{"approved", func() { load(set) }, "hold"},
		{"gone at a start", func() { restart(with("", "")) }, "release: the rule is gone"},
		{"there again, for two hours", func() { load(expires) }, "hold"},
		{"over", func() { c.advance(3 * time.Hour) }, "release: the rule has expired"},
		{"and a hold at a start", func() { restart(set) }, "hold"},
	} {
		step.do()
		tickAll(t, s)
		list := entries(t, s, "hold", "release")
		if len(list) != before+1 {
			t.Fatalf("%s: %d entries are new", step.name, len(list)-before)
		}
		last := list[before]
		before++
		got := last.Kind
		if got == "release" {
			got += ": " + last.Why
		}
		if got != step.want {
			t.Fatalf("%s: the ledger has %q, want %q", step.name, got, step.want)
		}
		st, known := s.Standing(ramped)
		if past := pastHolds(t, s, c.now()); !slices.Equal(past, st.Run.Holds) || known && (len(past) == 1) != (got == "hold") {
			t.Errorf("%s: it is held as %v, by the ledger as %v", step.name, st.Run.Holds, past)
		}
		c.advance(time.Minute)
	}
	var told []string
	for _, n := range notices(t, s) {
		if n.Hold != nil {
			told = append(told, n.Kind)
		}
	}
	if got, want := strings.Join(told, " "), strings.TrimSpace(strings.Repeat("hold release ", 7)+"hold"); got != want {
		t.Errorf("told is %s, want %s", got, want)
	}
}

// pastHolds is how the ledger says that the rule was held.
func pastHolds(t *testing.T, s *Store, at time.Time) []Hold {
	t.Helper()
	lines, err := s.Ledger(context.Background(), 1, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var p Past
	for _, line := range lines {
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		p.Add(&e)
	}
	site, err := s.Site(&p.Load)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range p.Rules(site, at) {
		if r.Name == ramped {
			return r.Holds
		}
	}
	return nil
}

// Wherever a crash cuts the log, the run, the ledger and the letters agree.
func TestHoldIsWrittenWithItsEntry(t *testing.T) {
	c := &clock{t: epoch}
	dir, set := t.TempDir(), seeing(t)
	s, _ := openWith(t, dir, set, c)
	reach(t, s, set, c, "a", 20, 0, 0)
	c.advance(7 * day)
	begin := logSize(t, dir)
	tickAll(t, s)
	reach(t, s, set, c, "b", 1, 1, 0)
	end := logSize(t, dir)
	image := t.TempDir()
	if err := os.CopyFS(image, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	left := map[string]bool{}
	for i := range int64(7) {
		s, cut := openCut(t, image, begin+(end-begin)*i/6, c)
		run := runOnDisk(t, s, set)
		list := entries(t, s, "hold", "release")
		if is := len(list) == 1; is != (len(run.Holds) == 1) || is && !run.Holds[0].Since.Equal(list[0].At) {
			t.Errorf("cut %d of 6: it is held as %v, and there are %d entries", i, run.Holds, len(list))
		}
		if n := s.Backlog("notices:slack").Pending; n != len(list) {
			t.Errorf("cut %d of 6: %d letters, and %d entries", i, n, len(list))
		}
		left[fmt.Sprint(len(list))] = true
		closed(t, s)
		s, _ = openWith(t, cut, set, c) // and goes on from there
		tickAll(t, s)
		if got := len(entries(t, s, "hold", "release")); got != max(1, len(list)) {
			t.Errorf("cut %d of 6: a restart makes %d entries of %d", i, got, len(list))
		}
		closed(t, s)
		os.RemoveAll(cut)
	}
	if len(left) != 3 {
		t.Errorf("the cuts leave %v", left)
	}
}

// Where one class of browsers decided, its arms are told, not all.
func TestHoldOfOneBrowser(t *testing.T) {
	tally := outcomes.Tally{Epochs: []outcomes.Epoch{{Treatment: .5}}}
	e := &tally.Epochs[0]
	e.TreatmentArm.Exposed, e.ControlArm.Exposed = 310, 305
	e.ControlArm.Browsers.Firefox = 150
	s := &Standing{Tally: tally, Verdict: outcomes.Verdict{SRM: outcomes.SRM{P: .0001}}}
	for browser, want := range map[rules.Browser]string{
		"":            "310 units in treatment and 305 in control, where 50 % are to be treated (anytime p = 0.0001)",
		rules.Firefox: "0 units with firefox in treatment and 150 in control, where 50 % are to be treated (anytime p = 0.0001)",
	} {
		s.Verdict.SRM.Browser = browser
		if got := sizes(s); got != want {
			t.Errorf("%q: %s", browser, got)
		}
	}
}
