package segments

import "slices"

// Line explains one condition of a segment for one unit.
type Line struct {
	Depth     int    // 0: the segment's own condition
	Condition string // "all", "any", "not", or the canonical form
	Holds     []Interval
}

// Explain says of a segment, by name, when each of its conditions holds for
// the unit from now on, if nothing further happens: a condition before those
// that it is made of. It is nil if the program has no such segment.
func (p *Program) Explain(segment string, s *State, now int64) []Line {
	i := slices.IndexFunc(p.segments, func(c compiled) bool { return c.Name == segment })
	if i < 0 {
		return nil
	}
	return p.segments[i].root.explain(nil, s, now, 0)
}

func (n *node) explain(lines []Line, s *State, now int64, depth int) []Line {
	holds := slices.DeleteFunc(n.eval(s, nil), func(v Interval) bool { return v.Until <= now })
	lines = append(lines, Line{depth, n.text, holds})
	for _, kid := range n.kids {
		lines = kid.explain(lines, s, now, depth+1)
	}
	return lines
}
