package events

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

// DecodeJSON reads a body that is exactly one JSON value, as Properties
// describes values: numbers are float64. It refuses, with a *Refusal, what
// encoding/json would let through or repair: invalid UTF-8, a NUL in a string,
// a member named twice, and what exceeds MaxDepth, MaxProperties or MaxName.
// The caller bounds the body's length.
//
// Half of a surrogate pair in an escape becomes U+FFFD: JavaScript cuts strings
// there, and that is no reason to lose the event.
func DecodeJSON(body []byte) (any, error) {
	if !utf8.Valid(body) {
		return nil, Refuse(RefusedText, "the body is not valid UTF-8")
	}
	colons, depth := shape(body)
	if depth > MaxDepth {
		return nil, Refuse(RefusedDepth, "nested deeper than %d", MaxDepth)
	}
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return nil, syntax(err)
	}
	members, err := check(v)
	if err != nil {
		return nil, err
	}
	// Unmarshal keeps one of two members with the same name; their colons stay.
	if members != colons {
		return nil, Refuse(RefusedJSON, "an object names a member twice")
	}
	return v, nil
}

// Depth is how deep brackets are nested in a body: of what is JSON, how deep
// arrays and objects are.
func Depth(body []byte) int {
	_, deepest := shape(body)
	return deepest
}

// shape counts the colons outside strings, and how deep brackets are nested.
func shape(body []byte) (colons, deepest int) {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == ':':
			colons++
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return colons, deepest
}

// check counts the members of all objects in a value whose depth is bounded,
// and refuses what must not be kept.
func check(v any) (members int, err error) {
	switch v := v.(type) {
	case string:
		return 0, checkText(v)
	case []any:
		for _, e := range v {
			n, err := check(e)
			if err != nil {
				return 0, err
			}
			members += n
		}
	case map[string]any:
		if len(v) > MaxProperties {
			return 0, Refuse(RefusedLimit, "an object has more than %d members", MaxProperties)
		}
		for name, e := range v {
			if len(name) > MaxName {
				return 0, Refuse(RefusedLimit, "a member's name is longer than %d bytes", MaxName)
			}
			if err := checkText(name); err != nil {
				return 0, err
			}
			n, err := check(e)
			if err != nil {
				return 0, err
			}
			members += n + 1
		}
	}
	return members, nil
}

func checkText(s string) error {
	if strings.IndexByte(s, 0) >= 0 {
		return Refuse(RefusedText, "a string holds a NUL")
	}
	return nil
}

// syntax says an error of Unmarshal's in a sender's words.
func syntax(err error) *Refusal {
	var number *json.UnmarshalTypeError
	if errors.As(err, &number) {
		return Refuse(RefusedJSON, "a number is out of range at byte %d", number.Offset)
	}
	var bad *json.SyntaxError
	if errors.As(err, &bad) {
		return Refuse(RefusedJSON, "not one JSON value: at byte %d: %v", bad.Offset, bad)
	}
	return Refuse(RefusedJSON, "not one JSON value: %v", err)
}

// Size is about as many bytes as the properties take as JSON.
func (p Properties) Size() int { return size(map[string]any(p)) }

func size(v any) int {
	switch v := v.(type) {
	case string:
		return len(v) + 2
	case []any:
		n := 2
		for _, e := range v {
			n += size(e) + 1
		}
		return n
	case map[string]any:
		n := 2
		for name, e := range v {
			n += len(name) + 4 + size(e)
		}
		return n
	}
	return 8
}
