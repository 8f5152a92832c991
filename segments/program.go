package segments

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/seed14307185/refract/events"
)

// Program is a compiled list of segments. It is immutable and safe for
// concurrent use.
type Program struct {
	segments []compiled // by key
	leaves   map[LeafKey]*leaf
	heard    map[Who]map[string][]*hearing // by the event's name
	told     map[Who][]*telling
}

type compiled struct {
	Segment
	key     Key
	root    *node
	leaves  []LeafKey
	cohorts []string // sorted
}

// Compile compiles the segments. late is how late an event may arrive
// (events.late). A leaf condition that several segments share is folded once.
// The error names the segment and the condition.
func Compile(list []Segment, late time.Duration) (*Program, error) {
	c := compiler{
		late:   late.Milliseconds(),
		leaves: map[LeafKey]*leaf{},
		heard:  map[Who]map[string][]*hearing{Visitor: {}, Account: {}},
		told:   map[Who][]*telling{},
	}
	p := &Program{leaves: c.leaves, heard: c.heard, told: c.told}
	for _, s := range list {
		if s.Who != Visitor && s.Who != Account {
			return nil, fmt.Errorf("segment %s: who is %q, neither a visitor nor an account", s.Name, s.Who)
		}
		if s.Condition == nil {
			return nil, fmt.Errorf("segment %s: %w", s.Name, errMissing)
		}
		c.who, c.own, c.cohorts = s.Who, nil, nil
		root, err := s.Condition.compile(&c)
		if err != nil {
			return nil, fmt.Errorf("segment %s: %w", s.Name, err)
		}
		p.segments = append(p.segments, compiled{s, s.Key(), root, c.own, sortedSet(c.cohorts)})
	}
	slices.SortStableFunc(p.segments, func(a, b compiled) int { return cmp.Compare(a.key, b.key) })
	return p, nil
}

