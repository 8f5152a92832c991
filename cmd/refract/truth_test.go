package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/console"
	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

// fate is a rule of which the test knows what it does to people: of each arm,
// how many of a hundred convert and how many are harmed.
type fate struct {
	rule, guardrail string // its guardrail, but for the event, as YAML
	converts, harms [2]int // of a hundred, in treatment and control
	reaches         [2]int // of a hundred that are in the segment, see the surface
	silent          bool   // what harms them is never told
	state, cause    string
	verdict         func(v *outcomes.Verdict) bool
	says            []string
	held            store.HoldReason // for good
}

// response is what the rule shows: nothing, if it is the A/A test.
func (f *fate) response() string {
	if f.rule == "same" {
		return "none"
	}
	return "{inner: " + f.rule + ".html}"
}

// fates are the ways in which a rule's life can end.
func fates() []*fate {
	all := [2]int{100, 100}
	return []*fate{{
		rule: "helping", guardrail: "tolerate: 100%", converts: [2]int{40, 20}, harms: [2]int{20, 20}, reaches: all,
		state: "live",
		verdict: func(v *outcomes.Verdict) bool {
			return v.Guardrail == outcomes.Cleared && v.Lift.Low > 0 && v.Lift.P < .05
		},
		says: []string{"It helped: ", "The guardrail is cleared: "},
	}, {
		rule: "harmful", guardrail: "tolerate: 10%", converts: [2]int{20, 20}, harms: [2]int{30, 10}, reaches: all,
		state: "rolled_back", cause: "guardrail",
		verdict: func(v *outcomes.Verdict) bool { return v.Guardrail == outcomes.Breached && v.P <= .05 },
		says:    []string{"Rolled back: the guardrail, harmful harm within 48 hours, came more often or earlier than the 10 % tolerated"},
	}, {
		rule: "same", guardrail: "tolerate: 10%", converts: [2]int{20, 20}, harms: [2]int{10, 10}, reaches: all,
		state: "live",
		verdict: func(v *outcomes.Verdict) bool {
			return v.Guardrail == outcomes.Undecided && v.Lift.Low < 0 && v.Lift.High > 0 && v.SRM.State == outcomes.SRMFine
		},
		says: []string{"show nothing new (A/A)", "And nothing was found: "},
	}, {
		rule: "blind", guardrail: "tolerate: 10%, baseline: 10%", converts: [2]int{20, 20}, harms: [2]int{30, 10}, reaches: all, silent: true,
		state:   "live",
		verdict: func(v *outcomes.Verdict) bool { return v.Blind && v.Guardrail == outcomes.Undecided && v.LogE <= 0 },
		says:    []string{"The guardrail is blind: ", "live, held since ", "held       the guardrail is blind, since "},
		held:    store.HeldBlind,
	}, {
		rule: "lopsided", guardrail: "tolerate: 10%", converts: [2]int{40, 20}, harms: [2]int{10, 10}, reaches: [2]int{100, 60},
		state: "live",
		verdict: func(v *outcomes.Verdict) bool {
			return v.SRM.State == outcomes.SRMInvalid && v.Guardrail == outcomes.Undecided
		},
		says: []string{"The results are invalid: ", "held       the sample ratio is invalid, since "},
		held: store.HeldInvalid,
	}}
}

