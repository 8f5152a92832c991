package segments

import "errors"

// Before is true from the first Event on, if that came strictly before the
// first Before, or Before never came. In one millisecond, Before came first.
type Before struct {
	Event  string
	Where  []Match
	Before string
}

func (b Before) String() string {
	return clause(nameText("did", b.Event), whereText(b.Where), nameText("before", b.Before))
}

func (b Before) compile(c *compiler) (*node, error) {
	if err := errors.Join(checkEvent(b.Event, b.Where), checkEvent(b.Before, nil)); err != nil {
		return nil, err
	}
	const event, rival = 0, 1
	return c.leaf(b, leaf{
		hears: []*hearing{
			{event: b.Event, where: b.Where, tag: event},
			{event: b.Before, tag: rival},
		},
		steady: true,
		// The first of each, whichever it is.
		keep: func(points []point, _ int64) []point {
			var met [2]bool
			kept := points[:0]
			for _, p := range points {
				if kind := p.tag & 1; !met[kind] {
					met[kind] = true
					kept = append(kept, p)
				}
			}
			return kept
		},
		holds: func(dst []Interval, points []point) []Interval {
			switch {
			case len(points) == 0 || points[0].tag == rival:
				return dst
			case len(points) > 1 && points[1].at == points[0].at:
				return dst
			}
			return append(dst, Interval{points[0].at, Forever})
		},
	})
}
