package segments

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/seed14307185/refract/events"
)

// LeafKey names a condition over events by the content of its canonical form.
// Segments that share a condition share its state.
type LeafKey uint64

// point is what a leaf remembers of one event. The state of every leaf is a
// sorted list of points, so that one codec and one merge serve them all; the
// fields that a leaf has no use for are zero.
type point struct {
	at      int64  // when it happened
	value   uint64 // hash of the property that the leaf groups by
	visitor uint64 // hash of whose event it was
	tag     uint8  // what it means to the leaf
}

func (p point) compare(q point) int {
	return cmp.Or(cmp.Compare(p.value, q.value), cmp.Compare(p.at, q.at), cmp.Compare(p.tag, q.tag), cmp.Compare(p.visitor, q.visitor))
}

// leaf is a compiled condition over events: what it hears, what it keeps, and
// when it holds. Its state is any superset of what keep would keep of all its
// points since ever, so keep may run as often or as rarely as it suits.
type leaf struct {
	key   LeafKey
	text  string
	hears []*hearing
	// keep drops, in place, the points that can make no difference from now
	// on, whatever event comes after. What is dropped of a list must be droppable
	// of every longer one: then folding in any order and merging two states give
	// what one sorted list would.
	keep func(points []point, now int64) []point
	// holds appends the intervals that follow from the points: sorted, disjoint,
	// not adjacent, and exact from the last point's time onwards.
	holds func(dst []Interval, points []point) []Interval
}

// hearing turns the events of one name into points of a leaf.
type hearing struct {
	event    string
	where    []Match
	tag      uint8
	same     string // the property that the point's value is of; an event without it is not heard
	visitors bool   // the point says whose event it was
	leaf     *leaf
}

// leaf adds the leaf of that canonical form, unless there is one already.
func (c *compiler) leaf(cond Condition, l leaf) (*node, error) {
	l.text = cond.String()
	l.key = LeafKey(hash64(l.text))
	c.own = append(c.own, l.key)
	if twin := c.leaves[l.key]; twin != nil && twin.text != l.text {
		return nil, fmt.Errorf("%s and %s share a key", twin.text, l.text)
	} else if twin == nil {
		c.leaves[l.key] = &l
	}
	kept := c.leaves[l.key]
	c.hear(kept)
	eval := func(s *State, dst []Interval) []Interval { return kept.holds(dst, s.points(kept.key)) }
	return &node{text: l.text, eval: eval}, nil
}

// hear has the leaf listen to the events of the kind of unit compiled for.
func (c *compiler) hear(l *leaf) {
	heard := c.heard[c.who]
	for _, h := range l.hears {
		h.leaf = l
		if !slices.Contains(heard[h.event], h) {
			heard[h.event] = append(heard[h.event], h)
		}
	}
}

// fold adds the event's point to the leaf's state and says whether that
// changed it.
func (h *hearing) fold(s *State, e *events.Event, at, now int64) bool {
	for _, m := range h.where {
		if !m.Holds(e.Properties) {
			return false
		}
	}
	p := point{at: at, tag: h.tag}
	if h.same != "" {
		v := lookup(e.Properties, h.same)
		if v == nil {
			return false
		}
		p.value = xxhash.Sum64String(encodeValue(v))
	}
	if h.visitors {
		p.visitor = xxhash.Sum64String(e.Visitor)
	}
	old := s.points(h.leaf.key)
	i, _ := slices.BinarySearchFunc(old, p, point.compare)
	points := make([]point, 0, len(old)+1)
	points = append(append(append(points, old[:i]...), p), old[i:]...)
	points = h.leaf.keep(points, now)
	if slices.Equal(old, points) {
		return false
	}
	s.setPoints(h.leaf.key, points)
	return true
}

// union merges the points of two states of one leaf.
func union(a, b []point) []point {
	points := slices.Concat(a, b)
	slices.SortFunc(points, point.compare)
	return points
}
