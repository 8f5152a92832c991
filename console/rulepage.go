package console

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

//go:embed rulepage.html
var rulePageHTML string

var rulePageTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("rule").Funcs(template.FuncMap{
		"when":         func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") },
		"minute":       func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") },
		"title":        func(a outcomes.Answer) string { return strings.ToUpper(string(a[:1])) + string(a[1:]) },
		"inc":          func(i int) int { return i + 1 },
		"sum":          func(a, b int64) int64 { return a + b },
		"incomparable": func(p store.Point) bool { return outcomes.Incomparable(p.SRM) },
		"change":       func(f float64) string { return fmt.Sprintf("%+.1f %%", 100*f) },
		"lines":        func(p *Pace, v outcomes.Verdict) []string { return p.Lines(v) },
	}).Parse(rulePageHTML))
})

// rulePage is what the page of a rule is made of.
type rulePage struct {
	RuleStatus
	Rule    *rules.Rule
	History *History
	Present bool // the history is of the present run, as RuleStatus is
	Served  bool // by a console, to which it may link
	Now     time.Time
	Limit   float64 // the ln E that rolls the rule back
}

// ruleReport is the status of one rule, with its pace, and whether there is
// such a rule.
func (c *Console) ruleReport(ctx context.Context, name string) (rs RuleStatus, known bool) {
	for _, rs = range c.status().Rules {
		if rs.Name != name {
			continue
		}
		rule := c.Loaded().Rule(name)
		if rule == nil || rs.State != "live" || rs.Answer != outcomes.NotKnown {
			return rs, true
		}
		if h, err := c.historyOf(ctx, rule, 0); err == nil { // else the rest is worth having
			rs.Pace = pace(rule, &rs.Verdict, h.Points)
		}
		return rs, true
	}
	return RuleStatus{}, false
}

// rulePage shows a rule's report to a person: one file without a script, that
// asks nobody for anything. With download in the query it has no links.
func (c *Console) rulePage(w http.ResponseWriter, r *http.Request) {
	h, ok := c.historyAsked(w, r)
	if !ok {
		return
	}
	p := rulePage{History: h, Served: !r.URL.Query().Has("download"), Now: c.Now(), Rule: c.Loaded().Rule(h.Rule)}
	if p.RuleStatus, ok = c.ruleReport(r.Context(), h.Rule); !ok || p.Rule == nil {
		fail(w, http.StatusNotFound, store.ErrNoRule)
		return
	}
	st, _ := c.Store.Standing(h.Rule)
	p.Present = st.Run.ID == h.Run
	b, err := p.html()
	if err != nil {
		fail(w, http.StatusInternalServerError, err)
		return
	}
	head := w.Header()
	head.Set("Content-Type", "text/html; charset=utf-8")
	head.Set("Cache-Control", "no-store")
	head.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	_, _ = w.Write(b) // the asker's loss
}

func (p *rulePage) html() ([]byte, error) {
	p.Limit = outcomes.GuardrailTest{Alpha: p.Rule.Guardrail.Alpha}.Threshold()
	var b bytes.Buffer
	err := rulePageTemplate().Execute(&b, p)
	return b.Bytes(), err
}

// Last is the last point, of zeros if there is none.
func (p *rulePage) Last() store.Point {
	if n := len(p.History.Points); n > 0 {
		return p.History.Points[n-1]
	}
	return store.Point{}
}

// Incomparable says that the run's arms can't be compared, by its sample ratio.
func (p *rulePage) Incomparable() bool {
	return outcomes.Incomparable(p.Last().SRM) || p.Present && p.Verdict.SRM.State == outcomes.SRMInvalid
}

// drawing is a chart with what stands above and below it.
type drawing struct {
	Title, Note string
	Chart       template.HTML
}

// Figures draws the charts.
func (p *rulePage) Figures() []drawing {
	all := []drawing{p.effect(), p.evidence(), p.exposures(), p.ratio()}
	if p.Present {
		all = append(all, p.days("First "+p.Rule.Metric.Event, func(o outcomes.FirstOutcomes) int64 { return o.Converted }, "conv")...)
		all = append(all, p.days("First "+p.Rule.Guardrail.Event, func(o outcomes.FirstOutcomes) int64 { return o.Harmed }, "harm")...)
	}
	return all
}

