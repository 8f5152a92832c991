package planner

import "sync"

// How much the app keeps. Beyond it the oldest goes.
const (
	maxItems   = 20_000 // on one shelf
	maxPerTeam = 40
)

// shelf keeps what teams made: numbered, by team, the oldest dropped when
// there is too much. It is safe for concurrent use. An item's slices must be
// replaced, never written to, since copies of the item share them.
type shelf[T any] struct {
	mu     sync.Mutex // guards all below
	next   int        // the number that the next item gets
	oldest int        // no item has a smaller number
	items  map[int]placed[T]
	teams  map[string][]int // the numbers of a team's items, ascending
}

type placed[T any] struct {
	team string
	item T
}

func newShelf[T any]() *shelf[T] {
	return &shelf[T]{next: 1, oldest: 1, items: map[int]placed[T]{}, teams: map[string][]int{}}
}

// add puts the item that fresh makes of its number on the shelf. It reports
// false if the team has as many as it may.
func (s *shelf[T]) add(team string, fresh func(id int) T) (id int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.teams[team]) >= maxPerTeam {
		return 0, false
	}
	id = s.next
	s.next++
	s.items[id] = placed[T]{team, fresh(id)}
	s.teams[team] = append(s.teams[team], id)
	if len(s.items) > maxItems {
		s.dropOldest()
	}
	return id, true
}

// dropOldest removes the item with the smallest number, which is also the
// first of its team. s.mu is held.
func (s *shelf[T]) dropOldest() {
	team := s.items[s.oldest].team
	delete(s.items, s.oldest)
	s.oldest++
	if rest := s.teams[team][1:]; len(rest) > 0 {
		s.teams[team] = rest
		return
	}
	delete(s.teams, team)
}

// get returns the team's item of that number.
func (s *shelf[T]) get(team string, id int) (T, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.items[id]
	if !ok || p.team != team {
		var none T
		return none, false
	}
	return p.item, true
}

// change replaces the team's item of that number by what edit makes of it.
func (s *shelf[T]) change(team string, id int, edit func(T) T) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.items[id]
	if !ok || p.team != team {
		return false
	}
	p.item = edit(p.item)
	s.items[id] = p
	return true
}

// list returns the team's items, the oldest first.
func (s *shelf[T]) list(team string) []T {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []T
	for _, id := range s.teams[team] {
		all = append(all, s.items[id].item)
	}
	return all
}
