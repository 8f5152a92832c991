package segments

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Limit compares a number. Make one with ParseLimit.
type Limit struct {
	low, high          float64 // the bounds, infinite if there is none
	overLow, underHigh bool    // the bound itself is out
	asks               bool    // false: the zero Limit
}

// maxLimit bounds the numbers to compare with, so that they are exact.
const maxLimit = 1 << 53

// ParseLimit reads ">= 3.5", "> 3", "= 3", "<= 3", "< 3" or
// "between 2.5 and 5".
func ParseLimit(s string) (Limit, error) {
	l, ok := parseLimit(s)
	if !ok {
		return Limit{}, fmt.Errorf(`%q is not a comparison such as ">= 3.5", "> 3", "= 3", "<= 3", "< 3" or "between 2 and 5"`, s)
	}
	if l.low > l.high {
		return Limit{}, fmt.Errorf("%q is true of no number", s)
	}
	return l, nil
}

func parseLimit(s string) (Limit, bool) {
	l := Limit{low: math.Inf(-1), high: math.Inf(1), asks: true}
	if bounds, ok := strings.CutPrefix(s, "between "); ok {
		lo, hi, _ := strings.Cut(bounds, " and ")
		var ok2 bool
		l.low, ok = parseLimitNumber(lo)
		l.high, ok2 = parseLimitNumber(hi)
		return l, ok && ok2
	}
	number := strings.TrimLeft(s, "<>=")
	n, ok := parseLimitNumber(number)
	switch s[:len(s)-len(number)] {
	case ">=":
		l.low = n
	case ">":
		l.low, l.overLow = n, true
	case "=":
		l.low, l.high = n, n
	case "<=":
		l.high = n
	case "<":
		l.high, l.underHigh = n, true
	default:
		return l, false
	}
	return l, ok
}

func parseLimitNumber(s string) (float64, bool) {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	return f + 0, err == nil && math.Abs(f) <= maxLimit
}

// String returns the canonical form, which ParseLimit reads.
func (l Limit) String() string {
	text := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	switch {
	case l.low == l.high:
		return "= " + text(l.low)
	case math.IsInf(l.high, 1) && l.overLow:
		return "> " + text(l.low)
	case math.IsInf(l.high, 1):
		return ">= " + text(l.low)
	case math.IsInf(l.low, -1) && l.underHigh:
		return "< " + text(l.high)
	case math.IsInf(l.low, -1):
		return "<= " + text(l.high)
	}
	return "between " + text(l.low) + " and " + text(l.high)
}

// The sides of a limit.
const (
	under = iota
	inside
	over
)

// side says on which side of the limit a number is.
func (l Limit) side(v float64) uint8 {
	switch {
	case v < l.low, v == l.low && l.overLow:
		return under
	case v > l.high, v == l.high && l.underHigh:
		return over
	}
	return inside
}

// scaled is the limit of numbers that are counted in millionths.
func (l Limit) scaled() Limit {
	l.low, l.high = millionths(l.low), millionths(l.high)
	return l
}

// millionths rounds a number to whole millionths, which add up exactly in any
// order while their sum is below 2^53.
func millionths(v float64) float64 { return math.Round(v * 1e6) }
