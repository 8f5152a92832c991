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
