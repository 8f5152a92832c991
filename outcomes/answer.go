package outcomes

import "github.com/seed14307185/refract/rules"

// Answer is the shortest true answer to whether a rule helped.
type Answer string

// The answers.
const (
	Helped    Answer = "helped"
	NotHelped Answer = "did not help" // the metric changed the wrong way
	NotKnown  Answer = "not known yet"
	// Invalid: the sample ratio is, or an A/A test found something, and nothing
	// can be concluded.
	Invalid Answer = "invalid"
	// NothingFound is the good end of an A/A test.
	NothingFound Answer = "nothing found"
)

// Answer says whether the rule helped, as Sentence words it.
func (v Verdict) Answer(r *rules.Rule) Answer {
	if r.Response.Operation == rules.None {
		switch {
		case len(v.found(r)) > 0:
			return Invalid
		case v.Lift.Collecting:
			return NotKnown
		}
		return NothingFound
	}
	rose, fell := v.Lift.Low > 0, v.Lift.High < 0
	if r.Metric.Expect == "decrease" {
		rose, fell = fell, rose
	}
	switch {
	case v.SRM.State == SRMInvalid:
		return Invalid
	case v.Lift.Collecting, rose && v.TooEarly:
		return NotKnown
	case rose:
		return Helped
	case fell:
		return NotHelped
	}
	return NotKnown
}
