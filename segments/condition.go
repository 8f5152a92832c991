package segments

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
)

// Segment is a named condition, true or false for a unit at a time.
type Segment struct {
	Name      string
	Describe  string
	Who       Who
	Condition Condition
}

// Key returns the segment's content key: 64 bits of a SHA-256 over Who and the
// condition's canonical form.
func (s Segment) Key() Key {
	return Key(hash64(string(s.Who) + " " + s.Condition.String()))
}

// Events returns the names of all events that can change the segment's truth,
// sorted. A segment that doesn't compile has none.
func (s Segment) Events() []string {
	p, err := Compile([]Segment{s}, 0)
	if err != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(p.heard[s.Who]))
}

// Names are what a segment asks about, each list sorted.
type Names struct {
	Events  []string `json:"events"`
	Traits  []string `json:"traits"`
	Cohorts []string `json:"cohorts"`
}

// Names returns the names that occur in the segment's condition. A segment
// that doesn't compile has none.
func (s Segment) Names() Names {
	p, err := Compile([]Segment{s}, 0)
	if err != nil {
		return Names{}
	}
	n := Names{Events: slices.Sorted(maps.Keys(p.heard[s.Who])), Cohorts: p.segments[0].cohorts}
	p.segments[0].root.walk(func(n2 *node) { n.Traits = append(n.Traits, n2.traits...) })
	slices.Sort(n.Traits)
	n.Traits = slices.Compact(n.Traits)
	return n
}

// Properties returns, by the name of an event, the properties that the
// segment's condition reads of it, as names or paths, sorted. A segment that
// doesn't compile reads none.
func (s Segment) Properties() map[string][]string {
	p, err := Compile([]Segment{s}, 0)
	if err != nil {
		return nil
	}
	read := map[string][]string{}
	for event, hearings := range p.heard[s.Who] {
		var keys []string
		for _, h := range hearings {
			for _, m := range h.where {
				keys = append(keys, m.Key)
			}
			for _, key := range []string{h.same, h.of} {
				if key != "" {
					keys = append(keys, key)
				}
			}
		}
		slices.Sort(keys)
		read[event] = slices.Compact(keys)
	}
	return read
}

// Without returns the names that are not among those seen. A trait with a dot
// in its name may be a path into another.
func (n Names) Without(seen Names) Names {
	missing := func(list, seen []string, same func(string) string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(name string) bool {
			return slices.Contains(seen, name) || slices.Contains(seen, same(name))
		})
	}
	itself := func(name string) string { return name }
	head := func(name string) string { head, _, _ := strings.Cut(name, "."); return head }
	return Names{
		Events:  missing(n.Events, seen.Events, itself),
		Traits:  missing(n.Traits, seen.Traits, head),
		Cohorts: missing(n.Cohorts, seen.Cohorts, itself),
	}
}

// Condition is a node of the condition language: one of the connectives All,
// Any and Not; Held and Ref; Trait and Cohort; or a condition over events, of
// which each has a file of its own: Did, Without, Sequence, Before, Repeats,
// Days, Stopped, First, Regularly, Resumed, Distinct and Aggregate. A Condition is not changed once it is part of a Segment.
type Condition interface {
	// String returns the canonical form, which reads like a line of a segment
	// file. Two conditions with one canonical form mean the same.
	String() string
	compile(c *compiler) (*node, error)
}

// node is a compiled condition.
type node struct {
	text   string // for people: a connective's word, or a canonical form
	kids   []*node
	leaf   *leaf    // of a condition over events
	traits []string // that it asks for
	// eval appends the intervals of the condition for the state to dst: sorted,
	// disjoint, not adjacent, and exact from the last fold onwards.
	eval func(s *State, dst []Interval) []Interval
}

// compiler collects the leaves of one segment after the other.
type compiler struct {
	who      Who
	late     int64
	lookback int64     // how long before now a condition must still be exact
	own      []LeafKey // of the segment that is being compiled
	cohorts  []string  // that it asks for
	leaves   map[LeafKey]*leaf
	heard    map[Who]map[string][]*hearing
	told     map[Who][]*telling
}

// walk calls f for the node and all below it.
func (n *node) walk(f func(*node)) {
	f(n)
	for _, kid := range n.kids {
		kid.walk(f)
	}
}

func hash64(s string) uint64 {
	sum := sha256.Sum256([]byte(s))
	return binary.BigEndian.Uint64(sum[:8])
}
