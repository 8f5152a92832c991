package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed14307185/refract/console"
	"github.com/seed14307185/refract/events"
)

// ask sends a request to the admin listener.
func (r *refract) ask(method, path string, edit func(*http.Request)) (status int, body string) {
	r.t.Helper()
	req, err := http.NewRequest(method, "http://"+r.admin+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if edit != nil {
		edit(req)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// metric checks a line of the metrics.
func (r *refract) metric(line string) {
	r.t.Helper()
	if _, metrics := r.ask(http.MethodGet, "/metrics", nil); !strings.Contains(metrics, "\n"+line+"\n") {
		r.t.Errorf("the metrics do not say %q", line)
	}
}

// eventually waits for what nobody announces.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ticks := time.NewTicker(20 * time.Millisecond)
	defer ticks.Stop()
	for range 500 {
		if holds() {
			return
		}
		<-ticks.C
	}
	t.Fatalf("waited in vain: %s", what)
}

// refuses checks that refract serve does not start.
func refuses(t *testing.T, dir string) (stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var out, errOut bytes.Buffer
	code := run(ctx, []string{"serve", "--site", filepath.Join(dir, "site")}, strings.NewReader(""), &out, &errOut, time.Now)
	if code != exitRefused {
		t.Fatalf("exit status %d, want %d: %s", code, exitRefused, errOut.String())
	}
	return errOut.String()
}

// breakSite makes one mistake in each of two files, and returns how to undo it.
func breakSite(t *testing.T, dir string) (mend func()) {
	t.Helper()
	rule, segment := filepath.Join(dir, "site/rules/schedule-report.yaml"), filepath.Join(dir, "site/segments/exporters.yaml")
	swap := func(from, to string) func(string) string {
		return func(s string) string { return strings.Replace(s, from, to, 1) }
	}
	editFile(t, rule, swap("expect: increase", "expect: wonders"))
	editFile(t, segment, swap("in_last: 7d", "in_last: a while"))
	return func() {
		editFile(t, rule, swap("expect: wonders", "expect: increase"))
		editFile(t, segment, swap("in_last: a while", "in_last: 7d"))
	}
}

func namesBoth(t *testing.T, stderr string) {
	t.Helper()
	for _, want := range []string{`rules/schedule-report\.yaml:\d+:\d+: .*wonders`, `segments/exporters\.yaml:\d+:\d+: .*a while`, `hint: `} {
		if !regexp.MustCompile(want).MatchString(stderr) {
			t.Errorf("the errors do not match %s:\n%s", want, stderr)
		}
	}
}

func TestBrokenSite(t *testing.T) {
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	mend := breakSite(t, dir)
	namesBoth(t, refuses(t, dir))
	mend()

	r := start(t, dir)
	r.metric("refract_config_last_reload_successful 1")
	status := func() (s console.Status) {
		_, body := r.ask(http.MethodGet, "/api/status", nil)
		if err := json.Unmarshal([]byte(body), &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := status().Revision
	breakSite(t, dir)
	_, stderr, code := r.command("reload")
	if code != exitRefused {
		t.Errorf("reload of a broken site: exit status %d", code)
	}
	namesBoth(t, stderr)
	if after := status().Revision; after != before {
		t.Errorf("revision %s is live after a refused reload of %s", after, before)
	}
	r.metric("refract_config_last_reload_successful 0")
	r.metric(`refract_config_reloads_total{result="failure"} 1`)
	r.metric(`refract_rule_state{rule="schedule-report",state="live"} 1`)
	r.send("track", map[string]any{"event": "Report Exported", "userId": "ann"})
	r.get("/reports", "ann")
	r.settle()
	if st := r.rule("schedule-report"); st.Treatment.Exposed+st.Control.Exposed != 1 {
		t.Error("the rule that was live is not served after a refused reload")
	}
	mend()
	if out := r.mustCommand("reload"); !strings.Contains(out, "was live already") {
		t.Errorf("reload of the mended site says %q", out)
	}
	r.metric("refract_config_last_reload_successful 1")
	r.stop()
}

func TestOriginDown(t *testing.T) {
	app := newApp(t)
	app.Close()
	r := start(t, newSite(t, "../../testdata/sites/loop", app.URL))
	if resp, body := r.do(http.MethodGet, "/reports", "ann", nil); resp.StatusCode != http.StatusBadGateway || body == "" {
		t.Errorf("without its origin: %s %q", resp.Status, body)
	}
	r.settle() // events are taken all the same
	r.metric("refract_origin_errors_total 1")
	r.stop()
	if log := r.stderr(); !strings.Contains(log, `"msg":"the origin does not answer","origin":"`+app.Listener.Addr().String()+`"`) {
		t.Errorf("the log does not name the origin:\n%s", log)
	}
}

// hanging is an origin whose /hang answers when it is told to.
type hanging struct {
	*httptest.Server
	asked, release chan struct{}
}

func newHanging(t *testing.T) *hanging {
	h := &hanging{asked: make(chan struct{}), release: make(chan struct{})}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			h.asked <- struct{}{}
			select {
			case <-h.release:
			case <-r.Context().Done(): // the test has failed
			}
		}
		fmt.Fprint(w, "page of "+r.URL.Path)
	}))
	t.Cleanup(h.Close)
	return h
}

