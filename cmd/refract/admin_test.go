package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAdminGuards(t *testing.T) {
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	r := start(t, dir)
	header := func(name, value string) func(*http.Request) {
		return func(req *http.Request) { req.Header.Set(name, value) }
	}
	const rollback = "/api/rules/schedule-report/rollback"
	foreign := func(req *http.Request) { req.Host = "rebound.example" }
	for _, x := range []struct {
		name, method, path string
		edit               func(*http.Request)
		status             int
	}{
		{"a foreign page's write", http.MethodPost, rollback, header("Origin", "http://foreign.example"), http.StatusForbidden},
		{"a foreign page's write, as browsers say it", http.MethodPost, rollback, header("Sec-Fetch-Site", "cross-site"), http.StatusForbidden},
		{"a rebound name's write", http.MethodPost, rollback, foreign, http.StatusForbidden},
		{"a rebound name's read", http.MethodGet, "/api/status", foreign, http.StatusForbidden},
		{"a rebound name's look at the metrics", http.MethodGet, "/metrics", foreign, http.StatusForbidden},
		{"a read", http.MethodGet, "/api/status", nil, http.StatusOK},
		{"a write that is a read", http.MethodGet, rollback, nil, http.StatusMethodNotAllowed},
	} {
		if status, body := r.ask(x.method, x.path, x.edit); status != x.status {
			t.Errorf("%s: %d %s", x.name, status, body)
		}
	}
	if st := r.rule("schedule-report"); st.State != "live" {
		t.Fatalf("what was refused has made the rule %s", st.State)
	}
	if status, body := r.ask(http.MethodPost, rollback, header("Origin", "http://"+r.admin)); status != http.StatusOK {
		t.Errorf("the console's own write: %d %s", status, body)
	}
	r.stop()

	editFile(t, filepath.Join(dir, "site/refract.yaml"), func(s string) string { return s + "token: open-sesame-0123456789\n" })
	r = start(t, dir)
	const resume = "/api/rules/schedule-report/resume"
	for _, authorization := range []string{"", "Bearer ", "Bearer open-sesame", "Basic b3BlbjpzZXNhbWU="} {
		if status, body := r.ask(http.MethodPost, resume, header("Authorization", authorization)); status != http.StatusUnauthorized {
			t.Errorf("a write with the authorization %q: %d %s", authorization, status, body)
		}
	}
	for _, personal := range []string{"/api/events", "/api/export/exposures", "/api/state?files=true", "/api/interactions"} {
		if status, _ := r.ask(http.MethodGet, personal, nil); status != http.StatusUnauthorized {
			t.Errorf("GET %s without the token: %d", personal, status)
		}
		if status, body := r.ask(http.MethodGet, personal, header("Authorization", "Bearer open-sesame-0123456789")); status != http.StatusOK {
			t.Errorf("GET %s with the token: %d %s", personal, status, body)
		}
	}
	if st := r.rule("schedule-report"); st.State != "rolled_back" {
		t.Fatalf("without the token, the rule became %s", st.State)
	}
	if status, body := r.ask(http.MethodPost, resume, header("Authorization", "Bearer open-sesame-0123456789")); status != http.StatusOK {
		t.Errorf("a write with the token: %d %s", status, body)
	}
	if st := r.rule("schedule-report"); st.State != "live" {
		t.Errorf("with the token, the rule is %s", st.State)
	}
	r.stop()
}

func TestUnixAdmin(t *testing.T) {
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	socket := filepath.Join(dir, "admin.sock")
	editFile(t, filepath.Join(dir, "site/refract.yaml"), func(s string) string {
		return strings.Replace(s, "admin: 127.0.0.1:0", "admin: unix:"+socket, 1)
	})
	r := start(t, dir)
	r.kill() // leaves its socket
	r = start(t, dir)
	r.admin = "unix:" + socket
	info, err := os.Stat(socket)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the socket's mode is %s", info.Mode())
	}
	r.mustCommand("health")
	r.mustCommand("rollback", "schedule-report", "--why", "drill")
	if st := r.rule("schedule-report"); st.State != "rolled_back" || st.Receipt.Why != "drill" {
		t.Errorf("after a rollback over the socket: %s, %+v", st.State, st.Receipt)
	}
	r.stop()
	if _, stderr, code := r.command("health"); code != exitRefused || !strings.Contains(stderr, "no refract answers at unix:"+socket) {
		t.Errorf("health of nobody: exit status %d, %s", code, stderr)
	}
}
