package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/parquet-go/parquet-go"

	"github.com/seed14307185/refract/console"
	"github.com/seed14307185/refract/export"
	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
)

// recounted makes a run's tally of its exported rows, by nothing but what they
// say.
func recounted(rows []export.Outcome, run uint64) (mixed int64, epochs map[float64]outcomes.Epoch) {
	epochs = map[float64]outcomes.Epoch{}
	for i := range rows {
		o := &rows[i]
		if o.Run != int64(run) {
			continue
		}
		if o.Mixed {
			mixed++
			continue
		}
		one := outcomes.Counts{Exposed: 1}
		for _, c := range []struct {
			is bool
			of *int64
		}{
			{o.ConvertedAt != nil, &one.Converted}, {o.HarmedAt != nil, &one.Harmed},
			{o.HarmedAt != nil || o.GuardrailClosed, &one.Settled}, {o.GuardrailClosed, &one.Closed},
			{o.GuardrailClosed && o.HarmedAt != nil, &one.ClosedHarmed}, {o.MetricClosed, &one.Matured},
			{o.MetricClosed && o.ConvertedAt != nil, &one.MaturedConverted}, {o.Moved, &one.Moved},
			{o.Early, &one.Early}, {o.Late, &one.Late}, {o.Dropped, &one.Dropped},
		} {
			if c.is {
				*c.of = 1
			}
		}
		if b := one.Browsers.Of(rules.Browser(o.Browser)); b != nil {
			*b = 1
		}
		e := epochs[o.Treatment]
		e.Treatment = o.Treatment
		if o.Arm == "treatment" {
			e.TreatmentArm = e.TreatmentArm.Plus(one)
		} else {
			e.ControlArm = e.ControlArm.Plus(one)
		}
		epochs[o.Treatment] = e
	}
	return mixed, epochs
}

// history returns a rule's history, of the present run or the one that the query
// names.
func (r *refract) history(rule, query string) (h console.History) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.adminPage("/api/rules/"+rule+"/history"+query)), &h); err != nil {
		r.t.Fatal(err)
	}
	return h
}

// adminPage returns what the admin listener answers.
func (r *refract) adminPage(path string) string {
	r.t.Helper()
	status, body := r.ask(http.MethodGet, path, nil)
	if status != http.StatusOK {
		r.t.Fatalf("%s: %d: %s", path, status, body)
	}
	return body
}

// exported checks that the rows of the rule's present run add up to its tally, and
// returns all rows of the rule.
func (r *refract) exported(rule string) []export.Outcome {
	r.t.Helper()
	st, run := r.rule(rule), r.history(rule, "").Run
	var rows []export.Outcome
	for dec := json.NewDecoder(strings.NewReader(r.mustCommand("export", "outcomes", "--rule", rule, "--format", "jsonl"))); dec.More(); {
		var o export.Outcome
		if err := dec.Decode(&o); err != nil {
			r.t.Fatal(err)
		}
		rows = append(rows, o)
	}
	mixed, epochs := recounted(rows, run)
	want := map[float64]outcomes.Epoch{}
	for _, e := range st.Tally.Epochs {
		want[e.Treatment] = e
	}
	if mixed != st.Tally.Mixed || !reflect.DeepEqual(epochs, want) {
		r.t.Errorf("the exported rows of run %d add up to %d mixed, %+v; the report has %d, %+v", run, mixed, epochs, st.Tally.Mixed, want)
	}
	return rows
}

