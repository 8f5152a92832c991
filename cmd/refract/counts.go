package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/seed14307185/refract/console"
	"github.com/seed14307185/refract/outcomes"
)

// printIgnored tells what was not counted, by reason: what units did when it
// doesn't count, and who takes no part.
func printIgnored(out io.Writer, r *console.RuleStatus) {
	t, c := r.Treatment, r.Control
	var parts []string
	for _, p := range []struct {
		what               string
		treatment, control int64
	}{
		{"before the exposure", t.Early, c.Early},
		{"after the window", t.Late, c.Late},
		{"received a day too late", t.Dropped, c.Dropped},
		{"without a value", t.NoValue, c.NoValue},
		{"whose value is no number", t.NotNumber, c.NotNumber},
		{"whose value is negative", t.Negative, c.Negative},
	} {
		if p.treatment+p.control > 0 {
			parts = append(parts, fmt.Sprintf("%s %d in treatment, %d in control", p.what, p.treatment, p.control))
		}
	}
	if len(parts) > 0 {
		fmt.Fprintf(out, "  ignored    outcomes of units, %s\n", strings.Join(parts, "; "))
	}
	if m := r.Tally.Mixed; m > 0 {
		fmt.Fprintf(out, "  left out   %d units that saw both arms, of %d\n", m, m+t.Exposed+c.Exposed)
	}
	parts = nil
	for _, p := range []struct{ reason, what string }{
		{"bot", "of bots"}, {"gpc", "of visitors who opted out (Sec-GPC)"}, {"unknown", "of visitors without an id"}, {"prefetch", "fetched ahead"},
	} {
		if n := r.Untouched[p.reason]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, p.what))
		}
	}
	if len(parts) > 0 {
		fmt.Fprintf(out, "  no part    pages of the whole site since the process started: %s\n", strings.Join(parts, ", "))
	}
}

// printSettled tells the counts that the guardrail is judged by: those of each
// epoch, for added up they can say the contrary of what each says.
func printSettled(out io.Writer, r *console.RuleStatus) {
	settled := func(label, of string, t, c outcomes.Counts) {
		fmt.Fprintf(out, "  %-9s  harmed %d of %d in treatment, %d of %d in control%s: by these the guardrail is judged\n",
			label, t.Harmed, t.Settled, c.Harmed, c.Settled, of)
	}
	if len(r.Tally.Epochs) < 2 {
		settled("settled", "", r.Treatment, r.Control)
		return
	}
	label := "settled"
	for _, e := range r.Tally.Epochs {
		settled(label, ", where treatment is "+sharePercent(e.Treatment), e.TreatmentArm, e.ControlArm)
		label = ""
	}
}

// printUnits prints the counts of the arms in a table, epoch by epoch.
func printUnits(out io.Writer, r *console.RuleStatus) {
	fmt.Fprintf(out, "\n  %-9s  %9s  %18s  %9s  %21s  %9s\n", "units", "exposed", "metric window over", "converted", "guardrail window over", "harmed")
	arms := func(t, c outcomes.Counts) {
		for _, arm := range []struct {
			name string
			of   outcomes.Counts
		}{{"treatment", t}, {"control", c}} {
			fmt.Fprintf(out, "  %-9s  %9d  %18d  %9d  %21d  %9d\n", arm.name, arm.of.Exposed, arm.of.Matured, arm.of.MaturedConverted, arm.of.Closed, arm.of.ClosedHarmed)
		}
	}
	if len(r.Tally.Epochs) < 2 {
		arms(r.Treatment, r.Control)
		return
	}
	for _, e := range r.Tally.Epochs {
		fmt.Fprintf(out, "  where treatment is %s:\n", sharePercent(e.Treatment))
		arms(e.TreatmentArm, e.ControlArm)
	}
}

func sharePercent(share float64) string { return fmt.Sprintf("%.4g %%", 100*share) }

// printSums tells what the units of a metric that is no rate came to. Arms over
// several epochs are not for comparing, so they are left to the intervals.
func printSums(out io.Writer, r *console.RuleStatus) {
	if len(r.Tally.Epochs) != 1 {
		return
	}
	t, c := sumText(r.Treatment), sumText(r.Control)
	if t != "" && c != "" {
		fmt.Fprintf(out, "  sums       of those whose window is over: treatment %s, control %s\n", t, c)
	}
}

func sumText(c outcomes.Counts) string {
	switch s := c.Sums; {
	case s.Sum == (outcomes.Exact{}):
		return ""
	case s.Per != (outcomes.Exact{}):
		return fmt.Sprintf("%s of %s, %.4g each", s.Sum, s.Per, s.Sum.Float()/s.Per.Float())
	default:
		return fmt.Sprintf("%s of %d units, %.4g each", s.Sum.Decimal(6), c.Matured, s.Sum.Float()/1e6/float64(c.Matured))
	}
}

// printRecompute tells how to come to the report's figures by oneself.
func printRecompute(out io.Writer, r *console.RuleStatus) {
	label := "recompute"
	for _, command := range r.Recompute {
		fmt.Fprintf(out, "  %-9s  %s\n", label, command)
		label = ""
	}
}

// untouchedPages returns how many pages that a rule could touch went through
// untouched since the process started, by reason.
func (m *meter) untouchedPages() map[string]uint64 {
	pages := map[string]uint64{}
	for why, n := range m.passed {
		if n := n.Load(); n > 0 {
			pages[string(why)] = n
		}
	}
	return pages
}
