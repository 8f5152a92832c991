package main

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed14307185/refract/console"
)

// run runs another refract command beside the one that serves.
func (r *refract) run(args ...string) (stdout, stderr string) {
	r.t.Helper()
	cmd := exec.Command(os.Args[0], append(args, "--admin", r.admin)...)
	cmd.Env = append(os.Environ(), "REFRACT_TEST_MAIN=1")
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		r.t.Fatalf("refract %s: %v: %s", args, err, errs.String())
	}
	return out.String(), errs.String()
}

// Beside a running server, explain tells each condition with its intervals and
// the events that made them, and check tells which names it never saw.
func TestExplainAndCheckAskTheServer(t *testing.T) {
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	site := filepath.Join(dir, "site")
	never := "describe: Never asked for support\nall: [{did_not: Support Asked}]\n"
	if err := os.WriteFile(filepath.Join(site, "segments/never-asked.yaml"), []byte(never), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, dir)
	_, warned := r.run("check", site)
	for _, want := range []string{`trial-admins-without-teammate.yaml: the event "Project Created" was never seen`, `the trait "plan" was never seen`, `exporters.yaml: the event "Report Exported" was never seen`} {
		if !strings.Contains(warned, want) {
			t.Errorf("check does not warn that %s: %q", want, warned)
		}
	}

	r.send("identify", map[string]any{"userId": "ann", "traits": map[string]any{"role": "admin", "plan": "trial"}})
	r.do(http.MethodPost, "/projects", "ann", nil)
	r.settle()
	_, warned = r.run("check", site)
	if strings.Contains(warned, "Project Created") || strings.Contains(warned, "plan") || !strings.Contains(warned, `"Teammate Invited" was never seen`) {
		t.Errorf("check warns: %q", warned)
	}

	text, _ := r.run("explain", "ann", "--url", "/projects/7")
	for _, want := range []string{
		"visitor ann", `traits {"plan":"trial","role":"admin"}`,
		"segment trial-admins-without-teammate (visitor) does not hold\n",
		`  {did: "Project Created", without: "Teammate Invited", within: 2d}  from `,
		"because of Project Created at ", "because of trait role at ", "invite-teammate on project-home.card: no: the segment does not hold",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("explain does not say %q:\n%s", want, text)
		}
	}
	if text, _ := r.run("explain", "a-stranger"); !strings.Contains(text, "segment never-asked (visitor) does not hold: nothing is known of this visitor yet\n") {
		t.Errorf("explain says of a visitor that it doesn't know:\n%s", text)
	}
	raw, _ := r.run("explain", "--visitor", "ann", "--json")
	var x console.Explanation
	if err := json.Unmarshal([]byte(raw), &x); err != nil {
		t.Fatal(err)
	}
	because := map[string]console.ExplainedCondition{}
	for _, s := range x.Segments {
		for _, c := range s.Conditions {
			for _, b := range c.Because {
				because[b.Event+b.Trait] = c
			}
		}
	}
	c := because["Project Created"]
	if len(c.Holds) != 1 || len(c.Because) != 1 || c.Holds[0].From.Sub(c.Because[0].At).Hours() != 48 {
		t.Errorf("the condition is explained as %+v", c)
	}
	if len(because["plan"].Holds) != 1 {
		t.Errorf("the traits are explained as %+v", because["plan"])
	}
}
