package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/proxy"
	"github.com/seed14307185/refract/rewrite"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

// A page is one that a rule treated only if that rule's surface is on it, whatever
// another rule did there.
func TestTreatedBy(t *testing.T) {
	e := &edge{now: time.Now}
	x := &proxy.Exchange{Treated: true}
	for name, state := range map[string]rewrite.State{"there": rewrite.Swappable, "missing": rewrite.Missing} {
		x.Decision = append(x.Decision, rules.Placement{Rule: &rules.Rule{Name: name}, Arm: rules.Treatment})
		x.Sightings = append(x.Sightings, rewrite.Sighting{State: state})
	}
	e.countTreated(x)
	if one, none := e.treatedResponses("there"), e.treatedResponses("missing"); one != 1 || none != 0 {
		t.Errorf("%d and %d treated responses, want 1 and 0", one, none)
	}
}

// A rule that its file stops has a receipt, and the metric of stops counts it.
// What was stopped before has no second one.
func TestReceiptOfAFile(t *testing.T) {
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	r := start(t, dir)
	write := func(from, to string) {
		editFile(t, filepath.Join(dir, "site", "rules", ruleName+".yaml"), func(s string) string { return strings.Replace(s, from, to, 1) })
		r.mustCommand("reload")
	}
	write("state: live", "state: rolled_back")
	receipts := func() (stops []store.Stop) {
		t.Helper()
		if err := json.Unmarshal([]byte(r.mustCommand("receipt", ruleName, "--all", "--json")), &stops); err != nil {
			t.Fatal(err)
		}
		return stops
	}
	if got := receipts(); len(got) != 1 || got[0].Cause != store.ByFile || got[0].Verdict == nil {
		t.Fatalf("the receipts are %+v", got)
	}
	for receipts()[0].Published.IsZero() {
		r.settle()
	}
	r.metric(`refract_guardrail_trips_total{cause="file",rule="invite-teammate"} 1`)
	write("state: rolled_back", "state: live")
	if st := r.rule(ruleName); st.State != "live" {
		t.Errorf("the file says live, and the rule is %s", st.State)
	}
	if lines := r.mustCommand("ledger"); !strings.Contains(lines, "resume "+ruleName) || !strings.Contains(lines, "its run goes on") {
		t.Errorf("the ledger does not have that the file started it again:\n%s", lines)
	}
	if past := r.mustCommand("state"); !strings.Contains(past, ruleName+"  served") {
		t.Errorf("by the ledger it is not live:\n%s", past)
	}
	r.mustCommand("rollback", ruleName)
	write("state: live", "state: rolled_back")
	if got := receipts(); len(got) != 2 || got[1].Cause != store.ByPerson || got[0].TreatedAfter != 0 {
		t.Errorf("the receipts are %+v", got)
	}
	r.stop()
}
