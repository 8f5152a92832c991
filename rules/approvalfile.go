package rules

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/seed14307185/refract/approvals"
)

// approvals reads approvals/ and says of each rule what counts. Nothing that is
// wrong there stops a load, which would leave live what was: it is a warning, and
// the approval doesn't count.
func (d *directory) approvals(s *Set, approvers []approver) {
	apart := &directory{root: d.root}
	for _, f := range apart.list(approvalsDir, ".yaml") {
		r := s.Rule(f.name)
		if r == nil {
			apart.warn(f.path, "remove it, or name it as the rule", "there is no rule %q", f.name)
			continue
		}
		if v, ok := apart.parse(f); ok {
			c := claims{rule: r, rules: s.Rules, approvers: approvers}
			r.Approvals = c.read(v)
		}
	}
	for _, r := range s.Rules {
		r.approved = r.Surface.Policy.ends(r.Approvals)
		if r.anonymous() {
			r.approved = ending{never: true}
			d.warn(rulesDir+"/"+r.Name+".yaml", "write owner: and the author's id", "it has no owner, so nobody can tell whose own approval doesn't count: it is not served")
		}
		for _, p := range apart.problems {
			if p.File == approvalsDir+"/"+r.Name+".yaml" {
				r.Refused = append(r.Refused, p)
			}
		}
		if r.State == Live {
			d.warnUnapprovable(r, approvers)
		}
	}
	d.files = append(d.files, apart.files...)
	d.warnings = append(d.warnings, append(apart.problems, apart.warnings...)...)
}

// warnUnapprovable warns of a policy that the approvers there are can't meet.
func (d *directory) warnUnapprovable(r *Rule, approvers []approver) {
	var able []Approval
	for _, a := range approvers {
		if !a.revoked && !r.authoredBy(a.id) {
			able = append(able, Approval{Groups: a.groups})
		}
	}
	if lacking := r.Surface.Policy.missing(able); len(lacking) > 0 {
		d.warn(rulesDir+"/"+r.Name+".yaml", "add approvers to "+approversFile, "nobody can approve it: surface %q %s, and %s has not enough approvers that are not its owner (missing: %s)",
			r.Surface.Name, r.Surface.Policy, approversFile, strings.Join(lacking, ", "))
	}
}

// anonymous says whether it would have to be known who the author is, and isn't.
func (r *Rule) anonymous() bool { return r.Owner == "" && r.Surface.Policy.Count > 0 }

// authoredBy says whether an approver is the rule's author: its owner.
func (r *Rule) authoredBy(id string) bool { return strings.EqualFold(r.Owner, id) }

// maxEntries is how many approvals of a rule are verified: a signature costs 60 µs
// and more, and one that fits nothing is tried on every rule.
const maxEntries = 50

// claims are the approvals of a rule's file.
type claims struct {
	rule      *Rule
	rules     []*Rule // all
	approvers []approver
}

// read returns the approvals that count, in the file's order. Of two by one
// approver the one that lasts longer does.
func (c claims) read(v value) (counting []Approval) {
	list, _ := v.list("approvals")
	if len(list) > maxEntries {
		list[maxEntries].refuse("remove those that don't count", "a file has at most %d approvals: this one and what follows don't count", maxEntries)
		list = list[:maxEntries]
	}
	places := []value{}
	for _, entry := range list {
		a, ok := c.one(entry)
		if !ok {
			continue
		}
		const message = "another approval of %s counts: an approver counts once"
		at := slices.IndexFunc(counting, func(b Approval) bool { return b.By == a.By })
		switch {
		case at < 0:
			counting, places = append(counting, a), append(places, entry)
		case outlasts(a.Until, counting[at].Until):
			places[at].refuse("remove it", message, a.By)
			counting[at], places[at] = a, entry
		default:
			entry.refuse("remove it", message, a.By)
		}
	}
	return counting
}

func outlasts(a, b time.Time) bool { return !b.IsZero() && (a.IsZero() || a.After(b)) }

