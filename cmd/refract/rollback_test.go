package main

import (
	"encoding/json"
	"fmt"
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
	editFile(t, filepath.Join(dir, "site", "refract.yaml"), func(s string) string {
		return s + "stops:\n  - {name: alertmanager, secret: 0123456789abcdef, rules: all}\n  - {name: pager, secret: fedcba9876543210, rules: [" + reportsRule + "]}\n"
	})
	// A holdout that the twin's visitor would be in, and a rule on every page.
	editFile(t, filepath.Join(dir, "site", "refract.yaml"), func(s string) string { return s + "holdout: 4%\n" })
	editFile(t, filepath.Join(dir, "site", "surfaces", "project-home.card.yaml"), func(s string) string {
		return strings.Replace(s, "pages: [/projects/*]", "pages: [/**]", 1)
	})
	writeFile(t, filepath.Join(dir, "site", "surfaces", "reports.banner.yaml"), "pages: [/reports]\napprovals: 1\n")
	r := start(t, dir)
	before := r.mustCommand("status")
	page, _ := r.do("GET", "/projects/7", "ann", nil)
	for _, rule := range []string{ruleName, reportsRule} { // one is live, the other an unapproved draft
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
	if first.Published.After(first.Decided) {
		t.Errorf("the rule was off before the stop was decided at %v, and the receipt says %v", first.Decided, first.Published)
	}
	r.mustCommand("drill", ruleName) // a rule that is stopped, too
	r.mustCommand("resume", ruleName, "--why", "mended")
	alarm := func(name, secret, body, query string) (int, stopAnswer) {
		t.Helper()
		resp, text := r.do("POST", stopMounts+name+query, "", strings.NewReader(body), "Authorization", "Bearer "+secret)
		var a stopAnswer
		_ = json.Unmarshal([]byte(text), &a) // what is no JSON has nothing that is asked for
		return resp.StatusCode, a
	}
	firing := func(since string) string {
		return `{"alerts":[{"status":"firing","labels":{"refract_rule":"` + ruleName + `"},"annotations":{"summary":"errors"},"startsAt":"` + since + `"}]}`
	}
	plain := `{"rule":"` + ruleName + `","why":"errors"}`
	const am, pager = "0123456789abcdef", "fedcba9876543210"
	for _, x := range []struct {
		what, name, secret, body, query string
		status                          int
	}{
		{"no such monitor", "nagios", am, plain, "", 404},
		{"another's secret", "alertmanager", pager, plain, "", 401},
		{"no message", "alertmanager", am, `{}`, "", 400},
		{"too long", "alertmanager", am, strings.Repeat(" ", 1<<20+1), "", 413},
		{"no rule", "alertmanager", am, `{"rule":""}`, "", 400},
		{"an unknown rule", "alertmanager", am, `{"rule":"no-such-rule"}`, "", 404},
		{"not its to stop", "pager", pager, plain, "", 404},
		{"resolved", "alertmanager", am, strings.Replace(firing("2026-01-01T00:00:00Z"), "firing", "resolved", 1), "", 200},
		{"raised before the rule was resumed", "alertmanager", am, firing("2026-01-01T00:00:00Z"), "", 200},
	} {
		if status, a := alarm(x.name, x.secret, x.body, x.query); status != x.status || len(a.Stopped) > 0 {
			t.Errorf("%s: %d, %+v", x.what, status, a)
		}
	}
	if st := r.rule(ruleName); st.State != "live" {
		t.Fatalf("alarms that mean nothing made it %s", st.State)
	}
	if status, a := alarm("alertmanager", am, firing("2099-01-01T00:00:00Z"), ""); status != 200 || len(a.Stopped) != 1 {
		t.Errorf("an alarm: %d, %+v", status, a)
	}
	if status, a := alarm("alertmanager", am, plain, ""); status != 200 || len(a.Repeated) != 1 || len(a.Stopped) != 0 {
		t.Errorf("the alarm again: %d, %+v", status, a)
	}
	if status, a := alarm("pager", pager, `{"rule":""}`, ""); status != 200 || len(a.Stopped) != 1 || a.Stopped[0] != reportsRule {
		t.Errorf("an alarm that names no rule: %d, %+v", status, a)
	}
	_, metrics := r.ask("GET", "/metrics", nil)
	for _, want := range []string{
		`refract_monitor_alarms_total{monitor="alertmanager",result="unauthorised"} 1`,
		`refract_monitor_alarms_total{monitor="alertmanager",result="stopped"} 1`,
		`refract_drill_last_success_timestamp_seconds{rule="` + reportsRule + `"}`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if strings.Contains(metrics, "drill of "+reportsRule) {
		t.Error("the metrics know the twin")
	}
	r.stop()
	r = start(t, dir)
	if st := r.rule(ruleName); st.State != "rolled_back" || st.Launches != 2 {
		t.Errorf("after a restart: %s, %d launches", st.State, st.Launches)
	}
	r.mustCommand("reload")
	if st := r.rule(ruleName); st.State != "rolled_back" {
		t.Errorf("a reload made it %s", st.State)
	}
	r.mustCommand("resume", ruleName)
	again := func(n int) string {
		editFile(t, filepath.Join(dir, "site", "rules", ruleName+".yaml"), func(s string) string { return fmt.Sprintf("%s# %d\n", s, n) })
		return r.mustCommand("reload")
	}
	if out := again(3); strings.Contains(out, "launched") {
		t.Errorf("after three launches: %s", out)
	}
	r.mustCommand("rollback", ruleName, "--why", "a test")
	r.mustCommand("resume", ruleName)
	if out := again(4); !strings.Contains(out, "launched 4 times under this name") || !strings.Contains(out, "up to 20 %") {
		t.Errorf("after four launches: %s", out)
	}
	r.mustCommand("rollback", ruleName, "--why", "a test")
	if out := again(5); strings.Contains(out, "launched") {
		t.Errorf("of a rule that is rolled back: %s", out)
	}
	all := jsonOf[[]store.Stop](r, "receipt", "--all", "--json")
	if len(all) != 5 || all[1].Cause != store.ByMonitor || all[1].Who != "alertmanager" || all[1].Why != "errors" || all[0].Published != first.Published || all[1].Published.IsZero() {
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
