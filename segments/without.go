package segments

import (
	"errors"
	"time"
)

// Without is true once some Event is at least Within ago and no Without has
// come since: it opens at the first Event strictly after the last Without,
// plus Within. A Without in the same millisecond as an Event came after it.
type Without struct {
	Event   string
	Where   []Match
	Without string
	Within  time.Duration
}

func (w Without) String() string {
	return clause(nameText("did", w.Event), whereText(w.Where), nameText("without", w.Without), durationText("within", w.Within))
}

// The points of a Without: the last Without, then the Events after it.
const (
	opening = iota
	closing
)

// maxOpenings is how many Events since the last Without are remembered. While
// there are no more, a Without that comes late, or from the state of a unit
// merged in, closes exactly as if it had come in order. Of more, so many are
// forgotten that the rest is spread evenly; this can only delay an opening.
const maxOpenings = 32

func (w Without) compile(c *compiler) (*node, error) {
	err := errors.Join(checkEvent(w.Event, w.Where), checkEvent(w.Without, nil), checkDuration("within", w.Within))
	if err != nil {
		return nil, err
	}
	within, late := w.Within.Milliseconds(), c.late
	return c.leaf(w, leaf{
		hears: []*hearing{
			{event: w.Event, where: w.Where, tag: opening},
			{event: w.Without, tag: closing},
		},
		keep: func(points []point, now int64) []point {
			return keepOpenings(points, now-late)
		},
		holds: func(dst []Interval, points []point) []Interval {
			opened := int64(-1)
			for _, p := range points {
				switch {
				case p.tag == closing:
					opened = -1
				case opened < 0:
					opened = p.at
				}
			}
			if opened < 0 {
				return dst
			}
			return append(dst, Interval{opened + within, Forever})
		},
	})
}

// keepOpenings thins the Events from before settled first, which no late
// Without can reach any more.
func keepOpenings(points []point, settled int64) []point {
	kept := points[:0]
	for _, p := range points {
		switch {
		case p.tag == closing:
			kept = append(kept[:0], p)
		case len(kept) == 0 || kept[len(kept)-1].at < p.at:
			kept = append(kept, p)
		}
	}
	first := 0
	if len(kept) > 0 && kept[0].tag == closing {
		first = 1
	}
	for len(kept)-first > maxOpenings {
		i := first + leastMissed(kept[first:], settled)
		kept = append(kept[:i], kept[i+1:]...)
	}
	return kept
}

// leastMissed returns the point, neither the first nor the last, whose loss
// leaves the smallest gap. (The one that is followed the soonest would always
// be the newest, and the gap before it would grow without end.)
func leastMissed(points []point, settled int64) int {
	gap := func(i int) int64 { return points[i+1].at - points[i-1].at }
	best := 1
	for i := 2; i < len(points)-1; i++ {
		if points[i].at > settled && points[best].at <= settled {
			break
		}
		if gap(i) < gap(best) {
			best = i
		}
	}
	return best
}
