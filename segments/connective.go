package segments

import (
	"slices"
	"strings"
)

// The connectives. An empty All is true, an empty Any is false.
type (
	All []Condition
	Any []Condition
	Not struct{ Condition Condition }
)

func (a All) String() string { return "{all: " + listText(a) + "}" }
func (a Any) String() string { return "{any: " + listText(a) + "}" }

func (n Not) String() string { return "{not: " + n.Condition.String() + "}" }

// listText is the same whatever the order.
func listText(list []Condition) string {
	texts := make([]string, len(list))
	for i, c := range list {
		texts[i] = c.String()
	}
	slices.Sort(texts)
	return "[" + strings.Join(slices.Compact(texts), ", ") + "]"
}

func (a All) compile(c *compiler) (*node, error) {
	kids, err := c.nodes(a)
	if err != nil {
		return nil, err
	}
	eval := func(s *State, dst []Interval) []Interval { return appendAll(s, dst, kids) }
	return &node{text: "all", kids: kids, eval: eval}, nil
}

func appendAll(s *State, dst []Interval, kids []*node) []Interval {
	start := len(dst)
	dst = append(dst, always())
	for _, kid := range kids {
		mid := len(dst)
		if mid == start {
			break
		}
		dst = kid.eval(s, dst)
		end := len(dst)
		dst = appendIntersection(dst, dst[start:mid], dst[mid:end])
		dst = replace(dst, start, end)
	}
	return dst
}

func (a Any) compile(c *compiler) (*node, error) {
	kids, err := c.nodes(a)
	if err != nil {
		return nil, err
	}
	eval := func(s *State, dst []Interval) []Interval {
		start := len(dst)
		for _, kid := range kids {
			dst = kid.eval(s, dst)
		}
		return dst[:start+len(coalesce(dst[start:]))]
	}
	return &node{text: "any", kids: kids, eval: eval}, nil
}

func (n Not) compile(c *compiler) (*node, error) {
	kids, err := c.nodes([]Condition{n.Condition})
	if err != nil {
		return nil, err
	}
	eval := func(s *State, dst []Interval) []Interval {
		start := len(dst)
		dst = kids[0].eval(s, dst)
		end := len(dst)
		dst = appendComplement(dst, dst[start:end])
		return replace(dst, start, end)
	}
	return &node{text: "not", kids: kids, eval: eval}, nil
}

func (c *compiler) nodes(list []Condition) ([]*node, error) {
	kids := make([]*node, len(list))
	for i, cond := range list {
		if cond == nil {
			return nil, errMissing
		}
		var err error
		if kids[i], err = cond.compile(c); err != nil {
			return nil, err
		}
	}
	return kids, nil
}
