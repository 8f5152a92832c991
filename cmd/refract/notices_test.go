package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/store"
)

// TestNotices: people are told of a rollback, and of a guardrail that is blind,
// in their channel and by a signed event, also if the channel was down and the
// process was killed meanwhile; and nobody else learns the channel's address.
func TestNotices(t *testing.T) {
	var down, came = make(chan bool, 1), make(chan string, 100)
	down <- true
	channel := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		is := <-down
		defer func() { down <- is }()
		var m struct{ Text string }
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil || is || r.URL.Path != "/services/T0/B0/in-the-know" {
			w.WriteHeader(http.StatusServiceUnavailable)
			io.WriteString(w, "nothing is at "+r.URL.Path) // as many do
			return
		}
		came <- m.Text
	}))
	t.Cleanup(channel.Close)
	type event struct {
		ID, Type, Subject string
		Data              store.Notice
	}
	hooked := make(chan event, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var events []event
		if err != nil || json.Unmarshal(body, &events) != nil || !strings.HasPrefix(r.Header.Get("Webhook-Signature"), "v1,") {
			t.Errorf("%v: %s", err, body)
		}
		for _, e := range events {
			hooked <- e
		}
	}))
	t.Cleanup(hook.Close)
	t.Setenv("CHANNEL", channel.URL+"/services/T0/B0/in-the-know")
	t.Setenv("HOOK_SECRET", "a-secret-of-the-hook")
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	editFile(t, filepath.Join(dir, "site/refract.yaml"), func(s string) string {
		return s + "notices: [{slack: {url: env:CHANNEL}}, {webhook: {url: " + hook.URL + ", secret: env:HOOK_SECRET}}]\n"
	})
	editFile(t, filepath.Join(dir, "site/rules", reportsRule+".yaml"), func(s string) string {
		return strings.Replace(s, "tolerate: 10%", "tolerate: 10%, baseline: 50%", 1)
	})

	r := start(t, dir)
	r.mustCommand("rollback", reportsRule, "--why", "<!channel> & `rm`\nis slow for @all")
	e := <-hooked
	if e.Type != "refract.rollback" || e.Subject != reportsRule || len(e.ID) != 32 || e.ID != e.Data.ID || e.Data.Stop == nil || e.Data.Stop.Cause != store.ByPerson || e.Data.Sentence == "" {
		t.Errorf("the event: %+v", e)
	}
	r.kill()
	<-down
	down <- false
	first := r.stderr()
	r = start(t, dir)
	text := <-came
	for _, want := range []string{"*Rolled back: " + reportsRule + "*, by person", "&lt;!channel&gt; &amp; 'rm' is slow for @\u200ball", "> When exporters reach reports.banner", "`refract receipt " + reportsRule + "`"} {
		if !strings.Contains(text, want) {
			t.Errorf("the channel isn't told %q:\n%s", want, text)
		}
	}
	r.mustCommand("resume", reportsRule)
	for text = <-came; strings.HasPrefix(text, "*Rolled back"); text = <-came { // told again, for it was not known that it had come
	}
	if !strings.HasPrefix(text, "*Resumed: "+reportsRule+"*") {
		t.Errorf("of the resumption the channel is told\n%s", text)
	}
	const people = 40 // of whom the baseline says that 20 ask for support, and nobody does
	for i := range people {
		r.do(http.MethodPost, "/reports/1/export", fmt.Sprint("visitor-", i), nil)
	}
	r.settle()
	for i := range people {
		r.get("/reports", fmt.Sprint("visitor-", i))
	}
	r.settle()
	r.at(8 * 24 * time.Hour)
	text = <-came
	for _, want := range []string{"*Held: " + reportsRule + "*: the guardrail is blind", "guardrail: the guardrail is blind: of 40 units whose window is over none was harmed",
		"see whether that event is still sent, by that name, or stop it: `refract rollback " + reportsRule + "`"} {
		if !strings.Contains(text, want) {
			t.Errorf("the channel isn't told %q:\n%s", want, text)
		}
	}
	for e.Type != "refract.hold" {
		e = <-hooked
	}
	if e.Data.Hold == nil || e.Data.Hold.Reason != store.HeldBlind || e.Data.Tally == nil || !e.Data.Verdict.Blind {
		t.Errorf("the event: %+v", e)
	}
	first += r.stderr()
	r.kill()
	r = start(t, dir)
	is := r.rule(reportsRule)
	if is.State != "live" || len(is.Holds) != 1 || is.Holds[0] != *e.Data.Hold {
		t.Errorf("after a kill -9 it is %s, held as %v", is.State, is.Holds)
	}
	since := ": the guardrail is blind, since " + e.Data.Hold.Since.Format(time.RFC3339)
	for _, of := range [][2]string{{"status", reportsRule + " is held" + since}, {"report " + reportsRule, "held       the guardrail is blind, since "}, {"report", "live, held"},
		{"state", reportsRule + "  served, held (blind)  "}, {"ledger", "hold " + reportsRule + " "}, {"ledger verify", " entries, each as it was written"}} {
		if out := r.mustCommand(strings.Fields(of[0])...); strings.Count(out, of[1]) != 1 {
			t.Errorf("refract %s says %q not once:\n%s", of[0], of[1], out)
		}
	}
	r.metric(`refract_rule_held{reason="blind",rule="` + reportsRule + `"} 1`)
	r.metric(`refract_rule_held{reason="invalid",rule="` + reportsRule + `"} 0`)
	for _, page := range []string{"/", "/rules/" + reportsRule} {
		if _, body := r.ask(http.MethodGet, page, nil); !strings.Contains(body, "live, held") || !strings.Contains(body, "the guardrail is blind, since ") {
			t.Errorf("%s does not say that the rule is held:\n%s", page, body)
		}
	}
	told := first + r.stderr() + r.mustCommand("status", "--json") + r.mustCommand("ledger", "--json")
	for _, path := range []string{"/metrics", "/api/status"} {
		_, body := r.ask(http.MethodGet, path, nil)
		told += body
	}
	for _, secret := range []string{"in-the-know", "a-secret-of-the-hook"} {
		if strings.Contains(told, secret) {
			t.Errorf("%q is told of", secret)
		}
	}
	if !strings.Contains(told, `refract_outbox_pending{destination="notices:slack"}`) {
		t.Error("no metric tells of what waits for the channel")
	}
	r.stop()
}
