package store

import (
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/segments"
)

// maxNames bounds how many names are remembered.
const maxNames = 10_000

// The kinds of name.
const (
	eventName = 'e'
	traitName = 't'
)

// noteNames remembers the names that an event brings up for the first time.
func (w *writer) noteNames(e *events.Event) error {
	if e.Kind == events.Track {
		return w.noteName(eventName, e.Name)
	}
	for name := range e.Traits {
		if err := w.noteName(traitName, name); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) noteName(kind byte, name string) error {
	key := string(kind) + name
	if w.names[key] || len(w.names) >= maxNames {
		return nil
	}
	w.names[key] = true
	return w.g.batch.Set(append([]byte{keyName}, key...), nil, nil)
}

func (s *Store) loadNames() (map[string]bool, error) {
	names := map[string]bool{}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{keyName}, UpperBound: after(keyName)})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		names[string(it.Key()[1:])] = true
	}
	return names, it.Error()
}

// Seen returns the names of events, traits and cohorts that the store was told
// of, at most 10 000 of the first two.
func (s *Store) Seen() (segments.Names, error) {
	var seen segments.Names
	if err := s.readable(); err != nil {
		return seen, err
	}
	names, err := s.loadNames()
	if err != nil {
		return seen, err
	}
	for name := range names {
		if name[0] == eventName {
			seen.Events = append(seen.Events, name[1:])
		} else {
			seen.Traits = append(seen.Traits, name[1:])
		}
	}
	slices.Sort(seen.Events)
	slices.Sort(seen.Traits)
	seen.Cohorts = slices.Sorted(maps.Keys(*s.cohorts.Load()))
	return seen, nil
}
