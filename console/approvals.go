package console

import (
	"time"

	"github.com/seed14307185/refract/rules"
)

// ApprovalStatus is what approvals a rule needs and has.
type ApprovalStatus struct {
	Standing string           `json:"standing"` // for people: "needs no approval", "approved by …" or "unapproved: …"
	Policy   rules.Policy     `json:"policy"`
	Content  string           `json:"content"`        // the hash that is approved
	By       []rules.Approval `json:"by"`             // those that count, but for their end
	Missing  []string         `json:"missing"`        // of what the policy asks for
	Refused  []string         `json:"refused"`        // why others don't count, with their places
	Until    time.Time        `json:"until,omitzero"` // when the rule ends by itself; zero: not
}

// ApprovalsOf says how a rule's approvals stand.
func ApprovalsOf(r *rules.Rule, now time.Time) ApprovalStatus {
	return ApprovalStatus{
		Standing: r.ApprovalsInWords(now), Policy: r.Surface.Policy, Content: r.Content, By: append([]rules.Approval{}, r.Approvals...),
		Missing: append([]string{}, r.Missing(now)...), Refused: r.Objections(now), Until: r.Until(),
	}
}
