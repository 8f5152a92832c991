package oracle

import (
	"slices"
	"strings"
	"time"

	"github.com/seed14307185/refract/segments"
)

// Moments are the times from now on at which the truth of a condition could
// change, the millisecond before, and the one after.
func Moments(c segments.Condition, h History, now int64) []int64 {
	list := []int64{now, now + 1, segments.Forever - 1}
	for _, d := range append(spans(c), 0) {
		for _, e := range h {
			for _, t := range []int64{at(e) + ms(d) - 1, at(e) + ms(d), at(e) + ms(d) + 1} {
				if t >= now {
					list = append(list, t)
				}
			}
		}
	}
	for _, edge := range memberEdges {
		for _, d := range append(spans(c), 0) {
			if t := edge + ms(d); t > now && asks(c) {
				list = append(list, t-1, t)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// asks says whether a condition asks for a cohort.
func asks(c segments.Condition) bool { return strings.Contains(c.String(), "{cohort: ") }

// spans are the durations after an event at which it may matter.
func spans(c segments.Condition) []time.Duration {
	list := spansOf(c)
	slices.Sort(list)
	return slices.Compact(list)
}

func spansOf(c segments.Condition) (list []time.Duration) {
	switch c := c.(type) {
	case segments.All:
		for _, kid := range c {
			list = append(list, spans(kid)...)
		}
	case segments.Any:
		for _, kid := range c {
			list = append(list, spans(kid)...)
		}
	case segments.Not:
		return spans(c.Condition)
	case segments.Did:
		return []time.Duration{c.InLast}
	case segments.Without:
		return []time.Duration{c.Within}
	case segments.Repeats:
		return []time.Duration{c.InLast}
	case segments.Days:
		return []time.Duration{c.InLast}
	case segments.Stopped:
		return []time.Duration{c.Active, c.Quiet}
	case segments.First:
		return []time.Duration{c.InLast}
	case segments.Regularly:
		for i := range c.Of + 1 {
			list = append(list, time.Duration(i)*c.Every)
		}
	case segments.Resumed:
		return []time.Duration{c.Quiet, c.InLast}
	case segments.Sequence:
		return []time.Duration{c.Within, c.InLast}
	case segments.Distinct:
		return []time.Duration{c.InLast}
	case segments.Aggregate:
		return []time.Duration{c.InLast}
	case segments.Ref:
		return spans(c.Condition)
	case segments.Held:
		for _, d := range append(spans(c.Condition), 0) {
			list = append(list, d, d+c.StableFor, d+c.StickyFor, d+c.StableFor+c.StickyFor)
		}
	}
	return list
}
