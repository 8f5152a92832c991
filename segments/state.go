package segments

import (
	"cmp"
	"slices"
)

// State is what is remembered of one unit: its traits, its account, and a
// bounded state for each condition over events, keyed by the condition's
// content. The zero State is that of a unit of which nothing is known. Not
// safe for concurrent use.
//
// It carries along what it holds for conditions that a program does not know,
// through every method but Forget: so a program may be folded into it that
// knows only some of them.
type State struct {
	// Account is the account that a visitor was last seen in, or empty. It is
	// changed by Fold and Merge alone.
	Account   string
	accountAt int64
	// Cohorts says when the unit is a member of a cohort; an empty interval is
	// never. Nil: of none. It is the caller's, and no part of an encoding.
	Cohorts func(name string) Interval
	traits  []trait     // by name
	leaves  []leafState // by key
}

// leafState is the state of one leaf. The points are never changed in place:
// states may share them.
type leafState struct {
	key    LeafKey
	points []point // sorted; at least one
}

func (s *State) findLeaf(key LeafKey) (int, bool) {
	return slices.BinarySearchFunc(s.leaves, key, func(l leafState, key LeafKey) int { return cmp.Compare(l.key, key) })
}

func (s *State) points(key LeafKey) []point {
	if i, ok := s.findLeaf(key); ok {
		return s.leaves[i].points
	}
	return nil
}

func (s *State) setPoints(key LeafKey, points []point) {
	i, ok := s.findLeaf(key)
	switch {
	case len(points) == 0 && ok:
		s.leaves = slices.Delete(s.leaves, i, i+1)
	case len(points) == 0:
	case ok:
		s.leaves[i].points = points
	default:
		s.leaves = slices.Insert(s.leaves, i, leafState{key, points})
	}
}

// join sets the visitor's account unless what is known is later. Of two
// accounts of one millisecond the greater id stays.
func (s *State) join(account string, at int64) bool {
	if s.Account != "" && cmp.Or(cmp.Compare(at, s.accountAt), cmp.Compare(account, s.Account)) <= 0 {
		return false
	}
	s.Account, s.accountAt = account, at
	return true
}