func sortedSet(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

var errMissing = errors.New("a condition is missing")

// Leaves returns the keys of all conditions over events, sorted.
func (p *Program) Leaves() []LeafKey { return slices.Sorted(maps.Keys(p.leaves)) }

// Only returns the program without the conditions that are not listed: they
// are not folded, and a segment that needs one of them has no record. By it, a
// new condition is folded from the log alone while the others go on, and the
// states are the same as if one program had folded both. (Traits and accounts
// may be folded twice.)
func (p *Program) Only(keys []LeafKey) *Program {
	only := &Program{leaves: map[LeafKey]*leaf{}, heard: map[Who]map[string][]*hearing{Visitor: {}, Account: {}}, told: map[Who][]*telling{}}
	for _, key := range keys {
		if l := p.leaves[key]; l != nil {
			only.leaves[key] = l
		}
	}
	for who, heard := range p.heard {
		for name, list := range heard {
			list = slices.DeleteFunc(slices.Clone(list), func(h *hearing) bool { return only.leaves[h.leaf.key] == nil })
			if len(list) > 0 {
				only.heard[who][name] = list
			}
		}
	}
	for who, told := range p.told {
		only.told[who] = slices.DeleteFunc(slices.Clone(told), func(t *telling) bool { return only.leaves[t.leaf.key] == nil })
	}
	for _, s := range p.segments {
		if !slices.ContainsFunc(s.leaves, func(key LeafKey) bool { return only.leaves[key] == nil }) {
			only.segments = append(only.segments, s)
		}
	}
	return only
}

// Forget drops what the state holds for conditions that the program does not
// have. What would be folded anew from the log must be forgotten first.
func (p *Program) Forget(s *State) {
	s.leaves = slices.DeleteFunc(s.leaves, func(l leafState) bool { return p.leaves[l.key] == nil })
}

// Listens says whether a track event of this name can change what the state of
// such a unit holds for a condition: where it can't, Fold need not be called.
// But a visitor's event that tells an account changes the state nevertheless.
func (p *Program) Listens(who Who, name string) bool { return len(p.heard[who][name]) > 0 }

// Fold applies one event to a unit's state. Events may be folded in any order
// within the program's lateness; each must be folded once. The event's
// Received is the present: the state forgets what can't matter from then on.
// It reports whether the state changed.
//
// To a visitor, an identify event tells traits, and any event that has one an
// account. To an account, the events of all its visitors count, and a group
// event tells traits.
func (p *Program) Fold(who Who, s *State, e *events.Event) (changed bool) {
	at, now := e.Time.UnixMilli(), e.Received.UnixMilli()
	if who == Visitor && e.Account != "" {
		changed = s.join(e.Account, at)
	}
	switch e.Kind {
	case events.Track:
		for _, h := range p.heard[who][e.Name] {
			changed = h.fold(s, e, at, now) || changed
		}
	case events.Identify:
		if who == Visitor {
			changed = p.foldTraits(who, s, e, at, now) || changed
		}
	case events.Group:
		if who == Account {
			changed = p.foldTraits(who, s, e, at, now) || changed
		}
	}
	return changed
}

func (p *Program) foldTraits(who Who, s *State, e *events.Event, at, now int64) bool {
	changed := s.foldTraits(e.Traits, at)
	for _, t := range p.told[who] {
		changed = t.fold(s, e.Traits, at, now) || changed
	}
	return changed
}

// Merge folds the state of a unit that turned out to be the same person into
// s, as if every event of either had been folded into s. other is not changed,
// but must not be folded into any more.
func (p *Program) Merge(s, other *State, now int64) {
	if other.Account != "" {
		s.join(other.Account, other.accountAt)
	}
	for _, t := range other.traits {
		s.setTrait(t)
	}
	for _, l := range other.leaves {
		points := union(s.points(l.key), l.points)
		if leaf := p.leaves[l.key]; leaf != nil {
			points = leaf.keep(points, now)
		}
		s.setPoints(l.key, points)
	}
}

// Rename makes what an account's state holds of one visitor another's, who
// turned out to be the same person. It reports whether the state changed.
func (p *Program) Rename(s *State, from, to string) (changed bool) {
	was, is := xxhash.Sum64String(from), xxhash.Sum64String(to)
	for i, l := range s.leaves {
		if leaf := p.leaves[l.key]; leaf == nil || len(leaf.hears) == 0 || !leaf.hears[0].visitors {
			continue
		}
		points := slices.Clone(l.points)
		for j := range points {
			if points[j].visitor == was {
				points[j].visitor = is
			}
		}
		if slices.Equal(points, l.points) {
			continue
		}
		slices.SortFunc(points, point.compare)
		s.leaves[i].points, changed = points, true
	}
	return changed
}

// Record evaluates every segment of that kind of unit: when it holds, from now
// on, if nothing further happens. Intervals that ended by now are left out.
// now is not before the last fold. Segments that ask for cohorts are left out,
// for memberships change without an event: see Synced.
func (p *Program) Record(who Who, s *State, now int64) Record {
	return Record{Account: s.Account, Open: p.open(who, s, now, false)}
}

// Synced is Record for the segments that ask for cohorts, of which s.Cohorts
// says what the unit is a member of.
func (p *Program) Synced(who Who, s *State, now int64) []Open {
	return p.open(who, s, now, true)
}

// Cohorts returns the names of the cohorts that segments of that kind of unit
// ask for, sorted.
func (p *Program) Cohorts(who Who) []string {
	var all []string
	for _, c := range p.segments {
		if c.Who == who {
			all = append(all, c.cohorts...)
		}
	}
	return sortedSet(all)
}

func (p *Program) open(who Who, s *State, now int64, synced bool) []Open {
	var list []Open
	scratch := make([]Interval, 0, 16)
	for i, c := range p.segments {
		if c.Who != who || len(c.cohorts) > 0 != synced || i > 0 && p.segments[i-1].key == c.key {
			continue
		}
		scratch = c.root.eval(s, scratch[:0])
		for _, v := range scratch {
			if v.Until > now {
				list = append(list, Open{c.key, v})
			}
		}
	}
	return list
}
