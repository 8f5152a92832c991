package rules

import (
	"math"
	"slices"
	"strings"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/segments"
	"go.yaml.in/yaml/v3"
)

// The operators of a test, as files write them.
var operators = []string{"not", "exists", "contains", "gt", "gte", "lt", "lte"}

// matches reads the tests of where and trait.
func matches(v value) []segments.Match {
	f, ok := v.open("a mapping such as {plan: trial}")
	if !ok {
		return nil
	}
	if len(f.pairs) == 0 {
		v.refuse("for example {plan: trial}", "%s is empty", v.name)
	}
	var all []segments.Match
	for _, p := range f.pairs {
		if _, ok := p.key.word(events.MaxName); !ok {
			continue
		}
		for _, t := range tests(p.value) {
			all = append(all, segments.Match{Key: p.value.name, Test: t})
		}
	}
	return all
}

// tests reads what is asked of one property: a value, a list of which it is
// one, or a mapping of operators, each of which must hold.
func tests(v value) []segments.Test {
	if v.node.Kind != yaml.MappingNode {
		return []segments.Test{{Op: segments.Is, Values: operands(v)}}
	}
	f, _ := v.fields("", operators...)
	if len(v.node.Content) == 0 {
		v.refuse("known are "+strings.Join(operators, ", "), "%s has no operator", v.name)
	}
	var all []segments.Test
	for _, p := range f.pairs {
		v, op := p.value, segments.Op(p.value.name)
		values := operands(v)
		if len(values) == 0 {
			continue
		}
		_, isBool := values[0].(bool)
		_, isNumber := values[0].(float64)
		switch {
		case op == segments.IsNot:
		case values[0] == nil:
			v.refuse("write exists: false for what is not there", "%s must not be null", op)
		case v.isList():
			v.refuse("a list means any of them, and goes with a key alone and with not", "%s takes one value, found a list", op)
		case op == segments.Exists && !isBool:
			v.refuse("", "exists must be true or false, found %s", v.found())
		case slices.Contains([]segments.Op{segments.GT, segments.GTE, segments.LT, segments.LTE}, op) && !isNumber:
			v.refuse("", "%s compares numbers, found %s", op, v.found())
		}
		all = append(all, segments.Test{Op: op, Values: values})
	}
	return all
}

// operands reads a value or a list of values to compare with.
func operands(v value) []any {
	list := []value{v}
	if v.isList() {
		list, _ = v.some("values")
	}
	var all []any
	for _, entry := range list {
		if x, ok := operand(entry); ok {
			all = append(all, x)
		}
	}
	return all
}

// operand reads one value to compare with. Where YAML's idea of a scalar may
// not be the writer's, it asks for quotes.
func operand(v value) (any, bool) {
	if v.node.Kind != yaml.ScalarNode || isNothing(v.node) {
		v.expect("a text, a number, true, false or null", "")
		return nil, false
	}
	s := v.node.Value
	hint := "put it in quotes if it is a text"
	switch v.node.ShortTag() {
	case "!!null":
		return nil, true
	case "!!bool":
		return strings.EqualFold(s, "true"), true
	case "!!int", "!!float":
		f, err := parseNumber(s)
		if err != nil {
			v.refuse(hint, "%s: %v", v.name, err)
			return nil, false
		}
		if math.Abs(f) > 1<<53 {
			v.refuse(hint, "%s: %s is too large a number to be compared exactly", v.name, s)
			return nil, false
		}
		return f, true
	}
	if unquoted := v.node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0; unquoted && slices.Contains([]string{"yes", "no", "on", "off"}, strings.ToLower(s)) {
		v.refuse("write true or false, or put it in quotes if it is a text", "%s: %s may mean a text or true or false", v.name, s)
		return nil, false
	}
	return s, true
}
