package segments

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/seed14307185/refract/events"
)

// Trait is true while the latest value of each trait matches.
type Trait struct{ Match []Match }

func (t Trait) String() string { return "{trait: " + matchesText(t.Match) + "}" }

func (t Trait) compile(c *compiler) (*node, error) {
	if len(t.Match) == 0 {
		return nil, errors.New("trait: which one?")
	}
	if err := checkMatches(t.Match); err != nil {
		return nil, err
	}
	var names []string
	for _, m := range t.Match {
		names = append(names, m.Key)
	}
	if c.lookback > 0 {
		n, err := t.compileHistory(c)
		if err == nil {
			n.traits = names
		}
		return n, err
	}
	eval := func(s *State, dst []Interval) []Interval {
		from := Beginning
		for _, m := range t.Match {
			v, at := s.lookupTrait(m.Key)
			if !m.Test.Holds(v) {
				return dst
			}
			from = max(from, at)
		}
		return append(dst, Interval{from, Forever})
	}
	return &node{text: t.String(), traits: names, eval: eval}, nil
}

// A state keeps every trait, whether a segment asks for it or not, so that a
// new segment need not wait for it to be told again. It keeps this many,
// ignoring further ones; a value whose JSON is longer counts as null.
const (
	maxTraits     = 64
	maxTraitName  = 128 // bytes
	maxTraitValue = 256 // bytes
)

// trait is the latest value of one trait. A null is kept too: it outlives an
// older value that comes late.
type trait struct {
	name  string
	at    int64
	value string // JSON
}

// Traits returns the unit's traits as they are now. The map is the caller's.
func (s *State) Traits() events.Properties {
	all := make(events.Properties, len(s.traits))
	for _, t := range s.traits {
		if v := decodeValue(t.value); v != nil {
			all[t.name] = v
		}
	}
	return all
}

// lookupTrait returns a trait by its name or else by its path, and when it
// was set.
func (s *State) lookupTrait(key string) (v any, at int64) {
	if i, ok := s.findTrait(key); ok {
		at = s.traits[i].at
		if v = decodeValue(s.traits[i].value); v != nil {
			return v, at
		}
	}
	head, rest, ok := strings.Cut(key, ".")
	if !ok {
		return nil, at
	}
	i, ok := s.findTrait(head)
	if !ok {
		return nil, at
	}
	inner, _ := decodeValue(s.traits[i].value).(map[string]any)
	return lookup(inner, rest), max(at, s.traits[i].at)
}

func (s *State) findTrait(name string) (int, bool) {
	return slices.BinarySearchFunc(s.traits, name, func(t trait, name string) int { return cmp.Compare(t.name, name) })
}

func (s *State) foldTraits(traits events.Properties, at int64) (changed bool) {
	for name, v := range traits {
		changed = s.setTrait(trait{name, at, traitValue(v)}) || changed
	}
	return changed
}

func traitValue(v any) string {
	if value := encodeValue(v); len(value) <= maxTraitValue {
		return value
	}
	return "null"
}

// setTrait sets a trait unless what is known is later. Of two values of one
// millisecond the greater text stays, so that no order of arrival matters.
func (s *State) setTrait(t trait) bool {
	i, ok := s.findTrait(t.name)
	if !ok {
		if len(s.traits) >= maxTraits || len(t.name) > maxTraitName {
			return false
		}
		s.traits = slices.Insert(s.traits, i, t)
		return true
	}
	if cmp.Or(cmp.Compare(t.at, s.traits[i].at), cmp.Compare(t.value, s.traits[i].value)) <= 0 {
		return false
	}
	s.traits[i] = t
	return true
}

// encodeValue writes a JSON value such that equal values are equal texts.
func encodeValue(v any) string {
	switch v := v.(type) {
	case string:
		if isPlain(v) {
			return `"` + v + `"`
		}
	case float64:
		if v == 0 {
			return "0" // negative zero too
		}
	}
	b, err := json.Marshal(v)
	if err != nil {
		return "null"
	}
	return string(b)
}

// isPlain says whether a string is its own JSON, between quotes.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func decodeValue(s string) any {
	if n := len(s); n >= 2 && s[0] == '"' && isPlain(s[1:n-1]) {
		return s[1 : n-1]
	}
	var v any
	if json.Unmarshal([]byte(s), &v) != nil {
		return nil
	}
	return v
}
