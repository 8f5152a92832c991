package segments

import (
	"errors"
	"fmt"
	"time"
)

// Resumed is true while some event in (t − InLast, t] came at least Quiet
// after the event before it.
type Resumed struct {
	Event         string
	Where         []Match
	Quiet, InLast time.Duration
}

// maxResumptions is how many times Quiet may go into InLast.
const maxResumptions = 100

func (r Resumed) String() string {
	return clause(nameText("resumed", r.Event), whereText(r.Where), durationText("quiet", r.Quiet), durationText("in_last", r.InLast))
}

func (r Resumed) compile(c *compiler) (*node, error) {
	err := errors.Join(checkEvent(r.Event, r.Where), checkDuration("quiet", r.Quiet), checkDuration("in_last", r.InLast))
	if err == nil && r.InLast/r.Quiet > maxResumptions {
		err = fmt.Errorf("%s is more than %d times %s", durationText("in_last", r.InLast), maxResumptions, durationText("quiet", r.Quiet))
	}
	if err != nil {
		return nil, err
	}
	quiet, window := r.Quiet.Milliseconds(), r.InLast.Milliseconds()
	near := func(gap int64) bool { return gap < quiet }
	return c.leaf(r, leaf{
		hears: []*hearing{{event: r.Event, where: r.Where}},
		// The runs that begin in the window, and the one before.
		steady: true,
		keep: func(points []point, now int64) []point {
			list := runs(points, near)
			for len(list) > 1 && list[1].first+window <= now {
				list = list[1:]
			}
			return runPoints(points, list)
		},
		// Every run but the first ever begins with a resumption.
		holds: func(dst []Interval, points []point) []Interval {
			start := len(dst)
			list := runs(points, near)
			for i := 1; i < len(list); i++ {
				dst = append(dst, Interval{list[i].first, list[i].first + window})
			}
			return dst[:start+len(coalesce(dst[start:]))]
		},
	})
}
