package segments

import "strconv"

// Ref is another segment of the directory, as part of a condition. It means
// what that segment's condition means, and is named by that content.
type Ref struct {
	Name      string
	Condition Condition
}

func (r Ref) String() string { return r.Condition.String() }

func (r Ref) compile(c *compiler) (*node, error) {
	if r.Condition == nil {
		return nil, errMissing
	}
	kid, err := r.Condition.compile(c)
	if err != nil {
		return nil, err
	}
	return &node{text: "{segment: " + strconv.Quote(r.Name) + "}", kids: []*node{kid}, eval: kid.eval}, nil
}