// reported checks the reports of a rule that its guardrail rolled back: the page,
// the history and the files, of a running proxy.
func (r *refract) reported(rule string) {
	r.t.Helper()
	h := r.history(rule, "")
	last := h.Points[len(h.Points)-1]
	st := r.rule(rule)
	if last.Treatment.Exposed != st.Treatment.Exposed || last.MaxLogE != st.Verdict.MaxLogE || h.Stop == nil {
		r.t.Errorf("the history ends with %+v, the report says %+v", last, st.Verdict)
	}
	if n := len(h.Marks); n == 0 || h.Marks[n-1].Kind != "rollback" {
		r.t.Errorf("the marks are %+v", h.Marks)
	}

	file := filepath.Join(r.t.TempDir(), "report.html")
	r.mustCommand("report", rule, "--html", file)
	b, err := os.ReadFile(file)
	if err != nil {
		r.t.Fatal(err)
	}
	page, err := goquery.NewDocumentFromReader(bytes.NewReader(b))
	if err != nil {
		r.t.Fatal(err)
	}
	if page.Find("svg").Length() < 5 || page.Find("a").Length() > 0 || page.Find(".answer").Text() != "Not known yet, and rolled back" ||
		!strings.Contains(page.Find("#receipt").Text(), "Rolled back by guardrail") {
		r.t.Errorf("the page is\n%s", b)
	}
	console := r.adminPage("/")
	if !strings.Contains(console, `href="/rules/`+rule+`"`) {
		r.t.Errorf("the console has no link to the report:\n%s", console)
	}

	rows := r.exported(rule)
	parquetFile := filepath.Join(r.t.TempDir(), "exposures.parquet")
	r.mustCommand("export", "exposures", "--format", "parquet", "-o", parquetFile)
	exposures, err := parquet.ReadFile[export.Exposure](parquetFile)
	if err != nil || len(exposures) < len(rows) {
		r.t.Errorf("%d exposures in all, %d of the rule, %v", len(exposures), len(rows), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(parquetFile), ".*")); len(left) > 0 {
		r.t.Errorf("left behind: %q", left)
	}
	if out := r.mustCommand("export", "outcomes", "--since", st.Started.Add(365*24*time.Hour).Format(time.RFC3339)); strings.Count(out, "\n") != 1 || !strings.HasPrefix(out, "rule,version,run,") {
		r.t.Errorf("of units exposed a year from now: %q", out)
	}
	if out, errOut, code := r.command("export", "outcomes", "--rule", "nonsense"); code != exitRefused || out != "" || !strings.Contains(errOut, "no such rule") {
		r.t.Errorf("of a rule that never was: %d, %q, %q", code, out, errOut)
	}
}

// A list of rules begins with the answer, and has no change without its interval.
func TestReportOfSeveralRules(t *testing.T) {
	started := time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)
	rule := func(name string, answer outcomes.Answer, state, cause string, discovery bool, l outcomes.Lift) console.RuleStatus {
		return console.RuleStatus{Name: name, Answer: answer, State: state, Cause: cause, Started: started, Discovery: discovery,
			Treatment: outcomes.Counts{Exposed: 50}, Control: outcomes.Counts{Exposed: 47},
			Verdict: outcomes.Verdict{Guardrail: outcomes.Undecided, Lift: l, SRM: outcomes.SRM{State: outcomes.SRMFine}}}
	}
	for _, c := range []struct {
		list []console.RuleStatus
		want string
	}{
		{[]console.RuleStatus{
			rule("one", outcomes.Helped, "live", "", true, outcomes.Lift{Change: .332, Low: .059, High: .676}),
			rule("two", outcomes.NotKnown, "rolled_back", "person", false, outcomes.Lift{Collecting: true}),
		}, `RULE  DID IT HELP    STATE                  RUN SINCE       CHANGE, BETWEEN                  EXPOSED T/C  GUARDRAIL  SAMPLE RATIO
one   helped         live                   2026-03-02  +33.2 %, +5.9 % to +67.6 % *  50/47        undecided  ok
two   not known yet  rolled_back by person  2026-03-02  collecting                       50/47        undecided  ok

* stands among the changes of all rules: of those marked, at most 5 % are not there, on average (e-BH)
`},
		{[]console.RuleStatus{rule("one", outcomes.NotKnown, "live", "", false, outcomes.Lift{Change: .1, Low: -.2, High: .5})},
			`RULE  DID IT HELP    STATE  RUN SINCE       CHANGE, BETWEEN              EXPOSED T/C  GUARDRAIL  SAMPLE RATIO
one   not known yet  live   2026-03-02  +10.0 %, -20.0 % to +50.0 %  50/47        undecided  ok

None of the changes stands among those of all rules at a false discovery rate of 5 % (e-BH).
`},
	} {
		var out bytes.Buffer
		if err := printReports(&out, c.list); err != nil || strings.Join(strings.Fields(out.String()), " ") != strings.Join(strings.Fields(c.want), " ") {
			t.Errorf("%v, got\n%swant\n%s", err, &out, c.want)
		}
	}
}

// What a report says of a rule's state is since when that holds, and not since the
// run began.
func TestReportSaysSinceWhen(t *testing.T) {
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	r := start(t, dir)
	r.at(9 * 24 * time.Hour)
	r.mustCommand("rollback", ruleName, "--why", "enough")
	st := r.rule(ruleName)
	if want := "rolled_back by person since " + stamp(st.Receipt.Decided); !st.Since.Equal(st.Receipt.Decided) || !strings.Contains(r.mustCommand("report", ruleName), want) {
		t.Errorf("the report does not say %q: %s", want, r.mustCommand("report", ruleName))
	}
	r.stop()
}
