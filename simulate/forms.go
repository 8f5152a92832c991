package simulate

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Forms are the names of the forms of events that are read, in the order in
// which a line is tried for them.
func Forms() []string {
	return []string{"refract", "amplitude", "segment", "posthog", "mixpanel"}
}

// formOf says which form a line has, by the members that only this one has.
func formOf(l *line) string {
	switch {
	case l.has(fVisitor) && l.has(fKind) && l.has(fTime):
		return "refract"
	case l.has(fEventType) && l.has(fEventTime):
		return "amplitude"
	case l.has(fType) && (l.has(fMessageID) || l.has(fSegmentUser) || l.has(fSegmentAnonymous)):
		return "segment"
	case l.has(fEvent) && l.has(fDistinctID):
		return "posthog"
	case l.has(fEvent) && l.has(fProperties):
		return "mixpanel"
	}
	return ""
}

// statement is an item before its ids are hashed.
type statement struct {
	kind                               kind
	name, id, visitor, other, accounts []byte
	at                                 int64
	payload                            []byte // properties or traits, as the line has them
}

// former makes statements of lines. Not safe for concurrent use.
type former struct {
	*reader
	line
	plan *plan
	emit func(*statement) error
	said statement // by the line; what begin returns
	// Of the properties, for forms that keep more there than what was done.
	inner map[string][]byte
}

func newFormer(p *plan, emit func(*statement) error) *former {
	return &former{reader: newReader(), plan: p, emit: emit, inner: map[string][]byte{}}
}

// read takes a line apart and hands on what it says. The form is what was
// asked for, or empty: then the line says it.
func (f *former) read(raw []byte, form string) (string, error) {
	f.line = line{raw: raw}
	clear(f.inner)
	err := f.members(raw, func(name, value []byte) {
		if at, ok := fieldOf(name); ok {
			f.values[at] = value
		}
	})
	if err != nil {
		return "", err
	}
	if form == "" {
		form = formOf(&f.line)
	}
	switch form {
	case "refract":
		return form, f.own()
	case "amplitude":
		return form, f.amplitude()
	case "segment":
		return form, f.segment()
	case "posthog":
		return form, f.posthog()
	case "mixpanel":
		return form, f.mixpanel()
	}
	return "", faultf(0, "no event in one of the forms %s", strings.Join(Forms(), ", "))
}

// begin returns an empty statement with a payload, valid until the next line.
func (f *former) begin(payload field) *statement {
	f.said = statement{payload: f.values[payload]}
	return &f.said
}

// own is an event as refract itself writes it: events.Event.
func (f *former) own() error {
	s := f.begin(fProperties)
	what, err := f.text("kind", f.values[fKind])
	if err != nil {
		return err
	}
	switch string(what) {
	case "track":
	case "identify":
		s.kind, s.payload = identify, f.values[fTraits]
	case "group":
		s.kind, s.payload = group, f.values[fTraits]
	case "alias":
		s.kind = alias
	default:
		return faultf(f.offset(f.values[fKind]), "kind is %q, but must be track, identify, group or alias", cut(what))
	}
	return f.fill(s, fName, fID, fVisitor, fAnonymous, fAccount, fTime)
}

// fill reads the fields that every form has by some name, and hands the
// statement on. A field of "fields" is one that the form has not.
func (f *former) fill(s *statement, name, id, visitor, other, account, at field) error {
	read := func(dst *[]byte, what string, from field, as func(string, []byte) ([]byte, error)) (err error) {
		if from < fields && *dst == nil {
			*dst, err = as(what, f.values[from])
		}
		return err
	}
	err := read(&s.name, "the event's name", name, f.text)
	for _, id := range []struct {
		dst  *[]byte
		what string
		from field
	}{{&s.id, "the event's id", id}, {&s.visitor, "the visitor", visitor}, {&s.other, "the anonymous id", other}, {&s.accounts, "the account", account}} {
		if err == nil {
			err = read(id.dst, id.what, id.from, f.ident)
		}
	}
	if err == nil && at < fields {
		s.at, err = f.time("the event's time", f.values[at])
	}
	if err != nil {
		return err
	}
	return f.hand(s)
}

// hand hands a statement on that is whole.
func (f *former) hand(s *statement) error {
	switch {
	case len(s.visitor) == 0:
		return faultf(0, "nothing says who the visitor is")
	case s.kind == track && len(s.name) == 0:
		return faultf(0, "the event has no name")
	case s.kind == group && len(s.accounts) == 0:
		return faultf(0, "nothing says which account it is")
	case s.at < f.plan.earliest || s.at > f.plan.latest:
		return faultf(0, "the event is of a time before 2000 or in the future")
	}
	if string(s.other) == string(s.visitor) {
		s.other = nil
	}
	return f.emit(s)
}

// object takes the members of a value that is an object, or a string that
// holds one, into inner: those that are named, or all.
func (f *former) object(what string, v []byte, names ...string) error {
	clear(f.inner)
	at, wrapped := f.offset(v), len(v) > 0 && v[0] == '"'
	v, err := f.unwrapped(what, v)
	if err != nil || v == nil {
		return err
	}
	err = f.members(v, func(name, value []byte) {
		if len(names) == 0 || slices.Contains(names, string(name)) {
			f.inner[string(name)] = value
		}
	})
	var bad *fault
	if errors.As(err, &bad) {
		if wrapped {
			bad.at = 0
		}
		return faultf(at+bad.at, "%s: %s", what, bad.what)
	}
	return err
}

// unwrapped returns an object; of a string, as PostHog's exports may have it,
// the object in it. A null is nil, and so is an empty array, as which PHP writes
// an empty map.
func (f *former) unwrapped(what string, v []byte) ([]byte, error) {
	switch {
	case !present(v):
		return nil, nil
	case v[0] == '"':
		text, err := jsontext.AppendUnquote(nil, v)
		if err != nil || len(text) == 0 {
			return nil, nil
		}
		return f.unwrapped(what, text)
	case v[0] == '[' && len(bytes.TrimSpace(v[1:len(v)-1])) == 0:
		return nil, nil
	case v[0] != '{':
		return nil, faultf(f.offset(v), "%s must be an object", what)
	}
	return v, nil
}

// first returns the id that a value holds, or its first one, if it is a list.
func (f *former) first(what string, v []byte) ([]byte, error) {
	if len(v) > 1 && v[0] == '[' {
		dec := newReader()
		dec.buf.Write(v)
		if _, err := dec.dec.ReadToken(); err != nil || dec.dec.PeekKind() == ']' {
			return nil, nil
		}
		one, err := dec.dec.ReadValue()
		if err != nil {
			return nil, nil
		}
		v = slices.Clone(one)
	}
	return f.ident(what, v)
}
