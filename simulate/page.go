package simulate

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"
)

//go:embed page.html
var pageSource string

// WriteHTML writes the report as one page: charts as inline SVG, each with its
// table beside it. The page has no script and asks nobody for anything.
func (r *Report) WriteHTML(w io.Writer) error {
	t, err := template.New("page").Funcs(template.FuncMap{
		"percent": percent, "number": number, "minute": minute, "plural": func(n int64, what string) string { return plural(int(n), what) },
		"members": membersChart, "moves": movesChart, "reach": reachChart, "shade": shade, "inc": func(i int) int { return i + 1 },
		"perDay": func(n int64, days int) string { return number(float64(n) / float64(max(1, days))) },
		"flips":  func(s Segment) string { return percent(s.FlipRate) }, "stay": func(s Segment) string { return s.stayText() },
		"base": Base.text, "test": Test.text, "change": func(t Test) string { return fmt.Sprintf("%+.0f %%", 100*t.Change) },
		"forms": func(r *Report) string { return r.formsText() }, "days": func(r *Report) int { return len(r.days()) },
		"limit": func() string { return percent(FlipLimit) },
	}).Parse(pageSource)
	if err != nil {
		return err
	}
	return t.Execute(w, r)
}

// The charts' size, in units of their own.
const (
	chartWidth  = 640
	chartHeight = 180
	chartLeft   = 52
	chartBottom = 26
	chartTop    = 10
)

// chart draws values by day onto a grid.
type chart struct {
	strings.Builder
	n    int // of days
	high float64
}

// newChart begins a chart whose days and heights are known.
func newChart(id, title, desc string, days []string, high float64) *chart {
	c := &chart{n: len(days), high: nice(high)}
	fmt.Fprintf(c, `<svg viewBox="0 0 %d %d" role="img" aria-labelledby="%s-t %s-d"><title id="%s-t">%s</title><desc id="%s-d">%s</desc>`,
		chartWidth, chartHeight, id, id, id, template.HTMLEscapeString(title), id, template.HTMLEscapeString(desc))
	for i := 0; i <= 4; i++ {
		v := c.high * float64(i) / 4
		y := c.y(v)
		fmt.Fprintf(c, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text class="tick" x="%d" y="%.1f" text-anchor="end">%s</text>`,
			chartLeft, chartWidth, y, y, chartLeft-8, y+4, short(v))
	}
	step := max(1, int(math.Ceil(float64(c.n)/8)))
	for i := 0; i < c.n; i += step {
		x := c.x(i)
		if x > chartWidth-24 {
			break
		}
		fmt.Fprintf(c, `<text class="tick" x="%.1f" y="%d" text-anchor="middle">%s</text>`, x, chartHeight-6, days[i][5:])
	}
	return c
}

// x is the middle of a day.
func (c *chart) x(day int) float64 {
	return chartLeft + (float64(day)+.5)*(chartWidth-chartLeft)/float64(c.n)
}

func (c *chart) y(v float64) float64 {
	return chartHeight - chartBottom - v/c.high*(chartHeight-chartBottom-chartTop)
}

func (c *chart) done() template.HTML {
	c.WriteString("</svg>")
	return template.HTML(c.String()) // every text in it was escaped
}

// area draws a line with what is under it.
func (c *chart) area(values []float64) {
	var line strings.Builder
	for i, v := range values {
		fmt.Fprintf(&line, "%s%.1f %.1f", []string{"M", "L"}[min(i, 1)], c.x(i), c.y(v))
	}
	base := c.y(0)
	fmt.Fprintf(c, `<path class="area" d="%sL%.1f %.1fL%.1f %.1fZ"/><path class="line" d="%s"/>`,
		line.String(), c.x(len(values)-1), base, c.x(0), base, line.String())
	if len(values) == 1 {
		fmt.Fprintf(c, `<circle class="dot" cx="%.1f" cy="%.1f" r="3"/>`, c.x(0), c.y(values[0]))
	}
}

func membersChart(i int, s Segment) template.HTML {
	values, high := make([]float64, len(s.Days)), 1.0
	for i, d := range s.Days {
		values[i] = float64(d.Members)
		high = max(high, values[i])
	}
	c := newChart(fmt.Sprintf("m%d", i), "Members of "+s.Name,
		fmt.Sprintf("Members at the end of each day: at most %.0f, at the end %d.", peak(values), s.Members), dates(s.Days), high)
	c.area(values)
	return c.done()
}

// movesChart draws entries upwards and exits downwards, on one scale each.
func movesChart(i int, s Segment) template.HTML {
	high := 1.0
	for _, d := range s.Days {
		high = max(high, float64(d.Entries), float64(d.Exits))
	}
	c := newChart(fmt.Sprintf("e%d", i), "Entries and exits of "+s.Name,
		fmt.Sprintf("Of each day, entries on the left and exits on the right: %d and %d in all.", s.Entries, s.Exits), dates(s.Days), high)
	width := float64(chartWidth-chartLeft) / float64(c.n)
	bar := max(.6, width*.36)
	for i, d := range s.Days {
		for j, v := range []int64{d.Entries, d.Exits} {
			if v == 0 {
				continue
			}
			y := c.y(float64(v))
			fmt.Fprintf(c, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`,
				[]string{"in", "out"}[j], c.x(i)+[]float64{-bar, 0}[j], y, bar, c.y(0)-y)
		}
	}
	return c.done()
}

func reachChart(i int, r Rule, of *Report) template.HTML {
	values, sum := make([]float64, len(r.ReachDay)), 0.0
	for i, n := range r.ReachDay {
		sum += float64(n)
		values[i] = sum
	}
	c := newChart(fmt.Sprintf("r%d", i), "Who reached the surface of "+r.Name,
		fmt.Sprintf("%ss that have reached it by the end of each day: %d in all.", r.Unit, r.Reached), dates(of.days()), max(1, sum))
	c.area(values)
	return c.done()
}

func dates(days []Day) []string {
	all := make([]string, len(days))
	for i, d := range days {
		all[i] = d.Day
	}
	return all
}

func peak(values []float64) float64 {
	top := 0.0
	for _, v := range values {
		top = max(top, v)
	}
	return top
}

// nice rounds up to four steps of one digit and zeros, at least 1.
func nice(v float64) float64 {
	step := max(1, v/4)
	unit := math.Pow(10, math.Floor(math.Log10(step)))
	for _, m := range []float64{1, 2, 3, 4, 5, 6, 8} {
		if m*unit >= step {
			return 4 * m * unit
		}
	}
	return 40 * unit
}

// short writes a number of an axis.
func short(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%gM", math.Round(v/1e4)/100)
	case v >= 1e4:
		return fmt.Sprintf("%gk", math.Round(v/100)/10)
	}
	return fmt.Sprintf("%g", v)
}

// shade is how dark a cell of an overlap is: the share of the row's segment.
func shade(o Overlap, row, column int) string {
	all := o.Units[row][row]
	if row == column || all == 0 {
		return "0"
	}
	return fmt.Sprintf("%.2f", .06+.6*float64(o.Units[row][column])/float64(all))
}
