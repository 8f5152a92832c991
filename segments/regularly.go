package segments

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Regularly is true while at least On of the Of periods (t − Every, t],
// (t − 2·Every, t − Every], … have an event.
type Regularly struct {
	Event  string
	Where  []Match
	On, Of int
	Every  time.Duration
}

// maxPeriods is the largest Of.
const maxPeriods = 60

func (r Regularly) String() string {
	return clause(nameText("regularly", r.Event), whereText(r.Where), fmt.Sprintf("on: %d", r.On), fmt.Sprintf("of: %d", r.Of), durationText("every", r.Every))
}

func (r Regularly) compile(c *compiler) (*node, error) {
	err := errors.Join(checkEvent(r.Event, r.Where), checkDuration("every", r.Every))
	if err == nil && (r.On < 1 || r.On > r.Of || r.Of > maxPeriods) {
		err = fmt.Errorf("on %d of %d: the first must be at least 1, the second at least that and at most %d", r.On, r.Of, maxPeriods)
	}
	if err != nil {
		return nil, err
	}
	every, of := r.Every.Milliseconds(), int64(r.Of)
	near := func(gap int64) bool { return gap <= every }
	return c.leaf(r, leaf{
		hears:  []*hearing{{event: r.Event, where: r.Where}},
		steady: true,
		keep: func(points []point, now int64) []point {
			list := runs(points, near)
			list = slices.DeleteFunc(list, func(r run) bool { return r.last+of*every <= now })
			return runPoints(points, list)
		},
		holds: func(dst []Interval, points []point) []Interval {
			return appendRegular(dst, runs(points, near), r.On, of, every)
		},
	})
}

// appendRegular appends when at least on of the periods have an event. An
// event is in the i-th period from i to i + 1 periods after it. Since the gaps
// of a run are at most a period, a run is in the i-th without a break, from
// i periods after its first to i + 1 after its last, and never two runs at a
// time.
func appendRegular(dst []Interval, list []run, on int, of, every int64) []Interval {
	type step struct {
		at    int64
		delta int
	}
	var steps []step
	for _, r := range list {
		for i := range of {
			steps = append(steps, step{r.first + i*every, 1}, step{r.last + (i+1)*every, -1})
		}
	}
	slices.SortFunc(steps, func(a, b step) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(b.delta, a.delta)) })
	count := 0
	for _, s := range steps {
		count += s.delta
		switch {
		case s.delta > 0 && count == on:
			dst = append(dst, Interval{s.at, Forever})
		case s.delta < 0 && count == on-1:
			if open := &dst[len(dst)-1]; open.From < s.at {
				open.Until = s.at
			} else {
				dst = dst[:len(dst)-1]
			}
		}
	}
	return dst
}
