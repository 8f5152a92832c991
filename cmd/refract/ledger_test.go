package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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
