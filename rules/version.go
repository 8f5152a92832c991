package rules

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed14307185/refract/segments"
)

// version is the hash of what the rule means: whatever changes it asks for a
// new test.
func (r *Rule) version() string { return hash(r.meaning(r.Response.Hash)...) }

// content is the hash of what is approved: what the rule means, and who gets it
// and for how long. Neither the state is part of it, so that an approved draft
// can go live and whatever is live can be stopped, nor anything that is only for
// people. The whole of the SHA-256 is needed: who may write the files could look
// for another content with the same beginning.
func (r *Rule) content() string {
	until := ""
	if !r.Expires.IsZero() {
		until = r.Expires.UTC().Format(time.RFC3339Nano)
	}
	own := []string{"content 1", r.Name, r.Owner, strconv.Itoa(r.Priority), until, digest(r.Rollout.parts()...)}
	return "sha256:" + digest(append(own, r.meaning(digest(r.Response.parts()...))...)...)
}

// parts is all that a rollout says.
func (r Rollout) parts() []string {
	parts := []string{exact(r.Share), exact(r.Treatment)}
	for _, s := range r.Ramp {
		parts = append(parts, "step", exact(s.Share), exact(s.Treatment), s.For.String())
	}
	if u := r.Undecided; u.After != 0 {
		parts = append(parts, "undecided", u.After.String(), strconv.FormatBool(u.Revert))
	}
	return parts
}

// meaning is what the rule means, as texts, whose response is shown. Of the
// segment and the surface that is their content as far as it decides who is
// exposed.
func (r *Rule) meaning(shown string) []string {
	parts := []string{
		string(r.Segment.Who), r.Segment.Condition.String(),
		r.Surface.Name, shown,
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
	return append(parts, slices.Compact(pages)...)
}

func seconds(d time.Duration) string { return fmt.Sprint(int64(d / time.Second)) }

func number(f float64) string { return fmt.Sprintf("%.9g", f) }

func exact(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

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
