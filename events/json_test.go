package events_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/seed14307185/refract/events"
)

// nested is an array n deep.
func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

// wide is an object of n members.
func wide(n int) string {
	members := make([]string, n)
	for i := range members {
		members[i] = fmt.Sprintf(`"m%d":%d`, i, i)
	}
	return "{" + strings.Join(members, ",") + "}"
}

func named(n int) string { return `{"` + strings.Repeat("n", n) + `":1}` }

var refusals = []struct{ name, body, reason, text string }{
	{"empty", "", events.RefusedJSON, "at byte 0: unexpected end"},
	{"blank", " \n", events.RefusedJSON, "unexpected end"},
	{"not JSON", "data=eyJ9", events.RefusedJSON, "at byte 1: invalid character"},
	{"cut in a string", `{"a":"b`, events.RefusedJSON, "unexpected end"},
	{"cut in an object", `{"a":1`, events.RefusedJSON, "unexpected end"},
	{"cut before a value", `{"a":`, events.RefusedJSON, "unexpected end"},
	{"trailing value", `{} {}`, events.RefusedJSON, "after top-level value"},
	{"trailing garbage", `{}x`, events.RefusedJSON, "after top-level value"},
	{"trailing bracket", `[]]`, events.RefusedJSON, "after top-level value"},
	{"trailing comma", `[1,]`, events.RefusedJSON, "invalid character"},
	{"mismatched brackets", `[1}`, events.RefusedJSON, "invalid character"},
	{"a name that is no string", `{1:2}`, events.RefusedJSON, "invalid character"},
	{"raw control character", "\"a\nb\"", events.RefusedJSON, "invalid character"},
	{"raw NUL", "{\"a\":\"b\x00\"}", events.RefusedJSON, "invalid character"},
	{"NaN", `NaN`, events.RefusedJSON, "invalid character"},
	{"byte order mark", "\xef\xbb\xbf{}", events.RefusedJSON, "invalid character"},
	{"number out of range", `{"a":1e999}`, events.RefusedJSON, "out of range"},
	{"negative out of range", `[-1e999]`, events.RefusedJSON, "out of range"},
	{"member twice", `{"a":1,"b":2,"a":1}`, events.RefusedJSON, "a member twice"},
	{"member twice, escaped", `{"a":1,"\u0061":2}`, events.RefusedJSON, "a member twice"},
	{"NUL in a value", `["a\u0000"]`, events.RefusedText, "NUL"},
	{"NUL in a name", `{"a\u0000":1}`, events.RefusedText, "NUL"},
	{"invalid UTF-8", "[\"\xff\"]", events.RefusedText, "UTF-8"},
	{"overlong UTF-8", "[\"\xc0\xaf\"]", events.RefusedText, "UTF-8"},
	{"surrogate in UTF-8", "[\"\xed\xa0\x80\"]", events.RefusedText, "UTF-8"},
	{"too deep", nested(events.MaxDepth + 1), events.RefusedDepth, "deeper than"},
	{"far too deep", strings.Repeat(`{"a":`, 100_000), events.RefusedDepth, "deeper than"},
	{"too many members", wide(events.MaxProperties + 1), events.RefusedLimit, "more than 512 members"},
	{"too long a name", named(events.MaxName + 1), events.RefusedLimit, "longer than 200 bytes"},
}

func TestDecodeJSONRefuses(t *testing.T) {
	for _, c := range refusals {
		v, err := events.DecodeJSON([]byte(c.body))
		var refusal *events.Refusal
		if v != nil || !errors.As(err, &refusal) || refusal.Reason != c.reason || !strings.Contains(refusal.Text, c.text) {
			t.Errorf("%s: %v, %v, want %s: %s", c.name, v, err, c.reason, c.text)
		}
	}
}

// accepted are bodies at the limits, and odd but right ones.
var accepted = []string{
	nested(events.MaxDepth), wide(events.MaxProperties), named(events.MaxName),
	"\r\n\t {\"a\" : [1, -0.5e-3, true, false, null, \"\\u00e9\\n\"], \"A\": {}} ",
	`"half a pair \ud83d"`, `1e-999`, `123456789012345678901234567890`, `{"":1}`, `null`,
	`{"a":"\":::"}`, `{"a\\":1,"b":"` + strings.Repeat("[", 50) + `"}`,
}

