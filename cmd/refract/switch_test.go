package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/seed14307185/refract/console"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

const reportsRule = "schedule-report"

// inTreatment finds a visitor who gets the response of schedule-report once
// they have exported a report.
func inTreatment(t testing.TB, dir string) string {
	t.Helper()
	set, err := rules.Load(filepath.Join(dir, "site"))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		v := fmt.Sprintf("reader-%d", i)
		if arm, in := set.Rule(reportsRule).Assign(v); in && arm == rules.Treatment {
			return v
		}
	}
}

// treatedReader starts a refract with a visitor who is treated on /reports.
func treatedReader(t testing.TB, dir string) (r *refract, visitor string) {
	t.Helper()
	r, visitor = start(t, dir), inTreatment(t, dir)
	r.send("track", map[string]any{"event": "Report Exported", "userId": visitor})
	if !r.treats(visitor) {
		t.Fatal("the visitor is not treated")
	}
	return r, visitor
}

// treats says whether the next response is treated.
func (r *refract) treats(visitor string) bool {
	r.t.Helper()
	return r.get("/reports", visitor) != reportsPage
}

func (r *refract) status() (s console.Status) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.mustCommand("status", "--json")), &s); err != nil {
		r.t.Fatal(err)
	}
	return s
}

func (r *refract) signal(s os.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
}

func (r *refract) post(path string) {
	r.t.Helper()
	if status, body := r.ask(http.MethodPost, path, nil); status != http.StatusOK {
		r.t.Fatalf("POST %s: %d %s", path, status, body)
	}
}

