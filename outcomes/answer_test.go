package outcomes

import (
	"strings"
	"testing"

	"github.com/seed14307185/refract/rules"
)

// The answer and the sentence never say different things.
func TestAnswerIsTheSentences(t *testing.T) {
	says := map[Answer]string{
		Helped: "It helped:", NotHelped: "It did not help:", NotKnown: "Not known yet whether it helps", Invalid: "The results are invalid:",
	}
	met := map[Answer]int{}
	for _, expect := range []string{"increase", "decrease"} {
		for _, srm := range []SRMState{SRMFine, SRMWarn, SRMInvalid} {
			for _, early := range []bool{false, true} {
				for _, guardrail := range []State{Undecided, Cleared, Breached} {
					for _, l := range []Lift{{Collecting: true}, {Low: -.1, High: .1}, {Low: .1, High: .3}, {Low: -.3, High: -.1}} {
						r := &rules.Rule{Metric: rules.Metric{Event: "Invited", Expect: expect}, Guardrail: rules.Guardrail{Event: "Left", Alpha: .05}}
						v := Verdict{Lift: l, SRM: SRM{State: srm}, TooEarly: early, Guardrail: guardrail}
						answer, sentence := v.Answer(r), v.Sentence(r)
						met[answer]++
						for a, words := range says {
							if strings.Contains(sentence, words) != (a == answer) {
								t.Errorf("the answer is %q, the sentence %q", answer, sentence)
							}
						}
					}
				}
			}
		}
	}
	if len(met) != len(says) {
		t.Errorf("only %v were met", met)
	}
}

// An A/A test can't have helped, whatever was found; nor does a breach that came
// before the arms' sizes went wrong have a change to tell of.
func TestAnswerOfNothing(t *testing.T) {
	r := &rules.Rule{Response: rules.Response{Operation: rules.None}, Metric: rules.Metric{Event: "Invited", Expect: "increase"},
		Guardrail: rules.Guardrail{Event: "Left", Alpha: .05}}
	for _, c := range []struct {
		v    Verdict
		want Answer
		says string
	}{
		{Verdict{Lift: Lift{Collecting: true}, Harm: Lift{Collecting: true}}, NotKnown, "Nothing is known yet"},
		{Verdict{Lift: Lift{Low: -.1, High: .1}, Harm: Lift{Collecting: true}}, NothingFound, "nothing was found"},
		{Verdict{Lift: Lift{Low: .1, High: .3}, Harm: Lift{Collecting: true}}, Invalid, "Something is wrong"},
		{Verdict{Lift: Lift{Low: -.1, High: .1}, Guardrail: Breached, Harm: Lift{Collecting: true}}, Invalid, "Something is wrong"},
		{Verdict{Lift: Lift{Low: .1, High: .3}, SRM: SRM{State: SRMInvalid}}, Invalid, "Something is wrong"},
	} {
		answer, sentence := c.v.Answer(r), c.v.Sentence(r)
		if answer != c.want || !strings.Contains(sentence, c.says) {
			t.Errorf("%+v: %q, %q", c.v, answer, sentence)
		}
		if c.v.SRM.State == SRMInvalid && strings.Contains(sentence, "changed by") {
			t.Errorf("arms that can't be compared have a change: %q", sentence)
		}
	}
	r.Response = rules.Response{}
	v := Verdict{Guardrail: Breached, Harm: Lift{Low: .2, High: .9}, SRM: SRM{State: SRMInvalid}}
	if s := v.Sentence(r); strings.Contains(s, "changed by") || !strings.Contains(s, "Rolled back") {
		t.Errorf("a breach, and then an invalid sample ratio: %q", s)
	}
}
