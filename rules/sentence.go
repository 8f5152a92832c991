package rules

import (
	"fmt"
	"strings"

	"github.com/seed14307185/refract/rewrite"
	"github.com/seed14307185/refract/segments"
)

// Sentence is the rule in one sentence, for people: "When SEGMENT reach
// SURFACE, show RESPONSE; judge it by METRIC within 7 days; roll back if
// GUARDRAIL within 7 days rises by more than 10 %."
func (r *Rule) Sentence() string {
	rises := "rises at all"
	if r.Guardrail.Tolerate > 0 {
		rises = "rises by more than " + formatPercent(r.Guardrail.Tolerate) + " %"
	}
	return fmt.Sprintf("When %s reach %s, %s; judge it by %s; roll back if %s%s within %s %s.",
		r.Segment.Name, r.Surface.Name, r.Response.inWords(),
		r.Metric.inWords(),
		r.Guardrail.Event, inWords(r.Guardrail.Where), FormatDuration(r.Guardrail.Within), rises)
}

// inWords says what the response does.
func (r *Response) inWords() string {
	switch r.Operation {
	case None:
		return "show nothing new (A/A)"
	case rewrite.Outer:
		return "put " + r.File + " in its place"
	case rewrite.Before, rewrite.After:
		return "show " + r.File + " " + string(r.Operation) + " it"
	case rewrite.Prepend:
		return "show " + r.File + " at its beginning"
	case rewrite.Append:
		return "show " + r.File + " at its end"
	case rewrite.Text:
		return "show the text " + quoteStart(string(r.HTML))
	case rewrite.Attr:
		var all []string
		for _, a := range r.Attributes {
			if a.Remove {
				all = append(all, "remove "+a.Name)
			} else {
				all = append(all, "set "+a.Name+" to "+quoteStart(a.Value))
			}
		}
		return strings.Join(all, " and ")
	case rewrite.Remove:
		return "take it away"
	case rewrite.Shadow:
		if r.Slot {
			return "show " + r.File + " beside its own content"
		}
	}
	return "show " + r.File
}

// inWords returns " where plan is trial and …", or nothing.
func inWords(tests []segments.Match) string {
	var all []string
	for _, t := range tests {
		var values []string
		for _, v := range t.Values {
			values = append(values, fmt.Sprint(v))
		}
		asked := either(values)
		switch t.Op {
		case segments.IsNot:
			asked = "is not " + asked
		case segments.Exists:
			asked = "exists"
			if t.Values[0] == false {
				asked = "does not exist"
			}
		case segments.Contains:
			asked = "contains " + asked
		case segments.GT:
			asked = "> " + asked
		case segments.GTE:
			asked = ">= " + asked
		case segments.LT:
			asked = "< " + asked
		case segments.LTE:
			asked = "<= " + asked
		default:
			asked = "is " + asked
		}
		all = append(all, t.Key+" "+asked)
	}
	if len(all) == 0 {
		return ""
	}
	return " where " + strings.Join(all, " and ")
}

// quoteStart quotes the beginning of a text.
func quoteStart(text string) string {
	const most = 40 // characters
	s := []rune(strings.Join(strings.Fields(text), " "))
	if len(s) > most {
		s = append(s[:most-1], '…')
	}
	return "“" + string(s) + "”"
}
