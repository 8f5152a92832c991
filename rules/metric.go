package rules

import (
	"fmt"
	"strconv"

	"github.com/seed14307185/refract/events"
)

// MaxMetricValue is the most that one unit's sum of a metric's value comes to.
const MaxMetricValue = 1e9

func (r *Rule) readMetric(v value) {
	f, ok := v.fields("a mapping with event and within", "event", "where", "within", "expect", "value", "per", "cap")
	if !ok {
		return
	}
	m := &r.Metric
	m.Event, _ = eventName(f.need("event", "the event that shows that the rule helped"))
	m.Where = matches(f.get("where"))
	m.Within, _ = window(f.need("within", "how long after the exposure it counts: within: 7d"))
	m.Expect = "increase"
	set(&m.Expect)(f.get("expect").oneOf("increase", "decrease"))
	set(&m.Value)(f.get("value").word(events.MaxName))
	per := f.get("per")
	set(&m.Per)(eventName(per))
	limit := f.get("cap")
	var capped bool
	m.Cap, capped = parsed(limit, "a number such as 500", "", parseNumber)
	switch {
	case m.Value != "" && m.Per != "":
		per.refuse("write two rules, or one of the two", "a metric is a sum of a value or a ratio of two events, not both")
	case m.Per != "" && m.Per == m.Event && len(m.Where) == 0:
		per.refuse("name the event that gives the occasion", "the metric is as often as what it is per: their ratio is always 1")
	case limit.present() && !f.get("value").present():
		limit.refuse("", "cap is the most that one unit's sum of value comes to, and there is no value")
	case capped && !(m.Cap >= 1e-6 && m.Cap <= MaxMetricValue):
		limit.refuse("", "cap is from 0.000001 to %.0f", float64(MaxMetricValue))
	}
}

// IsRate says whether the metric is the share of units that do its event at
// all, and neither a sum nor a ratio.
func (m *Metric) IsRate() bool { return m.Value == "" && m.Per == "" }

// Subject names what is measured: "Order Completed", "total of Order Completed"
// or "Clicked per Viewed".
func (m *Metric) Subject() string { return m.subject("") }

func (m *Metric) subject(where string) string {
	switch {
	case m.Value != "":
		return m.Value + " of " + m.Event + where
	case m.Per != "":
		return m.Event + where + " per " + m.Per
	}
	return m.Event + where
}

// warnValues warns of metrics that sum what an event observed at the edge has
// from the path or the query, which are texts.
func (d *directory) warnValues(s *Set) {
	for _, r := range s.Rules {
		for _, o := range s.Edge.Events {
			from, ok := o.Set[r.Metric.Value]
			if !ok || o.Event != r.Metric.Event || from.Numeric() {
				continue
			}
			d.warn(rulesDir+"/"+r.Name+".yaml", "have the app send the event with a number, by a source, or leave value out: the metric is then the share of units that do it",
				"metric: %q of the observed event %q is text, from %s: it adds nothing to the sum", r.Metric.Value, o.Event, from)
			break
		}
	}
}

// inWords is the metric in a rule's sentence.
func (m *Metric) inWords() string {
	less := ""
	if m.Expect == "decrease" {
		less = "fewer "
		if m.Value != "" {
			less = "less "
		}
	}
	capped := ""
	if m.Cap != 0 {
		capped = ", at most " + strconv.FormatFloat(m.Cap, 'f', -1, 64) + " each,"
	}
	return fmt.Sprintf("%s%s%s within %s", less, m.subject(inWords(m.Where)), capped, FormatDuration(m.Within))
}

// parts are what a version has of a metric that is no rate.
func (m *Metric) parts() []string {
	var parts []string // none of which begins as a page does
	if m.Value != "" {
		parts = append(parts, "value "+m.Value)
	}
	if m.Per != "" {
		parts = append(parts, "per "+m.Per)
	}
	if m.Cap != 0 {
		parts = append(parts, "cap "+number(m.Cap))
	}
	return parts
}
