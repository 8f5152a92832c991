package segments

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/seed14307185/refract/events"
)

// Match is a test of one property or trait. Key is its name, or, if there is
// none of that name, a path into nested objects: "address.city". A property
// that is null counts as absent.
type Match struct {
	Key string
	Test
}

// Op is the operator of a Test.
type Op string

// The operators.
const (
	Is       Op = "is"       // equal to one of Values; null is equal to absent
	IsNot    Op = "not"      // present or not, but equal to none of Values
	Exists   Op = "exists"   // present; Values[0] is the bool wanted
	Contains Op = "contains" // a string that contains Values[0], or a list with that element
	GT       Op = "gt"       // a number compared with Values[0]
	GTE      Op = "gte"
	LT       Op = "lt"
	LTE      Op = "lte"
)

// Test is one operator with its operands: bool, float64, string or nil.
// Values are equal only within one type: the number 5 is not the string "5".
type Test struct {
	Op     Op
	Values []any
}

// Holds says whether the property that the match names passes its test.
func (m Match) Holds(p events.Properties) bool { return m.Test.Holds(lookup(p, m.Key)) }

// Lookup returns a property as Match finds it, by its name or its path; nil if it
// is absent or null.
func Lookup(p events.Properties, key string) any { return lookup(p, key) }

// Holds says whether a JSON value passes the test; nil is an absent one.
// An invalid test holds of nothing.
func (t Test) Holds(v any) bool {
	if len(t.Values) == 0 {
		return false
	}
	want := t.Values[0]
	switch t.Op {
	case Is:
		return equalsAny(v, t.Values)
	case IsNot:
		return !equalsAny(v, t.Values)
	case Exists:
		return (v != nil) == (want == true)
	case Contains:
		if list, ok := v.([]any); ok {
			return slices.ContainsFunc(list, func(e any) bool { return equal(e, want) })
		}
		s, ok := v.(string)
		part, ok2 := want.(string)
		return ok && ok2 && strings.Contains(s, part)
	}
	n, ok := v.(float64)
	limit, ok2 := want.(float64)
	if !ok || !ok2 {
		return false
	}
	switch t.Op {
	case GT:
		return n > limit
	case GTE:
		return n >= limit
	case LT:
		return n < limit
	case LTE:
		return n <= limit
	}
	return false
}

func equalsAny(v any, values []any) bool {
	return slices.ContainsFunc(values, func(want any) bool { return equal(v, want) })
}

// equal compares scalars. A list or an object equals nothing.
func equal(v, want any) bool {
	switch v.(type) {
	case nil, bool, float64, string:
		return v == want
	}
	return false
}

// lookup finds a property by its name or else by its path.
func lookup(p map[string]any, key string) any {
	if v := p[key]; v != nil {
		return v
	}
	head, rest, ok := strings.Cut(key, ".")
	if !ok {
		return nil
	}
	inner, _ := p[head].(map[string]any)
	return lookup(inner, rest)
}

func (m Match) check() error {
	if m.Key == "" {
		return errors.New("a property without a name")
	}
	if len(m.Values) == 0 {
		return fmt.Errorf("%s: nothing to compare with", m.Key)
	}
	for _, v := range m.Values {
		ok := false
		switch v.(type) {
		case nil, bool, float64, string:
			ok = true
		}
		switch m.Op {
		case Is, IsNot:
		case Exists:
			_, ok = v.(bool)
		case Contains:
			ok = ok && v != nil
		case GT, GTE, LT, LTE:
			_, ok = v.(float64)
		default:
			return fmt.Errorf("%s: no operator %q", m.Key, m.Op)
		}
		if !ok {
			return fmt.Errorf("%s: can't compare with %v by %q", m.Key, v, m.Op)
		}
	}
	if len(m.Values) > 1 && m.Op != Is && m.Op != IsNot {
		return fmt.Errorf("%s: %q takes one value", m.Key, m.Op)
	}
	return nil
}

func checkMatches(list []Match) error {
	for _, m := range list {
		if err := m.check(); err != nil {
			return err
		}
	}
	return nil
}

// matchesText is the canonical form of a list of matches, all of which must
// hold: {"plan": "trial", "seats": {gte: 5}}. Order does not matter.
func matchesText(list []Match) string {
	texts := make([]string, len(list))
	for i, m := range list {
		texts[i] = strconv.Quote(m.Key) + ": " + m.Test.text()
	}
	slices.Sort(texts)
	return "{" + strings.Join(slices.Compact(texts), ", ") + "}"
}

func (t Test) text() string {
	texts := make([]string, len(t.Values))
	for i, v := range t.Values {
		texts[i] = valueText(v)
	}
	slices.Sort(texts)
	texts = slices.Compact(texts)
	operand := "[" + strings.Join(texts, ", ") + "]"
	if len(texts) == 1 {
		operand = texts[0]
	}
	if t.Op == Is {
		return operand
	}
	return "{" + string(t.Op) + ": " + operand + "}"
}

func valueText(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case float64:
		return strconv.FormatFloat(v+0, 'g', -1, 64) // + 0: no negative zero
	case nil:
		return "null"
	}
	return fmt.Sprint(v)
}
