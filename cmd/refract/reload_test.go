package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/console"
)

// reloadWith asks for a reload with these If-Match headers.
func (r *refract) reloadWith(tags ...string) (*http.Response, console.Reloaded, console.Failure) {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+r.admin+"/api/reload", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header["If-Match"] = tags
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	var done struct {
		console.Reloaded
		console.Failure
	}
	if err := json.NewDecoder(resp.Body).Decode(&done); err != nil {
		r.t.Fatal(err)
	}
	return resp, done.Reloaded, done.Failure
}

func TestReloadIfMatch(t *testing.T) {
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	r := start(t, dir)
	resp, err := http.Get("http://" + r.admin + "/api/status")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	first := resp.Header.Get("ETag")
	if want := `"` + r.status().Revision + `"`; first != want {
		t.Fatalf("the status has the ETag %s, want %s", first, want)
	}
	edge := filepath.Join(dir, "site/refract.yaml")
	edit := func() { editFile(t, edge, func(s string) string { return "# edited\n" + s }) }

	edit()
	for _, tags := range [][]string{{`"000000000000"`}, {`"a", "b"`}, {"W/" + first}, {""}, {"nonsense"}} {
		resp, _, failure := r.reloadWith(tags...)
		want := http.StatusPreconditionFailed
		if !strings.Contains(tags[0], `"`) {
			want = http.StatusBadRequest
		}
		if resp.StatusCode != want || failure.Error == "" || resp.Header.Get("ETag") != first {
			t.Errorf("If-Match: %s: %s, ETag %s, %+v", tags, resp.Status, resp.Header.Get("ETag"), failure)
		}
	}
	resp, done, _ := r.reloadWith(`"x"`, first)
	second := resp.Header.Get("ETag")
	if resp.StatusCode != http.StatusOK || !done.Changed || `"`+done.Before+`"` != first || `"`+done.Revision+`"` != second || first == second {
		t.Fatalf("with the live revision: %s, ETag %s, %+v", resp.Status, second, done)
	}
	if resp, _, _ := r.reloadWith(first); resp.StatusCode != http.StatusPreconditionFailed || resp.Header.Get("ETag") != second {
		t.Errorf("with the revision before: %s, ETag %s", resp.Status, resp.Header.Get("ETag"))
	}
	if resp, done, _ := r.reloadWith("*"); resp.StatusCode != http.StatusOK || done.Changed || done.Revision != done.Before {
		t.Errorf("with *, unchanged: %s, %+v", resp.Status, done)
	}

	edit()
	if _, stderr, code := r.command("reload", "--if-match", strings.Trim(first, `"`)); code != exitRefused || !strings.Contains(stderr, strings.Trim(second, `"`)+" is live") {
		t.Errorf("the command with an old revision: exit status %d, %s", code, stderr)
	}
	var printed console.Reloaded
	if err := json.Unmarshal([]byte(r.mustCommand("reload", "--json", "--if-match", strings.Trim(second, `"`))), &printed); err != nil || !printed.Changed {
		t.Errorf("the command with the live revision prints %+v, %v", printed, err)
	}

	breakSite(t, dir)
	resp, _, failure := r.reloadWith()
	var places []string
	for _, p := range failure.Problems {
		if p.Line == 0 || p.Column == 0 || p.Message == "" {
			t.Errorf("a problem without its place: %+v", p)
		}
		places = append(places, p.File)
	}
	if want := []string{"rules/schedule-report.yaml", "segments/exporters.yaml"}; resp.StatusCode != http.StatusUnprocessableEntity || !slices.Equal(places, want) {
		t.Errorf("a bad directory: %s, problems in %v, want %v", resp.Status, places, want)
	}
	if got := r.status().Revision; got != printed.Revision {
		t.Errorf("after a refused reload, %s is live, want %s", got, printed.Revision)
	}
	r.stop()
}

func TestReloadTellsWhatNeedsARestart(t *testing.T) {
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	r := start(t, dir)
	edge := filepath.Join(dir, "site/refract.yaml")
	editFile(t, edge, func(s string) string {
		return strings.NewReplacer("listen: 127.0.0.1:0", "listen: 127.0.0.1:1", "data: ", "data: /other").Replace(s) +
			"retain: {age: 60d}\ntoken: open-sesame-0123456789\nattribute: data-region\nlate: 12h\nshutdown: {delay: 1s}\n"
	})
	if err := os.WriteFile(filepath.Join(dir, "site/responses/unused.html"), []byte("<b>x</b>"), 0o644); err != nil {
		t.Fatal(err)
	}
	var done console.Reloaded
	if err := json.Unmarshal([]byte(r.mustCommand("reload", "--json")), &done); err != nil {
		t.Fatal(err)
	}
	if want := []string{"listen", "data", "retain"}; !slices.Equal(done.Restart, want) {
		t.Errorf("a restart is needed for %v, want %v", done.Restart, want)
	}
	if all := strings.Join(done.Warnings, "\n"); !strings.Contains(all, "responses/unused.html: no rule shows it") {
		t.Errorf("the warnings: %s", all)
	}
	// It still is needed, however often one reloads. The token is new already.
	if _, stderr, code := r.command("reload"); code != exitRefused || !strings.Contains(stderr, "a token is needed") {
		t.Errorf("without the new token: exit status %d, %s", code, stderr)
	}
	out := r.mustCommand("reload", "--token", "open-sesame-0123456789")
	if !strings.Contains(out, "was live already") || !strings.Contains(out, "takes effect at the next start only: listen, data, retain") {
		t.Errorf("a second reload says %q", out)
	}
	r.kill()
}

