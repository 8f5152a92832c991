package segments

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Function says what an Aggregate computes.
type Function string

// The functions.
const (
	Sum     Function = "sum"
	Average Function = "average"
	Minimum Function = "minimum"
	Maximum Function = "maximum"
)

// Aggregate is true while a function of the numeric property Of, over the
// events of the window, compares with Is. Events whose property is no number
// don't count. The sum of no events is 0; they have no average, minimum and
// maximum, and compare with nothing.
//
// Sum and Average count in millionths, exactly while the sum is below 9·10^9.
type Aggregate struct {
	Function Function
	Event    string
	Where    []Match
	Of       string // a name or path, as in Match
	Is       Limit
	InLast   time.Duration // 0: ever
}

func (a Aggregate) String() string {
	return clause(nameText(string(a.Function), a.Event), whereText(a.Where), nameText("of", a.Of), nameText("is", a.Is.String()), durationText("in_last", a.InLast))
}

func (a Aggregate) compile(c *compiler) (*node, error) {
	err := errors.Join(checkEvent(a.Event, a.Where), checkWindow("in_last", a.InLast), checkOf(a.Of))
	if err == nil && !a.Is.asks {
		err = errors.New("is: compare with what?")
	}
	if err != nil {
		return nil, err
	}
	switch a.Function {
	case Sum, Average:
		return c.leaf(a, a.total())
	case Minimum, Maximum:
		return c.leaf(a, a.extremum())
	}
	return nil, fmt.Errorf("no function %q", a.Function)
}

// extremum is the leaf of Minimum and Maximum: true while an event is inside
// the limit and none beyond it. Of each the newest says it; without a window,
// the first.
func (a Aggregate) extremum() leaf {
	window := a.InLast.Milliseconds()
	beyond := uint8(under)
	if a.Function == Maximum {
		beyond = over
	}
	return leaf{
		hears: []*hearing{{event: a.Event, where: a.Where, of: a.Of, see: func(v any, p *point) bool {
			f, ok := v.(float64)
			p.tag = a.Is.side(f)
			return ok && (p.tag == inside || p.tag == beyond)
		}}},
		steady: window == 0,
		keep: func(points []point, now int64) []point {
			var met [3]bool
			if window == 0 {
				return slices.DeleteFunc(points, func(p point) bool {
					was := met[p.tag]
					met[p.tag] = true
					return was
				})
			}
			n := len(points)
			for i := n - 1; i >= 0 && points[i].at > now-window; i-- {
				if !met[points[i].tag] {
					met[points[i].tag] = true
					n--
					points[n] = points[i]
				}
			}
			return points[n:]
		},
		holds: func(dst []Interval, points []point) []Interval {
			in, out := int64(-1), int64(-1)
			for _, p := range points {
				switch {
				case p.tag == inside && (in < 0 || window > 0):
					in = p.at
				case p.tag == beyond && (out < 0 || window > 0):
					out = p.at
				}
			}
			switch {
			case in < 0:
				return dst
			case window > 0 && out < 0:
				return appendNonempty(dst, Interval{in, in + window})
			case window > 0:
				return appendNonempty(dst, Interval{max(in, out+window), in + window})
			case out < 0:
				return append(dst, Interval{in, Forever})
			}
			return appendNonempty(dst, Interval{in, out})
		},
	}
}

// maxSummed is how many events of a window are told apart. Of more, those that
// come within a thousandth of the window are one from then on.
const maxSummed = 1024

// total is the leaf of Sum and Average. The field visitor of a point is its
// amount.
func (a Aggregate) total() leaf {
	window, is := a.InLast.Milliseconds(), a.Is.scaled()
	return leaf{
		hears: []*hearing{{event: a.Event, where: a.Where, of: a.Of, see: func(v any, p *point) bool {
			f, ok := v.(float64)
			p.visitor = math.Float64bits(millionths(f) + 0)
			return ok
		}}},
		keep: func(points []point, now int64) []point {
			if window == 0 {
				return addUp(points, Forever)
			}
			n := 0
			for n < len(points) && points[n].at <= now-window {
				n++
			}
			if points = points[n:]; len(points) > maxSummed {
				points = addUp(points, max(1, window/maxSummed))
			}
			return points
		},
		holds: func(dst []Interval, points []point) []Interval {
			from := Beginning
			if len(points) > 0 {
				from = points[len(points)-1].at
			}
			t := totalOf(points)
			start := len(dst)
			for {
				v := Interval{from, Forever}
				if len(points) > 0 && window > 0 {
					v.Until = points[0].at + window
				}
				if a.compares(is, t) {
					dst = appendNonempty(dst, v)
				}
				if len(points) == 0 || window == 0 {
					return dst[:start+len(coalesce(dst[start:]))]
				}
				first := totalOf(points[:1])
				t.sum, t.n = t.sum-first.sum, t.n-first.n
				from, points = max(from, v.Until), points[1:]
			}
		},
	}
}

// total is a sum in millionths, and of how many events.
type total struct {
	sum float64
	n   int
}

func totalOf(points []point) (t total) {
	for _, p := range points {
		t.sum += math.Float64frombits(p.visitor)
		t.n += 1 + int(p.n)
	}
	return t
}

func (a Aggregate) compares(is Limit, t total) bool {
	switch {
	case a.Function == Sum:
		return is.side(t.sum) == inside
	case t.n == 0:
		return false
	}
	return is.side(t.sum/float64(t.n)) == inside
}

// addUp makes one point, at the time of the last, of those in one stretch of
// time. It writes over points.
func addUp(points []point, stretch int64) []point {
	kept := points[:0]
	for _, p := range points {
		last := len(kept) - 1
		if last < 0 || kept[last].at/stretch != p.at/stretch {
			kept = append(kept, p)
			continue
		}
		sum := math.Float64frombits(kept[last].visitor) + math.Float64frombits(p.visitor)
		n := uint64(kept[last].n) + uint64(p.n) + 1
		kept[last] = point{at: p.at, visitor: math.Float64bits(sum + 0), n: uint32(min(n, math.MaxUint32))}
	}
	return kept
}
