package segments

import (
	"cmp"
	"slices"
)

// always is when an empty All holds.
func always() Interval { return Interval{Beginning, Forever} }

func (v Interval) empty() bool { return v.From >= v.Until }

// and is the intersection of two intervals; it may be empty.
func (v Interval) and(w Interval) Interval {
	return Interval{max(v.From, w.From), min(v.Until, w.Until)}
}

// coalesce sorts a list in place and joins what overlaps or adjoins.
func coalesce(list []Interval) []Interval {
	slices.SortFunc(list, func(a, b Interval) int { return cmp.Compare(a.From, b.From) })
	n := 0
	for _, v := range list {
		switch {
		case v.empty():
		case n > 0 && v.From <= list[n-1].Until:
			list[n-1].Until = max(list[n-1].Until, v.Until)
		default:
			list[n] = v
			n++
		}
	}
	return list[:n]
}

// appendIntersection appends the intersection of two coalesced lists.
func appendIntersection(dst, a, b []Interval) []Interval {
	for len(a) > 0 && len(b) > 0 {
		if v := a[0].and(b[0]); !v.empty() {
			dst = append(dst, v)
		}
		if a[0].Until < b[0].Until {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return dst
}

// appendComplement appends when none of a coalesced list holds.
func appendComplement(dst, list []Interval) []Interval {
	from := Beginning
	for _, v := range list {
		if from < v.From {
			dst = append(dst, Interval{from, v.From})
		}
		from = max(from, v.Until)
	}
	if from < Forever {
		dst = append(dst, Interval{from, Forever})
	}
	return dst
}

// replace moves the tail of dst that begins at end down to start.
func replace(dst []Interval, start, end int) []Interval {
	return dst[:start+copy(dst[start:], dst[end:])]
}

func appendNonempty(dst []Interval, v Interval) []Interval {
	if v.empty() {
		return dst
	}
	return append(dst, v)
}
