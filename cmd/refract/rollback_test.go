package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed14307185/refract/store"
)

// jsonOf runs a command whose output is JSON.
func jsonOf[T any](r *refract, args ...string) T {
	r.t.Helper()
	var v T
	if err := json.Unmarshal([]byte(r.mustCommand(args...)), &v); err != nil {
		r.t.Fatal(err)
	}
	return v
}

// TestRollbackOnRecord: drills touch nothing, and a rollback's receipt outlives
// a resume and a restart.
func TestRollbackOnRecord(t *testing.T) {
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	editFile(t, filepath.Join(dir, "site", "rules", reportsRule+".yaml"), func(s string) string {
		return strings.Replace(s, "state: live", "state: draft", 1)
	})
	r := start(t, dir)
	before := r.mustCommand("status")
	page, _ := r.do("GET", "/projects/7", "ann", nil)
	for _, rule := range []string{ruleName, reportsRule} { // one is live, the other a draft
		d := jsonOf[store.Drill](r, "drill", rule, "--json")
		if d.Failed != "" || d.Decided.Before(d.Sent) || d.OnDisk.Before(d.Decided) || d.Published.Before(d.OnDisk) || d.Acknowledged.Before(d.Published) {
			t.Errorf("%s: %+v", rule, d)
		}
	}
	if after := r.mustCommand("status"); after != before {
		t.Errorf("after the drills:\n%s\nbefore:\n%s", after, before)
	}
	if again, _ := r.do("GET", "/projects/7", "ann", nil); again.Header.Get("Cache-Control") != page.Header.Get("Cache-Control") {
		t.Error("a drill changes how pages are cached")
	}
	if _, out, code := r.command("drill", "no-such-rule"); code != 1 || !strings.Contains(out, "no such rule") {
		t.Errorf("of no rule: exit %d: %s", code, out)
	}
	if _, out, code := r.command("receipt", ruleName); code != 1 || !strings.Contains(out, "no rollback of") {
		t.Errorf("before any rollback: exit %d: %s", code, out)
	}

	r.mustCommand("rollback", ruleName, "--why", "a test")
	var first store.Stop
	eventually(t, "the receipt is complete", func() bool {
		first = jsonOf[[]store.Stop](r, "receipt", ruleName, "--json")[0]
		return !first.Published.IsZero()
	})
	if first.Cause != store.ByPerson || first.Why != "a test" || first.Node == "" || first.TreatedAfter != 0 || first.Verdict == nil {
		t.Errorf("the receipt: %+v", first)
	}
	r.mustCommand("drill", ruleName) // a rule that is stopped, too
	r.mustCommand("resume", ruleName, "--why", "mended")
	r.mustCommand("rollback", ruleName)
	r.stop()
	r = start(t, dir)
	if st := r.rule(ruleName); st.State != "rolled_back" || st.Launches != 2 {
		t.Errorf("after a restart: %s, %d launches", st.State, st.Launches)
	}
	r.mustCommand("reload")
	if st := r.rule(ruleName); st.State != "rolled_back" {
		t.Errorf("a reload made it %s", st.State)
	}
	all := jsonOf[[]store.Stop](r, "receipt", "--all", "--json")
	if len(all) != 2 || all[0].Published != first.Published || all[1].Published.IsZero() {
		t.Errorf("all receipts: %+v", all)
	}
	text := r.mustCommand("receipt", ruleName, "--all")
	for _, want := range []string{"rolled back by person", "because: a test", "published", "0 treated responses ended after", "guardrail undecided"} {
		if !strings.Contains(text, want) {
			t.Errorf("the receipts lack %q:\n%s", want, text)
		}
	}
	table := r.mustCommand("ledger")
	for _, want := range []string{"start " + ruleName, "drill " + reportsRule, "receipt " + ruleName} {
		if !strings.Contains(table, want) {
			t.Errorf("the ledger lacks %q:\n%s", want, table)
		}
	}
	r.mustCommand("ledger", "verify")
	r.stop()
}
