package console

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"
)

// A chart's size, in units of its own: small enough that its text can be read
// on a phone.
const (
	chartWidth  = 400
	chartHeight = 200
	chartLeft   = 54
	chartRight  = 8
	chartTop    = 20
	chartBottom = 24
)

// chart draws values over time, or over whole numbers, as inline SVG. What is
// beyond its scales is cut off.
type chart struct {
	strings.Builder
	id        string
	left, end float64 // of the x axis
	low, high float64 // of the y axis
}

// scale is a range of an axis and its ticks.
type scale struct {
	low, high float64
	ticks     []float64
	label     func(float64) string
}

// even is a scale of round numbers around a range.
func even(low, high float64, label func(float64) string) scale {
	if high <= low {
		high = low + 1
	}
	step := roundUp((high - low) / 4)
	s := scale{low: math.Floor(low/step+1e-9) * step, label: label}
	for i := 0; ; i++ {
		v := s.low + float64(i)*step
		s.ticks, s.high = append(s.ticks, v), v
		if v >= high-step*1e-9 {
			return s
		}
	}
}

// roundUp rounds up to 1, 2 or 5 times a power of ten.
func roundUp(v float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*unit >= v {
			return m * unit
		}
	}
	return 10 * unit
}

// newChart begins a chart. Title and description are for who doesn't see it.
func newChart(id, title, desc string, x, y scale) *chart {
	c := &chart{id: id, left: x.low, end: x.high, low: y.low, high: y.high}
	fmt.Fprintf(c, `<svg viewBox="0 0 %d %d" role="img" aria-labelledby="%s-t %s-d"><title id="%s-t">%s</title><desc id="%s-d">%s</desc>`,
		chartWidth, chartHeight, id, id, id, template.HTMLEscapeString(title), id, template.HTMLEscapeString(desc))
	fmt.Fprintf(c, `<clipPath id="%s-c"><rect x="%d" y="%d" width="%d" height="%d"/></clipPath>`,
		id, chartLeft, chartTop, chartWidth-chartLeft-chartRight, chartHeight-chartTop-chartBottom)
	for _, v := range y.ticks {
		fmt.Fprintf(c, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text class="tick" x="%d" y="%.1f" text-anchor="end">%s</text>`,
			chartLeft, chartWidth-chartRight, c.y(v), c.y(v), chartLeft-6, c.y(v)+4, template.HTMLEscapeString(y.label(v)))
	}
	for _, v := range x.ticks {
		anchor := "middle"
		if c.x(v) > chartWidth-chartRight-20 {
			anchor = "end"
		}
		fmt.Fprintf(c, `<text class="tick" x="%.1f" y="%d" text-anchor="%s">%s</text>`, c.x(v), chartHeight-6, anchor, template.HTMLEscapeString(x.label(v)))
	}
	return c
}

func (c *chart) x(v float64) float64 {
	return chartLeft + (v-c.left)/(c.end-c.left)*(chartWidth-chartLeft-chartRight)
}

func (c *chart) y(v float64) float64 {
	return chartHeight - chartBottom - (v-c.low)/(c.high-c.low)*(chartHeight-chartBottom-chartTop)
}

func (c *chart) done() template.HTML {
	c.WriteString("</svg>")
	return template.HTML(c.String()) // every text in it was escaped
}

// dot is a place in a chart.
type dot struct{ x, y float64 }

// far bounds how far beyond the chart a line is drawn, lest SVG numbers overflow.
const far = 10 * chartHeight

func (c *chart) path(dots []dot) string {
	var b strings.Builder
	for i, d := range dots {
		fmt.Fprintf(&b, "%s%.1f %.1f", []string{"M", "L"}[min(i, 1)], c.x(d.x), max(-far, min(far, c.y(d.y))))
	}
	return b.String()
}

// line draws a line; one point alone is a dot.
func (c *chart) line(class string, dots []dot) {
	switch len(dots) {
	case 0:
	case 1:
		fmt.Fprintf(c, `<circle class="dot %s" clip-path="url(#%s-c)" cx="%.1f" cy="%.1f" r="3"/>`, class, c.id, c.x(dots[0].x), c.y(dots[0].y))
	default:
		fmt.Fprintf(c, `<path class="line %s" clip-path="url(#%s-c)" d="%s"/>`, class, c.id, c.path(dots))
	}
}

// band fills what lies between two lines.
func (c *chart) band(low, high []dot) {
	if len(low) < 2 {
		return
	}
	around := append([]dot(nil), high...)
	for i := len(low) - 1; i >= 0; i-- {
		around = append(around, low[i])
	}
	fmt.Fprintf(c, `<path class="band" clip-path="url(#%s-c)" d="%sZ"/>`, c.id, c.path(around))
}

// level draws a horizontal line with a name.
func (c *chart) level(class string, v float64, name string) {
	fmt.Fprintf(c, `<line class="level %s" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text class="tick %s" x="%d" y="%.1f">%s</text>`,
		class, chartLeft, chartWidth-chartRight, c.y(v), c.y(v), class, chartLeft+4, c.y(v)-4, template.HTMLEscapeString(name))
}

// mark draws a numbered vertical line.
func (c *chart) mark(at float64, number, title string) {
	if at < c.left || at > c.end {
		return
	}
	x := c.x(at)
	fmt.Fprintf(c, `<g class="mark"><title>%s</title><line x1="%.1f" x2="%.1f" y1="%d" y2="%d"/><text x="%.1f" y="%d" text-anchor="middle">%s</text></g>`,
		template.HTMLEscapeString(title), x, x, chartTop-4, chartHeight-chartBottom, x, chartTop-8, number)
}

// bar draws a bar from 0 that is width wide on the x axis.
func (c *chart) bar(class string, at, width, v float64) {
	if v <= 0 {
		return
	}
	fmt.Fprintf(c, `<rect class="bar %s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`,
		class, c.x(at), c.y(v), max(.5, c.x(at+width)-c.x(at)), c.y(0)-c.y(v))
}

// timeSteps are the distances of ticks of a time axis.
var timeSteps = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
	day, 2 * day, 4 * day, 7 * day, 14 * day, 28 * day, 56 * day, 91 * day, 182 * day, 364 * day}

const (
	day      = 24 * time.Hour
	minSpan  = 10 * time.Minute // of a time axis
	maxTicks = 5
)

// timeline is a time axis, in Unix milliseconds.
func timeline(from, until time.Time) scale {
	if until.Sub(from) < minSpan {
		until = from.Add(minSpan)
	}
	step := timeSteps[len(timeSteps)-1]
	for _, s := range timeSteps {
		if until.Sub(from)/s < maxTicks {
			step = s
			break
		}
	}
	s := scale{low: float64(from.UnixMilli()), high: float64(until.UnixMilli()), label: func(v float64) string {
		t := time.UnixMilli(int64(v)).UTC()
		if step < day {
			return t.Format("2 Jan 15:04")
		}
		return t.Format("2 Jan")
	}}
	for t := from.UTC().Truncate(step); !t.After(until); t = t.Add(step) {
		if !t.Before(from) {
			s.ticks = append(s.ticks, float64(t.UnixMilli()))
		}
	}
	return s
}

// short writes a count.
func short(v float64) string {
	switch {
	case math.Abs(v) >= 1e6:
		return fmt.Sprintf("%.4gM", v/1e6)
	case math.Abs(v) >= 1e4:
		return fmt.Sprintf("%.4gk", v/1e3)
	}
	return fmt.Sprintf("%.4g", v)
}
