package cohorts

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/ingest"
)

// payload returns a request's body: text that is not nested too deep.
func payload(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	raw, err := ingest.BodyUpTo(w, r, maxBody)
	switch {
	case err != nil:
		return nil, err
	case !utf8.Valid(raw):
		return nil, events.Refuse(events.RefusedText, "the body is not valid UTF-8")
	case events.Depth(raw) > events.MaxDepth:
		return nil, events.Refuse(events.RefusedDepth, "nested deeper than %d", events.MaxDepth)
	}
	return raw, nil
}

// decode reads exactly one JSON value. Members that v has no field for may be
// anything, but none may be there twice. Half of a surrogate pair in an escape
// becomes U+FFFD, as in events.DecodeJSON.
func decode(raw []byte, v any) error {
	return malformed(json.Unmarshal(raw, v, jsontext.AllowInvalidUTF8(true)))
}

// receive is decode of payload.
func receive(w http.ResponseWriter, r *http.Request, v any) error {
	raw, err := payload(w, r)
	if err != nil {
		return err
	}
	return decode(raw, v)
}

// malformed says what is wrong with a message in its sender's words.
func malformed(err error) error {
	refusal, syntax, mistyped := (*events.Refusal)(nil), (*jsontext.SyntacticError)(nil), (*json.SemanticError)(nil)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refusal):
		return refusal
	case errors.Is(err, jsontext.ErrDuplicateName):
		return events.Refuse(events.RefusedJSON, "an object names a member twice")
	case errors.As(err, &syntax):
		return events.Refuse(events.RefusedJSON, "not one JSON value: at byte %d", syntax.ByteOffset)
	case errors.As(err, &mistyped) && mistyped.JSONPointer != "" && len(mistyped.JSONPointer) <= events.MaxName:
		return events.Refuse(events.RefusedType, "%s is of the wrong type", strings.TrimPrefix(string(mistyped.JSONPointer), "/"))
	case mistyped != nil:
		return events.Refuse(events.RefusedType, "a value is of the wrong type")
	}
	return events.Refuse(events.RefusedJSON, "not one JSON value")
}

// word is a string or a whole number, in digits. Whatever else the value is, and
// if it couldn't be an id, it is empty.
type word string

func (t *word) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	s, err := readWord(d)
	*t = word(s)
	return err
}

func readWord(d *jsontext.Decoder) (string, error) {
	kind := d.PeekKind()
	if kind != '"' && kind != '0' {
		return "", d.SkipValue()
	}
	token, err := d.ReadToken()
	if err != nil {
		return "", err
	}
	var v any = token.String()
	if kind == '0' {
		if v, err = strconv.ParseFloat(token.String(), 64); err != nil {
			return "", nil
		}
	}
	s, err := ingest.ID("", v)
	if err != nil || strings.IndexByte(s, 0) >= 0 {
		return "", nil
	}
	return s, nil
}

// flag is true or false, also as a string: what templates make of it.
type flag struct{ is, told bool }

func (f *flag) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	v, err := d.ReadValue()
	if err != nil {
		return err
	}
	switch strings.ToLower(string(v)) {
	case `true`, `"true"`:
		*f = flag{true, true}
	case `false`, `"false"`:
		*f = flag{false, true}
	case `null`, `""`:
	default:
		return events.Refuse(events.RefusedType, "%s must be true or false", strings.TrimPrefix(string(d.StackPointer()), "/"))
	}
	return nil
}

// members is a list of members, each its id or an object that has it. Who has
// none that can be used is left out: the rest of the list is right all the same.
type members struct {
	names []string // of the object's members that can be the id, the best first
	told  bool     // the list was there
	ids   []string
}

func (m *members) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	switch d.PeekKind() {
	case 'n':
		return d.SkipValue()
	case '[':
	default:
		at := d.StackPointer()
		if err := d.SkipValue(); err != nil {
			return err
		}
		return events.Refuse(events.RefusedType, "%s must be an array", strings.TrimPrefix(string(at), "/"))
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	m.told = true
	for n := 0; d.PeekKind() != ']'; n++ {
		if n == maxInBatch {
			return events.Refuse(events.RefusedLimit, "more than %d members in one message", maxInBatch)
		}
		read := readWord
		if d.PeekKind() == '{' {
			read = m.readMember
		}
		id, err := read(d)
		if err != nil {
			return err
		}
		if id != "" {
			m.ids = append(m.ids, id)
		}
	}
	_, err := d.ReadToken()
	return err
}

// readMember reads an object and returns the best id in it.
func (m *members) readMember(d *jsontext.Decoder) (id string, err error) {
	if _, err := d.ReadToken(); err != nil {
		return "", err
	}
	best := len(m.names)
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return "", err
		}
		rank := slices.Index(m.names, name.String())
		if rank < 0 || rank >= best {
			if err := d.SkipValue(); err != nil {
				return "", err
			}
			continue
		}
		s, err := readWord(d)
		if err != nil {
			return "", err
		}
		if s != "" {
			id, best = s, rank
		}
	}
	_, err = d.ReadToken()
	return id, err
}

// elements returns the messages of a body that is one or an array of them, each
// to the byte as it came.
func elements(raw []byte) ([]jsontext.Value, error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(raw), jsontext.AllowInvalidUTF8(true))
	if d.PeekKind() != '[' {
		return []jsontext.Value{raw}, nil
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, malformed(err)
	}
	list := []jsontext.Value{}
	for d.PeekKind() != ']' {
		if len(list) == maxInBatch {
			return nil, events.Refuse(events.RefusedLimit, "more than %d messages", maxInBatch)
		}
		v, err := d.ReadValue()
		if err != nil {
			return nil, malformed(err)
		}
		list = append(list, v.Clone())
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, malformed(err)
	}
	if len(bytes.TrimSpace(raw[d.InputOffset():])) > 0 {
		return nil, events.Refuse(events.RefusedJSON, "not one JSON value")
	}
	return list, nil
}