// hang sends a request that hangs, and returns once the origin has it. What
// the visitor gets in the end is sent to the channel.
func (h *hanging) hang(r *refract) <-chan string {
	got := make(chan string, 1)
	go func() {
		client := &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second}
		defer client.CloseIdleConnections()
		resp, err := client.Get(r.edge + "/hang")
		if err != nil {
			got <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		got <- fmt.Sprint(resp.StatusCode, " ", string(b), " ", err)
	}()
	<-h.asked
	return got
}

const unhung = "200 page of /hang <nil>"

func TestHangingOrigin(t *testing.T) {
	h := newHanging(t)
	r := start(t, newSite(t, "../../testdata/sites/loop", h.URL))
	var hung []<-chan string
	for range 20 {
		hung = append(hung, h.hang(r))
	}
	for range 20 {
		if body := r.get("/reports", "ann"); body != "page of /reports" {
			t.Fatalf("while others hang: %q", body)
		}
	}
	r.settle()
	close(h.release)
	for _, got := range hung {
		if got := <-got; got != unhung {
			t.Errorf("who hung gets %q", got)
		}
	}
	r.stop()
}

func TestDrain(t *testing.T) {
	h := newHanging(t)
	r := start(t, newSite(t, "../../testdata/sites/loop", h.URL))
	got := h.hang(r)
	if status, body := r.ask(http.MethodGet, "/readyz", nil); status != http.StatusOK {
		t.Errorf("ready: %d %s", status, body)
	}
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "not ready while draining", func() bool {
		status, body := r.ask(http.MethodGet, "/readyz", nil)
		return status == http.StatusServiceUnavailable && body == "draining\n"
	})
	if status, _ := r.ask(http.MethodGet, "/healthz", nil); status != http.StatusOK {
		t.Errorf("healthy while draining: %d", status)
	}
	close(h.release)
	if got := <-got; got != unhung {
		t.Errorf("the request in flight gets %q", got)
	}
	if err := <-r.ended; err != nil {
		t.Errorf("a drained refract ends with %v", err)
	}
	r.http.CloseIdleConnections()
}

