package rules

import "testing"

// What is observed at the edge is text, but for the status: a metric that sums it
// is warned of.
func TestValuesOfObservedEvents(t *testing.T) {
	const rule = `
segment: some
surface: card
response: {text: Hello}
guardrail: {event: Opted Out, within: 7d}
metric: `
	s := load(t, site(t, `
-- refract.yaml --
origin: http://127.0.0.1:3000
events:
  - {event: Paid, request: POST /pay, set: {total: query.total, status: status}}
  - {event: Paid, request: POST /pay/*, set: {total: path.2}}
  - {event: Left, request: GET /bye, set: {total: query.total}}
-- segments/some.yaml --
trait: {plan: trial}
-- rules/invite-teammate.yaml --`+rule+`{event: Paid, value: total, within: 7d}
state: draft
-- rules/number.yaml --`+rule+`{event: Paid, value: status, within: 7d}
state: draft
-- rules/other-event.yaml --`+rule+`{event: Sent, value: total, within: 7d}
state: draft
-- rules/share.yaml --`+rule+`{event: Paid, within: 7d}
state: draft
`))
	const want = `rules/invite-teammate.yaml: metric: "total" of the observed event "Paid" is text, from query.total: it adds nothing to the sum`
	var got []string
	for _, w := range s.Warnings {
		got = append(got, w.File+": "+w.Message)
	}
	if len(got) != 2 || got[0] != "responses/invite-teammate.html: no rule shows it" || got[1] != want {
		t.Errorf("warnings: %q", got)
	}
}
