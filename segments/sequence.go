package segments

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Sequence is true once an Event was followed by each event of Then in turn,
// at strictly increasing times, the last no later than Within after the Event.
// With InLast it is true while the last step of such a completion lies in
// (t − InLast, t].
type Sequence struct {
	Event  string
	Where  []Match // of the Event
	Then   []string
	Within time.Duration
	InLast time.Duration // 0: ever
}

const (
	// maxSteps is the largest number of events of a Sequence, the first included.
	maxSteps = 8
	// maxSequence is how many points a Sequence remembers. While there are no
	// more, whatever comes late, or from the state of a unit merged in, counts
	// exactly as if it had come in order. Of more, only what can still be part
	// of a completion by events in time is kept.
	maxSequence = 64
)

func (q Sequence) String() string {
	steps := make([]string, len(q.Then))
	for i, name := range q.Then {
		steps[i] = strconv.Quote(name)
	}
	return clause(nameText("did", q.Event), whereText(q.Where), "then: ["+strings.Join(steps, ", ")+"]", durationText("within", q.Within), durationText("in_last", q.InLast))
}

func (q Sequence) compile(c *compiler) (*node, error) {
	err := errors.Join(checkEvent(q.Event, q.Where), checkDuration("within", q.Within), checkWindow("in_last", q.InLast))
	for _, name := range q.Then {
		err = errors.Join(err, checkEvent(name, nil))
	}
	if n := len(q.Then); err == nil && (n == 0 || n >= maxSteps) {
		err = fmt.Errorf("then: %d steps: there must be at least one, and at most %d", n, maxSteps-1)
	}
	if err != nil {
		return nil, err
	}
	s := steps{n: len(q.Then) + 1, within: q.Within.Milliseconds(), window: q.InLast.Milliseconds(), late: c.late}
	l := leaf{
		hears: []*hearing{{event: q.Event, where: q.Where}},
		keep:  s.keep,
		holds: s.holds,
	}
	for i, name := range q.Then {
		l.hears = append(l.hears, &hearing{event: name, tag: uint8(i + 1)})
	}
	return c.leaf(q, l)
}

// steps is a compiled Sequence. The tag of a point is its step.
type steps struct {
	n                    int
	within, window, late int64
}

// chain is the times of the first steps of a Sequence, increasing.
type chain struct {
	at [maxSteps]int64
	n  int
}

func (h chain) has(p point) bool { return int(p.tag) < h.n && h.at[p.tag] == p.at }

// completions calls f with every completion, in order of time: of those with
// one last step, that with the latest first one, which is the one in time if
// any is. It returns the best beginnings that the points leave: for each number
// of steps, that with the latest first one.
func (s steps) completions(points []point, f func(chain)) (best [maxSteps]chain) {
	for len(points) > 0 {
		tied := 1
		for tied < len(points) && points[tied].at == points[0].at {
			tied++
		}
		before := best
		for _, p := range points[:tied] {
			h := chain{n: int(p.tag) + 1}
			if p.tag > 0 {
				from := before[p.tag-1]
				if from.n == 0 {
					continue
				}
				h.at = from.at
			}
			h.at[p.tag] = p.at
			switch k := int(p.tag); {
			case p.at-h.at[0] > s.within:
			case k == s.n-1:
				f(h)
			case best[k].n == 0 || h.at[0] >= best[k].at[0]:
				best[k] = h
			}
		}
		points = points[tied:]
	}
	return best
}

func (s steps) holds(dst []Interval, points []point) []Interval {
	start := len(dst)
	s.completions(points, func(h chain) {
		done := h.at[s.n-1]
		if s.window > 0 {
			dst = append(dst, Interval{done, done + s.window})
		} else if len(dst) == start {
			dst = append(dst, Interval{done, Forever})
		}
	})
	return dst[:start+len(coalesce(dst[start:]))]
}

func (s steps) keep(points []point, now int64) []point {
	if s.window > 0 {
		points = slices.DeleteFunc(points, func(p point) bool { return p.at <= now-s.window-s.within })
	}
	var done chain // that decides what holds from now on
	s.completions(points, func(h chain) {
		if done.n == 0 || s.window > 0 {
			done = h
		}
	})
	switch {
	case done.n > 0 && s.window == 0: // it stays true
		met := [maxSteps]bool{}
		return slices.DeleteFunc(points, func(p point) bool {
			if !done.has(p) || met[p.tag] {
				return true
			}
			met[p.tag] = true
			return false
		})
	case done.n > 0:
		// A later completion that begins before this one could as well begin with
		// it.
		points = slices.DeleteFunc(points, func(p point) bool { return p.at < done.at[0] })
	}
	if len(points) > maxSequence {
		points = s.settle(points, done, now-s.late)
	}
	for len(points) > maxSequence {
		i := leastMissed(points, now)
		points = slices.Delete(points, i, i+1)
	}
	return points
}

// settle drops, of the points that nothing will come before any more, those
// that no completion will be made of.
func (s steps) settle(points []point, done chain, settled int64) []point {
	n := 0
	for n < len(points) && points[n].at <= settled {
		n++
	}
	best := s.completions(points[:n], func(chain) {})
	return append(slices.DeleteFunc(slices.Clone(points[:n]), func(p point) bool {
		return !done.has(p) && !slices.ContainsFunc(best[:], func(h chain) bool { return h.has(p) })
	}), points[n:]...)
}
