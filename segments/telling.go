package segments

import (
	"encoding/binary"
	"strings"

	"github.com/seed14307185/refract/events"
)

// telling turns the traits of identify or group events into points of a leaf
// that remembers when one match of a Trait held. Beyond the latest value, which
// is in the state already, it needs what the values before were worth.
type telling struct {
	Match
	leaf *leaf
}

// The points of a telling. A key with a dot is a trait of that name, or else a
// path into the trait before the dot: both are followed.
const (
	toldNull = iota
	toldFail
	toldPass
	innerFail
	innerPass
)

func (t Trait) compileHistory(c *compiler) (*node, error) {
	all := &node{text: t.String()}
	for _, m := range t.Match {
		n, err := c.leaf(Trait{[]Match{m}}, leaf{
			keep: keepTold,
			holds: func(dst []Interval, points []point) []Interval {
				if !toldHolds(points, m) {
					return dst
				}
				from := Beginning
				for _, p := range points {
					from = max(from, p.at)
				}
				return append(dst, Interval{from, Forever})
			},
		})
		if err != nil {
			return nil, err
		}
		c.tell(&telling{m, n.leaf})
		all.kids = append(all.kids, n)
	}
	kids := all.kids
	all.eval = func(s *State, dst []Interval) []Interval { return appendAll(s, dst, kids) }
	all.kids = nil // one line for people
	return all, nil
}

func (c *compiler) tell(t *telling) {
	for _, have := range c.told[c.who] {
		if have.leaf == t.leaf {
			return
		}
	}
	c.told[c.who] = append(c.told[c.who], t)
}

// keepTold keeps the latest value of each of the two traits.
func keepTold(points []point, _ int64) []point {
	var latest [2]point
	var met [2]bool
	for _, p := range points {
		i := 0
		if p.tag >= innerFail {
			i = 1
		}
		if !met[i] || later(p, latest[i]) {
			latest[i], met[i] = p, true
		}
	}
	kept := points[:0]
	for i, p := range latest {
		if met[i] {
			kept = append(kept, p)
		}
	}
	if len(kept) == 2 && kept[0].compare(kept[1]) > 0 {
		kept[0], kept[1] = kept[1], kept[0]
	}
	return kept
}

// later says which of two values is the latest: of one millisecond, the one
// whose text is greater, as setTrait has it.
func later(p, q point) bool {
	if p.at != q.at {
		return p.at > q.at
	}
	if p.visitor != q.visitor {
		return p.visitor > q.visitor
	}
	return p.tag > q.tag
}

func toldHolds(points []point, m Match) bool {
	told, inner := -1, -1
	for _, p := range keepTold(append([]point(nil), points...), 0) {
		if p.tag >= innerFail {
			inner = int(p.tag)
		} else {
			told = int(p.tag)
		}
	}
	switch {
	case told > toldNull:
		return told == toldPass
	case inner >= 0:
		return inner == innerPass
	}
	return m.Test.Holds(nil)
}

func (t *telling) fold(s *State, traits events.Properties, at, now int64) bool {
	changed := false
	if v, ok := traits[t.Key]; ok {
		changed = t.add(s, v, decodeValue(traitValue(v)), false, at, now)
	}
	head, rest, dotted := strings.Cut(t.Key, ".")
	if v, ok := traits[head]; dotted && ok {
		inner, _ := decodeValue(traitValue(v)).(map[string]any)
		changed = t.add(s, v, lookup(inner, rest), true, at, now) || changed
	}
	return changed
}

func (t *telling) add(s *State, told, v any, inner bool, at, now int64) bool {
	p := point{at: at, visitor: textOrder(traitValue(told))}
	switch pass := t.Test.Holds(v); {
	case inner && pass:
		p.tag = innerPass
	case inner:
		p.tag = innerFail
	case v == nil:
		p.tag = toldNull
	case pass:
		p.tag = toldPass
	default:
		p.tag = toldFail
	}
	return t.leaf.add(s, p, now)
}

// textOrder is the beginning of a text as a number of the same order.
func textOrder(s string) uint64 {
	var b [8]byte
	copy(b[:], s)
	return binary.BigEndian.Uint64(b[:])
}
