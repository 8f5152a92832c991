package rules

import (
	"errors"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/seed14307185/refract/rewrite/selector"
)

// readSelector reads a CSS selector.
func readSelector(v value) (string, bool) {
	const hint = "put it in quotes: to YAML, # begins a comment and [ a list"
	switch {
	case !v.present():
		return "", false
	case v.node.Kind != yaml.ScalarNode, v.node.ShortTag() == "!!null":
		v.refuse(hint, "select must be a CSS selector, found %s", v.found())
		return "", false
	}
	css, ok := v.text()
	if !ok {
		return "", false
	}
	if _, err := selector.Parse(css); err != nil {
		var wrong *selector.Error
		if !errors.As(err, &wrong) {
			wrong = &selector.Error{Message: err.Error()}
		}
		v.doc.refuse(v.within(wrong.Offset), wrong.Hint, "select: %s", wrong.Message)
		return "", false
	}
	return css, true
}

// within is the place of a byte of a text: exact if the text stands on one
// line, and there without escapes; else it is where the text begins.
func (v value) within(offset int) *yaml.Node {
	before := v.node.Value[:min(offset, len(v.node.Value))]
	at := *v.node
	if at.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 || strings.Contains(before, "\n") {
		return &at
	}
	at.Column += utf8.RuneCountInString(before)
	switch {
	case at.Style&yaml.SingleQuotedStyle != 0:
		at.Column += 1 + strings.Count(before, "'")
	case at.Style&yaml.DoubleQuotedStyle != 0:
		at.Column += 1 + strings.Count(before, `"`) + strings.Count(before, `\`)
	}
	return &at
}
