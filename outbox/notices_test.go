package outbox

import (
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/store"
)

// A channel is told what it means that a rule is held, and what to do.
func TestNoticeOfAHold(t *testing.T) {
	for _, test := range []struct {
		kind   string
		reason store.HoldReason
		want   []string
	}{
		{"hold", store.HeldBlind, []string{"*Held: home-hero*: the guardrail is blind on edge-1\n", "\nNothing would stop the rule by its guardrail: ", "`refract rollback home-hero`"}},
		{"hold", store.HeldDoubtful, []string{"*Held: home-hero*: the sample ratio is doubtful on edge-1\n", "\nIt is not widened any more", "`refract report home-hero`"}},
		{"hold", store.HeldInvalid, []string{"*Held: home-hero*: the sample ratio is invalid on edge-1\n", "\nNothing is concluded from its counts", "`refract rollback home-hero` and `refract resume home-hero` begin new counts"}},
		{"hold", store.HeldUndecided, []string{"*Held: home-hero*: the guardrail is still undecided on edge-1\n", "\nIt stays at its present exposure: ", "`refract rollback home-hero` stops it"}},
		{"release", store.HeldBlind, []string{"*Held no longer: home-hero* on edge-1\n"}},
	} {
		n := &store.Notice{Node: "edge-1", Sentence: "When a reach b", Entry: store.Entry{Kind: test.kind, Rule: "home-hero", Who: "guardrail", Why: "the counts",
			Hold: &store.Hold{Reason: test.reason, Since: time.UnixMilli(0)}}}
		text := noticeText(n)
		for _, want := range append(test.want, "\nguardrail: the counts\n> When a reach b") {
			if !strings.Contains(text, want) {
				t.Errorf("%s %s does not say %q:\n%s", test.kind, string(test.reason), want, text)
			}
		}
		if lines := strings.Count(text, "\n"); (test.kind == "hold") != (lines == 3) {
			t.Errorf("%s has %d line breaks:\n%s", test.kind, lines, text)
		}
	}
}

// Who stopped a rule is its cause, where nobody did.
func TestNoticeOfACause(t *testing.T) {
	for cause, want := range map[store.Cause]string{
		store.ByDeadline: "*Rolled back: home-hero*, by deadline\nundecided\n",
		store.ByPerson:   "*Rolled back: home-hero*, by person\nnobody named: undecided\n",
		store.ByMonitor:  "*Rolled back: home-hero*, by monitor\npager: undecided\n",
	} {
		n := &store.Notice{Entry: store.Entry{Kind: "rollback", Rule: "home-hero", Why: "undecided", Stop: &store.Stop{Cause: cause}}}
		if cause == store.ByMonitor {
			n.Who = "pager"
		}
		if text := noticeText(n); !strings.HasPrefix(text, want) {
			t.Errorf("it is said\n%s\nnot\n%s", text, want)
		}
	}
}
