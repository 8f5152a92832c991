package oracle

import (
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/seed14307185/refract/segments"
)

// holdsMore goes on where holds ends.
func (h History) holdsMore(c segments.Condition, who segments.Who, t int64) bool {
	switch c := c.(type) {
	case segments.Sequence:
		for _, last := range h.within(c.Then[len(c.Then)-1], nil, t, c.InLast) {
			for _, first := range h.within(c.Event, c.Where, t, 0) {
				if at(last)-at(first) <= ms(c.Within) && h.steps(c.Then[:len(c.Then)-1], at(first), at(last), t) {
					return true
				}
			}
		}
		return false
	case segments.Distinct:
		values := map[string]bool{}
		for _, e := range h.within(c.Event, c.Where, t, c.InLast) {
			if v := find(e.Properties, c.Of); v != nil {
				values[fmt.Sprintf("%#v", v)] = true
			}
		}
		return compares(c.Is, len(values))
	case segments.Aggregate:
		var values []*big.Rat
		for _, e := range h.within(c.Event, c.Where, t, c.InLast) {
			if v, ok := find(e.Properties, c.Of).(float64); ok {
				values = append(values, exactly(strconv.FormatFloat(v, 'f', -1, 64)))
			}
		}
		if len(values) == 0 {
			return c.Function == segments.Sum && within(c.Is, new(big.Rat))
		}
		v := map[segments.Function]func([]*big.Rat) *big.Rat{
			segments.Sum: sum, segments.Average: average, segments.Minimum: lowest, segments.Maximum: highest,
		}[c.Function](values)
		return within(c.Is, v)
	case segments.Cohort:
		return memberOf(c.Name, t)
	case segments.Ref:
		return h.Holds(c.Condition, who, t)
	case *segments.Ref:
		return h.Holds(c.Condition, who, t)
	case segments.Held:
		if h.held(c, who, t) {
			return true
		}
		// Sticky: it opened at some moment within StickyFor.
		for _, a := range h.changes(c, t) {
			if a > t-ms(c.StickyFor) && a <= t && h.held(c, who, a) && !h.held(c, who, a-1) {
				return true
			}
		}
		return false
	}
	panic(fmt.Sprintf("the oracle knows no %T", c))
}

// steps says whether events of the names follow one another strictly between
// two times, and are known at t.
func (h History) steps(names []string, after, before, t int64) bool {
	if len(names) == 0 {
		return after < before
	}
	for _, e := range h.within(names[0], nil, t, 0) {
		if at(e) > after && at(e) < before && h.steps(names[1:], at(e), before, t) {
			return true
		}
	}
	return false
}

// held says whether the condition has held for StableFor: at t, and at every
// moment of [t − StableFor, t] at which it could have changed.
func (h History) held(c segments.Held, who segments.Who, t int64) bool {
	from := t - ms(c.StableFor)
	if !h.Holds(c.Condition, who, t) || !h.Holds(c.Condition, who, from) {
		return false
	}
	for _, m := range h.changes(c.Condition, t) {
		if m > from && m < t && !h.Holds(c.Condition, who, m) {
			return false
		}
	}
	return true
}

// changes are the moments up to t at which a condition may change.
func (h History) changes(c segments.Condition, t int64) []int64 {
	var list []int64
	for _, d := range append(spans(c), 0) {
		for _, e := range h {
			for _, m := range []int64{at(e) + ms(d) - 1, at(e) + ms(d), at(e) + ms(d) + 1} {
				if m <= t {
					list = append(list, m)
				}
			}
		}
	}
	for _, edge := range memberEdges {
		for _, d := range append(spans(c), 0) {
			if m := edge + ms(d); m <= t {
				list = append(list, m)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func sum(values []*big.Rat) *big.Rat {
	total := new(big.Rat)
	for _, v := range values {
		total.Add(total, v)
	}
	return total
}

func average(values []*big.Rat) *big.Rat {
	return new(big.Rat).Quo(sum(values), big.NewRat(int64(len(values)), 1))
}

func lowest(values []*big.Rat) *big.Rat {
	low := values[0]
	for _, v := range values {
		if v.Cmp(low) < 0 {
			low = v
		}
	}
	return low
}

func highest(values []*big.Rat) *big.Rat {
	high := values[0]
	for _, v := range values {
		if v.Cmp(high) > 0 {
			high = v
		}
	}
	return high
}

func exactly(decimal string) *big.Rat {
	r, ok := new(big.Rat).SetString(decimal)
	if !ok {
		panic(decimal)
	}
	return r
}

// within reads a limit from its text.
func within(l segments.Limit, v *big.Rat) bool {
	if bounds, ok := strings.CutPrefix(l.String(), "between "); ok {
		lo, hi, _ := strings.Cut(bounds, " and ")
		return v.Cmp(exactly(lo)) >= 0 && v.Cmp(exactly(hi)) <= 0
	}
	op, number, _ := strings.Cut(l.String(), " ")
	n := v.Cmp(exactly(number))
	return map[string]bool{">": n > 0, ">=": n >= 0, "=": n == 0, "<=": n <= 0, "<": n < 0}[op]
}

// Everybody is a member of cohort m during one span, and nobody of another.
var memberEdges = []int64{memberFrom, memberUntil}

const (
	memberFrom  = 1_700_006_400_000
	memberUntil = memberFrom + 20_000
)

func memberOf(name string, t int64) bool { return name == "m" && t >= memberFrom && t < memberUntil }

// Cohorts are the memberships that the oracle takes every unit to have.
func Cohorts(name string) segments.Interval {
	if name != "m" {
		return segments.Interval{}
	}
	return segments.Interval{From: memberFrom, Until: memberUntil}
}