func TestHostileEvents(t *testing.T) {
	r := start(t, newSite(t, "../../testdata/sites/loop", newApp(t).URL))
	taken := func() uint64 {
		var s console.Status
		if err := json.Unmarshal([]byte(r.mustCommand("status", "--json")), &s); err != nil {
			t.Fatal(err)
		}
		return s.Store.Events
	}
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	if _, err := z.Write(make([]byte, 64<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	track := func(fields string) string { return `{"event":"E","userId":"eve",` + fields + `}` }
	batch := func(messages string) string { return `{"batch":[` + messages + `]}` }
	good := `{"type":"track","event":"E","userId":"eve"}`
	for _, x := range []struct {
		name, call, body, code string
		status                 int
	}{
		{"nothing", "track", "", events.RefusedJSON, 400},
		{"no object", "track", `[]`, events.RefusedType, 400},
		{"half an object", "track", `{"event":"E","userId":"eve"`, events.RefusedJSON, 400},
		{"something after it", "track", good + good, events.RefusedJSON, 400},
		{"a member twice", "track", track(`"event":"F"`), events.RefusedJSON, 400},
		{"deep", "track", track(`"properties":{"a":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`), events.RefusedDepth, 400},
		{"a little too deep", "track", track(`"properties":{"a":` + strings.Repeat("[", events.MaxDepth) + strings.Repeat("]", events.MaxDepth) + `}`), events.RefusedDepth, 400},
		{"huge", "track", strings.Repeat(" ", events.MaxBody+1), events.RefusedSize, 413},
		{"huge when unpacked", "track", bomb.String(), events.RefusedSize, 413},
		{"broken gzip", "track", bomb.String()[:20], events.RefusedBody, 400},
		{"a long event", "track", track(`"properties":{"a":"` + strings.Repeat("x", events.MaxEvent) + `"}`), events.RefusedLimit, 400},
		{"many events", "batch", batch(strings.Repeat(good+",", events.MaxBatch) + good), events.RefusedLimit, 400},
		{"a name that is a number", "track", `{"event":5,"userId":"eve"}`, events.RefusedType, 400},
		{"an id that is an object", "track", `{"event":"E","userId":{}}`, events.RefusedType, 400},
		{"properties that are an array", "track", track(`"properties":[1]`), events.RefusedType, 400},
		{"traits that are a text", "identify", `{"userId":"eve","traits":"rich"}`, events.RefusedType, 400},
		{"a batch that is an object", "batch", `{"batch":{}}`, events.RefusedType, 400},
		{"an unknown type", "batch", batch(`{"type":"shout","userId":"eve"}`), events.RefusedType, 400},
		{"a bad one among good ones", "batch", batch(good + "," + `{"type":"track","userId":"eve"}` + "," + good), events.RefusedType, 400},
		{"nobody", "track", `{"event":"E"}`, events.RefusedID, 400},
		{"a long id", "track", `{"event":"E","userId":"` + strings.Repeat("x", events.MaxID+1) + `"}`, events.RefusedID, 400},
		{"a time in words", "track", track(`"timestamp":"yesterday"`), events.RefusedTime, 400},
		{"a time that is a number", "track", track(`"timestamp":1e308`), events.RefusedTime, 400},
		{"a number out of range", "track", track(`"properties":{"a":1e999}`), events.RefusedJSON, 400},
		{"NUL", "track", `{"event":"a\u0000b","userId":"eve"}`, events.RefusedText, 400},
		{"NUL in an id", "track", `{"event":"E","userId":"a\u0000"}`, events.RefusedText, 400},
		{"invalid UTF-8", "track", "{\"event\":\"\xff\",\"userId\":\"eve\"}", events.RefusedText, 400},
	} {
		before := taken()
		resp, body := r.do(http.MethodPost, ingestMounts+"segment/v1/"+x.call, "", strings.NewReader(x.body), "Authorization", "Basic dGVzdC1rZXk6")
		var answer struct{ Code string }
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatalf("%s: %s %q: %v", x.name, resp.Status, body, err)
		}
		if resp.StatusCode != x.status || answer.Code != x.code {
			t.Errorf("%s: %s %s, want %d and the code %q", x.name, resp.Status, body, x.status, x.code)
		}
		r.settle() // a good event is taken
		if n := taken() - before; n != 1 {
			t.Errorf("%s: %d events were logged, want the good one alone", x.name, n)
		}
	}
	r.metric(`refract_ingest_refused_total{reason="size"} 2`)
	if r.get("/reports", "eve") != reportsPage {
		t.Error("what was refused has put somebody in a segment")
	}
	r.stop()
}

func TestCorruptStore(t *testing.T) {
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	r := start(t, dir)
	r.settle()
	r.stop()
	manifests, err := filepath.Glob(filepath.Join(dir, "data/store/MANIFEST-*"))
	if err != nil || len(manifests) == 0 {
		t.Fatalf("manifests: %v %v", manifests, err)
	}
	for _, name := range manifests {
		if err := os.WriteFile(name, bytes.Repeat([]byte("not a manifest "), 100), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stderr := refuses(t, dir)
	for _, want := range []string{filepath.Join(dir, "data/store"), "the store can't be opened", "hint: restore the directory from a backup", ".damaged"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("the error does not say %q:\n%s", want, stderr)
		}
	}
}
