package store

import (
	"fmt"
	"slices"

	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

// keptOf returns the arms that a unit keeps: those that the present group found
// or else those of its record.
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

// keep has a visitor keep the arm of an enrolment that came of another id. Arms
// of rules that are no more are forgotten.
func (w *writer) keep(t *tracked, visitor segments.Unit, n *outcomes.Enrolment) error {
	if n.Mixed {
		return nil
	}
	u, err := w.unit(visitor)
	if err != nil {
		return err
	}
	kept, err := w.keptOf(u)
	if err != nil {
		return err
	}
	live := map[uint64]bool{}
	for _, t := range w.tracked {
		live[t.rule.Key()] = true
	}
	key := t.rule.Key()
	kept = slices.DeleteFunc(slices.Clone(kept), func(k segments.Kept) bool { return k.Rule == key || !live[k.Rule] })
	u.kept, u.dirty = append(kept, segments.Kept{Rule: key, Treated: n.Arm == rules.Treatment}), true
	return nil
}
