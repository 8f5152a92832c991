package segments

import (
	"errors"
	"fmt"
	"time"
)

// Did is true while the number of events in (t − InLast, t] compares with
// Times. "did_not" is a Did whose Times is Exactly(0).
type Did struct {
	Event  string
	Where  []Match
	Times  Comparison    // the zero value means at least once
	InLast time.Duration // 0: ever
	// Visitors compares the number of different visitors among the events
	// counted; the zero value asks nothing. For account segments only.
	Visitors Comparison
}

// maxVisitors is the largest number of different visitors to compare with.
const maxVisitors = 100

// spareVisitors is how many sign-ins among the visitors that decide may join
// two of them without a third being missed.
const spareVisitors = 8

func (d Did) String() string {
	event, times := nameText("did", d.Event), comparisonText("times", d.Times)
	switch d.Times {
	case AtLeast(1):
		times = ""
	case Exactly(0):
		event, times = nameText("did_not", d.Event), ""
	}
	return clause(event, whereText(d.Where), times, durationText("in_last", d.InLast), comparisonText("visitors", d.Visitors))
}

func (d Did) compile(c *compiler) (*node, error) {
	times := d.Times
	if times == (Comparison{}) {
		times = AtLeast(1)
	}
	err := errors.Join(checkEvent(d.Event, d.Where), checkComparison("times", times, maxCompared), checkWindow("in_last", d.InLast), c.checkVisitors(d.Visitors))
	if err != nil {
		return nil, err
	}
	t := newTally(d.InLast.Milliseconds(), measure{is: times}, measure{d.Visitors, visitorOf, spareVisitors})
	return c.leaf(d, leaf{
		hears:  []*hearing{{event: d.Event, where: d.Where, visitors: d.Visitors != Comparison{}}},
		steady: t.window == 0,
		keep:   t.keep,
		holds: func(dst []Interval, points []point) []Interval {
			return appendNonempty(dst, t.holds(points))
		},
	})
}

func checkComparison(key string, c Comparison, limit int) error {
	if err := c.check(limit); err != nil {
		return fmt.Errorf("%s: %q %w", key, c, err)
	}
	return nil
}

// checkVisitors checks a comparison of visitors that may be left out.
func (c *compiler) checkVisitors(v Comparison) error {
	if v == (Comparison{}) {
		return nil
	}
	if c.who != Account {
		return errors.New("visitors: only the segment of an account has several")
	}
	return checkComparison("visitors", v, maxVisitors)
}
