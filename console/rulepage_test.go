package console

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
	"github.com/seed14307185/refract/store"
)

var update = flag.Bool("update", false, "write the golden files")

// markup is what a text that nobody checked may hold.
const markup = `"><script>alert(1)</script><b>bold</b>'{{.}}`

// examplePage is the page of a run of 30 days in which treatment converts 24 of
// 100 and control 18, and 4 of 100 are harmed in both. named is put into every
// text that a person or a file chooses.
func examplePage(named string) *rulePage {
	const perDay, days = 120, 30
	began := time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)
	r := &rules.Rule{
		Name: "invite-teammate" + named, Owner: "growth" + named, Version: "0123456789ab", Unit: segments.Visitor,
		Segment:   &segments.Segment{Name: "trial-admins" + named, Who: segments.Visitor},
		Surface:   &rules.Surface{Name: "project-home.card" + named},
		Response:  rules.Response{File: "invite.html" + named},
		Metric:    rules.Metric{Event: "Teammate Invited" + named, Within: 7 * 24 * time.Hour, Expect: "increase"},
		Guardrail: rules.Guardrail{Event: "Setup Abandoned" + named, Within: 3 * 24 * time.Hour, Tolerate: .1, Alpha: .05},
		Rollout:   rules.Rollout{Share: 1, Treatment: .5},
	}
	s := store.Standing{Run: store.Run{ID: 7, Rule: r.Name, Version: r.Version, Started: began}}
	s.Tally.Started = began.UnixMilli()
	var units []*outcomes.Enrolment
	at := func(n, step int) int { return (n*step + 3) % 100 } // spreads what happens over the units
	var points []store.Point
	for d := 0; d <= days; d++ {
		now := began.Add(time.Duration(d) * day)
		for _, n := range units {
			outcomes.Close(&s.Tally, n, r, now.UnixMilli())
		}
		s.Verdict = outcomes.Judge(&s.Tally, r)
		points = append(points, store.NewPoint(now, &s))
		for i := range perDay {
			k := len(units)
			x := rules.Exposure{Rule: r.Name, Version: r.Version, Arm: rules.Control, Treatment: .5, At: now.Add(time.Duration(i) * time.Minute)}
			converts := at(k, 37) < 18
			if k%2 == 0 {
				x.Arm, converts = rules.Treatment, at(k, 37) < 24
			}
			n, _ := outcomes.Enrol(&s.Tally, nil, &x)
			if converts {
				happens(&s.Tally, &n, r, r.Metric.Event, x.At.Add(time.Duration(at(k, 7)%7)*day+time.Second))
			}
			if at(k, 53) < 4 {
				happens(&s.Tally, &n, r, r.Guardrail.Event, x.At.Add(time.Duration(at(k, 3)%3)*day+time.Second))
			}
			units = append(units, &n)
		}
	}
	s.Verdict = outcomes.Judge(&s.Tally, r)
	now := began.Add(days*day + time.Hour)
	points = append(points, store.NewPoint(now, &s))
	rs := ruleStatus(r, &rules.Set{Rules: []*rules.Rule{r}}, s, nil, now)
	if rs.Answer == outcomes.NotKnown || named != "" {
		rs.Pace = pace(r, &s.Verdict, points)
	}
	stopped := began.Add(-3 * day)
	return &rulePage{RuleStatus: rs, Rule: r, Present: true, Served: true, Now: now, History: &History{
		Rule: r.Name, Version: r.Version, Run: 7, Started: began, Points: points,
		Marks: []Mark{
			{At: began.Add(time.Second), Kind: "resume", Who: "ann" + named, Why: "the link was mended" + named},
			{At: began.Add(10 * day), Kind: "epoch" + named, Who: "ramp"},
			{At: began.Add(10*day + time.Hour), Kind: "ramp", Why: "70 %"},
		},
		Runs: []RunSpan{{Run: 3, Version: r.Version, Started: began.Add(-9 * day), Stopped: &stopped}, {Run: 7, Version: r.Version, Started: began}},
	}}
}

// happens folds what a unit does.
func happens(t *outcomes.Tally, n *outcomes.Enrolment, r *rules.Rule, event string, at time.Time) {
	outcomes.Observe(t, n, r, &events.Event{Kind: events.Track, Name: event, Time: at, Received: at})
}

