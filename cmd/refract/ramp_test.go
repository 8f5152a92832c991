package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

// A rule begins with the visitors of its first step. Once its guardrail is
// cleared, and the step has lasted, more see it, and nobody who saw it has the
// other arm. Beside it an A/A test, whose pages are the app's own.
func TestRamp(t *testing.T) {
	app := newApp(t)
	dir := newSite(t, "../../testdata/sites/loop", app.URL)
	const name = "schedule-report"
	site := filepath.Join(dir, "site")
	write := func(rule, text string) {
		t.Helper()
		editFile(t, filepath.Join(site, "rules", rule+".yaml"), func(string) string { return text })
	}
	write(name, "segment: exporters\nsurface: reports.banner\nresponse: {text: scheduled}\nmetric: {event: Teammate Invited, within: 1h}\n"+
		"guardrail: {event: Setup Abandoned, within: 1h, tolerate: 100%}\nrollout: {ramp: [20%]}\nstate: live\n")
	write(ruleName, "segment: exporters\nsurface: project-home.card\nresponse: none\nmetric: {event: Teammate Invited, within: 1h}\n"+
		"guardrail: {event: Setup Abandoned, within: 1h, tolerate: 100%}\nstate: live\n")
	set, err := rules.Load(site)
	if err != nil {
		t.Fatal(err)
	}
	first := set.Staged(func(r *rules.Rule) (float64, float64) { return r.Rollout.Steps()[0].Share, r.Rollout.Treatment })
	r := start(t, dir)
	// What a kill file keeps off waits, and its step begins anew without it.
	off, began := filepath.Join(dir, "data", "OFF."+name), r.rule(name).Ramp.Since
	touch(t, off)
	eventually(t, "the rule is off", func() bool { return r.rule(name).Ramp.Since.IsZero() })
	remove(t, off)
	eventually(t, "the rule is on again", func() bool { return r.rule(name).Ramp.Since.After(began) })
	const each = 60
	in, late := map[rules.Arm][]string{}, map[rules.Arm][]string{} // by arm: of the first step, and who comes with the second
	for i := 0; len(in[rules.Treatment]) < each || len(in[rules.Control]) < each; i++ {
		v := fmt.Sprint("visitor-", i)
		arm, is := first.Rule(name).Assign(v)
		later, _ := set.Rule(name).Assign(v)
		switch {
		case is && len(in[arm]) < each:
			in[arm] = append(in[arm], v)
		case !is && len(late[later]) < 3:
			late[later] = append(late[later], v)
		}
	}
	sees := func(v string) rules.Arm {
		t.Helper()
		switch body := r.get("/reports", v); {
		case strings.Contains(body, "scheduled"):
			return rules.Treatment
		case body != reportsPage:
			t.Fatalf("%s sees %q", v, body)
		}
		return rules.Control
	}
	for _, arm := range []rules.Arm{rules.Control, rules.Treatment} { // harm in control first, or it would be a breach
		list := in[arm]
		for i, v := range list {
			r.do(http.MethodPost, "/reports/1/export", v, nil)
			if i == 0 {
				r.settle()
			}
		}
		r.settle()
		for i, v := range list {
			if got := sees(v); got != arm {
				t.Fatalf("%s sees %s, and is in %s", v, got, arm)
			}
			if i < 3 && r.get("/projects/7", v) != projectPage {
				t.Errorf("%s sees another page than the app's in an A/A test", v)
			}
		}
		for i, v := range list { // not in the millisecond of the page
			if arm == rules.Control || i < 20 {
				r.do(http.MethodPost, "/setup/abandon", v, nil)
			}
		}
	}
	for _, list := range late {
		for _, v := range list {
			r.do(http.MethodPost, "/reports/1/export", v, nil)
		}
	}
	r.settle()
	for _, v := range late[rules.Treatment] {
		if got := sees(v); got != rules.Control {
			t.Fatalf("%s is not in the first step, and sees %s", v, got)
		}
	}
	st := r.rule(name)
	if st.Ramp == nil || st.Ramp.Step != 1 || st.Treatment.Exposed != each || st.Control.Exposed != each {
		t.Fatalf("%d and %d exposed, at %v", st.Treatment.Exposed, st.Control.Exposed, st.Ramp)
	}
	if out := r.mustCommand("status"); !strings.Contains(out, "ramp of "+name+": step 1 of 2 (20 %) since ") || !strings.Contains(out, "held, since the guardrail is undecided, the step lasts until ") {
		t.Errorf("status says\n%s", out)
	}
	if aa := r.rule(ruleName); aa.Treatment.Exposed == 0 || aa.Control.Exposed == 0 || !strings.Contains(aa.Sentence, "show nothing new (A/A)") {
		t.Errorf("the A/A test has %d and %d exposed: %s", aa.Treatment.Exposed, aa.Control.Exposed, aa.Sentence)
	}
	if out := r.mustCommand("report", ruleName); !strings.Contains(out, "This is an A/A test") {
		t.Errorf("the report says\n%s", out)
	}

	// What its tests would take, from the log of the running proxy.
	out, warned, code := r.command("check", site, "--forecast", "--change", "50%")
	if code != exitOK || !strings.Contains(warned, `rules/schedule-report.yaml: the metric's event "Teammate Invited" was never seen: nothing would be measured`) {
		t.Errorf("check: %d, %s", code, warned)
	}
	for _, want := range []string{"forecast from ", name + " (live)\n", `the metric's event "Teammate Invited" was never seen`, "finds a harm × 1.5: "} {
		if !strings.Contains(out, want) {
			t.Errorf("the forecast does not say %q:\n%s", want, out)
		}
	}

	r.at(2 * time.Hour)
	eventually(t, "the second step", func() bool { return r.rule(name).Ramp.Step == 2 })
	r.settle() // then it is published
	for _, people := range []map[rules.Arm][]string{in, late} {
		for arm, list := range people {
			for _, v := range list[:3] {
				if got := sees(v); got != arm {
					t.Errorf("in the second step %s sees %s, and is in %s", v, got, arm)
				}
			}
		}
	}
	r.settle()
	if st := r.rule(name); st.Treatment.Exposed != each+3 || st.Control.Exposed != each+3 || st.Treatment.Moved+st.Control.Moved != 0 || len(st.Tally.Epochs) != 1 {
		t.Errorf("after the second step: %+v and %+v", st.Treatment, st.Control)
	}
	if out := r.mustCommand("ledger"); !strings.Contains(out, "ramp "+name) || !strings.Contains(out, "20 % to 100 % take part") {
		t.Errorf("the ledger says\n%s", out)
	}

	// A holdout takes its visitors out, and leaves the others where they are.
	editFile(t, filepath.Join(site, "refract.yaml"), func(s string) string { return "holdout: 50%\n" + s })
	r.mustCommand("reload")
	if set, err = rules.Load(site); err != nil {
		t.Fatal(err)
	}
	held := 0
	for _, v := range in[rules.Treatment][:8] {
		want := rules.Treatment
		if set.HeldOut(segments.Unit{Who: segments.Visitor, ID: v}) {
			want = rules.Control
			held++
			if x := r.mustCommand("explain", v, "--url", "/reports"); !strings.Contains(x, fmt.Sprintf("visitor %q is in the site's holdout", v)) {
				t.Errorf("explain says\n%s", x)
			}
		}
		if got := sees(v); got != want {
			t.Errorf("with a holdout %s sees %s, want %s", v, got, want)
		}
	}
	if held == 0 || held == 8 {
		t.Errorf("%d of 8 are held out", held)
	}
	r.metric(fmt.Sprintf("refract_holdout_pages_total %d", held))
	r.metric(`refract_rollout_share{rule="schedule-report"} 1`)
}
