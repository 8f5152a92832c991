package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/console"
	"github.com/seed14307185/refract/rules"
)

// TestInteractions runs three rules, on one page, of which two spoil each other's
// effect and the third has one of its own.
func TestInteractions(t *testing.T) {
	const people = 480
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!DOCTYPE html><html><head><title>p</title></head><body>`+
			`<p data-surface="banner">old</p><p data-surface="button">old</p><p data-surface="footer">old</p></body></html>`)
	}))
	t.Cleanup(app.Close)
	var list []*fate
	for _, name := range []string{"banner", "button", "footer"} {
		list = append(list, &fate{rule: name, guardrail: "tolerate: 100%"})
	}
	dir := truthSite(t, list, app.URL)
	for _, one := range list {
		editFile(t, filepath.Join(dir, "site", "surfaces", one.rule+".yaml"), func(s string) string {
			return strings.ReplaceAll(s, "/"+one.rule, "/page")
		})
	}
	set, err := rules.Load(filepath.Join(dir, "site"))
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, dir)
	if out := r.mustCommand("report", "--interactions"); out != "No two rules have a unit in common.\n" {
		t.Errorf("before anyone came: %q", out)
	}
	var joined, happened []map[string]any
	for i := range people {
		joined = append(joined, map[string]any{"type": "track", "event": "Joined", "userId": fmt.Sprint("person-", i)})
	}
	r.track(joined)
	met := map[string]int{}
	for i := range people {
		who := fmt.Sprint("person-", i)
		r.get("/page", who)
		treats := map[string]bool{}
		for _, one := range list {
			arm, _ := set.Rule(one.rule).Assign(who)
			treats[one.rule] = arm == rules.Treatment
		}
		// Of each hundred in a cell, in turn, as many as it says, spread evenly.
		converts := func(rule string, rate int) {
			cell := fmt.Sprint(rule, treats)
			n := met[cell] + 1
			met[cell] = n
			if n*rate/100 != (n-1)*rate/100 {
				happened = append(happened, map[string]any{"type": "track", "event": rule + " success", "userId": who,
					"timestamp": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)})
			}
		}
		together := map[bool]int{true: 70, false: 30}[treats["banner"] != treats["button"]]
		converts("banner", together)
		converts("button", together)
		converts("footer", map[bool]int{true: 70, false: 50}[treats["footer"]])
	}
	r.at(2 * time.Hour)
	r.track(happened)
	if out := r.mustCommand("report", "--interactions"); strings.Count(out, " open\n") != 6 || strings.Count(out, "  collecting  ") != 6 {
		t.Errorf("while the windows are open:\n%s", out)
	}
	r.at(20 * 24 * time.Hour)
	asked := func(args ...string) console.Interactions {
		var found console.Interactions
		if err := json.Unmarshal([]byte(r.mustCommand(append([]string{"report", "--interactions", "--json"}, args...)...)), &found); err != nil {
			t.Fatal(err)
		}
		return found
	}
	var pairs []string
	found := asked()
	for n := 0; n < 1000 && slices.ContainsFunc(found.Pairs, func(p console.Interaction) bool { return p.Open > 0 }); n++ {
		r.settle() // windows close some hundred at a time
		found = asked()
	}
	for _, p := range found.Pairs {
		state := console.NoInteraction
		if p.Rule != "footer" && p.With != "footer" {
			state = console.Interacts
		}
		if p.State != state || p.Units != people || p.First+p.Open != 0 {
			t.Errorf("%s with %s: %s of %d units, %d and %d left out, want %s: %+v", p.Rule, p.With, p.State, p.Units, p.First, p.Open, state, p.Interaction)
		}
		if state == console.Interacts && (p.InTreatment.Change > -.4 || p.InControl.Change < .8 || p.Ratio.High > -.4) {
			t.Errorf("%s with %s: %+v", p.Rule, p.With, p.Interaction)
		}
		pairs = append(pairs, p.Rule+" "+p.With)
	}
	if got := strings.Join(pairs, ", "); got != "banner button, banner footer, button banner, button footer, footer banner, footer button" {
		t.Errorf("the pairs are %s", got)
	}
	pairs = nil
	for _, p := range asked("button").Pairs {
		pairs = append(pairs, p.Rule+" "+p.With)
	}
	if got := strings.Join(pairs, ", "); got != "button banner, button footer, banner button, footer button" {
		t.Errorf("the pairs of button are %s", got)
	}
	out := r.mustCommand("report", "banner", "--interactions")
	if !strings.Contains(out, "banner  button  interact  ") || !strings.Contains(out, "The odds that any of these 4 says interact while none does are at most 5 %") {
		t.Errorf("the report is\n%s", out)
	}
	if _, errOut, code := r.command("report", "nosuch", "--interactions"); code == exitOK || !strings.Contains(errOut, "nosuch: no such rule") {
		t.Errorf("of a rule that isn't there: %d, %q", code, errOut)
	}
}
