package store

import (
	"log/slog"
	"sync/atomic"
	"testing"
	"time"
)

// While a rule is switched off its ramp doesn't go on, and the time of its step
// begins anew afterwards: also where the switch was turned while nothing ran.
func TestRampOfWhatIsOff(t *testing.T) {
	c := &clock{t: epoch}
	dir, set := t.TempDir(), ramping(t)
	var off atomic.Bool
	open := func() *Store {
		s, err := Open(Options{Dir: dir, Log: slog.New(slog.DiscardHandler), Now: c.now, Reserve: 1,
			Off: func(rule string) bool { return rule == ramped && off.Load() }})
		if err != nil {
			t.Fatal(err)
		}
		use(t, s, set)
		return s
	}
	s := open()
	is := func(step int, since time.Time, when string) {
		t.Helper()
		if st := stageOf(t, s); st.Step != step || !st.Since.Equal(since) {
			t.Fatalf("%s it is at step %d since %v", when, st.Step, st.Since)
		}
	}
	reach(t, s, set, c, "a", 240, 24, 120)
	is(1, epoch, "at first")
	off.Store(true)
	tickAll(t, s)
	is(1, time.Time{}, "off")
	c.advance(8 * day)
	tickAll(t, s)
	is(1, time.Time{}, "after its time, but off,")
	closed(t, s)

	s = open()
	is(1, time.Time{}, "off, after a restart,")
	off.Store(false)
	tickAll(t, s)
	on := c.now()
	is(1, on, "on again")
	reach(t, s, set, c, "b", 1, 0, 0)
	c.advance(7*day - time.Hour - time.Second)
	tickAll(t, s)
	is(1, on, "before its time")
	c.advance(2 * time.Second)
	tickAll(t, s)
	is(2, c.now(), "after its time")

	// off: true in refract.yaml is the same.
	without := *set
	without.Edge.Off = true
	use(t, s, &without)
	is(2, time.Time{}, "off by the file")
	c.advance(day)
	use(t, s, set)
	is(2, c.now(), "on again by the file")
	closed(t, s)
}
