package main

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/console"
	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
)

// recomputed runs the commands of a report with --json, and compares what they
// print with its figures, digit by digit.
func recomputed(t *testing.T, v outcomes.Verdict, commands []string, run func(args ...string) (string, error)) {
	t.Helper()
	figures := []map[string]any{
		{"log_e": v.LogE},
		{"lift": v.Harm.Change, "low": v.Harm.Low, "high": v.Harm.High},
		{"lift": v.Lift.Change, "low": v.Lift.Low, "high": v.Lift.High, "log_e": v.Lift.LogE},
		{"log_bf": v.SRM.LogBF},
	}
	if len(commands) != len(figures) {
		t.Fatalf("%d commands: %q", len(commands), commands)
	}
	for i, command := range commands {
		args, ok := strings.CutPrefix(command, "refract ")
		out, err := run(append(strings.Fields(args), "--json")...)
		var got map[string]any
		if !ok || err != nil || json.Unmarshal([]byte(out), &got) != nil {
			t.Fatalf("%s: %v: %s", command, err, out)
		}
		want := figures[i]
		if lift := []outcomes.Lift{v.Harm, v.Lift}; (i == 1 || i == 2) && lift[i-1].Collecting {
			want = map[string]any{"decision": "collecting"}
		}
		for key, value := range want {
			if !sameFigure(got[key], value) {
				t.Errorf("%s: %s is %v, the report has %v", command, key, got[key], value)
			}
		}
	}
}

// sameFigure compares numbers by nine digits, and words.
func sameFigure(a, b any) bool {
	x, ok1 := a.(float64)
	y, ok2 := b.(float64)
	if ok1 && ok2 {
		return math.Abs(x-y) <= 1e-9*max(1, math.Abs(y))
	}
	return a == b
}

// A reviewer comes from a report's counts to its figures, over several epochs
// too.
func TestRecompute(t *testing.T) {
	one := outcomes.Counts{Exposed: 1000, Harmed: 131, Settled: 980, Closed: 900, ClosedHarmed: 51, Matured: 970, MaturedConverted: 261}
	two := outcomes.Counts{Exposed: 1021, Harmed: 80, Settled: 911, Closed: 880, ClosedHarmed: 49, Matured: 960, MaturedConverted: 203}
	one.Sums = sums(t, "26112345678", "2911234567812345678", "2612345678912345678")
	two.Sums = sums(t, "20312345678", "2711234567812345678", "2012345678912345678")
	few := outcomes.Counts{Exposed: 7, Harmed: 1, Settled: 2, Closed: 2, ClosedHarmed: 1, Matured: 2}
	for name, tally := range map[string]*outcomes.Tally{
		"one epoch":    {Epochs: []outcomes.Epoch{{Treatment: .5, TreatmentArm: one, ControlArm: two}}},
		"three epochs": {Epochs: []outcomes.Epoch{{Treatment: .1, TreatmentArm: few, ControlArm: one}, {Treatment: 1. / 3, TreatmentArm: two, ControlArm: one}, {Treatment: .9, TreatmentArm: one, ControlArm: few}}},
		"collecting":   {Epochs: []outcomes.Epoch{{Treatment: .5, TreatmentArm: few, ControlArm: few}}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, m := range []rules.Metric{{Event: "Ordered"}, {Event: "Ordered", Value: "total"}, {Event: "Clicked", Per: "Viewed"}} {
				r := &rules.Rule{Metric: m, Guardrail: rules.Guardrail{Event: "Abandoned", Within: time.Hour, Tolerate: .1, Baseline: .08, Alpha: .01}}
				verdict := outcomes.Judge(tally, r)
				if name != "collecting" && verdict.Lift.Collecting {
					t.Errorf("%s is collecting: nothing is compared", m.Subject())
				}
				recomputed(t, verdict, console.Recompute(tally, r), func(args ...string) (string, error) { return stats(strings.Join(args[1:], " ")) })
			}
		})
	}
}

// sums has one of the value and its squares, and of two events' counts.
func sums(t *testing.T, sum, squares, products string) (s outcomes.Sums) {
	t.Helper()
	for to, text := range map[*outcomes.Exact]string{
		&s.Sum: sum, &s.Squares: squares, &s.Per: "93123456789", &s.PerSquares: "9312345678912345678", &s.Products: products,
	} {
		if err := to.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// What is not counted is said, by reason and arm.
func TestReportSaysWhatIsIgnored(t *testing.T) {
	r := &console.RuleStatus{
		Tally:     outcomes.Tally{Mixed: 3},
		Treatment: outcomes.Counts{Exposed: 50, Early: 1, Late: 4, Dropped: 2},
		Control:   outcomes.Counts{Exposed: 47, Late: 5},
		Untouched: map[string]uint64{"bot": 12, "gpc": 7, "status": 100},
	}
	var out bytes.Buffer
	printIgnored(&out, r)
	want := `  ignored    outcomes of units, before the exposure 1 in treatment, 0 in control; after the window 4 in treatment, 5 in control; received a day too late 2 in treatment, 0 in control
  left out   3 units that saw both arms, of 100
  no part    pages of the whole site since the process started: 12 of bots, 7 of visitors who opted out (Sec-GPC)
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
}

// Arms of several epochs are told apart: added up, these say that treatment is
// harmed less, where each epoch says that it is harmed as much (Simpson).
func TestReportKeepsEpochsApart(t *testing.T) {
	counts := func(settled, harmed int64) outcomes.Counts {
		return outcomes.Counts{Exposed: settled, Settled: settled, Closed: settled, Harmed: harmed, ClosedHarmed: harmed}
	}
	r := &console.RuleStatus{Tally: outcomes.Tally{Epochs: []outcomes.Epoch{
		{Treatment: .5, TreatmentArm: counts(100, 40), ControlArm: counts(100, 40)},
		{Treatment: .8, TreatmentArm: counts(400, 40), ControlArm: counts(100, 10)},
	}}}
	for _, e := range r.Tally.Epochs {
		r.Treatment, r.Control = r.Treatment.Plus(e.TreatmentArm), r.Control.Plus(e.ControlArm)
	}
	var out bytes.Buffer
	printSettled(&out, r)
	printUnits(&out, r)
	want := `  settled    harmed 40 of 100 in treatment, 40 of 100 in control, where treatment is 50 %: by these the guardrail is judged
             harmed 40 of 400 in treatment, 10 of 100 in control, where treatment is 80 %: by these the guardrail is judged

  units        exposed  metric window over  converted  guardrail window over     harmed
  where treatment is 50 %:
  treatment        100                   0          0                    100         40
  control          100                   0          0                    100         40
  where treatment is 80 %:
  treatment        400                   0          0                    400         40
  control          100                   0          0                    100         10
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
}
