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
	visitor uint64 // hash of whose event it was, or what else the leaf tells points apart by
	n       uint32 // of how many further events it is the sum
	tag     uint8  // what it means to the leaf
}

func (p point) compare(q point) int {
	return cmp.Or(cmp.Compare(p.value, q.value), cmp.Compare(p.at, q.at), cmp.Compare(p.tag, q.tag), cmp.Compare(p.visitor, q.visitor), cmp.Compare(p.n, q.n))
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
	// steady says that what keep leaves as of an earlier time is enough for the
	// leaf to hold exactly since then, not only from now on: see remember.
	steady bool
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
	// of is a property that see writes into the point. An event without it, or
	// of which see says no, is not heard.
	of   string
	see  func(v any, p *point) bool
	leaf *leaf
}

// leaf adds the leaf of that canonical form, unless there is one already.
func (c *compiler) leaf(cond Condition, l leaf) (*node, error) {
	text := cond.String()
	l.text = text
	if c.lookback > 0 {
		l = remember(l, c.lookback)
	}
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
	return &node{text: text, leaf: kept, eval: eval}, nil
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
	if h.of != "" {
		if v := lookup(e.Properties, h.of); v == nil || !h.see(v, &p) {
			return false
		}
	}
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
	return h.leaf.add(s, p, now)
}

// add adds a point to the leaf's state and says whether that changed it.
func (l *leaf) add(s *State, p point, now int64) bool {
	old := s.points(l.key)
	i, _ := slices.BinarySearchFunc(old, p, point.compare)
	points := make([]point, 0, len(old)+1)
	points = append(append(append(points, old[:i]...), p), old[i:]...)
	points = l.keep(points, now)
	if slices.Equal(old, points) {
		return false
	}
	s.setPoints(l.key, points)
	return true
}

// union merges the points of two states of one leaf.
func union(a, b []point) []point {
	points := slices.Concat(a, b)
	slices.SortFunc(points, point.compare)
	return points
}
