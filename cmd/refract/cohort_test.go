package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed14307185/refract/console"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

// cohortSite is a site whose rule on the reports is for the members of a cohort,
// and visitors who would see its response.
func cohortSite(t *testing.T, cohort, more string) (dir string, treated []string) {
	t.Helper()
	dir = newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	editFile(t, filepath.Join(dir, "site/segments/exporters.yaml"), func(string) string { return "all: [{cohort: " + cohort + "}]\n" })
	editFile(t, filepath.Join(dir, "site/refract.yaml"), func(s string) string { return s + "token: open-sesame-0123456789\n" + more })
	set, err := rules.Load(filepath.Join(dir, "site"))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; len(treated) < 3; i++ {
		v := fmt.Sprintf("visitor-%d", i)
		if arm, _ := set.Rule("schedule-report").Assign(v); arm == rules.Treatment {
			treated = append(treated, v)
		}
	}
	return dir, treated
}

// swapped checks who sees the rule's response: yes and no are visitors.
func (r *refract) swapped(yes, no []string) {
	r.t.Helper()
	for _, v := range yes {
		if r.get("/reports", v) == reportsPage {
			r.t.Errorf("%s is a member, and sees the app's own page", v)
		}
	}
	for _, v := range no {
		if page := r.get("/reports", v); page != reportsPage {
			r.t.Errorf("%s is no member, and sees %s", v, page)
		}
	}
}

// TestCohortUpload: a file becomes a membership, which the next page shows;
// whatever is wrong with another one leaves it as it is.
func TestCohortUpload(t *testing.T) {
	dir, v := cohortSite(t, "crm/stuck", "")
	r := start(t, dir)
	site := []string{"--site", filepath.Join(dir, "site")}
	file := func(text string) string {
		name := filepath.Join(t.TempDir(), "ids.csv")
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	load := func(args ...string) (stdout, stderr string, code int) {
		return r.command(append(append([]string{"cohort", "load", "crm/stuck"}, args...), site...)...)
	}
	r.swapped(nil, v)
	if list := r.mustCommand("cohort", "list"); !strings.Contains(list, "crm/stuck  never delivered  0        -    -        exporters\n") {
		t.Errorf("before anything was uploaded:\n%s", list)
	}
	r.metric(`refract_cohort_expired{cohort="crm/stuck"} 1`)

	if out, stderr, code := load(file("user_id,plan\n"+v[0]+",pro\n"+v[1]+",free\n"), "--why", "weekly list"); code != exitOK || out != "crm/stuck: 2 members\n" {
		t.Fatalf("exit status %d: %s%s", code, out, stderr)
	}
	r.swapped(v[:2], v[2:])
	r.metric(`refract_cohort_members{cohort="crm/stuck"} 2`)
	r.metric(`refract_cohort_expired{cohort="crm/stuck"} 0`)
	if _, page := r.ask(http.MethodGet, "/", nil); !strings.Contains(page, "<td>crm/stuck</td><td>2</td>") {
		t.Errorf("the console's page does not tell of it: %s", page)
	}

	long := strings.Repeat(v[2]+"\n", 1_000_000) // more than fits into sockets
	for name, wrong := range map[string]struct{ text, want string }{
		"a line":             {v[2] + "\n" + strings.Repeat("x", 300) + "\n", "ids.csv:2: the id is longer than 200 bytes"},
		"the last of many":   {long + "\x01\n", "ids.csv:1000001: the id has a control character"},
		"the first of many":  {"\x01\n" + long, "ids.csv:1: the id has a control character"},
		"nothing in it":      {"", "ids.csv: there is nothing in it\nhint: "},
		"an unknown column":  {"name,mail\na,b\n", "ids.csv:1: none of these columns is known to have ids: name, mail\nhint: --column"},
		"another kind of it": {"PK\x03\x04", "ids.csv:1: it is a zip archive or a workbook"},
	} {
		if _, stderr, code := load(file(wrong.text)); code != exitRefused || !strings.Contains(stderr, wrong.want) {
			t.Errorf("%s: exit status %d: %s", name, code, stderr)
		}
	}
	if _, stderr, code := load(file("a\n"), "--max-age", "soon"); code != exitRefused || !strings.Contains(stderr, `max_age: "soon" is not a duration`) {
		t.Errorf("exit status %d: %s", code, stderr)
	}
	if _, stderr, code := load(file(long), "--token", "another"); code != exitRefused || !strings.Contains(stderr, "a token is needed") {
		t.Errorf("with another token: exit status %d: %s", code, stderr)
	}
	breakOff(t, r.admin, "PUT /api/cohorts/crm/stuck HTTP/1.1\r\nHost: "+r.admin+"\r\nAuthorization: Bearer open-sesame-0123456789\r\nContent-Length: 1000\r\n\r\n"+v[2]+"\n")
	r.swapped(v[:2], v[2:])

	if out, stderr, code := load(file("{\"customer\":\""+v[2]+"\"}\n"), "--column", "customer", "--max-age", "36h"); code != exitOK {
		t.Fatalf("exit status %d: %s%s", code, out, stderr)
	}
	r.swapped(v[2:], v[:2])
	r.at(35 * time.Hour)
	r.swapped(v[2:], v[:2])
	r.at(37 * time.Hour)
	r.swapped(nil, v)
	if list := r.mustCommand("cohort", "list"); !strings.Contains(list, "crm/stuck  expired  1        37h0m") || !strings.Contains(list, "36 hours  exporters\n") {
		t.Errorf("after its time:\n%s", list)
	}
	r.metric(`refract_cohort_expired{cohort="crm/stuck"} 1`)

	r.mustCommand(append([]string{"cohort", "drop", "crm/stuck", "--why", "done"}, site...)...)
	if _, stderr, code := r.command(append([]string{"cohort", "drop", "crm/stuck"}, site...)...); code != exitRefused || !strings.Contains(stderr, "no such cohort") {
		t.Errorf("a second drop: exit status %d: %s", code, stderr)
	}
	_, b := r.ask(http.MethodGet, "/api/ledger", nil)
	var ledger []store.Entry
	if err := json.Unmarshal([]byte(b), &ledger); err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, e := range ledger {
		if e.Cohort != "" {
			told = append(told, fmt.Sprintf("%s %s %d %s", e.Kind, e.Cohort, e.Members, e.Why))
		}
	}
	if got := strings.Join(told, "; "); got != "upload crm/stuck 2 weekly list; upload crm/stuck 1 ; drop crm/stuck 1 done" {
		t.Errorf("the ledger: %s", got)
	}
	r.stop()
}

// breakOff sends a part of a request, and returns when it was answered or given up.
func breakOff(t *testing.T, addr, part string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, part); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, conn)
}

