package segments

import (
	"errors"
	"fmt"
	"time"
)

// Repeats is true while, among the events of the window, the number that share
// one value of the property Same compares with Times.
type Repeats struct {
	Event    string
	Where    []Match
	Same     string        // a name or path, as in Match; events without it don't count
	Times    Comparison    // AtLeast only
	InLast   time.Duration // 0: ever
	Visitors Comparison    // different visitors among the events that share the value
}

// A unit's state remembers this many different values, and points of them all.
// Beyond that, the value is forgotten that was not seen for the longest time.
const (
	maxValues = 256
	maxPoints = 2048
)

func (r Repeats) String() string {
	return clause(nameText("repeats", r.Event), whereText(r.Where), nameText("same", r.Same), comparisonText("times", r.Times), durationText("in_last", r.InLast), comparisonText("visitors", r.Visitors))
}

func (r Repeats) compile(c *compiler) (*node, error) {
	err := errors.Join(checkEvent(r.Event, r.Where), checkComparison("times", r.Times, maxCompared), checkWindow("in_last", r.InLast), c.checkVisitors(r.Visitors))
	if err == nil && r.Same == "" {
		err = errors.New("same: which property?")
	}
	if err == nil && (r.Times.Below != 0 || r.Times.Min == 0) {
		err = fmt.Errorf("times: %q is not of the form \">= 3\"", r.Times)
	}
	if err != nil {
		return nil, err
	}
	t := newTally(r.InLast.Milliseconds(), measure{is: r.Times}, measure{r.Visitors, visitorOf, spareVisitors})
	return c.leaf(r, leaf{
		hears:  []*hearing{{event: r.Event, where: r.Where, same: r.Same, visitors: r.Visitors != Comparison{}}},
		steady: t.window == 0,
		keep:   func(points []point, now int64) []point { return keepValues(t, points, now) },
		holds: func(dst []Interval, points []point) []Interval {
			start := len(dst)
			for len(points) > 0 {
				n := sameValue(points)
				dst = appendNonempty(dst, t.holds(points[:n]))
				points = points[n:]
			}
			return dst[:start+len(coalesce(dst[start:]))]
		},
	})
}

// sameValue is the length of the group that a sorted list begins with.
func sameValue(points []point) int {
	n := 1
	for n < len(points) && points[n].value == points[0].value {
		n++
	}
	return n
}

func keepValues(t tally, points []point, now int64) []point {
	kept, values := points[:0], 0
	for len(points) > 0 {
		n := sameValue(points)
		group := t.keep(points[:n], now)
		if len(group) > 0 {
			values++
		}
		kept = append(kept, group...)
		points = points[n:]
	}
	for ; values > maxValues || values > 1 && len(kept) > maxPoints; values-- {
		kept = forgetStalest(kept)
	}
	return kept
}

// forgetStalest removes the value whose last point is the oldest.
func forgetStalest(points []point) []point {
	var from, to int
	last := Forever
	for i := 0; i < len(points); {
		n := sameValue(points[i:])
		if at := points[i+n-1].at; at < last {
			from, to, last = i, i+n, at
		}
		i += n
	}
	return append(points[:from], points[to:]...)
}
