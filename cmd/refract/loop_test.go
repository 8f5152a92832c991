package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed14307185/refract/rules"
)

// newApp is the unmodified app of the loop: its pages depend on nothing.
func newApp(t *testing.T) *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /projects/{id}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Cache-Control", "public, max-age=60")
		fmt.Fprint(w, projectPage)
	})
	mux.HandleFunc("GET /reports", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, reportsPage)
	})
	mux.HandleFunc("POST /projects", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/projects/7", http.StatusSeeOther) })
	mux.HandleFunc("POST /projects/{id}/invitations", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusCreated) })
	mux.HandleFunc("POST /setup/abandon", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("POST /reports/{id}/export", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "csv") })
	app := httptest.NewServer(mux)
	t.Cleanup(app.Close)
	return app
}

const (
	projectPage = "<!DOCTYPE html>\n<html><head><title>P</title></head>\n<body><!-- data-surface=\"project-home.card\" -->\n" +
		"<main><DIV class=card  data-surface='project-home.card'><p>Welcome &amp; hello</DIV>\r\n<p>rest</main></body></html>\n"
	reportsPage = `<html><body><section data-surface="reports.banner">Your reports</section><p>rest</body></html>`
	ruleName    = "invite-teammate"
)

// arms finds visitors of each arm.
func arms(t *testing.T, dir string, n int) (treatment, control []string) {
	t.Helper()
	set, err := rules.Load(filepath.Join(dir, "site"))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; len(treatment) < n || len(control) < n; i++ {
		v := fmt.Sprintf("visitor-%d", i)
		if arm, _ := set.Rule(ruleName).Assign(v); arm == rules.Treatment {
			treatment = append(treatment, v)
		} else {
			control = append(control, v)
		}
	}
	return treatment[:n], control[:n]
}

func treatedPage(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../testdata/sites/loop/responses/invite-teammate.html")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(projectPage, "<p>Welcome &amp; hello", string(b), 1)
}

