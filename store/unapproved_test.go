package store

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/rules"
)

// unapproved is a set whose rules lack the approval that they need.
func unapproved(t *testing.T, set *rules.Set) *rules.Set {
	t.Helper()
	dir := t.TempDir()
	for name, data := range set.Files {
		if name == "refract.yaml" {
			data = append(slices.Clone(data), "approvals: 1\n"...)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lacking, err := rules.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return lacking
}

// A rule that waits for its approvals was never live: its ramp's first step has not
// begun, and a resume is no launch.
func TestUnapprovedIsNotLive(t *testing.T) {
	ctx, c := context.Background(), &clock{t: epoch}
	approved := ramping(t)
	lacking := unapproved(t, approved)
	s, _ := openWith(t, t.TempDir(), lacking, c)
	defer closed(t, s)
	if err := s.Rollback(ctx, ramped, ByPerson, "ann", ""); err != nil {
		t.Fatal(err)
	}
	if err := s.Resume(ctx, ramped, "ann", ""); err != nil {
		t.Fatal(err)
	}
	if st, _ := s.Standing(ramped); !st.Run.Live.IsZero() || st.Run.Launches != 0 || st.Run.Stop != nil || !st.Run.Stage.Since.IsZero() {
		t.Errorf("unapproved, and resumed: %+v", st.Run)
	}
	c.advance(5 * day)
	use(t, s, approved)
	st, _ := s.Standing(ramped)
	if !st.Run.Live.Equal(c.now()) || st.Run.Launches != 1 || st.Run.Stage.Step != 1 || !st.Run.Stage.Since.Equal(c.now()) {
		t.Errorf("approved at %v: %+v", c.now(), st.Run)
	}
	if list := st.Awaits(lacking.Rule(ramped), c.now()); !slices.Contains(list, "the rule is unapproved") {
		t.Errorf("its approvals have ended, and the next step awaits %q", list)
	}
	lines, err := s.Ledger(ctx, 1, 100)
	if err != nil {
		t.Fatal(err)
	}
	starts := 0
	for _, line := range lines {
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		if e.Kind == "start" && e.Rule == ramped {
			starts++
		}
	}
	if starts != 1 {
		t.Errorf("the ledger has %d starts", starts)
	}
}

// What was approved until a time was not served from then on.
func TestPastApprovalsEnd(t *testing.T) {
	site := &Site{Rules: []SiteRule{{Name: "a", State: rules.Live, Until: epoch.Add(time.Hour), Expires: epoch.Add(2 * time.Hour)}}}
	var got []string
	for _, at := range []time.Duration{0, time.Hour - 1, time.Hour, 2 * time.Hour} {
		r := new(Past).Rules(site, epoch.Add(at))[0]
		got = append(got, r.Why)
	}
	if strings.Join(got, " ") != "  unapproved expired" {
		t.Errorf("%q", got)
	}
}
