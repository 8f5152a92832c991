package rules

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/seed14307185/refract/approvals"
)

// approvedAt is when the approvals of these tests are looked at.
var approvedAt = time.Date(2036, 3, 1, 0, 0, 0, 0, time.UTC)

const approvedRule = "invite-teammate"

// somebody is an approver with a key that is the same in every test.
type somebody struct {
	id     string
	signer ssh.Signer
	key    approvals.Key
	line   string // as approvers.yaml has it
}

func person(t testing.TB, name string, raw bool) somebody {
	t.Helper()
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte(name[:1]), ed25519.SeedSize))
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	p := somebody{id: name + "@example.com", signer: signer, line: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))}
	if raw {
		p.line = "ed25519:" + base64.StdEncoding.EncodeToString(private.Public().(ed25519.PublicKey))
	}
	if p.key, err = approvals.ParseKey(p.line); err != nil {
		t.Fatal(err)
	}
	return p
}

// statement is what the person would sign now of the directory's rule.
func (p somebody) statement(t testing.TB, dir, rule string) approvals.Statement {
	t.Helper()
	s, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return approvals.Statement{Rule: rule, Content: s.Rule(rule).Content, By: p.id, At: approvedAt.Add(-time.Hour)}
}

func (p somebody) sign(t testing.TB, st approvals.Statement) string {
	t.Helper()
	signature, err := approvals.Sign(st, p.key, p.signer)
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

func (p somebody) approve(t testing.TB, dir, rule string) {
	t.Helper()
	st := p.statement(t, dir, rule)
	if err := AddApproval(dir, st, p.sign(t, st)); err != nil {
		t.Fatal(err)
	}
}

// twoKeys is a site whose rule is live and needs two approvals, one of legal. The
// owner is an approver too.
func twoKeys(t testing.TB) (dir string, ada, bob somebody) {
	t.Helper()
	dir = t.TempDir()
	if err := Init(dir); err != nil {
		t.Fatal(err)
	}
	ada, bob = person(t, "ada", false), person(t, "bob", true)
	cy, owner := person(t, "cy", false), person(t, "growth", false)
	unpackTo(t, dir, fmt.Sprintf(`
-- approvers.yaml --
approvers:
  %s: {keys: ["%s"], groups: [product]}
  %s: {keys: ["%s"], groups: [legal]}
  %s: {keys: ["%s"]}
  %s: {keys: ["%s"], groups: [legal]}
`, ada.id, ada.line, bob.id, bob.line, cy.id, cy.line, owner.id, owner.line))
	edit(t, dir, "refract.yaml", "origin:", "approvals: {count: 2, groups: [legal]}\norigin:")
	edit(t, dir, "rules/invite-teammate.yaml", "state: draft", "state: live")
	return dir, ada, bob
}

func edit(t testing.TB, dir, name, old, new string) {
	t.Helper()
	file := filepath.Join(dir, name)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Replace(b, []byte(old), []byte(new), 1)
	if bytes.Equal(changed, b) {
		t.Fatalf("%s has no %q", name, old)
	}
	if err := os.WriteFile(file, changed, 0o644); err != nil {
		t.Fatal(err)
	}
}

// served says whether a rule is live, and why its approvals that don't count
// don't.
func served(t testing.TB, dir, rule string) (is bool, why string) {
	t.Helper()
	s, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range s.Live() {
		is = is || r.Name == rule
	}
	return is, strings.Join(s.Rule(rule).Objections(approvedAt), "\n")
}

func TestApprovals(t *testing.T) {
	dir, ada, bob := twoKeys(t)
	standing := func() string { return load(t, dir).Rule(approvedRule).ApprovalsInWords(approvedAt) }
	if is, _ := served(t, dir, approvedRule); is {
		t.Error("a rule that nobody approved is served")
	}
	if got, want := standing(), "unapproved: needs 2 approvals, of legal; missing: 2 approvals, an approval of legal"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	ada.approve(t, dir, approvedRule)
	if is, why := served(t, dir, approvedRule); is || why != "" {
		t.Errorf("with one of two approvals: served %v, %s", is, why)
	}
	if got, want := standing(), "unapproved: needs 2 approvals, of legal; approved by ada@example.com (product); missing: 1 approval, an approval of legal"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	bob.approve(t, dir, approvedRule)
	if is, why := served(t, dir, approvedRule); !is {
		t.Errorf("with both approvals it is not served: %s", why)
	}
	if got, want := standing(), "approved by ada@example.com (product), bob@example.com (legal)"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	// What changes nothing for anybody needs no new approval, and stopping never
	// needs one.
	edit(t, dir, "rules/invite-teammate.yaml", "segment:", "# looked at\nsegment:")
	edit(t, dir, "surfaces/project-home.card.yaml", "max_bytes: 4096", "max_bytes: 4097")
	if is, why := served(t, dir, approvedRule); !is {
		t.Errorf("after a comment it is not served: %s", why)
	}
	edit(t, dir, "rules/invite-teammate.yaml", "state: live", "state: rolled_back")
	if is, why := served(t, dir, approvedRule); is || why != "" {
		t.Errorf("rolled back: served %v, %s", is, why)
	}
	edit(t, dir, "rules/invite-teammate.yaml", "state: rolled_back", "state: live")
	if is, _ := served(t, dir, approvedRule); !is {
		t.Error("started again it is not served")
	}
	// An approver who approves again replaces what they gave.
	ada.approve(t, dir, approvedRule)
	if r := load(t, dir).Rule(approvedRule); len(r.Approvals) != 2 || len(r.Refused) != 0 {
		t.Errorf("%v, %v", r.Approvals, r.Refused)
	}
}

// Every edit of what is approved ends the approval, and its undoing restores it.
func TestEditsAfterApproval(t *testing.T) {
	dir, ada, bob := twoKeys(t)
	ada.approve(t, dir, approvedRule)
	bob.approve(t, dir, approvedRule)
	const rule = "rules/invite-teammate.yaml"
	for _, test := range []struct{ file, old, new string }{
		{"segments/created-without-teammate.yaml", "within: 48h", "within: 47h"},
		{"surfaces/project-home.card.yaml", "pages: [/projects/*]", "pages: [/projects/**]"},
		{"surfaces/project-home.card.yaml", "pages: [/projects/*]", "select: '#card'"},
		{"responses/invite-teammate.html", "Invite a teammate:", "Invite a teammate :"},
		{rule, "{inner: invite-teammate.html}", "{text: Invite}"},
		{rule, "Teammate Invited", "Teammates Invited"},
		{rule, "expect: increase", "expect: decrease"},
		{rule, "tolerate: 10%", "tolerate: 100%"},
		{rule, "{event: Project Deleted,", "{event: Project Deleted, where: {a: 1},"},
		{rule, "{event: Project Deleted,", "{event: Project Deleted, alpha: 1%,"},
		{rule, "unit: visitor", "unit: account"},
		{rule, "share: 100%", "share: 99%"},
		{rule, "treatment: 50%", "treatment: 99%"},
		{rule, "treatment: 50%}", "treatment: 50%, ramp: [5%, 100%]}"},
		{rule, "treatment: 50%}", "treatment: 50%, undecided: {after: 28d}}"},
		{rule, "{inner: invite-teammate.html}", "none"},
		{rule, "{event: Teammate Invited,", "{event: Teammate Invited, value: seats,"},
		{rule, "{event: Teammate Invited,", "{event: Teammate Invited, per: Page Viewed,"},
		{rule, "# priority: 0", "priority: 1"},
		{rule, "# expires: 2027-03-01", "expires: 2037-03-01"},
		{rule, "growth@example.com", "somebody@example.com"},
	} {
		edit(t, dir, test.file, test.old, test.new)
		is, why := served(t, dir, approvedRule)
		if is || strings.Count(why, "signed another content: the rule was edited after") != 2 {
			t.Errorf("%s: %s: served %v, %s", test.file, test.new, is, why)
		}
		edit(t, dir, test.file, test.new, test.old)
		if is, why := served(t, dir, approvedRule); !is {
			t.Fatalf("%s: the edit was undone, and it is not served: %s", test.new, why)
		}
	}
}

// Approvals that are forged, borrowed, or no longer believed. Each gets its reason
// and its place.
func TestAttacksOnApprovals(t *testing.T) {
	const file = "approvals/invite-teammate.yaml"
	copyFile := func(t *testing.T, dir, from, to string) {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, from))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, to), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// put writes an approval as it is claimed to be, with a signature of another.
	put := func(t *testing.T, dir string, claimed approvals.Statement, signature string) {
		t.Helper()
		if err := AddApproval(dir, claimed, signature); err != nil {
			t.Fatal(err)
		}
	}
	mallory := person(t, "mallory", false)
	for name, test := range map[string]struct {
		attack func(t *testing.T, dir string, ada, bob somebody)
		want   string
	}{
		"unknown approver": {func(t *testing.T, dir string, ada, _ somebody) {
			mallory.approve(t, dir, approvedRule)
		}, file + ":11:7: mallory@example.com is no approver of approvers.yaml"},
		"in another's name": {func(t *testing.T, dir string, ada, bob somebody) {
			st := bob.statement(t, dir, approvedRule)
			put(t, dir, st, mallory.sign(t, st))
		}, "the signature is by the key " + mallory.key.Fingerprint() + ", which is not listed for bob@example.com"},
		"by another approver's key": {func(t *testing.T, dir string, ada, bob somebody) {
			st := bob.statement(t, dir, approvedRule)
			put(t, dir, st, ada.sign(t, st))
		}, "the signature is by a key of ada@example.com, not of bob@example.com"},
		"signatures exchanged": {func(t *testing.T, dir string, ada, bob somebody) {
			a, b := ada.statement(t, dir, approvedRule), bob.statement(t, dir, approvedRule)
			put(t, dir, a, bob.sign(t, b))
			put(t, dir, b, ada.sign(t, a))
		}, "the signature is by a key of ada@example.com, not of bob@example.com"},
		"raw signature in another's name": {func(t *testing.T, dir string, ada, bob somebody) {
			put(t, dir, ada.statement(t, dir, approvedRule), bob.sign(t, bob.statement(t, dir, approvedRule)))
		}, "ada@example.com has no raw key"},
		"key taken off the list": {func(t *testing.T, dir string, ada, bob somebody) {
			bob.approve(t, dir, approvedRule)
			edit(t, dir, "approvers.yaml", ada.line, mallory.line)
		}, "the signature is by the key " + person(t, "ada", false).key.Fingerprint() + ", which is not listed for ada@example.com"},
		"revoked": {func(t *testing.T, dir string, ada, bob somebody) {
			bob.approve(t, dir, approvedRule)
			edit(t, dir, "approvers.yaml", "groups: [legal]}", "groups: [legal], revoked: true}")
		}, "the approver bob@example.com is revoked"},
		"approver removed": {func(t *testing.T, dir string, ada, bob somebody) {
			bob.approve(t, dir, approvedRule)
			edit(t, dir, "approvers.yaml", ada.id, "adam@example.com")
		}, "ada@example.com is no approver of approvers.yaml"},
		"the author": {func(t *testing.T, dir string, ada, bob somebody) {
			person(t, "growth", false).approve(t, dir, approvedRule)
		}, "growth@example.com is the rule's owner: an author's own approval doesn't count"},
		"twice by one": {func(t *testing.T, dir string, ada, bob somebody) {
			st := ada.statement(t, dir, approvedRule)
			st.At = st.At.Add(time.Minute)
			one, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			put(t, dir, st, ada.sign(t, st))
			two, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, file), append(one, two...), 0o644); err != nil {
				t.Fatal(err)
			}
		}, "another approval of ada@example.com counts: an approver counts once"},
		"of another rule": {func(t *testing.T, dir string, ada, bob somebody) {
			copyFile(t, dir, "rules/invite-teammate.yaml", "rules/other.yaml")
			edit(t, dir, "rules/other.yaml", "state: live", "state: draft")
			bob.approve(t, dir, "other")
			copyFile(t, dir, "approvals/other.yaml", file)
		}, "bob@example.com signed it for the rule other"},
		"the content replaced": {func(t *testing.T, dir string, ada, bob somebody) {
			bob.approve(t, dir, approvedRule)
			before := ada.statement(t, dir, approvedRule).Content
			edit(t, dir, "responses/invite-teammate.html", "Invite", "Pay")
			edit(t, dir, file, before, ada.statement(t, dir, approvedRule).Content)
		}, "the signature is by the key of ada@example.com, but not of what the approval says"},
		"the end moved": {func(t *testing.T, dir string, ada, bob somebody) {
			st := bob.statement(t, dir, approvedRule)
			signature := bob.sign(t, st)
			st.Until = approvedAt.Add(time.Hour)
			put(t, dir, st, signature)
		}, "the signature is not by a raw key of bob@example.com, or not of what the approval says"},
		"ended": {func(t *testing.T, dir string, ada, bob somebody) {
			st := bob.statement(t, dir, approvedRule)
			st.Until = approvedAt
			put(t, dir, st, bob.sign(t, st))
		}, "approvals/invite-teammate.yaml: the approval of bob@example.com ended at 2036-03-01T00:00:00Z"},
		"the approver's time is over": {func(t *testing.T, dir string, ada, bob somebody) {
			bob.approve(t, dir, approvedRule)
			edit(t, dir, "approvers.yaml", "groups: [legal]}", "groups: [legal], until: 2036-02-01}")
		}, "the approval of bob@example.com ended at 2036-02-01T00:00:00Z"},
		"unknown key": {func(t *testing.T, dir string, ada, bob somebody) {
			bob.approve(t, dir, approvedRule)
			edit(t, dir, file, "- by:", "- force: true\n  by:")
		}, file + `:1:3: unknown key "force"`},
		"no YAML": {func(t *testing.T, dir string, ada, bob somebody) {
			bob.approve(t, dir, approvedRule)
			edit(t, dir, file, "- by:", "- by: {")
		}, file + ":1:1: is not YAML"},
		"damaged armor": {func(t *testing.T, dir string, ada, bob somebody) {
			bob.approve(t, dir, approvedRule)
			edit(t, dir, file, "-----END", "----END")
		}, "the signature is damaged"},
		"after many others": {func(t *testing.T, dir string, ada, bob somebody) {
			bob.approve(t, dir, approvedRule)
			edit(t, dir, file, "- by:", strings.Repeat("- {}\n", maxEntries)+"- by:")
		}, file + ":51:3: a file has at most 50 approvals: this one and what follows don't count"},
		"an end before all times": {func(t *testing.T, dir string, ada, bob somebody) {
			bob.approve(t, dir, approvedRule)
			edit(t, dir, "approvers.yaml", "groups: [legal]}", "groups: [legal], until: 0001-01-01}")
		}, "the approver bob@example.com is revoked"},
		"no list of approvers": {func(t *testing.T, dir string, ada, bob somebody) {
			bob.approve(t, dir, approvedRule)
			if err := os.Remove(filepath.Join(dir, "approvers.yaml")); err != nil {
				t.Fatal(err)
			}
		}, "ada@example.com is no approver of approvers.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, ada, bob := twoKeys(t)
			ada.approve(t, dir, approvedRule)
			test.attack(t, dir, ada, bob)
			s := load(t, dir)
			r := s.Rule(approvedRule)
			if r.Approved(approvedAt) {
				t.Error("it is approved")
			}
			for _, l := range s.Live() {
				if l.Until().IsZero() || l.Until().After(approvedAt) {
					t.Errorf("%s is live", l.Name)
				}
			}
			why := strings.Join(r.Objections(approvedAt), "\n")
			if !strings.Contains(why, test.want) {
				t.Errorf("the reasons are\n%s\nwant one with\n%s", why, test.want)
			}
		})
	}
}
