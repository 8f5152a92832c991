package segments

import (
	"cmp"
	"slices"
	"time"
)

// maxRemembered is how many points beyond those that matter from now on are
// kept for a leaf that must be exact for some time back. Of more, so many are
// forgotten that the rest is spread evenly.
const maxRemembered = 256

// remember turns a leaf that is exact from now on into one that is exact since
// lookback milliseconds ago. Its state is another, so its key is too.
//
// At every time since then the leaf held as its points up to that time say.
// So what keep drops as of then may go, and what came later stays.
func remember(l leaf, lookback int64) leaf {
	keep, holds, steady := l.keep, l.holds, l.steady
	l.text += " " + durationText("back", time.Duration(lookback)*time.Millisecond)
	l.keep = func(points []point, now int64) []point {
		if steady {
			return keep(points, now-lookback)
		}
		return keepBack(keep, points, now, now-lookback)
	}
	if !steady {
		l.holds = func(dst []Interval, points []point) []Interval { return appendHistory(dst, points, holds) }
	}
	return l
}

// keepBack keeps what keep does as of the time since, all that came after it up
// to a limit, and whatever matters from now on. It writes over points.
func keepBack(keep func([]point, int64) []point, points []point, now, since int64) []point {
	var old, recent []point
	for _, p := range points {
		if p.at <= since {
			old = append(old, p)
		} else {
			recent = append(recent, p)
		}
	}
	old = keep(old, since)
	if len(recent) > maxRemembered {
		needed := keep(slices.Clone(points), now)
		recent = thin(recent, needed)
	}
	merged := append(append(points[:0], old...), recent...)
	slices.SortFunc(merged, point.compare)
	return merged
}

// thin drops points that are not among the needed until few enough of those
// are left.
func thin(points, needed []point) []point {
	var spare, rest []point
	for _, p := range points {
		if len(needed) > 0 && slices.Contains(needed, p) {
			rest = append(rest, p)
		} else {
			spare = append(spare, p)
		}
	}
	slices.SortFunc(spare, func(a, b point) int { return cmp.Compare(a.at, b.at) })
	for len(spare) > maxRemembered {
		i := leastMissed(spare, Beginning)
		spare = slices.Delete(spare, i, i+1)
	}
	return append(rest, spare...)
}

// appendHistory appends when a leaf held, between each two of its points as the
// earlier ones say.
func appendHistory(dst []Interval, points []point, holds func([]Interval, []point) []Interval) []Interval {
	start := len(dst)
	times := make([]int64, 0, len(points)+1)
	for _, p := range points {
		times = append(times, p.at)
	}
	slices.Sort(times)
	times = append(slices.Compact(times), Forever)
	span := Interval{From: Beginning}
	var past []point
	for _, until := range times {
		past = past[:0]
		for _, p := range points {
			if p.at < until {
				past = append(past, p)
			}
		}
		span.Until = until
		mid := len(dst)
		dst = holds(dst, past)
		kept := mid
		for _, v := range dst[mid:] {
			if v = v.and(span); !v.empty() {
				dst[kept] = v
				kept++
			}
		}
		dst = dst[:kept]
		span.From = until
	}
	return dst[:start+len(coalesce(dst[start:]))]
}