// one reads an entry and verifies it.
func (c claims) one(v value) (Approval, bool) {
	st := approvals.Statement{Rule: c.rule.Name}
	before := len(*v.doc.problems)
	f, ok := v.fields("a mapping with by, content, at and signature", "by", "content", "at", "until", "signature")
	if !ok {
		return Approval{}, false
	}
	by, content, until, signature := f.need("by", "the approver's id"), f.need("content", "sha256:…"), f.get("until"), f.need("signature", "refract approve makes one")
	set(&st.By)(by.word(200))
	set(&st.Content)(content.word(100))
	set(&st.At)(parsed(f.need("at", "when it was signed"), "a time such as 2027-03-01T09:00:00Z", "", parseDate))
	set(&st.Until)(parsed(until, "a date such as 2027-03-01", "", parseDate))
	text, _ := signature.text()
	if len(*v.doc.problems) > before {
		return Approval{}, false
	}
	st.At, st.Until = st.At.Truncate(time.Second), st.Until.Truncate(time.Second)
	who := find(c.approvers, st.By)
	switch {
	case who == nil:
		known := []string{}
		for _, a := range c.approvers {
			known = append(known, a.id)
		}
		by.refuse(didYouMean(st.By, known, ""), "%s is no approver of %s", st.By, approversFile)
		return Approval{}, false
	case who.id != st.By:
		by.refuse("", "%s is written %s in %s", st.By, who.id, approversFile)
		return Approval{}, false
	case who.revoked:
		by.refuse("", "the approver %s is revoked", st.By)
		return Approval{}, false
	}
	sig, err := approvals.ParseSignature(text)
	if err != nil {
		signature.refuse("refract approve makes a new one", "%v", err)
		return Approval{}, false
	}
	key, why := c.verify(st, who, sig)
	if why != "" {
		signature.refuse("", "%s", why)
		return Approval{}, false
	}
	switch {
	case st.Content != c.rule.Content:
		content.refuse("refract approve signs what the rule is now", "%s signed another content: the rule was edited after", st.By)
		return Approval{}, false
	case c.rule.authoredBy(st.By):
		by.refuse("somebody else has to approve it", "%s is the rule's owner: an author's own approval doesn't count", st.By)
		return Approval{}, false
	}
	a := Approval{By: who.id, Groups: who.groups, Key: key.Fingerprint(), At: st.At, Until: st.Until}
	if outlasts(a.Until, who.until) {
		a.Until = who.until
	}
	return a, true
}

// verify returns the approver's key that signed the statement, or else why it was
// not.
func (c claims) verify(st approvals.Statement, who *approver, sig approvals.Signature) (key approvals.Key, why string) {
	var last error
	for _, k := range who.keys {
		if !sig.By(k) {
			continue
		}
		if last = sig.Verify(st, k); last == nil {
			return k, ""
		}
		if errors.Is(last, approvals.ErrOther) {
			for _, r := range c.rules {
				other := st
				other.Rule = r.Name
				if sig.Verify(other, k) == nil {
					return k, who.id + " signed it for the rule " + r.Name
				}
			}
		}
	}
	for i := range c.approvers {
		other := &c.approvers[i]
		if other == who {
			continue
		}
		if _, theirs := other.key(sig.Fingerprint()); theirs {
			return key, "the signature is by a key of " + other.id + ", not of " + who.id
		}
	}
	switch {
	case errors.Is(last, approvals.ErrNamespace):
		return key, last.Error()
	case last != nil && sig.Fingerprint() == "":
		return key, "the signature is not by a raw key of " + who.id + ", or not of what the approval says"
	case last != nil:
		return key, "the signature is by the key of " + who.id + ", but not of what the approval says: it was edited, or damaged"
	case sig.Fingerprint() == "":
		return key, who.id + " has no raw key, of which this would be a signature"
	}
	return key, "the signature is by the key " + sig.Fingerprint() + ", which is not listed for " + who.id
}
