package rules

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Policy is what approvals a rule needs to be served. The zero value needs none.
type Policy struct {
	// Count is how many approvers have to agree, none of them the rule's owner.
	Count  int      `json:"count"`
	Groups []string `json:"groups,omitempty"` // sorted; of each, one of the approvers must be
}

// maxApprovals is the most that a policy may ask for.
const maxApprovals = 20

// String says what is needed: "needs 2 approvals, of legal and product".
func (p Policy) String() string {
	switch {
	case p.Count == 0:
		return "needs no approval"
	case len(p.Groups) > 0:
		return "needs " + countOf(p.Count, "approval") + ", of " + strings.Join(p.Groups, " and ")
	}
	return "needs " + countOf(p.Count, "approval")
}

func countOf(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// readPolicy reads approvals, of refract.yaml or of a surface, which asks for
// more than the least or for the same.
func readPolicy(v value, least Policy) (Policy, bool) {
	p := least
	count := v
	if v.isMapping() {
		f, ok := v.fields("a number or a mapping such as {count: 2, groups: [legal]}", "count", "groups")
		if !ok {
			return p, false
		}
		count, p.Count = f.get("count"), max(1, least.Count)
		groups, _ := f.get("groups").some("groups of approvers.yaml")
		for _, entry := range groups {
			if name, ok := readGroup(entry); ok {
				p.Groups = append(slices.Clone(p.Groups), name)
			}
		}
		slices.Sort(p.Groups)
		p.Groups = slices.Compact(p.Groups)
	}
	n, ok := parsed(count, "a whole number", "", parseWhole)
	switch {
	case !ok:
	case n < 0 || n > maxApprovals:
		count.refuse("", "%s must be from 0 to %d", count.name, maxApprovals)
	case n == 0 && v.isMapping():
		count.refuse("write approvals: 0 if none is needed", "count must be at least 1")
	case n < least.Count:
		count.refuse("a surface can ask for more than that, not for less", "refract.yaml asks for %s on every surface, found %d", countOf(least.Count, "approval"), n)
	default:
		p.Count = n
	}
	return p, v.present()
}

func readGroup(v value) (string, bool) {
	name, ok := v.word(100)
	if ok && !nameSyntax().MatchString(name) {
		v.refuse(nameHint, "%q can't be the name of a group", name)
		return "", false
	}
	return name, ok
}

// Approval is an approval that counts.
type Approval struct {
	By     string    `json:"by"`               // the approver's id
	Groups []string  `json:"groups,omitempty"` // that they are in, sorted
	Key    string    `json:"key"`              // the fingerprint of the key that signed
	At     time.Time `json:"at"`               // as the approver says
	Until  time.Time `json:"until,omitzero"`   // when it, or the approver's time, ends; zero: never
}

func (a Approval) counts(now time.Time) bool { return a.Until.IsZero() || now.Before(a.Until) }

// String is the approver and their groups, as "ada@example.com (product)".
func (a Approval) String() string {
	if len(a.Groups) == 0 {
		return a.By
	}
	return a.By + " (" + strings.Join(a.Groups, ", ") + ")"
}

// ending is how long a rule's approvals last. The zero value is for ever.
type ending struct {
	never bool      // they have not been enough at any time
	at    time.Time // zero: they don't end
}

// missing is what the approvals lack of what the policy asks for, as "1 approval"
// and "an approval of legal".
func (p Policy) missing(have []Approval) (lacking []string) {
	if n := p.Count - len(have); n > 0 {
		lacking = append(lacking, countOf(n, "approval"))
	}
	if p.Count == 0 {
		return nil
	}
	for _, g := range p.Groups {
		if !slices.ContainsFunc(have, func(a Approval) bool { return slices.Contains(a.Groups, g) }) {
			lacking = append(lacking, "an approval of "+g)
		}
	}
	return lacking
}

// ends says how long the policy is met by the approvals. Approvals only end, so
// there is one such time.
func (p Policy) ends(have []Approval) ending {
	if len(p.missing(have)) > 0 {
		return ending{never: true}
	}
	ends := []time.Time{}
	for _, a := range have {
		if !a.Until.IsZero() {
			ends = append(ends, a.Until)
		}
	}
	slices.SortFunc(ends, time.Time.Compare)
	for _, at := range ends {
		if len(p.missing(counting(have, at))) > 0 {
			return ending{at: at}
		}
	}
	return ending{}
}

func counting(all []Approval, now time.Time) (some []Approval) {
	for _, a := range all {
		if a.counts(now) {
			some = append(some, a)
		}
	}
	return some
}

// Approved says whether the rule has the approvals that its surface asks for.
func (r *Rule) Approved(now time.Time) bool {
	return !r.approved.never && (r.approved.at.IsZero() || now.Before(r.approved.at))
}

// Until is when the rule ends by itself: it expires, or its approvals are no
// longer enough. It is zero if neither will be.
func (r *Rule) Until() time.Time {
	if at := r.approved.at; !at.IsZero() && (r.Expires.IsZero() || at.Before(r.Expires)) {
		return at
	}
	return r.Expires
}

// ApprovalsInWords says how the rule's approvals stand: "needs no approval", "approved by
// ada@example.com (product)" or "unapproved: needs 2 approvals, has that of …".
func (r *Rule) ApprovalsInWords(now time.Time) string {
	p := r.Surface.Policy
	if p.Count == 0 {
		return p.String()
	}
	names := []string{}
	for _, a := range counting(r.Approvals, now) {
		names = append(names, a.String())
	}
	if r.Approved(now) {
		s := "approved by " + strings.Join(names, ", ")
		if !r.approved.at.IsZero() {
			s += " until " + r.approved.at.UTC().Format(time.RFC3339)
		}
		return s
	}
	s := "unapproved: " + p.String()
	if len(names) > 0 {
		s += "; approved by " + strings.Join(names, ", ")
	}
	return s + "; missing: " + strings.Join(r.Missing(now), ", ")
}

// Missing lists what the rule's approvals lack at the time, as "1 approval" and
// "an approval of legal", and "an owner" where nobody can tell who the author is.
func (r *Rule) Missing(now time.Time) []string {
	lacking := r.Surface.Policy.missing(counting(r.Approvals, now))
	if r.anonymous() {
		lacking = append(lacking, "an owner")
	}
	return lacking
}

// Objections lists why approvals that are there don't count at the time, each
// with its place.
func (r *Rule) Objections(now time.Time) []string {
	list := []string{}
	for _, p := range r.Refused {
		p.Hint = ""
		list = append(list, p.String())
	}
	for _, a := range r.Approvals {
		if !a.counts(now) {
			list = append(list, fmt.Sprintf("%s/%s.yaml: the approval of %s ended at %s", approvalsDir, r.Name, a.By, a.Until.UTC().Format(time.RFC3339)))
		}
	}
	return list
}