// TestCohortAPI: the road of who has no command.
func TestCohortAPI(t *testing.T) {
	dir, v := cohortSite(t, "crm/stuck", "cohorts: {mixpanel: {user: u, password: password-0123456789}}\n")
	r := start(t, dir)
	put := func(path, body string) (int, string) {
		return r.ask(http.MethodPut, path, func(req *http.Request) {
			req.Header.Set("Authorization", "Bearer open-sesame-0123456789")
			req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), -1
		})
	}
	status, body := put("/api/cohorts/crm/stuck?max_age=0s", v[0]+"\n"+v[0]+"\n")
	var m console.Membership
	if err := json.Unmarshal([]byte(body), &m); err != nil || status != http.StatusOK || m.Name != "crm/stuck" || m.Members != 1 || time.Since(m.Synced) > time.Minute {
		t.Errorf("%d %s: %v", status, body, err)
	}
	r.at(365 * 24 * time.Hour)
	r.swapped(v[:1], v[1:])
	for path, want := range map[string]int{
		"/api/cohorts/mixpanel/1":               http.StatusConflict, // whose cohorts come from elsewhere
		"/api/cohorts/CRM/1":                    http.StatusBadRequest,
		"/api/cohorts/crm/a%2Fb":                http.StatusBadRequest,
		"/api/cohorts/crm/a%20b":                http.StatusBadRequest,
		"/api/cohorts/crm/stuck?accounts=maybe": http.StatusBadRequest, "/api/cohorts/crm/%00": http.StatusBadRequest,
		"/api/cohorts/crm": http.StatusNotFound,
	} {
		if status, body := put(path, "ann\n"); status != want || want != http.StatusNotFound && !strings.Contains(body, `{"error":`) {
			t.Errorf("PUT %s: %d %s", path, status, body)
		}
	}
	status, body = put("/api/cohorts/crm/stuck?file=weekly.csv", "\nann\nb\x00b\n")
	var f console.Failure
	if err := json.Unmarshal([]byte(body), &f); err != nil || status != http.StatusUnprocessableEntity || len(f.Problems) != 1 || f.Problems[0].File != "weekly.csv" || f.Problems[0].Line != 3 {
		t.Errorf("%d %s: %v", status, body, err)
	}
	if status, body := put("/api/cohorts/crm/teams?accounts=true", "account_id\nacme\n"); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
	_, body = r.ask(http.MethodGet, "/api/cohorts", nil)
	var list []console.Cohort
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list) != 2 || list[0].Name != "crm/stuck" || list[0].Members != 1 || list[0].Expired ||
		list[0].Age < 364*86400 || len(list[0].Segments) != 1 || list[1].Name != "crm/teams" || len(list[1].Segments) != 0 {
		t.Errorf("%s: %v", body, err)
	}
	if status, _ := r.ask(http.MethodDelete, "/api/cohorts/crm/stuck", nil); status != http.StatusUnauthorized {
		t.Errorf("a drop without the token: %d", status)
	}
	r.swapped(v[:1], v[1:])
	r.stop()
}

// TestCohortPull: a membership at PostHog decides the visitor's page.
func TestCohortPull(t *testing.T) {
	var members atomic.Value // the request comes by another process, which orders nothing
	members.Store("")
	asked := make(chan string, 100)
	vendor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer phx_0123456789abcdef" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		switch r.URL.Path {
		case "/api/projects/4711/cohorts/98/":
			fmt.Fprint(w, `{"id":98,"name":"Stuck","is_calculating":false,"last_calculation":"2026-11-28T09:00:00Z","count":1,"cohort_type":null}`)
		case "/api/projects/4711/cohorts/98/persons/":
			fmt.Fprint(w, members.Load())
		default:
			http.NotFound(w, r)
		}
		asked <- r.URL.Path
	}))
	defer vendor.Close()
	dir, v := cohortSite(t, "posthog/98", fmt.Sprintf("cohorts: {posthog: {host: %s, project: 4711, key: phx_0123456789abcdef, cohorts: [98], every: 10m, max_age: 1h}}\n", vendor.URL))
	members.Store(fmt.Sprintf(`{"next":null,"previous":null,"results":[{"distinct_ids":[%q,"device-1"],"properties":{}}]}`, v[0]))
	r := start(t, dir)
	eventually(t, "the members are pulled", func() bool {
		_, metrics := r.ask(http.MethodGet, "/metrics", nil)
		return strings.Contains(metrics, `refract_cohort_pulls_total{cohort="posthog/98",result="replaced"} 1`)
	})
	r.swapped(v[:1], v[1:])
	r.metric(`refract_cohort_members{cohort="posthog/98"} 2`)
	r.metric(`refract_cohort_pulls_total{cohort="posthog/98",result="failure"} 0`)
	r.stop()
}
