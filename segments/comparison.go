package segments

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Comparison compares a count: Min ≤ count < Below. A Below of 0 is no upper
// bound, so the zero value asks nothing; a field that reads it otherwise says
// so. Make one with AtLeast, AtMost, Exactly, Between or ParseComparison.
type Comparison struct{ Min, Below int }

// AtLeast is "count ≥ n".
func AtLeast(n int) Comparison { return Comparison{Min: n} }

// AtMost is "count ≤ n".
func AtMost(n int) Comparison { return Comparison{Below: n + 1} }

// Exactly is "count = n".
func Exactly(n int) Comparison { return Comparison{Min: n, Below: n + 1} }

// Between is "lo ≤ count ≤ hi".
func Between(lo, hi int) Comparison { return Comparison{Min: lo, Below: hi + 1} }

// maxCompared is the largest number that a count is compared with. It bounds
// how many times a state holds.
const maxCompared = 1000

// ParseComparison reads ">= 3", "> 3", "= 3", "<= 3", "< 3" or
// "between 2 and 5". It refuses what is true of every count or of none.
func ParseComparison(s string) (Comparison, error) {
	c, ok := parseComparison(s)
	if !ok {
		return Comparison{}, fmt.Errorf(`%q is not a comparison such as ">= 3", "> 3", "= 3", "<= 3", "< 3" or "between 2 and 5"`, s)
	}
	if err := c.check(maxCompared); err != nil {
		return Comparison{}, fmt.Errorf("%q %w", s, err)
	}
	return c, nil
}

func parseComparison(s string) (Comparison, bool) {
	if bounds, ok := strings.CutPrefix(s, "between "); ok {
		lo, hi, _ := strings.Cut(bounds, " and ")
		a, ok := parseCount(lo)
		b, ok2 := parseCount(hi)
		return Between(a, b), ok && ok2
	}
	number := strings.TrimLeft(s, "<>=")
	n, ok := parseCount(number)
	if !ok {
		return Comparison{}, false
	}
	switch s[:len(s)-len(number)] {
	case ">=":
		return AtLeast(n), true
	case ">":
		return AtLeast(n + 1), true
	case "=":
		return Exactly(n), true
	case "<=":
		return AtMost(n), true
	case "<":
		return Between(min(0, n-1), n-1), true // "< 0" is true of no count
	}
	return Comparison{}, false
}

func parseCount(s string) (int, bool) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 31)
	return int(n), err == nil
}

// check says what is wrong with a comparison of a count that is asked for.
func (c Comparison) check(limit int) error {
	switch {
	case c == Comparison{}:
		return errors.New("is true of every count")
	case c.Min < 0, c.Below < 0, c.Below != 0 && c.Below <= c.Min:
		return errors.New("is true of no count")
	case max(c.Min, c.Below-1) > limit:
		return fmt.Errorf("compares with more than %d", limit)
	}
	return nil
}

// bound is how many of a thing must be known to decide.
func (c Comparison) bound() int { return max(c.Min, c.Below) }

// String returns the canonical form, which ParseComparison reads, or the empty
// string for the zero value.
func (c Comparison) String() string {
	switch {
	case c == Comparison{}:
		return ""
	case c.Below == 0:
		return fmt.Sprintf(">= %d", c.Min)
	case c.Below == c.Min+1:
		return fmt.Sprintf("= %d", c.Min)
	case c.Min == 0:
		return fmt.Sprintf("<= %d", c.Below-1)
	}
	return fmt.Sprintf("between %d and %d", c.Min, c.Below-1)
}
