package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed14307185/refract/store"
)

// TestNotices: people are told of a rollback, in their channel and by a signed
// event, also if the channel was down and the process was killed meanwhile; and
// nobody else learns the channel's address.
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
