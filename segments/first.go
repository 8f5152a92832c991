package segments

import (
	"errors"
	"time"
)

// First is true while the first event ever lies in (t − InLast, t].
type First struct {
	Event  string
	Where  []Match
	InLast time.Duration
}

func (f First) String() string {
	return clause(nameText("first", f.Event), whereText(f.Where), durationText("in_last", f.InLast))
}

func (f First) compile(c *compiler) (*node, error) {
	if err := errors.Join(checkEvent(f.Event, f.Where), checkDuration("in_last", f.InLast)); err != nil {
		return nil, err
	}
	window := f.InLast.Milliseconds()
	first := newTally(0, measure{is: AtLeast(1)})
	return c.leaf(f, leaf{
		hears:  []*hearing{{event: f.Event, where: f.Where}},
		steady: true,
		keep:   first.keep,
		holds: func(dst []Interval, points []point) []Interval {
			if len(points) == 0 {
				return dst
			}
			return appendNonempty(dst, Interval{points[0].at, points[0].at + window})
		},
	})
}
