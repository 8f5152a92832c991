package rules

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed14307185/refract/segments"
)

// version is the hash of what the rule means: whatever changes it asks for a
// new test. Of the segment and the surface that is their content as far as it
// decides who is exposed; of the response, what is shown.
func (r *Rule) version() string {
	parts := []string{
		string(r.Segment.Who), r.Segment.Condition.String(),
		r.Surface.Name, r.Response.Hash,
		r.Metric.Event, canonical(r.Metric.Where), seconds(r.Metric.Within), r.Metric.Expect,
		r.Guardrail.Event, canonical(r.Guardrail.Where), seconds(r.Guardrail.Within),
		number(r.Guardrail.Tolerate), number(r.Guardrail.Baseline), number(r.Guardrail.Alpha),
		string(r.Unit),
	}
	if r.Surface.Select != "" {
		parts = append(parts, "select "+r.Surface.Select) // no page begins so
	}
	parts = append(parts, r.Metric.parts()...)
	var pages []string
	for _, p := range r.Surface.Pages {
		pages = append(pages, p.String())
	}
	slices.Sort(pages)
	return hash(append(parts, slices.Compact(pages)...)...)
}

func seconds(d time.Duration) string { return fmt.Sprint(int64(d / time.Second)) }

func number(f float64) string { return fmt.Sprintf("%.9g", f) }

// canonical is one text for all ways of writing the same tests.
func canonical(tests []segments.Match) string {
	var all []string
	for _, t := range tests {
		var values []string
		for _, v := range t.Values {
			b, _ := json.Marshal(v) // operands are what JSON has
			values = append(values, string(b))
		}
		slices.Sort(values)
		all = append(all, fmt.Sprintf("%q %s %s", t.Key, t.Op, slices.Compact(values)))
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), "\n")
}
