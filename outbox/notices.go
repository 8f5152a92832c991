package outbox

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/store"
)

// teller is a vendor that is told what was done to rules, in place of
// exposures.
type teller interface {
	// tell returns the notice in the vendor's form.
	tell(n *store.Notice) any
}

// noticeHook takes notices as CloudEvents, one or more a message, signed as
// exposures are.
type noticeHook struct{ webhook }

func (h *noticeHook) tell(n *store.Notice) any {
	return cloudEvent("refract."+n.Kind, "/refract/"+cmp.Or(n.Node, "ledger"), n.ID, n.Rule, n.At, n)
}

// slack is an incoming webhook of Slack's, or of who takes the same. It takes
// one message a request, and knows no repetitions.
type slack struct{ url string }

// maxText is what Slack shows of a text, in characters, with some room.
const maxText = 3500

func (s *slack) limits() (events, bytes int) { return 1, 40_000 }

func (s *slack) event(*store.Exposed) (any, Reason) { return nil, Damaged }

func (s *slack) tell(n *store.Notice) any {
	return struct {
		Text string `json:"text"`
	}{noticeText(n)}
}

func (s *slack) request(events []json.RawMessage, _ time.Time) (*http.Request, error) {
	return posted(s.url, events[0])
}

func (s *slack) judge(a *answer, _ int) verdict { return byStatus(a) }

// noticeText is a notice for people, in Slack's markup: what happened, the rule
// in a sentence, the counts that decided, and what can be done.
func noticeText(n *store.Notice) string {
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "`", "'", "*", "∗",
		"@", "@\u200b", "](", "]\u200b(") // who else takes Slack's form knows @all, and links in Markdown
	said := func(s string) string { return escape.Replace(strings.Join(strings.Fields(s), " ")) }
	rule := said(n.Rule)
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	switch n.Kind {
	case "rollback":
		cause := "its file"
		if n.Stop != nil {
			cause = string(n.Stop.Cause)
		}
		add("*Rolled back: %s*, by %s", rule, said(cause))
	case "resume":
		add("*Resumed: %s*: new counts, the same people keep their arms", rule)
	case "ramp":
		add("*Next step of the ramp: %s*", rule)
		if n.Stage != nil {
			lines[0] += fmt.Sprintf(": %.4g %% take part", 100*n.Stage.Share)
		}
	case "hold", "release":
		add("*%s: %s*", map[string]string{"hold": "Held", "release": "Held no longer"}[n.Kind], rule)
		if n.Hold != nil && n.Kind == "hold" {
			lines[0] += ": " + n.Hold.Reason.String()
		}
	case "expire":
		add("*Expired: %s*", rule)
	case "drill":
		add("*The drill failed: %s*: %s", rule, said(n.Drill.Failed))
	case "off", "on":
		add("*%s: %s*", map[string]string{"off": "Off", "on": "On again"}[n.Kind], cmp.Or(rule, "every rule"))
	}
	if n.Node != "" {
		lines[0] += " on " + said(n.Node)
	}
	switch {
	case n.Who == "" && n.Stop != nil && n.Stop.Cause != store.ByPerson: // the cause is who
		if n.Why != "" {
			add("%s", said(n.Why))
		}
	case n.Who != "" || n.Why != "":
		add("%s", strings.TrimSpace(cmp.Or(said(n.Who), "nobody named")+": "+said(n.Why)))
	}
	if n.Sentence != "" {
		add("> %s", said(n.Sentence))
	}
	if n.Stop != nil && n.Stop.Cause == store.ByGuardrail && n.Stop.Tally != nil && n.Stop.Verdict != nil {
		var t, c outcomes.Counts
		for _, e := range n.Stop.Tally.Epochs {
			t, c = t.Plus(e.TreatmentArm), c.Plus(e.ControlArm)
		}
		add("harmed: %d of %d in treatment, %d of %d in control; ln E = %.3f", t.Harmed, t.Settled, c.Harmed, c.Settled, n.Stop.Verdict.LogE)
	}
	switch n.Kind {
	case "rollback":
		if n.Stop == nil {
			add("`state: live` in its file, and a reload, start it again")
			break
		}
		add("`refract receipt %s` says more; `refract resume %s` starts it again", rule, rule)
	case "hold":
		if n.Hold != nil {
			add("%s", holdAdvice(n.Hold.Reason, rule))
		}
	case "ramp", "resume":
		add("`refract rollback %s` stops it", rule)
	}
	text := []rune(strings.Join(lines, "\n"))
	if len(text) > maxText {
		text = append(text[:maxText], '…')
	}
	return string(text)
}

// holdAdvice says, in one sentence, what it means that a rule is held and what to
// do.
func holdAdvice(reason store.HoldReason, rule string) string {
	switch reason {
	case store.HeldBlind:
		return fmt.Sprintf("Nothing would stop the rule by its guardrail: see whether that event is still sent, by that name, or stop it: `refract rollback %s`", rule)
	case store.HeldUndecided:
		return fmt.Sprintf("It stays at its present exposure: let more units in (`rollout`), give it more time (`undecided`), or decide yourself: `refract report %[1]s` says how it stands, `refract rollback %[1]s` stops it", rule)
	case store.HeldDoubtful:
		return fmt.Sprintf("It is not widened any more, for the arms may not be comparable: see what loses visitors of one arm (a cache, a redirect, a bot); `refract report %s` says more", rule)
	}
	return fmt.Sprintf("Nothing is concluded from its counts, not even a rollback by its guardrail: mend what loses visitors of one arm (a cache, a redirect, a bot), then `refract rollback %s` and `refract resume %s` begin new counts", rule, rule)
}
