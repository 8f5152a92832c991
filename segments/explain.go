package segments

import (
	"cmp"
	"slices"
)

// Line explains one condition of a segment for one unit.
type Line struct {
	Depth     int    // 0: the segment's own condition
	Condition string // "all", "any", "not", or the canonical form
	Holds     []Interval
	// Because are the events that it follows from, as far as the state remembers
	// them, oldest first. Of a trait it is when its value was told.
	Because []Because
}

// Because is something that a condition follows from: an event by its name, or
// a trait.
type Because struct {
	Event string
	Trait string
	At    int64
	More  int // how many further events the state counts as one with it
}

// Explain says of a segment, by name, when each of its conditions holds for
// the unit from now on, if nothing further happens, and why: a condition before
// those that it is made of. It is nil if the program has no such segment.
func (p *Program) Explain(segment string, s *State, now int64) []Line {
	i := slices.IndexFunc(p.segments, func(c compiled) bool { return c.Name == segment })
	if i < 0 {
		return nil
	}
	return p.segments[i].root.explain(nil, s, now, 0)
}

func (n *node) explain(lines []Line, s *State, now int64, depth int) []Line {
	holds := slices.DeleteFunc(n.eval(s, nil), func(v Interval) bool { return v.Until <= now })
	lines = append(lines, Line{depth, n.text, holds, n.because(s)})
	for _, kid := range n.kids {
		lines = kid.explain(lines, s, now, depth+1)
	}
	return lines
}

func (n *node) because(s *State) (list []Because) {
	for _, name := range n.traits {
		if v, at := s.lookupTrait(name); v != nil {
			list = append(list, Because{Trait: name, At: at})
		}
	}
	if n.leaf == nil {
		return list
	}
	for _, p := range s.points(n.leaf.key) {
		for _, h := range n.leaf.hears {
			if len(n.leaf.hears) == 1 || h.tag == p.tag {
				list = append(list, Because{Event: h.event, At: p.at, More: int(p.n)})
				break
			}
		}
	}
	slices.SortStableFunc(list, func(a, b Because) int { return cmp.Compare(a.At, b.At) })
	return list
}