// series are values of the points that have one.
func (p *rulePage) series(of func(*store.Point) (float64, bool)) []dot {
	var dots []dot
	for i := range p.History.Points {
		if v, ok := of(&p.History.Points[i]); ok {
			dots = append(dots, dot{float64(p.History.Points[i].At.UnixMilli()), v})
		}
	}
	return dots
}

// overTime begins a chart over the time of the run, with its marks.
func (p *rulePage) overTime(id, title, desc string, y scale) *chart {
	c := newChart(id, title, desc, timeline(p.History.Started, p.Last().At), y)
	lastX := math.Inf(-1)
	for i, m := range p.History.Marks {
		at := max(c.left, float64(m.At.UnixMilli()))
		number := fmt.Sprint(i + 1)
		if x := c.x(at); x-lastX < 12 { // its number would cover the one before
			number = ""
		} else {
			lastX = x
		}
		c.mark(at, number, m.Kind+" at "+m.At.UTC().Format(time.RFC3339))
	}
	return c
}

func lift(of func(*store.PointLift) float64) func(*store.Point) (float64, bool) {
	return func(p *store.Point) (float64, bool) {
		if p.Lift == nil {
			return 0, false
		}
		return of(p.Lift), true
	}
}

func (p *rulePage) effect() drawing {
	change := p.series(lift(func(l *store.PointLift) float64 { return l.Change }))
	low := p.series(lift(func(l *store.PointLift) float64 { return l.Low }))
	high := p.series(lift(func(l *store.PointLift) float64 { return l.High }))
	event := p.Rule.Metric.Subject() + " within " + rules.FormatDuration(p.Rule.Metric.Within)
	f := drawing{Title: "Change of " + event, Note: "The band holds at every look at once, with 95 %. While it has 0 in it, nothing is known."}
	label := func(v float64) string {
		if math.Abs(v) < 1e-9 {
			return "0 %"
		}
		return fmt.Sprintf("%+.3g %%", 100*v)
	}
	if p.Incomparable() {
		f.Note = "No change is shown: the sizes of the arms don't fit the probability of treatment, so they can't be compared."
		c := p.overTime("effect", f.Title, "The results are invalid: no change is shown.", even(-.1, .1, func(float64) string { return "" }))
		c.level("bad", 0, "invalid")
		f.Chart = c.done()
		return f
	}
	if len(change) == 0 {
		c := p.overTime("effect", f.Title, "Still collecting: nothing to show yet.", even(-.1, .1, label))
		c.level("zero", 0, "no change; still collecting")
		f.Chart = c.done()
		return f
	}
	n := len(change) - 1
	wide := high[n].y - low[n].y
	bottom, top := min(0, low[n].y-wide/2), max(0, high[n].y+wide/2)
	for _, d := range change {
		bottom, top = min(bottom, d.y), max(top, d.y)
	}
	desc := fmt.Sprintf("At the end %+.1f %%, with an interval at any look from %+.1f %% to %+.1f %%. Where the band is wider than the chart it is cut off.",
		100*change[n].y, 100*low[n].y, 100*high[n].y)
	c := p.overTime("effect", f.Title, desc, even(max(-1, bottom), min(top, 5), label))
	c.band(low, high)
	c.level("zero", 0, "no change")
	c.line("t", change)
	f.Chart = c.done()
	return f
}

func (p *rulePage) evidence() drawing {
	logE := p.series(func(p *store.Point) (float64, bool) { return p.LogE, true })
	bottom, top := 0.0, 1.15*p.Limit
	for _, d := range logE {
		bottom, top = min(bottom, d.y), max(top, d.y)
	}
	bottom = max(bottom, -2*top)
	f := drawing{Title: "Evidence that " + p.Rule.Guardrail.Event + " rose by more than is tolerated",
		Note: "As ln E. Where it reaches the line, the rule is rolled back; below 0 speaks for the rule."}
	c := p.overTime("evidence", f.Title, fmt.Sprintf("ln E is %.3f at the end and was %.3f at most; %.3f rolls the rule back.",
		p.Last().LogE, p.Last().MaxLogE, p.Limit), even(bottom, top, short))
	c.level("bad", p.Limit, fmt.Sprintf("rolled back from %.3f on", p.Limit))
	c.line("h", logE)
	f.Chart = c.done()
	return f
}

