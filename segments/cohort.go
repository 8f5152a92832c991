package segments

import "errors"

// Cohort is true while another system's cohort has the unit as a member.
// Memberships are not folded from events: State.Cohorts says them.
type Cohort struct{ Name string }

func (h Cohort) String() string { return clause(nameText("cohort", h.Name)) }

func (h Cohort) compile(c *compiler) (*node, error) {
	if h.Name == "" {
		return nil, errors.New("cohort: which one?")
	}
	c.cohorts = append(c.cohorts, h.Name)
	return &node{text: h.String(), eval: func(s *State, dst []Interval) []Interval {
		if s.Cohorts == nil {
			return dst
		}
		return appendNonempty(dst, s.Cohorts(h.Name))
	}}, nil
}
