package simulate

import (
	"math"

	"github.com/seed14307185/refract/segments"
)

// unit is one visitor or account while its pile is folded.
type unit struct {
	id     uint64
	into   *unit // the unit that this one was merged into, or nil
	state  segments.State
	known  bool // it has a decision record: there was an event of it
	joined bool // it got memberships from another unit
	dirty  *part
	at     int64 // when dirty was folded
	next   int64 // when the next interval opens or closes
	inside int   // how many segments hold
	tracks []tracked
	met    []uint32 // pairs of segments that held at one time
	waits  []wait
	told   uint64 // of a visitor: the account that was last told of them
}

// tracked is a unit's membership in one segment.
type tracked struct {
	open        []segments.Interval // of the record: the present one first, if it is in
	in          bool
	since       int64 // when it entered
	last        int64 // when it last entered or left
	changed     bool  // it has entered or left before
	ever, flips bool
}

// wait is a unit that reached a rule's surface, and what came of it.
type wait struct {
	rule              int
	visitor           uint64 // of an account's unit, whose test is of visitors; else 0
	at                int64
	converted, harmed bool
}

// folder folds units of one kind, and counts what becomes of them. Not safe
// for concurrent use.
type folder struct {
	plan  *plan
	who   segments.Who
	whole *part
	of    []int // the segments of this kind
	count *tallies
}

// advance brings a unit's membership up to a time: what it is just before it.
func (f *folder) advance(u *unit, to int64) {
	if u.dirty != nil && u.at < to {
		f.settle(u)
	}
	if u.known && u.next < to {
		f.pass(u, to-1)
	}
}

// settle evaluates a unit after all that happened at u.at.
func (f *folder) settle(u *unit) {
	p, now := u.dirty, u.at
	u.dirty = nil
	if !u.known {
		u.known, p = true, f.whole
		u.tracks = make([]tracked, len(f.plan.list))
		u.next = math.MaxInt64
	}
	for _, i := range p.of {
		u.tracks[i].open = u.tracks[i].open[:0]
	}
	record := p.program.Record(f.who, &u.state, now)
	for _, o := range record.Open {
		for _, i := range f.plan.index[o.Segment] {
			t := &u.tracks[i]
			t.open = append(t.open, o.Interval)
		}
	}
	for _, i := range p.of {
		if t := &u.tracks[i]; t.in && (len(t.open) == 0 || t.open[0].From > now) {
			f.leave(u, i, now)
		}
	}
	f.pass(u, now)
	if u.joined {
		u.joined = false
		for _, i := range f.of {
			f.meetAll(u, i)
		}
	}
}

// pass lets time go by until a moment, that included.
func (f *folder) pass(u *unit, until int64) {
	for {
		// The next to change; of two at one time, the one that leaves.
		next, who, leaves := int64(math.MaxInt64), -1, false
		for _, i := range f.of {
			t := &u.tracks[i]
			switch {
			case t.in:
				if at := t.open[0].Until; at < next || at == next && !leaves {
					next, who, leaves = at, i, true
				}
			case len(t.open) > 0:
				if at := t.open[0].From; at < next {
					next, who, leaves = at, i, false
				}
			}
		}
		if who < 0 || next > until {
			u.next = next
			return
		}
		if leaves {
			u.tracks[who].open = u.tracks[who].open[1:]
			f.leave(u, who, next)
			continue
		}
		// An interval may have begun before the unit was known, or before two
		// units were one.
		f.enter(u, who, max(next, u.at))
	}
}

func (f *folder) enter(u *unit, segment int, at int64) {
	t := &u.tracks[segment]
	c := &f.count.segments[segment]
	if !t.ever {
		t.ever = true
		c.ever++
	}
	f.change(t, c, at)
	t.in, t.since = true, at
	u.inside++
	c.entries[f.count.day(at)]++
	f.meetAll(u, segment)
}

// meetAll counts a segment, if it holds, with the others that hold.
func (f *folder) meetAll(u *unit, segment int) {
	if u.inside < 2 || !u.tracks[segment].in {
		return
	}
	for _, i := range f.of {
		if i != segment && u.tracks[i].in {
			f.meet(u, segment, i)
		}
	}
}

// meet counts a pair of segments that hold at one time, once for each unit.
func (f *folder) meet(u *unit, a, b int) {
	pair := uint32(min(a, b))<<16 | uint32(max(a, b))
	for _, p := range u.met {
		if p == pair {
			return
		}
	}
	u.met = append(u.met, pair)
	f.count.overlap[pair]++
}

func (f *folder) leave(u *unit, segment int, at int64) {
	t := &u.tracks[segment]
	c := &f.count.segments[segment]
	f.change(t, c, at)
	t.in = false
	u.inside--
	c.exits[f.count.day(at)]++
	c.stays.add(at-t.since, true)
}

// change notes that a membership changed, and whether less than a day after it
// changed before.
func (f *folder) change(t *tracked, c *segmentTally, at int64) {
	if t.changed && at-t.last < day && !t.flips {
		t.flips = true
		c.flippers++
	}
	t.changed, t.last = true, at
}

// merge makes other one with u, at a time to which both were brought.
func (f *folder) merge(u, other *unit, at int64) {
	f.plan.full.Merge(&u.state, &other.state, at)
	other.into = u
	u.waits = mergeWaits(u.waits, other.waits)
	other.waits = nil
	for _, pair := range other.met {
		f.count.overlap[pair]--
	}
	if other.known && !u.known {
		u.known, u.tracks, u.next, u.inside = true, other.tracks, other.next, other.inside
	} else if other.known {
		f.mergeTracks(u, other, at)
	}
	for _, pair := range other.met {
		f.meet(u, int(pair>>16), int(pair&0xffff))
	}
	if u.known || u.dirty != nil || other.dirty != nil {
		u.dirty, u.at = f.whole, at
	}
	other.tracks, other.state, other.met, other.dirty = nil, segments.State{}, nil, nil
}

func (f *folder) mergeTracks(u, other *unit, at int64) {
	for _, i := range f.of {
		t, o := &u.tracks[i], &other.tracks[i]
		c := &f.count.segments[i]
		if t.ever && o.ever {
			c.ever--
		}
		if t.flips && o.flips {
			c.flippers--
		}
		if t.in && o.in {
			c.merged[f.count.day(at)]++
		}
		if o.changed && (!t.changed || o.last > t.last) {
			t.last = o.last
		}
		if o.in && (!t.in || o.since < t.since) {
			t.since = o.since
		}
		if o.in && !t.in {
			t.in, t.open = true, o.open
			u.inside++
			u.joined = true
		}
		t.ever, t.flips, t.changed = t.ever || o.ever, t.flips || o.flips, t.changed || o.changed
	}
	u.next = math.MinInt64 // to be found anew
}

// mergeWaits keeps, of what both have, the first.
func mergeWaits(a, b []wait) []wait {
next:
	for _, w := range b {
		for i := range a {
			if a[i].rule == w.rule && a[i].visitor == w.visitor {
				if w.at < a[i].at {
					a[i] = w
				}
				continue next
			}
		}
		a = append(a, w)
	}
	return a
}
