package segments_test

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/segments"
	"github.com/seed14307185/refract/segments/oracle"
)

var (
	seed  = flag.Uint64("seed", 0, "first case of TestAgainstOracle; 0: by the clock")
	cases = flag.Int("cases", 10_000, "how many cases TestAgainstOracle generates")
)

// The engine's records agree with the oracle at every time that could matter,
// whatever the segments, the events and the order of their arrival.
func TestAgainstOracle(t *testing.T) {
	first := *seed
	if first == 0 {
		first = uint64(time.Now().UnixNano())
	}
	t.Logf("%d cases from -seed %d", *cases, first)
	checked := 0
	for i := range uint64(*cases) {
		c := newTrial(first + i)
		if err := c.run(); err != nil {
			t.Fatalf("%v\nagain: -run TestAgainstOracle -cases 1 -seed %d\n%v", err, first+i, c)
		}
		checked += c.checked
	}
	t.Logf("%d comparisons", checked)
}

// trial is one generated case: a program, and events of two units of which the
// second may turn out to be the first.
type trial struct {
	oracle.Generator
	segments []segments.Segment
	program  *segments.Program
	parts    []*segments.Program // folded one after the other, instead of program
	late     time.Duration
	now      time.Time
	states   [2]*segments.State
	history  [2]oracle.History
	merged   bool
	checked  int
	log      []string
}

func newTrial(seed uint64) *trial {
	c := &trial{Generator: oracle.Generator{Rand: rand.New(rand.NewPCG(seed, 0)), Cohorts: true}}
	c.Who = []segments.Who{segments.Visitor, segments.Account}[c.IntN(2)]
	c.Unit = []time.Duration{2 * time.Millisecond, time.Second, 6 * time.Hour}[c.IntN(3)]
	c.late = time.Duration(c.IntN(6)) * c.Unit
	// Shortly before midnight, so that days change.
	c.now = time.UnixMilli(1_700_006_400_000).UTC().Add(-3 * c.Unit)
	for i := range 1 + c.IntN(2) {
		c.segments = append(c.segments, segments.Segment{Name: fmt.Sprint("s", i), Who: c.Who, Condition: c.Condition(2)})
	}
	c.states = [2]*segments.State{{}, {}}
	return c
}

func (c *trial) String() string {
	var b strings.Builder
	for _, s := range c.segments {
		fmt.Fprintf(&b, "%s %s %v\n", s.Name, s.Who, s.Condition)
	}
	fmt.Fprintf(&b, "late %v\n%s\n", c.late, strings.Join(c.log, "\n"))
	return b.String()
}

func (c *trial) note(format string, args ...any) { c.log = append(c.log, fmt.Sprintf(format, args...)) }

func (c *trial) run() (err error) {
	if c.program, err = segments.Compile(c.segments, c.late); err != nil {
		return err
	}
	c.parts = []*segments.Program{c.program}
	if leaves := c.program.Leaves(); c.IntN(4) == 0 && len(leaves) > 0 {
		n := c.IntN(len(leaves))
		c.parts = []*segments.Program{c.program.Only(leaves[:n]), c.program.Only(leaves[n:])}
	}
	n := 1 + c.IntN(14)
	for i := range n {
		c.now = c.now.Add(time.Duration(c.IntN(3))*c.Unit + time.Duration(c.IntN(3))*time.Millisecond)
		if err := c.arrive(c.Event(c.now, c.late)); err != nil {
			return err
		}
		if c.IntN(8) == 0 && !c.merged {
			c.merged = true
			c.note("merge")
			c.program.Merge(c.states[0], c.states[1], c.now.UnixMilli())
			c.history[0] = append(c.history[0], c.history[1]...)
		}
		if i == n-1 || c.IntN(3) == 0 {
			if err := c.check(); err != nil {
				return err
			}
		}
	}
	return nil
}

// arrive folds an event into one of the units.
func (c *trial) arrive(e *events.Event) error {
	u := c.IntN(2)
	if c.merged {
		u = 0
	}
	c.history[u] = append(c.history[u], e)
	s := c.states[u]
	before := c.program.AppendState(nil, s)
	changed := false
	for _, p := range c.parts {
		changed = p.Fold(c.Who, s, e) || changed
	}
	after := c.program.AppendState(nil, s)
	c.note("%d <- %s %s at %d received %d by %s of %q %v %v", u, e.Kind, e.Name, e.Time.UnixMilli(), e.Received.UnixMilli(), e.Visitor, e.Account, e.Properties, e.Traits)
	if changed == bytes.Equal(before, after) {
		return fmt.Errorf("Fold says changed %v of %x and %x", changed, before, after)
	}
	if c.IntN(3) == 0 {
		s, err := segments.DecodeState(after)
		if err != nil {
			return err
		}
		if again := c.program.AppendState(nil, s); !bytes.Equal(again, after) {
			return fmt.Errorf("%x is decoded and encoded to %x", after, again)
		}
		c.states[u] = s
	}
	return nil
}

func (c *trial) check() error {
	now := c.now.UnixMilli()
	if c.IntN(3) == 0 {
		now += int64(c.IntN(4)) * c.Unit.Milliseconds()
	}
	for u, s := range c.states {
		if u == 1 && c.merged {
			break
		}
		r := c.program.Record(c.Who, s, now)
		s.Cohorts = oracle.Cohorts
		r.Open = append(r.Open, c.program.Synced(c.Who, s, now)...)
		slices.SortStableFunc(r.Open, func(a, b segments.Open) int { return cmp.Compare(a.Segment, b.Segment) })
		if err := wellFormed(r, now); err != nil {
			return fmt.Errorf("unit %d at %d: %w: %v", u, now, err, r)
		}
		if want := c.history[u].Account(); c.Who == segments.Visitor && r.Account != want {
			return fmt.Errorf("unit %d is of account %q, want %q", u, r.Account, want)
		}
		for _, seg := range c.segments {
			key := seg.Key()
			for _, at := range oracle.Moments(seg.Condition, c.history[u], now) {
				c.checked++
				got, want := r.Holds(key, at), c.history[u].Holds(seg.Condition, c.Who, at)
				if got != want {
					return fmt.Errorf("unit %d, recorded at %d: %s holds at %d (now + %d): %v, want %v: %v", u, now, seg.Name, at, at-now, got, want, r.Open)
				}
			}
		}
	}
	return nil
}

func wellFormed(r segments.Record, now int64) error {
	for i, o := range r.Open {
		if o.From >= o.Until || o.Until <= now {
			return fmt.Errorf("%v is empty or over", o)
		}
		if i == 0 {
			continue
		}
		p := r.Open[i-1]
		if p.Segment > o.Segment || p.Segment == o.Segment && p.Until >= o.From {
			return fmt.Errorf("%v comes after %v", o, p)
		}
	}
	return nil
}
