package segments

import (
	"errors"
	"time"
)

// Held steadies a condition. What holds over [a, b) holds over [a + StableFor,
// b), and what then holds over [a, b) holds over [a, max(b, a + StickyFor)).
type Held struct {
	Condition Condition
	StableFor time.Duration // 0: at once
	StickyFor time.Duration // 0: no longer than the condition
}

func (h Held) String() string {
	if h.StableFor == 0 && h.StickyFor == 0 {
		return h.Condition.String()
	}
	return clause("held: "+h.Condition.String(), durationText("stable_for", h.StableFor), durationText("sticky_for", h.StickyFor))
}

func (h Held) compile(c *compiler) (*node, error) {
	if h.Condition == nil {
		return nil, errMissing
	}
	if err := errors.Join(checkWindow("stable_for", h.StableFor), checkWindow("sticky_for", h.StickyFor)); err != nil {
		return nil, err
	}
	stable, sticky := h.StableFor.Milliseconds(), h.StickyFor.Milliseconds()
	if stable == 0 && sticky == 0 {
		return h.Condition.compile(c)
	}
	outer := c.lookback
	// What held that long ago says what holds now.
	c.lookback += stable + sticky
	kid, err := h.Condition.compile(c)
	c.lookback = outer
	if err != nil {
		return nil, err
	}
	eval := func(s *State, dst []Interval) []Interval {
		start := len(dst)
		dst = kid.eval(s, dst)
		kept := start
		for _, v := range dst[start:] {
			v.From += stable
			if v.empty() {
				continue
			}
			v.Until = max(v.Until, v.From+sticky)
			dst[kept] = v
			kept++
		}
		return dst[:start+len(coalesce(dst[start:kept]))]
	}
	text := clause("held", durationText("stable_for", h.StableFor), durationText("sticky_for", h.StickyFor))
	return &node{text: text, kids: []*node{kid}, eval: eval}, nil
}