func TestDecodeJSONAccepts(t *testing.T) {
	for _, body := range accepted {
		v, err := events.DecodeJSON([]byte(body))
		if err != nil {
			t.Errorf("%.40s: %v", body, err)
		}
		var want any
		if err := json.Unmarshal([]byte(body), &want); err != nil || !reflect.DeepEqual(v, want) {
			t.Errorf("%.40s: %v, want %v, %v", body, v, want, err)
		}
	}
}

// reader is the contract once more, over the decoder's tokens: it returns the
// reason to refuse the next value, or none.
type reader struct{ *json.Decoder }

func (r reader) value(depth int) string {
	token, err := r.Token()
	if err != nil {
		return events.RefusedJSON
	}
	opening, ok := token.(json.Delim)
	if !ok {
		return text(token)
	}
	if depth == events.MaxDepth {
		return events.RefusedDepth
	}
	seen := map[string]bool{}
	for r.More() {
		if opening == '{' {
			token, err := r.Token()
			if err != nil {
				return events.RefusedJSON
			}
			name := token.(string)
			switch {
			case seen[name]:
				return events.RefusedJSON
			case len(name) > events.MaxName || len(seen) == events.MaxProperties:
				return events.RefusedLimit
			case text(name) != "":
				return text(name)
			}
			seen[name] = true
		}
		if reason := r.value(depth + 1); reason != "" {
			return reason
		}
	}
	if _, err := r.Token(); err != nil {
		return events.RefusedJSON
	}
	return ""
}

func text(token json.Token) string {
	if s, ok := token.(string); ok && strings.Contains(s, "\x00") {
		return events.RefusedText
	}
	return ""
}

// FuzzDecodeJSON holds the decoder against a second reading of its contract: a
// body is accepted if there is no reason not to, and is then what Unmarshal
// reads. Where there are two reasons, either will do.
func FuzzDecodeJSON(f *testing.F) {
	for _, c := range refusals {
		f.Add([]byte(c.body))
	}
	for _, body := range accepted {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := reader{json.NewDecoder(bytes.NewReader(body))}
		reason := r.value(0)
		if _, err := r.Token(); reason == "" && err != io.EOF {
			reason = events.RefusedJSON
		}
		if !utf8.Valid(body) {
			reason = events.RefusedText
		}
		got, err := events.DecodeJSON(body)
		if (err == nil) != (reason == "") {
			t.Fatalf("%v, but the reason to refuse it is %q", err, reason)
		}
		if err == nil {
			var want any
			if err := json.Unmarshal(body, &want); err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("got %v\nencoding/json %v, %v", got, want, err)
			}
			return
		}
		var refusal *events.Refusal
		if !errors.As(err, &refusal) || !slices.Contains(events.RefusedReasons(), refusal.Reason) {
			t.Fatalf("%#v", err)
		}
		if got != nil {
			t.Fatalf("refused and returned: %v", got)
		}
	})
}

func TestSizeFollowsJSON(t *testing.T) {
	p := events.Properties{"name": "x", "list": []any{"a", 1.5, nil, true, map[string]any{"k": strings.Repeat("v", 1000)}}}
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Size(); got < len(raw) || got > len(raw)+len(raw)/10 {
		t.Errorf("Size() = %d, as JSON %d", got, len(raw))
	}
}

func BenchmarkDecodeJSON(b *testing.B) {
	body := []byte(`{"type":"track","event":"Project Created","userId":"u-1","anonymousId":"13c75dc9-c5ef-473e-aca2-90ec4b76c02f","messageId":"node-next-1","timestamp":"2026-11-23T20:27:58.777Z","integrations":{},"properties":{"plan":"trial","seats":3,"tags":["a","b"]},"context":{"library":{"name":"@segment/analytics-node","version":"3.1.0"}}}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := events.DecodeJSON(body); err != nil {
			b.Fatal(err)
		}
	}
}