// The page of a report is what was looked at in a browser and found good.
func TestRulePageIsTheGoldenOne(t *testing.T) {
	page, err := examplePage("").html()
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "rulepage.html")
	if *update {
		if err := os.WriteFile(golden, page, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(page, want) {
		t.Error("the page is another than testdata/rulepage.html: look at it in a browser, then go test ./console -update")
	}
}

// Of what a page holds nothing is run or asked for, whatever rules, events and
// people are called, and each chart can be read without eyes.
func TestRulePageOfHostileNames(t *testing.T) {
	hostile := examplePage(markup)
	hostile.History.Stop = &store.Stop{Cause: store.ByPerson, Who: markup, Why: markup, Decided: hostile.Now}
	earlier := examplePage(markup)
	earlier.Present = false
	empty := examplePage(markup)
	empty.History.Points, empty.Tally, empty.History.Marks = nil, outcomes.Tally{}, nil
	file := examplePage(markup)
	file.Served = false
	for name, p := range map[string]*rulePage{"stopped": hostile, "earlier run": earlier, "nobody reached": empty, "file": file} {
		t.Run(name, func(t *testing.T) {
			b, err := p.html()
			if err != nil {
				t.Fatal(err)
			}
			page, err := goquery.NewDocumentFromReader(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			if n := page.Find("script, link, img, image, use, iframe, object, form, b, [src], [style]").Length(); n > 0 {
				t.Errorf("%d elements that ask for something, or were injected", n)
			}
			if !strings.Contains(page.Find("h1").Text(), markup) {
				t.Errorf("the title is %q", page.Find("h1").Text())
			}
			var ids []string
			page.Find("*").Each(func(_ int, e *goquery.Selection) {
				for _, a := range e.Nodes[0].Attr {
					if strings.HasPrefix(a.Key, "on") || a.Key == "href" && (!p.Served || !strings.HasPrefix(a.Val, "?run=")) {
						t.Errorf("%s=%q", a.Key, a.Val)
					}
					if a.Key == "id" {
						ids = append(ids, a.Val)
					}
				}
			})
			slices.Sort(ids)
			if n := len(ids); len(slices.Compact(ids)) != n {
				t.Error("an id is given twice")
			}
			charts := page.Find("svg")
			want := map[string]int{"stopped": 6, "earlier run": 4, "nobody reached": 4, "file": 6}[name]
			if charts.Length() != want {
				t.Errorf("%d charts, want %d", charts.Length(), want)
			}
			charts.Each(func(_ int, c *goquery.Selection) {
				for id := range strings.FieldsSeq(c.AttrOr("aria-labelledby", "")) {
					if strings.TrimSpace(c.Find("#"+id).Text()) == "" {
						t.Errorf("a chart is labelled by %q, which says nothing", id)
					}
				}
				if out, _ := c.Html(); c.AttrOr("role", "") != "img" || strings.Contains(out, "NaN") || strings.Contains(out, "Inf\"") {
					t.Errorf("a chart: %s", out)
				}
			})
			if rows := page.Find(".points").First().Find("tbody tr").Length(); rows != len(p.History.Points) {
				t.Errorf("%d rows stand beside the charts, of %d points", rows, len(p.History.Points))
			}
		})
	}
}

// What the pace says is what comes of it.
func TestPace(t *testing.T) {
	p := examplePage("")
	got := pace(p.Rule, &p.Verdict, p.History.Points)
	if got == nil || got.PerDay < 119 || got.PerDay > 141 || got.Base < .15 || got.Base > .21 || len(got.Tests) != 2 {
		t.Fatalf("the pace is %+v", got)
	}
	units := outcomes.LiftTest{}.Units(got.Base, .1, .5, outcomes.DefaultPower)
	exposed := float64(p.Treatment.Exposed + p.Control.Exposed)
	if want := (units-exposed)/got.PerDay + 7; got.Tests[0].Units != int64(units) || got.Tests[0].Days < want-.1 || got.Tests[0].Days > want+.1 {
		t.Errorf("a change of 10 %% takes %+v, want %.0f units in %.1f days", got.Tests[0], units, want)
	}
	points := p.History.Points
	if early := pace(p.Rule, &outcomes.Verdict{}, points[:2]); early == nil || early.Base != 0 || len(early.Tests) != 0 || early.PerDay != 120 {
		t.Errorf("after a day the pace is %+v", early)
	}
	if none := pace(p.Rule, &outcomes.Verdict{}, points[:1]); none != nil {
		t.Errorf("before any exposure the pace is %+v", none)
	}
}

// Arms that can't be compared have no change anywhere on the page, neither as a
// number nor as a line.
func TestRulePageOfInvalidResults(t *testing.T) {
	p := examplePage("")
	tally := p.Tally
	tally.MaxSRMLogE = 12
	p.RuleStatus = ruleStatus(p.Rule, &rules.Set{Rules: []*rules.Rule{p.Rule}},
		store.Standing{Run: store.Run{ID: 7, Launches: 2, AlphaSpent: .1}, Tally: tally, Verdict: outcomes.Judge(&tally, p.Rule)}, nil, p.Now)
	for i := range p.History.Points {
		p.History.Points[i].SRM = p.Verdict.SRM.P
	}
	p.RuleStatus.Unseen = true
	b, err := p.html()
	if err != nil {
		t.Fatal(err)
	}
	page, err := goquery.NewDocumentFromReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	text := page.Find("body").Text()
	if change := fmt.Sprintf("%+.1f %%", 100*p.Verdict.Lift.Change); p.Verdict.Lift.Collecting || strings.Contains(string(b), change) {
		t.Errorf("the page has the change %s", change)
	}
	for _, want := range []string{"Invalid", "The results are invalid", "No change is shown", "live, unseen", "2 under this name", "needs no approval"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if n := page.Find("svg[aria-labelledby^=effect] path, svg[aria-labelledby^=effect] polyline").Length(); n != 0 {
		t.Errorf("the chart of the change has %d lines", n)
	}
	if strings.Contains(text, "Among all rules") {
		t.Error("a change that isn't one is compared with those of other rules")
	}
}
