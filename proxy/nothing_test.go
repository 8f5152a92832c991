package proxy

import (
	"os"
	"testing"

	"github.com/seed14307185/refract/rules"
)

// A rule whose response is none has two arms, with exposures where the surface
// was, and no page that is not the app's own.
func TestResponseThatChangesNothing(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../testdata/sites/loop")); err != nil {
		t.Fatal(err)
	}
	err := os.WriteFile(dir+"/rules/invite-teammate.yaml", []byte(`
segment: trial-admins-without-teammate
surface: project-home.card
response: none
metric: {event: Teammate Invited, within: 7d}
guardrail: {event: Setup Abandoned, within: 7d}
state: live
`), 0o644)
	if err != nil {
		t.Fatal(err)
	}
	set, err := rules.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	edge, s, p := front(t, pageWith(cardPage))
	p.Current = func() *rules.Set { return set }
	for _, arm := range []rules.Arm{rules.Treatment, rules.Control} {
		v := s.member(p, "invite-teammate", arm)
		if _, body := do(t, "GET", edge+"/projects/7", "Cookie", "user="+v); body != cardPage {
			t.Errorf("%s sees %q", arm, body)
		}
		if n := len(s.exposures); n == 0 || s.exposures[n-1].Arm != arm {
			t.Errorf("%s: the exposures are %+v", arm, s.exposures)
		}
		if x := s.exchanges[len(s.exchanges)-1]; x.Treated || len(x.Decision) != 1 || x.Decision[0].Arm != arm {
			t.Errorf("%s: decided is %+v, treated %v", arm, x.Decision, x.Treated)
		}
	}
}
