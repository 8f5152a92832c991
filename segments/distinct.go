package segments

import (
	"errors"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Distinct is true while the number of different values of the property Of,
// among the events of the window, compares with Is. Events without the
// property don't count.
type Distinct struct {
	Event  string
	Where  []Match
	Of     string // a name or path, as in Match
	Is     Comparison
	InLast time.Duration // 0: ever
}

// maxDistinct is the largest number of different values to compare with.
const maxDistinct = 256

func (d Distinct) String() string {
	return clause(nameText("distinct", d.Event), whereText(d.Where), nameText("of", d.Of), comparisonText("is", d.Is), durationText("in_last", d.InLast))
}

func (d Distinct) compile(c *compiler) (*node, error) {
	err := errors.Join(checkEvent(d.Event, d.Where), checkComparison("is", d.Is, maxDistinct), checkWindow("in_last", d.InLast), checkOf(d.Of))
	if err != nil {
		return nil, err
	}
	t := newTally(d.InLast.Milliseconds(), measure{is: d.Is, id: visitorOf})
	return c.leaf(d, leaf{
		hears: []*hearing{{event: d.Event, where: d.Where, of: d.Of, see: func(v any, p *point) bool {
			p.visitor = xxhash.Sum64String(encodeValue(v))
			return true
		}}},
		steady: t.window == 0,
		keep:   t.keep,
		holds: func(dst []Interval, points []point) []Interval {
			return appendNonempty(dst, t.holds(points))
		},
	})
}

func checkOf(property string) error {
	if property == "" {
		return errors.New("of: which property?")
	}
	return nil
}
