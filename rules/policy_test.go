package rules

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// One person in two groups serves both, and is one.
func TestPolicies(t *testing.T) {
	both := Approval{By: "a", Groups: []string{"legal", "product"}}
	none := Approval{By: "b"}
	for _, test := range []struct {
		policy Policy
		have   []Approval
		want   string
	}{
		{Policy{}, nil, ""},
		{Policy{Count: 1}, []Approval{none}, ""},
		{Policy{1, []string{"legal", "product"}}, []Approval{both}, ""},
		{Policy{2, []string{"legal", "product"}}, []Approval{both}, "1 approval"},
		{Policy{2, []string{"legal", "product"}}, []Approval{both, none}, ""},
		{Policy{1, []string{"legal"}}, []Approval{none}, "an approval of legal"},
	} {
		if got := strings.Join(test.policy.missing(test.have), ", "); got != test.want {
			t.Errorf("%+v of %+v lacks %q, want %q", test.policy, test.have, got, test.want)
		}
	}
	at := func(h int) time.Time { return approvedAt.Add(time.Duration(h) * time.Hour) }
	until := func(h int) Approval { return Approval{By: fmt.Sprint(h), Until: at(h)} }
	for _, test := range []struct {
		count int
		have  []Approval
		want  ending
	}{
		{0, []Approval{until(1)}, ending{}},
		{1, []Approval{until(1), until(3), until(2)}, ending{at: at(3)}},
		{2, []Approval{until(1), until(3), until(2)}, ending{at: at(2)}},
		{2, []Approval{until(1), none, until(2)}, ending{at: at(2)}},
		{1, []Approval{until(1), none}, ending{}},
		{2, []Approval{none}, ending{never: true}},
	} {
		if got := (Policy{Count: test.count}).ends(test.have); got != test.want {
			t.Errorf("%d of %v end %v, want %v", test.count, test.have, got, test.want)
		}
	}
}

// A surface's policy is the site's or more.
func TestPolicyIsAFloor(t *testing.T) {
	s := load(t, site(t, `
-- refract.yaml --
origin: http://127.0.0.1:3000
approvals: {count: 2, groups: [legal]}
-- surfaces/a.yaml --
approvals: 3
-- surfaces/b.yaml --
approvals: {groups: [product]}
-- surfaces/c.yaml --
pages: [/]
`))
	got := map[string]string{}
	for _, surface := range s.Surfaces {
		got[surface.Name] = surface.Policy.String()
	}
	for name, want := range map[string]string{
		"a": "needs 3 approvals, of legal", "b": "needs 2 approvals, of legal and product",
		"c": "needs 2 approvals, of legal", "project-home.card": "needs 2 approvals, of legal",
	} {
		if got[name] != want {
			t.Errorf("surface %s %s, want %s", name, got[name], want)
		}
	}
	none := load(t, site(t, ""))
	if r := none.Rules[0]; !r.Approved(approvedAt) || r.ApprovalsInWords(approvedAt) != "needs no approval" {
		t.Errorf("without a policy: %s", r.ApprovalsInWords(approvedAt))
	}
}
