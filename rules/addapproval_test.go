package rules

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// What an approve that was killed left is gone after the next one; what another
// one that runs may still need is not.
func TestAbandonedApprovals(t *testing.T) {
	dir, ada, bob := twoKeys(t)
	ada.approve(t, dir, approvedRule)
	now := time.Now()
	for name, age := range map[string]time.Duration{".approval-1": 2 * time.Hour, ".approval-2": time.Minute, ".kept": 2 * time.Hour} {
		file := filepath.Join(dir, approvalsDir, name)
		if err := os.WriteFile(file, []byte("- by:"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, time.Time{}, now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if is, why := served(t, dir, approvedRule); is || why != "" {
		t.Errorf("beside what a killed approve left: served %v, %s", is, why)
	}
	bob.approve(t, dir, approvedRule)
	var got []string
	entries, err := os.ReadDir(filepath.Join(dir, approvalsDir))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if want := []string{".approval-2", ".kept", approvedRule + ".yaml"}; !slices.Equal(got, want) {
		t.Errorf("approvals/ has %q", got)
	}
	if is, why := served(t, dir, approvedRule); !is {
		t.Errorf("it is not served: %s", why)
	}
}