func touch(t testing.TB, name string) {
	t.Helper()
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

func remove(t testing.TB, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

// TestStops stops treatment in every way there is, and starts it again. Once a
// command or the API has answered, the very next response is the app's own.
func TestStops(t *testing.T) {
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	r, visitor := treatedReader(t, dir)
	data, rule, edge := filepath.Join(dir, "data"), filepath.Join(dir, "site/rules", reportsRule+".yaml"), filepath.Join(dir, "site/refract.yaml")
	swap := func(file, from, to string) {
		editFile(t, file, func(s string) string { return strings.Replace(s, from, to, 1) })
	}
	for _, x := range []struct {
		name        string
		stop, start func()
		silent      bool // nobody answers when it is done
		state       string
		cause       string
		off         bool
	}{
		{"kill file", func() { touch(t, filepath.Join(data, "OFF")) }, func() { remove(t, filepath.Join(data, "OFF")) }, true, "off", "kill-file", true},
		{"kill file of a rule", func() { touch(t, filepath.Join(data, "OFF."+reportsRule)) }, func() { remove(t, filepath.Join(data, "OFF."+reportsRule)) }, true, "off", "kill-file", false},
		{"signal", func() { r.signal(syscall.SIGUSR1) }, func() { r.signal(syscall.SIGUSR2) }, true, "off", "signal", true},
		{"API off", func() { r.post("/api/off") }, func() { r.post("/api/on") }, false, "off", "api", true},
		{"command", func() { r.mustCommand("rollback", reportsRule) }, func() { r.mustCommand("resume", reportsRule) }, false, "rolled_back", "person", false},
		{"command for all", func() { r.mustCommand("rollback", "--all") }, func() { r.mustCommand("resume", reportsRule) }, false, "rolled_back", "person", false},
		{"API rollback", func() { r.post("/api/rules/" + reportsRule + "/rollback") }, func() { r.post("/api/rules/" + reportsRule + "/resume") }, false, "rolled_back", "person", false},
		{"reload of the rule", func() { swap(rule, "state: live", "state: rolled_back"); r.mustCommand("reload") }, func() { swap(rule, "state: rolled_back", "state: live"); r.mustCommand("reload") }, false, "rolled_back", "file", false},
		{"reload by API", func() { swap(rule, "state: live", "state: draft"); r.post("/api/reload") }, func() { swap(rule, "state: draft", "state: live"); r.post("/api/reload") }, false, "draft", "", false},
		{"reload by signal", func() { swap(rule, "state: live", "state: rolled_back"); r.signal(syscall.SIGHUP) }, func() { swap(rule, "state: rolled_back", "state: live"); r.signal(syscall.SIGHUP) }, true, "rolled_back", "file", false},
		{"reload with off", func() { swap(edge, "listen:", "off: true\nlisten:"); r.mustCommand("reload") }, func() { swap(edge, "off: true\n", ""); r.mustCommand("reload") }, false, "off", "file", true},
	} {
		for range 2 { // the second time is no other than the first
			x.stop()
			if x.silent {
				eventually(t, x.name+" stops treatment", func() bool { return !r.treats(visitor) })
			} else if r.treats(visitor) {
				t.Fatalf("%s: the next response is treated", x.name)
			}
			if st := r.rule(reportsRule); st.State != x.state || st.Cause != x.cause {
				t.Errorf("%s: the rule is %s by %q", x.name, st.State, st.Cause)
			}
			if st := r.status(); st.Off != x.off {
				t.Errorf("%s: off is %t in the status", x.name, st.Off)
			}
			x.start()
			if x.silent {
				eventually(t, x.name+" is undone", func() bool { return r.treats(visitor) })
			} else if !r.treats(visitor) {
				t.Fatalf("%s, undone: the next response is not treated", x.name)
			}
			if st := r.rule(reportsRule); st.State != "live" {
				t.Errorf("%s, undone: the rule is %s by %q", x.name, st.State, st.Cause)
			}
		}
	}
	r.settle()
	var ledger []store.Entry
	if _, body := r.ask(http.MethodGet, "/api/ledger", nil); json.Unmarshal([]byte(body), &ledger) != nil {
		t.Fatalf("the ledger: %s", body)
	}
	kinds := map[string]int{}
	for _, e := range ledger {
		kinds[e.Kind+" "+e.Who]++
	}
	for _, by := range []string{byKillFile, bySignal, byAPI} {
		if kinds["off "+by] == 0 || kinds["off "+by] != kinds["on "+by] {
			t.Errorf("on record, off and on by %s: %d and %d times", by, kinds["off "+by], kinds["on "+by])
		}
	}
	r.stop()
}

// What turned treatment off must turn it on again, and nothing else does.
func TestSwitchesAreIndependent(t *testing.T) {
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	r, visitor := treatedReader(t, dir)
	all, one := filepath.Join(dir, "data/OFF"), filepath.Join(dir, "data/OFF."+reportsRule)
	keeping := func(n int) bool { return len(r.status().Switches) == n }
	touch(t, all)
	touch(t, one)
	eventually(t, "both files are seen", func() bool { return keeping(2) })
	r.post("/api/off")
	for _, undo := range []struct {
		name string
		do   func()
		left int
	}{
		{"the file of all is removed", func() { remove(t, all) }, 2},
		{"the API says on", func() { r.post("/api/on") }, 1},
	} {
		undo.do()
		eventually(t, undo.name, func() bool { return keeping(undo.left) })
		if r.treats(visitor) {
			t.Fatalf("%s, and treatment is back", undo.name)
		}
	}
	if out := r.mustCommand("status"); !strings.Contains(out, "off: "+reportsRule+", by kill-file") || !strings.Contains(out, "kill file: "+all+"\n") {
		t.Errorf("the status does not say what keeps it off:\n%s", out)
	}

	// A file outlives the process, what a signal or the API says does not.
	r.post("/api/off")
	r.stop()
	r = start(t, dir)
	if r.treats(visitor) {
		t.Fatal("after a restart, the kill file is not seen")
	}
	r.mustCommand("rollback", reportsRule)
	remove(t, one)
	eventually(t, "the file of the rule is removed", func() bool { return keeping(0) })
	if r.treats(visitor) {
		t.Fatal("to remove a kill file undoes a rollback")
	}
	r.mustCommand("resume", reportsRule)
	if !r.treats(visitor) {
		t.Fatal("nothing keeps it off, and it is not treated")
	}
	touch(t, filepath.Join(dir, "data/OFF.no-such-rule"))
	eventually(t, "a file that names no rule is told of", func() bool { return strings.Contains(r.stderr(), "names no rule of the site") })
	if !r.treats(visitor) {
		t.Error("a file that names no rule stops treatment")
	}
	r.stop()
}

// The data directory may be another one under the same name than when the
// process began.
func TestKillFileInAReplacedDirectory(t *testing.T) {
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	r, visitor := treatedReader(t, dir)
	data := filepath.Join(dir, "data")
	if err := os.Rename(data, data+".old"); err != nil { // the store has its files open
		t.Fatal(err)
	}
	for range 2 {
		if err := os.Mkdir(data, 0o700); err != nil {
			t.Fatal(err)
		}
		touch(t, filepath.Join(data, "OFF"))
		eventually(t, "the kill file in the new directory stops treatment", func() bool { return !r.treats(visitor) })
		if err := os.RemoveAll(data); err != nil {
			t.Fatal(err)
		}
		eventually(t, "without the directory, there is no kill file", func() bool { return r.treats(visitor) })
	}
	r.kill()
}
