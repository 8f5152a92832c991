package rules

import "github.com/seed14307185/refract/segments"

func readHoldout(v value) (float64, bool) {
	return share(v, func(f float64) bool { return 0 <= f && f <= 0.5 }, "a holdout is at most half of the site")
}

// HeldOut says whether the unit is in the site's holdout: no rule takes it in,
// in either arm. It is a pure function of the unit, by the hash that assigns,
// with a name that no rule can have: so it is independent of every rule, and a
// larger holdout has all of a smaller one.
func (s *Set) HeldOut(unit segments.Unit) bool {
	if s.Edge.Holdout == 0 || unit.ID == "" {
		return false
	}
	at, _ := fractions("", "holdout "+string(unit.Who), unit.ID)
	return at < s.Edge.Holdout
}