func (p *rulePage) exposures() drawing {
	t := p.series(func(p *store.Point) (float64, bool) { return float64(p.Treatment.Exposed), true })
	k := p.series(func(p *store.Point) (float64, bool) { return float64(p.Control.Exposed), true })
	last := p.Last()
	f := drawing{Title: "Units exposed", Note: "Each counts once, in the arm of its first exposure."}
	c := p.overTime("exposed", f.Title, fmt.Sprintf("%d in treatment and %d in control at the end.", last.Treatment.Exposed, last.Control.Exposed),
		even(0, float64(max(4, last.Treatment.Exposed, last.Control.Exposed)), short))
	c.line("c", k)
	c.line("t", t)
	f.Chart = c.done()
	return f
}

// lowestP is the lowest p-value that the chart of the sample ratio shows.
const lowestP = 1e-5

func (p *rulePage) ratio() drawing {
	s := scale{high: 0, label: func(v float64) string { return fmt.Sprintf("%g", math.Pow(10, v)) }}
	ps := p.series(func(p *store.Point) (float64, bool) { return math.Log10(max(p.SRM, lowestP)), true })
	s.low = -4
	for _, d := range ps {
		s.low = min(s.low, math.Floor(d.y))
	}
	for v := s.low; v <= 0; v++ {
		s.ticks = append(s.ticks, v)
	}
	f := drawing{Title: "Sample ratio: anytime p of the arms' sizes", Note: "Below 0.01 the sizes are doubtful, below 0.001 the results are invalid."}
	c := p.overTime("ratio", f.Title, fmt.Sprintf("p is %.3g at the end.", p.Last().SRM), s)
	c.level("bad", -3, "invalid")
	c.level("warn", -2, "doubtful")
	c.line("t", ps)
	f.Chart = c.done()
	return f
}

// days draws first outcomes by days since the exposure, if any is known.
func (p *rulePage) days(title string, of func(outcomes.FirstOutcomes) int64, id string) []drawing {
	if len(p.Tally.Days) == 0 || p.Treatment.Exposed == 0 || p.Control.Exposed == 0 {
		return nil
	}
	per := func(n, exposed int64) float64 { return 1000 * float64(n) / float64(exposed) }
	x := scale{low: 0, label: func(v float64) string { return fmt.Sprint(int(v)) }}
	top := 0.0
	var t, k int64
	for i, d := range p.Tally.Days {
		if of(d.TreatmentArm)+of(d.ControlArm) > 0 {
			x.high = float64(i + 1)
		}
		t, k = t+of(d.TreatmentArm), k+of(d.ControlArm)
		top = max(top, per(of(d.TreatmentArm), p.Treatment.Exposed), per(of(d.ControlArm), p.Control.Exposed))
	}
	if t+k == 0 {
		return nil
	}
	for i := 0.0; i < x.high; i += math.Ceil(x.high / 8) {
		x.ticks = append(x.ticks, i+.5)
	}
	f := drawing{Title: title + ", by days since the exposure", Note: "Of 1000 exposed units of the arm. Units whose time is not over yet may still add to later days."}
	c := newChart(id, f.Title, fmt.Sprintf("%d in treatment and %d in control, in all.", t, k), x, even(0, top, short))
	for i, d := range p.Tally.Days {
		c.bar("t", float64(i)+.1, .4, per(of(d.TreatmentArm), p.Treatment.Exposed))
		c.bar("c", float64(i)+.5, .4, per(of(d.ControlArm), p.Control.Exposed))
	}
	f.Chart = c.done()
	return []drawing{f}
}
