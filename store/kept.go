package store

import (
	"fmt"
	"slices"

	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

// keptOf returns the ids by which rules assign a visitor: those that the present
// group found, or else those of the visitor's record.
func (w *writer) keptOf(u *unit) ([]segments.Kept, error) {
	if u.keeps {
		return u.kept, nil
	}
	kept, _, err := parseKept(u.record)
	if err != nil {
		return nil, w.broken(fmt.Errorf("%s %q: %w", u.Who, u.ID, err))
	}
	u.kept, u.keeps = kept, true
	return kept, nil
}

// assignedAs returns the id by which a rule assigns a visitor.
func (w *writer) assignedAs(r *rules.Rule, visitor segments.Unit) (string, error) {
	u, err := w.known(visitor)
	if err != nil {
		return "", err
	}
	kept, err := w.keptOf(u)
	if err != nil {
		return "", err
	}
	if i := slices.IndexFunc(kept, func(k segments.Kept) bool { return k.Rule == r.Key() }); i >= 0 {
		return kept[i].As, nil
	}
	return visitor.ID, nil
}

// keep has a rule assign a visitor by an id from now on. What was kept for rules
// that are no more is forgotten.
func (w *writer) keep(r *rules.Rule, visitor segments.Unit, as string) error {
	if was, err := w.assignedAs(r, visitor); err != nil || was == as {
		return err
	}
	u, err := w.unit(visitor)
	if err != nil {
		return err
	}
	live := map[uint64]bool{}
	for _, t := range w.tracked {
		live[t.rule.Key()] = t.rule != r
	}
	u.kept = slices.DeleteFunc(slices.Clone(u.kept), func(k segments.Kept) bool { return !live[k.Rule] })
	if as != visitor.ID {
		u.kept = append(u.kept, segments.Kept{Rule: r.Key(), As: as})
	}
	u.dirty = true
	return nil
}

// keepFirst is keep, unless the rule assigns the visitor by another id than their
// own already.
func (w *writer) keepFirst(r *rules.Rule, visitor segments.Unit, as string) error {
	if was, err := w.assignedAs(r, visitor); err != nil || was != visitor.ID {
		return err
	}
	return w.keep(r, visitor, as)
}
