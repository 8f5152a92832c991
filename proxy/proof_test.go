package proxy

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
)

// TestProofs: who asks for proof believes nothing else; what is refused leaves it
// to the sources after it.
func TestProofs(t *testing.T) {
	var asked []string
	edge, s, p := front(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	with(p, func(e *rules.Edge) {
		e.Identity = rules.Identity{
			Visitor: []rules.IdentitySource{
				{Kind: "cookie", Name: "session", Proof: &rules.Proof{Format: rules.JWT, Claim: "sub"}},
				{Kind: "header", Name: "Authorization", Proof: &rules.Proof{Format: rules.JWT, Claim: "sub"}},
				{Kind: "cookie", Name: "user"},
			},
			Account: []rules.IdentitySource{{Kind: "cookie", Name: "session", Proof: &rules.Proof{Format: rules.JWT, Claim: "org"}}},
		}
	})
	p.Verify = func(s *rules.IdentitySource, value string) string {
		asked = append(asked, s.Name+" "+s.Proof.Claim+" "+value)
		id, _ := strings.CutPrefix(value, "good:")
		if id == value {
			return ""
		}
		return s.Proof.Claim + "-" + id
	}
	for _, c := range []struct {
		header  []string
		visitor string
		account string
		asked   []string
	}{
		{[]string{"Cookie", "user=ann; session=good:bob"}, "sub-bob", "org-bob", []string{"session sub good:bob", "session org good:bob"}},
		{[]string{"Cookie", "user=ann; session=bad"}, "ann", "", []string{"session sub bad", "session org bad"}},
		{[]string{"Cookie", "user=ann; session="}, "ann", "", nil},
		{[]string{"Cookie", "user=ann", "Session", "good:bob"}, "ann", "", nil},
		{[]string{"Cookie", "user=ann", "Authorization", "good:bob"}, "sub-bob", "", []string{"Authorization sub good:bob"}},
		{[]string{"Cookie", "user=ann; session=bad", "Authorization", "good:bob"}, "sub-bob", "", []string{"session sub bad", "Authorization sub good:bob", "session org bad"}},
		// Of two cookies of a name the first counts, as for every source.
		{[]string{"Cookie", "session=bad; session=good:bob; user=ann"}, "ann", "", []string{"session sub bad", "session org bad"}},
		{[]string{"Cookie", "session=good:bob; session=good:carol"}, "sub-bob", "org-bob", []string{"session sub good:bob", "session org good:bob"}},
		// What is no id is none, whoever proves it.
		{[]string{"Cookie", "user=ann; session=good:" + strings.Repeat("x", events.MaxID)}, "ann", "", nil},
	} {
		s.events, asked = nil, nil
		do(t, "POST", edge+"/reports/r1/export", c.header...)
		if len(s.events) != 1 || s.events[0].Visitor != c.visitor || s.events[0].Account != c.account {
			t.Errorf("%q: %+v, want an event of %q, %q", c.header, s.events, c.visitor, c.account)
		}
		if c.asked != nil && !slices.Equal(asked, c.asked) {
			t.Errorf("%q: asked for %q, want %q", c.header, asked, c.asked)
		}
	}

	// Without anybody who verifies, nothing is proved.
	p.Verify = nil
	s.events = nil
	do(t, "POST", edge+"/reports/r1/export", "Cookie", "user=ann; session=good:bob")
	if len(s.events) != 1 || s.events[0].Visitor != "ann" {
		t.Errorf("events: %+v", s.events)
	}
}