// truthSite writes a site directory with a rule for each fate, each on a page of
// its own, for one segment.
func truthSite(t *testing.T, list []*fate, origin string) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, format string, args ...any) {
		name = filepath.Join(dir, "site", name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, fmt.Appendf(nil, format, args...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("refract.yaml", `listen: 127.0.0.1:0
admin: 127.0.0.1:0
origin: %s
data: %s
sources: {segment: {write_key: test-key}}
identity: {visitor: ["cookie:user"]}
`, origin, filepath.Join(dir, "data"))
	write("segments/joined.yaml", "did: Joined\n")
	for _, one := range list {
		write("responses/"+one.rule+".html", "<b>new</b>")
		write("surfaces/"+one.rule+".yaml", "pages: [/%s]\n", one.rule)
		write("rules/"+one.rule+".yaml", `segment: joined
surface: %[1]s
response: %[3]s
metric: {event: %[1]s success, within: 2d}
guardrail: {event: %[1]s harm, within: 2d, %[2]s}
state: live
`, one.rule, one.guardrail, one.response())
	}
	return dir
}

// track sends events by the Segment mount, a hundred at a time.
func (r *refract) track(list []map[string]any) {
	r.t.Helper()
	for len(list) > 0 {
		n := min(100, len(list))
		r.send("batch", map[string]any{"batch": list[:n]})
		list = list[n:]
	}
}

// TestTruth runs, in one binary, a rule that helps, one that harms, one that does
// nothing, one whose guardrail never hears of harm and one whose arms are not
// what was drawn. Each must end in its right state, with the right report.
func TestTruth(t *testing.T) {
	if testing.Short() {
		t.Skip("what it finds takes thousands of requests; TestLoop goes the same way with some")
	}
	const people = 1000
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!DOCTYPE html><html><head><title>p</title></head><body><p data-surface=%q>old</p></body></html>`, strings.TrimPrefix(r.URL.Path, "/"))
	}))
	t.Cleanup(app.Close)
	list := fates()
	dir := truthSite(t, list, app.URL)
	set, err := rules.Load(filepath.Join(dir, "site"))
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, dir)

	var joined, happened []map[string]any
	for i := range people {
		joined = append(joined, map[string]any{"type": "track", "event": "Joined", "userId": fmt.Sprint("person-", i)})
	}
	r.track(joined)
	var seen, met [5][2]int // of each rule by arm, treatment first
	for week := range 2 {
		at := time.Duration(week) * 8 * 24 * time.Hour
		r.at(at)
		happened = nil
		for f, one := range list {
			for i := week * people / 2; i < (week+1)*people/2; i++ {
				who := fmt.Sprint("person-", i)
				arm, _ := set.Rule(one.rule).Assign(who)
				a := 0
				if arm == rules.Control {
					a = 1
				}
				// Of each hundred in turn, as many as it says, spread evenly.
				of := func(n, rate int) bool { return n*rate/100 != (n-1)*rate/100 }
				if met[f][a]++; !of(met[f][a], one.reaches[a]) {
					continue
				}
				body := r.get("/"+one.rule, who)
				treats := arm == rules.Treatment && one.rule != "same" && (week == 0 || one.state == "live")
				if strings.Contains(body, "<b>new</b>") != treats {
					t.Fatalf("%s, in %s of %s, sees %q in week %d", who, arm, one.rule, body, week)
				}
				seen[f][a]++
				tell := func(event string) {
					happened = append(happened, map[string]any{"type": "track", "event": one.rule + event, "userId": who,
						"timestamp": time.Now().Add(at + time.Hour).UTC().Format(time.RFC3339)})
				}
				if of(seen[f][a], one.converts[a]) {
					tell(" success")
				}
				if of(seen[f][a], one.harms[a]) && !one.silent {
					tell(" harm")
				}
			}
		}
		r.at(at + 2*time.Hour)
		r.track(happened)
		if st := r.rule("harmful"); st.State != "rolled_back" {
			t.Errorf("once its harms are told, the harmful rule is %s: %+v", st.State, st.Verdict)
		}
	}

	r.at(20 * 24 * time.Hour)
	for range 1000 { // windows close some hundred at a time
		if st := r.rule("lopsided"); st.Treatment.Matured+st.Control.Matured == st.Treatment.Exposed+st.Control.Exposed {
			break
		}
		r.settle()
	}
	var reports []console.RuleStatus
	if err := json.Unmarshal([]byte(r.mustCommand("report", "--json")), &reports); err != nil {
		t.Fatal(err)
	}
	of := map[string]console.RuleStatus{}
	for _, st := range reports {
		of[st.Name] = st
	}
	for _, one := range list {
		st := of[one.rule]
		if st.State != one.state || st.Cause != one.cause {
			t.Errorf("%s ends as %s %s, want %s %s", one.rule, st.State, st.Cause, one.state, one.cause)
		}
		if !one.verdict(&st.Verdict) {
			t.Errorf("%s: %+v of %+v and %+v", one.rule, st.Verdict, st.Treatment, st.Control)
		}
		text := r.mustCommand("report", one.rule)
		for _, says := range one.says {
			if !strings.Contains(text, says) {
				t.Errorf("the report of %s does not say %q:\n%s", one.rule, says, text)
			}
		}
	}
	// What is on record is held at the end, and who may have been meanwhile, no more.
	last := map[string]store.Entry{}
	for line := range strings.Lines(r.mustCommand("ledger", "--json")) {
		var e store.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.Hold != nil {
			last[e.Rule] = e
		}
	}
	for _, one := range list {
		e := last[one.rule]
		switch holds := of[one.rule].Holds; {
		case one.held == "":
			if len(holds) != 0 || e.Kind == "hold" {
				t.Errorf("%s is held as %v: %+v", one.rule, holds, e)
			}
		case len(holds) != 1 || holds[0].Reason != one.held || e.Kind != "hold" || *e.Hold != holds[0] || e.Tally == nil || e.Verdict == nil:
			t.Errorf("%s is held as %v, want %s: %+v", one.rule, holds, one.held, e)
		}
	}
	if !of["helping"].Discovery || of["same"].Discovery {
		t.Error("among all rules, the helping one's change does not stand, or the other's does")
	}
}