// A rule that has expired leaves its pages as the app made them, headers and
// all, without a reload.
func TestExpiry(t *testing.T) {
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	editFile(t, filepath.Join(dir, "site/rules/invite-teammate.yaml"), func(s string) string {
		return strings.Replace(s, "expires: 2036-01-01", "expires: "+time.Now().Add(72*time.Hour).UTC().Format(time.DateOnly), 1)
	})
	r := start(t, dir)
	private := func() bool {
		resp, _ := r.do(http.MethodGet, "/projects/7", "a-stranger", nil)
		return strings.Contains(resp.Header.Get("Cache-Control"), "private")
	}
	if !private() {
		t.Fatal("before it expires, its pages may be kept by shared caches")
	}
	r.at(96 * time.Hour)
	eventually(t, "after it has expired, its pages are no longer private", func() bool { return !private() })
	r.metric(`refract_rule_state{rule="invite-teammate",state="expired"} 1`)
	r.metric(`refract_rule_state{rule="schedule-report",state="live"} 1`)
	r.stop()
}

func TestWatch(t *testing.T) {
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	editFile(t, filepath.Join(dir, "site/refract.yaml"), func(s string) string { return s + "watch: true\n" })
	r, visitor := treatedReader(t, dir)
	rule := filepath.Join(dir, "site/rules", reportsRule+".yaml")
	becomes := func(what string, treated bool) {
		t.Helper()
		eventually(t, what, func() bool { return r.treats(visitor) == treated })
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	edited := func(from, to string) []byte {
		b, err := os.ReadFile(rule)
		must(err)
		return []byte(strings.Replace(string(b), from, to, 1))
	}

	editFile(t, rule, func(s string) string { return strings.Replace(s, "state: live", "state: rolled_back", 1) })
	becomes("an edit in place is loaded", false)

	// As editors do it: the old file is moved away, or the new one into place.
	after := edited("state: rolled_back", "state: live")
	must(os.WriteFile(filepath.Join(dir, "site/rules/4913"), nil, 0o644))
	must(os.Remove(filepath.Join(dir, "site/rules/4913")))
	must(os.Rename(rule, rule+"~"))
	must(os.WriteFile(rule, after, 0o644))
	becomes("a file in another's place is loaded", true)
	must(os.WriteFile(rule+".new~", edited("state: live", "state: rolled_back"), 0o644))
	must(os.Rename(rule+".new~", rule))
	becomes("a file that was moved into place is loaded", false)

	// A bad state keeps what is live, and is told once.
	revision := r.status().Revision
	mend := breakSite(t, dir)
	eventually(t, "a bad state is told", func() bool { return strings.Contains(r.stderr(), "reload refused") })
	if got := r.status().Revision; got != revision {
		t.Errorf("a bad state made %s live, before it was %s", got, revision)
	}
	mend()
	editFile(t, rule, func(s string) string { return strings.Replace(s, "state: rolled_back", "state: live", 1) })
	becomes("the mended state is loaded", true)
	if n := strings.Count(r.stderr(), "reload refused"); n != 1 {
		t.Errorf("the bad state is told %d times", n)
	}

	// In every part of the site, also in one that is new.
	responses := filepath.Join(dir, "site/responses")
	loaded := func(what string, change func()) {
		t.Helper()
		before := r.status().Revision
		change()
		eventually(t, what, func() bool { return r.status().Revision != before })
	}
	loaded("a new response", func() { must(os.WriteFile(filepath.Join(responses, "new.html"), []byte("<b>new</b>"), 0o644)) })
	loaded("a directory in another's place", func() {
		must(os.CopyFS(responses+".new", os.DirFS(responses)))
		must(os.WriteFile(filepath.Join(responses+".new", "new.html"), []byte("<b>newer</b>"), 0o644))
		must(os.RemoveAll(responses))
		must(os.Rename(responses+".new", responses))
	})
	loaded("a file in that directory", func() { must(os.Remove(filepath.Join(responses, "new.html"))) })

	// Watched no longer, from this change on.
	loaded("the end of watching", func() {
		editFile(t, filepath.Join(dir, "site/refract.yaml"), func(s string) string { return strings.Replace(s, "watch: true", "watch: false", 1) })
	})
	r.stop()
}
