package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestValueMetric judges a rule by what visitors spend, through the binary:
// repeated events count once, values that can't be added are told by reason,
// and so is what comes before the exposure or after the window.
func TestValueMetric(t *testing.T) {
	app := newApp(t)
	dir := newSite(t, "../../testdata/sites/loop", app.URL)
	editFile(t, filepath.Join(dir, "site", "rules", ruleName+".yaml"), func(s string) string {
		return strings.Replace(s, "metric: {event: Teammate Invited, within: 7d", "metric: {event: Order Completed, value: cart.total, cap: 50, within: 7d", 1)
	})
	r := start(t, dir)
	treatment, control := arms(t, dir, 3)
	for _, v := range append(append([]string(nil), treatment...), control...) {
		r.send("identify", map[string]any{"userId": v, "traits": map[string]any{"role": "admin", "plan": "trial"}})
		r.do(http.MethodPost, "/projects", v, nil)
	}
	r.settle()
	const opens = 48*time.Hour + time.Minute
	r.at(opens)
	for _, v := range append(append([]string(nil), treatment...), control...) {
		r.get("/projects/7", v)
	}
	r.do(http.MethodGet, "/projects/7", treatment[0], nil, "User-Agent", "Googlebot/2.1")

	order := func(visitor, id string, total any, more ...any) {
		message := map[string]any{"event": "Order Completed", "userId": visitor, "messageId": id, "properties": map[string]any{"cart": map[string]any{"total": total}}}
		for i := 0; i < len(more); i += 2 {
			message[more[i].(string)] = more[i+1]
		}
		r.send("track", message)
	}
	for range 2 { // the second time, each is a repetition
		order(treatment[0], "1", 9.99)
		order(treatment[0], "2", 20.01)
		order(treatment[1], "3", 1e6) // the cap
		order(treatment[2], "4", "12 €")
		order(control[0], "5", -5)
		order(control[1], "6", nil)
		order(control[2], "7", 7.5)
		order(control[2], "8", 100, "timestamp", time.Now().Add(48*time.Hour).UTC().Format(time.RFC3339Nano))
	}
	r.at(opens + 7*24*time.Hour + time.Hour)
	order(treatment[0], "9", 30)
	eventually(t, "every window is over", func() bool {
		st := r.rule(ruleName)
		return st.Treatment.Matured == 3 && st.Control.Matured == 3
	})
	st := r.rule(ruleName)
	if s := st.Treatment.Sums; s.Sum.Decimal(6) != "80" || s.Squares.Decimal(12) != "3400" {
		t.Errorf("treatment came to %s, squares %s", s.Sum.Decimal(6), s.Squares.Decimal(12))
	}
	if s := st.Control.Sums; s.Sum.Decimal(6) != "7.5" || s.Squares.Decimal(12) != "56.25" {
		t.Errorf("control came to %s, squares %s", s.Sum.Decimal(6), s.Squares.Decimal(12))
	}
	if c := st.Control; c.Early != 1 || c.Negative != 1 || c.NoValue != 1 || c.Converted != 3 {
		t.Errorf("control: %+v", c)
	}
	if len(st.Tally.Days) != 1 || st.Tally.Days[0].ControlArm.Converted != 3 || len(st.Tally.Weeks) != 1 || st.Tally.Weeks[0].TreatmentArm.Converted != 3 {
		t.Errorf("days %+v, weeks %+v", st.Tally.Days, st.Tally.Weeks)
	}
	out := r.mustCommand("report", ruleName)
	for _, want := range []string{
		"judge it by cart.total of Order Completed, at most 50 each, within 7 days",
		"treatment 80 of 3 units, 26.67 each, control 7.5 of 3 units, 2.5 each",
		"before the exposure 0 in treatment, 1 in control; after the window 1 in treatment, 0 in control",
		"whose value is no number 1 in treatment, 0 in control; whose value is negative 0 in treatment, 1 in control",
		"without a value 0 in treatment, 1 in control",
		"1 of bots",
		"recompute  refract stats guardrail --treatment 0/3 --control 0/3 --share 0.5 --tolerate 0.1 --alpha 0.05",
		fmt.Sprintf("lift --mean --treatment n=3,x=%d,sum=80,squares=3400 --control n=3,x=3,sum=7.5,squares=56.25", st.Treatment.Converted),
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the report does not say %q:\n%s", want, out)
		}
	}
	recomputed(t, st.Verdict, st.Recompute, func(args ...string) (string, error) { return stats(strings.Join(args[1:], " ")) })
	r.stop()
	r = start(t, dir)
	if again := r.rule(ruleName); again.Treatment != st.Treatment || again.Control != st.Control {
		t.Errorf("after a restart: %+v and %+v, were %+v and %+v", again.Treatment, again.Control, st.Treatment, st.Control)
	}
}
