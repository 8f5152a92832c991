package segments

import (
	"errors"
	"fmt"
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
