package segments

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Stopped is true while an event lies in (t − Active, t − Quiet] and none in
// (t − Quiet, t].
type Stopped struct {
	Event         string
	Where         []Match
	Active, Quiet time.Duration
}

func (s Stopped) String() string {
	return clause(nameText("stopped", s.Event), whereText(s.Where), durationText("active", s.Active), durationText("quiet", s.Quiet))
}

func (s Stopped) compile(c *compiler) (*node, error) {
	err := errors.Join(checkEvent(s.Event, s.Where), checkDuration("active", s.Active), checkDuration("quiet", s.Quiet))
	if err == nil && s.Active <= s.Quiet {
		err = fmt.Errorf("active: %v is not longer than quiet, %v", s.Active, s.Quiet)
	}
	if err != nil {
		return nil, err
	}
	active, quiet := s.Active.Milliseconds(), s.Quiet.Milliseconds()
	if c.lookback > 0 {
		return c.leaf(s, s.history(active, quiet))
	}
	last := newTally(active, measure{is: AtLeast(1)})
	return c.leaf(s, leaf{
		hears: []*hearing{{event: s.Event, where: s.Where}},
		keep:  last.keep,
		// The last event decides: while it is too recent there is one in the
		// quiet time, and when it is too long ago there is none in the active.
		holds: func(dst []Interval, points []point) []Interval {
			if len(points) == 0 {
				return dst
			}
			at := points[len(points)-1].at
			return appendNonempty(dst, Interval{at + quiet, at + active})
		},
	})
}

// history is the leaf that holds exactly for some time back: it stops after
// each run, until the next one begins.
func (s Stopped) history(active, quiet int64) leaf {
	near := func(gap int64) bool { return gap <= quiet }
	return leaf{
		hears:  []*hearing{{event: s.Event, where: s.Where}},
		steady: true,
		keep: func(points []point, now int64) []point {
			list := slices.DeleteFunc(runs(points, near), func(r run) bool { return r.last+active <= now })
			return runPoints(points, list)
		},
		holds: func(dst []Interval, points []point) []Interval {
			list := runs(points, near)
			for i, r := range list {
				v := Interval{r.last + quiet, r.last + active}
				if i+1 < len(list) {
					v.Until = min(v.Until, list[i+1].first)
				}
				dst = appendNonempty(dst, v)
			}
			return dst
		},
	}
}
