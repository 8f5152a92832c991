package segments

import "slices"

// tally counts the events of a window, and different things among them: Did,
// Days and Repeats. It needs no more than the newest events of the window, as
// many as its comparisons can tell apart; without a window, the oldest. For
// "≥ 3 in a week" the last three times say it all: the count is reached while
// the third last is younger than a week.
type tally struct {
	measures []measure
	window   int64 // 0: ever
}

// measure compares the number of different ids among the points. Without id
// every point counts.
type measure struct {
	is Comparison
	id func(point) uint64
	// spare is how many ids are kept beyond those that decide, for some of them
	// may turn out to be one.
	spare int
}

const dayMillis = 24 * 60 * 60 * 1000

// utcDay numbers the days since 1970.
func utcDay(p point) uint64 { return uint64(p.at / dayMillis) }

func visitorOf(p point) uint64 { return p.visitor }

// newTally leaves out what is not asked.
func newTally(window int64, measures ...measure) tally {
	return tally{
		measures: slices.DeleteFunc(measures, func(m measure) bool { return m.is == Comparison{} }),
		window:   window,
	}
}

// keep keeps what nth can ask for, of points of one value.
func (t tally) keep(points []point, now int64) []point {
	wanted := t.wanted()
	if t.window == 0 {
		n := 0
		for _, p := range points {
			if wanted(p) {
				points[n] = p
				n++
			}
		}
		return points[:n]
	}
	n := len(points)
	for i := len(points) - 1; i >= 0 && points[i].at > now-t.window; i-- {
		if wanted(points[i]) {
			n--
			points[n] = points[i]
		}
	}
	return points[n:]
}

// wanted returns a function that is shown one point after the other, the most
// telling first, and says which to keep: the first of each of the first ids
// that a measure asks for.
func (t tally) wanted() func(point) bool {
	shown := 0
	seen := make([][]uint64, len(t.measures))
	return func(p point) bool {
		shown++
		keep := false
		for i, m := range t.measures {
			if m.id == nil {
				keep = keep || shown <= m.is.bound()
			} else if id := m.id(p); len(seen[i]) < m.is.bound()+m.spare && !met(seen[i], id) {
				seen[i] = append(seen[i], id)
				keep = true
			}
		}
		return keep
	}
}

// met looks from the end: days come one after the other.
func met(seen []uint64, id uint64) bool {
	for i := len(seen) - 1; i >= 0; i-- {
		if seen[i] == id {
			return true
		}
	}
	return false
}

// nth returns when the n-th different id appears, counting from the newest
// point, or from the oldest without a window. n is positive.
func (t tally) nth(points []point, id func(point) uint64, n int) (int64, bool) {
	if n > len(points) {
		return 0, false
	}
	near := func(i int) point {
		if t.window == 0 {
			return points[i]
		}
		return points[len(points)-1-i]
	}
	if id == nil {
		return near(n - 1).at, true
	}
	var few [16]uint64
	seen := few[:0]
	for i := range points {
		if v := id(near(i)); !met(seen, v) {
			if seen = append(seen, v); len(seen) == n {
				return near(i).at, true
			}
		}
	}
	return 0, false
}

// holds is when every measure holds of points of one value. It may be empty.
func (t tally) holds(points []point) Interval {
	v := always()
	for _, m := range t.measures {
		v = v.and(t.span(points, m))
	}
	return v
}

// span is when one measure holds. In a window, the count falls below n when
// the n-th newest leaves it; ever, it rises to n with the n-th oldest.
func (t tally) span(points []point, m measure) Interval {
	v := always()
	if m.is.Min > 0 {
		at, ok := t.nth(points, m.id, m.is.Min)
		if !ok {
			return Interval{}
		}
		if t.window == 0 {
			v.From = at
		} else {
			v.From, v.Until = points[len(points)-1].at, at+t.window
		}
	}
	if m.is.Below > 0 {
		if at, ok := t.nth(points, m.id, m.is.Below); ok && t.window == 0 {
			v.Until = at
		} else if ok {
			v.From = max(v.From, at+t.window)
		}
	}
	return v
}
