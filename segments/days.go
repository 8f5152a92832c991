package segments

import (
	"errors"
	"time"
)

// Days is true while the number of different UTC days with an event in the
// window compares with Is. A day is in the window as long as its last event.
type Days struct {
	Event  string
	Where  []Match
	Is     Comparison
	InLast time.Duration // 0: ever
}

// maxDays is the largest number of days to compare with.
const maxDays = 366

func (d Days) String() string {
	return clause(nameText("days", d.Event), whereText(d.Where), comparisonText("is", d.Is), durationText("in_last", d.InLast))
}

func (d Days) compile(c *compiler) (*node, error) {
	err := errors.Join(checkEvent(d.Event, d.Where), checkComparison("is", d.Is, maxDays), checkWindow("in_last", d.InLast))
	if err != nil {
		return nil, err
	}
	t := newTally(d.InLast.Milliseconds(), measure{is: d.Is, id: utcDay})
	return c.leaf(d, leaf{
		hears:  []*hearing{{event: d.Event, where: d.Where}},
		steady: t.window == 0,
		keep:   t.keep,
		holds: func(dst []Interval, points []point) []Interval {
			return appendNonempty(dst, t.holds(points))
		},
	})
}
