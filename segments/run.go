package segments

// run is a stretch of events, each close enough to the one before. Of a run
// only its first and last event are kept: an event in between changes nothing,
// and one that bridges two runs makes them one. So what depends on the gaps
// between events alone is exact and small, in whatever order they come.
type run struct{ first, last int64 }

// The tags of a run's points.
const (
	single = iota // a run of one moment
	runFirst
	runLast
)

// runs joins points to runs. Two in a row belong to one run if near says so of
// the gap between them.
func runs(points []point, near func(gap int64) bool) []run {
	var list []run
	depth := 0 // how many runs of the states merged cover the place reached
	for _, p := range points {
		n := len(list) - 1
		if n >= 0 && (depth > 0 || near(p.at-list[n].last)) {
			list[n].last = p.at
		} else {
			list = append(list, run{p.at, p.at})
		}
		switch p.tag {
		case runFirst:
			depth++
		case runLast:
			depth = max(0, depth-1)
		}
	}
	return list
}

// points is the inverse of runs. It writes over dst.
func runPoints(dst []point, list []run) []point {
	dst = dst[:0]
	for _, r := range list {
		if r.first == r.last {
			dst = append(dst, point{at: r.first, tag: single})
		} else {
			dst = append(dst, point{at: r.first, tag: runFirst}, point{at: r.last, tag: runLast})
		}
	}
	return dst
}