// TestLoop drives the whole loop through the binary over HTTP.
func TestLoop(t *testing.T) {
	app := newApp(t)
	dir := newSite(t, "../../testdata/sites/loop", app.URL)
	r := start(t, dir)
	treatment, control := arms(t, dir, 20)
	treated := treatedPage(t)

	// Events in: a trait by the SDK's road, a project observed at the edge.
	for _, v := range append(append([]string(nil), treatment...), control...) {
		r.send("identify", map[string]any{"userId": v, "traits": map[string]any{"role": "admin", "plan": "trial"}})
		if resp, _ := r.do(http.MethodPost, "/projects", v, nil); resp.StatusCode != http.StatusSeeOther {
			t.Fatalf("creating a project: %s", resp.Status)
		}
	}
	r.settle()
	for _, v := range []string{treatment[0], control[0]} {
		if got := r.get("/projects/7", v); got != projectPage {
			t.Fatalf("%s sees a response before the 48 hours are over: %q", v, got)
		}
	}

	// The segment opens by the clock alone.
	r.at(48*time.Hour + time.Minute)
	for _, v := range treatment {
		resp, body := r.do(http.MethodGet, "/projects/7", v, nil)
		if body != treated {
			t.Fatalf("treatment sees %q\nwant %q", body, treated)
		}
		if cc := resp.Header.Get("Cache-Control"); cc != "private, no-cache" || !strings.HasPrefix(resp.Header.Get("ETag"), `W/"v1-rfs`) {
			t.Fatalf("a personalised page has Cache-Control %q and ETag %q", cc, resp.Header.Get("ETag"))
		}
	}
	for _, v := range control {
		if body := r.get("/projects/7", v); body != projectPage {
			t.Fatalf("control does not see the app's own bytes: %q", body)
		}
	}
	if body := r.get("/projects/7", "a-stranger"); body != projectPage {
		t.Fatalf("somebody outside the segment sees %q", body)
	}
	r.get("/projects/7", treatment[0]) // a second exposure counts nothing
	r.settle()
	if st := r.rule(ruleName); st.Treatment.Exposed != 20 || st.Control.Exposed != 20 {
		t.Fatalf("exposed: %d and %d, want 20 and 20", st.Treatment.Exposed, st.Control.Exposed)
	}

	// Conversions: attributed to the arm, and the segment closes for who
	// converted.
	for _, v := range []string{treatment[0], treatment[1], control[0]} {
		r.do(http.MethodPost, "/projects/7/invitations", v, nil)
	}
	r.do(http.MethodPost, "/projects/7/invitations", "a-stranger", nil) // was never exposed
	r.settle()
	if st := r.rule(ruleName); st.Treatment.Converted != 2 || st.Control.Converted != 1 {
		t.Fatalf("converted: %d and %d, want 2 and 1", st.Treatment.Converted, st.Control.Converted)
	}
	if body := r.get("/projects/7", treatment[0]); body != projectPage {
		t.Fatalf("who invited a teammate still sees the response")
	}

	// Harm: the guardrail rolls the rule back by itself.
	harms := 0
	for _, v := range treatment {
		r.do(http.MethodPost, "/setup/abandon", v, nil)
		harms++
		r.settle()
		if r.rule(ruleName).State == "rolled_back" {
			break
		}
	}
	st := r.rule(ruleName)
	if st.State != "rolled_back" || st.Cause != "guardrail" || harms < 11 || harms > 15 {
		t.Fatalf("after %d harms: %s by %q, ln E %f", harms, st.State, st.Cause, st.Verdict.LogE)
	}
	if body := r.get("/projects/7", treatment[3]); body != projectPage {
		t.Fatal("the response after the rollback is still treated")
	}
	if st.Receipt == nil || st.Receipt.Verdict.MaxLogE < 2.995732 || st.Treatment.Harmed != int64(harms) || st.Control.Harmed != 0 {
		t.Fatalf("the receipt: %+v", st.Receipt)
	}
	for _, want := range []string{"rolled_back by guardrail", "decided on ln E", fmt.Sprintf("harmed %d of %d", harms, harms)} {
		if out := r.mustCommand("report", ruleName); !strings.Contains(out, want) {
			t.Errorf("the report does not say %q:\n%s", want, out)
		}
	}

	r.reported(ruleName)
	recomputed(t, st.Verdict, st.Recompute, func(args ...string) (string, error) { return stats(strings.Join(args[1:], " ")) })

	// Neither a reload nor a restart revives it, not even one of an edited file.
	editFile(t, filepath.Join(dir, "site", "rules", ruleName+".yaml"), func(s string) string { return "# looked at\n" + s })
	if out := r.mustCommand("reload"); !strings.Contains(out, "is live") {
		t.Errorf("reload says %q", out)
	}
	if r.get("/projects/7", treatment[3]) != projectPage {
		t.Fatal("a reload revives the rule")
	}
	r.stop()
	r = start(t, dir)
	if r.get("/projects/7", treatment[3]) != projectPage {
		t.Fatal("a restart revives the rule")
	}
	if st := r.rule(ruleName); st.State != "rolled_back" || st.Receipt.Published.IsZero() || st.Receipt.LastTreated.IsZero() {
		t.Fatalf("after a restart: %s, receipt %+v", st.State, st.Receipt)
	}

	// A person resumes it: the same people, new counts.
	r.mustCommand("resume", ruleName, "--why", "mended")
	if body := r.get("/projects/7", treatment[3]); body != treated {
		t.Fatalf("after a resume, treatment sees %q", body)
	}
	if body := r.get("/projects/7", control[3]); body != projectPage {
		t.Fatal("after a resume, control is not the same people")
	}
	r.settle()
	if st := r.rule(ruleName); st.State != "live" || st.Treatment.Exposed != 1 || st.Control.Exposed != 1 || st.Treatment.Harmed != 0 {
		t.Fatalf("after a resume: %s, %+v, %+v", st.State, st.Treatment, st.Control)
	}

	again := r.history(ruleName, "")
	if rows := r.exported(ruleName); len(again.Runs) != 2 || len(rows) < 2+int(st.Treatment.Exposed+st.Control.Exposed) {
		t.Errorf("after a resume, %d rows of %d runs are exported", len(rows), len(again.Runs))
	}
	if h := r.history(ruleName, fmt.Sprintf("?run=%d", again.Runs[0].Run)); h.Stop == nil || h.Points[len(h.Points)-1].MaxLogE != st.Verdict.MaxLogE {
		t.Errorf("the history of the run before is %+v", h)
	}

	// An operator rolls back by command, and by file and signal.
	r.mustCommand("rollback", ruleName, "--why", "drill")
	if r.get("/projects/7", treatment[3]) != projectPage {
		t.Fatal("the response after refract rollback is still treated")
	}
	r.mustCommand("resume", ruleName)
	editFile(t, filepath.Join(dir, "site", "rules", ruleName+".yaml"), func(s string) string {
		return strings.Replace(s, "state: live", "state: rolled_back", 1)
	})
	if err := r.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	r.mustCommand("reload") // is behind the signal's, or does its work
	if r.get("/projects/7", treatment[3]) != projectPage {
		t.Fatal("state: rolled_back and a reload leave the rule live")
	}
	editFile(t, filepath.Join(dir, "site", "rules", ruleName+".yaml"), func(s string) string {
		return strings.Replace(s, "state: rolled_back", "state: live", 1)
	})
	r.mustCommand("reload")
	if r.get("/projects/7", treatment[3]) != treated {
		t.Fatal("what the file stopped, the file does not start again")
	}
	r.stop()
}
