package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/console"
)

// TestLedgerCommands: what was done is told, and whoever edits it is found: in
// a file by the file, at the end by a head that was noted.
func TestLedgerCommands(t *testing.T) {
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	r := start(t, dir)
	r.mustCommand("rollback", reportsRule, "--why", "a\ntest")
	r.mustCommand("resume", reportsRule)

	table := r.mustCommand("ledger")
	if !strings.Contains(table, "rollback "+reportsRule) || !strings.Contains(table, "a test") {
		t.Errorf("the table:\n%s", table)
	}
	_, head, _ := strings.Cut(table, "the head is ")
	head = strings.TrimSpace(head)
	whole := r.mustCommand("ledger", "verify", "--head", head)
	if !strings.HasSuffix(whole, "the head is "+head+"\n") {
		t.Errorf("verify says %s", whole)
	}
	if later := r.mustCommand("ledger", "--since", "2036-01-01"); strings.Contains(later, "rollback") {
		t.Errorf("since 2036:\n%s", later)
	}

	lines := r.mustCommand("ledger", "--json")
	file := filepath.Join(dir, "ledger.jsonl")
	for _, x := range []struct{ name, is, says string }{
		{"whole", lines, ""},
		{"edited", strings.Replace(lines, `a\ntest`, `an outage`, 1), "was changed"},
		{"a line less", lines[strings.IndexByte(lines, '\n')+1:], "entry 1 is missing"},
		{"cut off", lines[:strings.LastIndexByte(strings.TrimSpace(lines), '\n')+1], "it ends with entry"},
		{"torn", lines[:len(lines)-9], "is damaged"},
		{"its last line edited", strings.Replace(lines, `"kind":"resume"`, `"kind":"rollback"`, 1), "is not what it was"},
	} {
		if err := os.WriteFile(file, []byte(x.is), 0o600); err != nil {
			t.Fatal(err)
		}
		_, out, code := r.command("ledger", "verify", file, "--head", head)
		if (code == 1) != (x.says != "") || !strings.Contains(out, x.says) {
			t.Errorf("%s: exit %d: %s", x.name, code, out)
		}
	}
	for _, args := range [][]string{{"--since", "soon"}, {"verify", "--head", "3"}} {
		if _, out, code := r.command(append([]string{"ledger"}, args...)...); code != 2 || !strings.Contains(out, "hint: ") {
			t.Errorf("%q: exit %d: %s", args, code, out)
		}
	}
	r.stop()
}

// TestStateCommand: what was live is told, and written as it was.
func TestStateCommand(t *testing.T) {
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	r := start(t, dir)
	r.mustCommand("rollback", reportsRule, "--why", "once more")
	var then console.State
	if err := json.Unmarshal([]byte(r.mustCommand("state", "--json", "--at", time.Now().Add(time.Hour).Format(time.RFC3339))), &then); err != nil {
		t.Fatal(err)
	}
	was := map[string]string{}
	for _, rule := range then.Rules {
		was[rule.Name] = strings.TrimSpace(rule.Why + " " + rule.By)
	}
	if len(then.Files) != 0 || was[ruleName] != "" || was[reportsRule] != "rolled_back person" {
		t.Errorf("the state: %+v", then)
	}
	site := filepath.Join(dir, "then")
	out := r.mustCommand("state", "--out", site)
	for _, want := range []string{ruleName + "  served ", reportsRule + "  rolled_back by person ", "files were written to " + site} {
		if !strings.Contains(strings.Join(strings.Fields(out), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("the state does not say %q:\n%s", want, out)
		}
	}
	for _, name := range []string{"refract.yaml", "rules/" + ruleName + ".yaml", "responses/invite-teammate.html"} {
		want, err := os.ReadFile(filepath.Join(dir, "site", name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(site, name)); err != nil || string(got) != string(want) {
			t.Errorf("%s was kept as %q, %v", name, got, err)
		}
	}
	if _, out, code := r.command("state", "--at", "2020-01-01"); code != 1 || !strings.Contains(out, "the ledger begins later") {
		t.Errorf("of a time before: exit %d: %s", code, out)
	}
	r.stop()
}
