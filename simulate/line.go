package simulate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed14307185/refract/events"
)

// field is a member of a line, or of its properties, that some form has.
type field uint8

const (
	fID field = iota
	fKind
	fName
	fVisitor
	fAnonymous
	fAccount
	fTime
	fProperties
	fTraits

	fEvent
	fDistinctID
	fTimestamp
	fUUID
	fPersonProperties
	fPerson

	fEventType
	fEventTime
	fUserID
	fDeviceID
	fInsertID
	fEventProperties
	fUserProperties
	fGroups

	fType
	fSegmentUser
	fSegmentAnonymous
	fMessageID
	fOriginalTimestamp
	fSentAt
	fReceivedAt
	fContext
	fGroupID
	fPreviousID
	fCategory

	fields
)

// fieldOf returns the field that a member's name stands for.
func fieldOf(name []byte) (field, bool) {
	switch string(name) {
	case "id":
		return fID, true
	case "kind":
		return fKind, true
	case "name":
		return fName, true
	case "visitor":
		return fVisitor, true
	case "anonymous":
		return fAnonymous, true
	case "account":
		return fAccount, true
	case "time":
		return fTime, true
	case "properties":
		return fProperties, true
	case "traits":
		return fTraits, true
	case "event":
		return fEvent, true
	case "distinct_id":
		return fDistinctID, true
	case "timestamp":
		return fTimestamp, true
	case "uuid":
		return fUUID, true
	case "person_properties":
		return fPersonProperties, true
	case "person":
		return fPerson, true
	case "event_type":
		return fEventType, true
	case "event_time":
		return fEventTime, true
	case "user_id":
		return fUserID, true
	case "device_id":
		return fDeviceID, true
	case "$insert_id":
		return fInsertID, true
	case "event_properties":
		return fEventProperties, true
	case "user_properties":
		return fUserProperties, true
	case "groups":
		return fGroups, true
	case "type":
		return fType, true
	case "userId":
		return fSegmentUser, true
	case "anonymousId":
		return fSegmentAnonymous, true
	case "messageId":
		return fMessageID, true
	case "originalTimestamp":
		return fOriginalTimestamp, true
	case "sentAt":
		return fSentAt, true
	case "receivedAt":
		return fReceivedAt, true
	case "context":
		return fContext, true
	case "groupId":
		return fGroupID, true
	case "previousId":
		return fPreviousID, true
	case "category":
		return fCategory, true
	}
	return 0, false
}

// fault is what is wrong with a line. The offset is in bytes from its start.
type fault struct {
	at   int
	what string
}

func (f *fault) Error() string { return f.what }

func faultf(at int, format string, args ...any) error {
	return &fault{at, fmt.Sprintf(format, args...)}
}

// reader reads JSON objects, member by member. Not safe for concurrent use.
type reader struct {
	dec *jsontext.Decoder
	buf bytes.Buffer
}

// lenient: of two members of one name the last counts, and what is no UTF-8
// within a string becomes U+FFFD, as encoding/json has it.
var lenient = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

func newReader() *reader {
	r := &reader{}
	r.dec = jsontext.NewDecoder(&r.buf, lenient...)
	return r
}

// members calls do with the name of each member of an object and its value,
// which is part of raw. A name with an escape is passed undone.
func (r *reader) members(raw []byte, do func(name, value []byte)) error {
	r.buf = *bytes.NewBuffer(raw)
	r.dec.Reset(&r.buf, lenient...)
	if k := r.dec.PeekKind(); k != '{' {
		if _, err := r.dec.ReadValue(); err != nil {
			return r.syntax(err, len(raw))
		}
		return faultf(0, "the line is not an object")
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return r.syntax(err, len(raw))
	}
	for r.dec.PeekKind() != '}' {
		name, err := r.dec.ReadValue()
		if err != nil {
			return r.syntax(err, len(raw))
		}
		end := int(r.dec.InputOffset())
		name = raw[end-len(name) : end] // ReadValue's own is valid until the next one
		value, err := r.dec.ReadValue()
		if err != nil {
			return r.syntax(err, len(raw))
		}
		end = int(r.dec.InputOffset())
		value = raw[end-len(value) : end]
		if bytes.IndexByte(name, '\\') < 0 {
			name = name[1 : len(name)-1]
		} else if name, err = jsontext.AppendUnquote(nil, name); err != nil {
			return faultf(end, "a member's name: %v", err)
		}
		do(name, value)
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return r.syntax(err, len(raw))
	}
	end := int(r.dec.InputOffset())
	if rest := bytes.TrimLeft(raw[end:], " \t\r\n"); len(rest) > 0 {
		return faultf(len(raw)-len(rest), "there is something after the object")
	}
	return nil
}

func (r *reader) syntax(err error, size int) error {
	var bad *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return faultf(size, "the line ends within a JSON value")
	case errors.As(err, &bad):
		return faultf(int(bad.ByteOffset), "not JSON: %v", bad.Err)
	}
	return faultf(int(r.dec.InputOffset()), "not JSON: %v", err)
}

// line is one line of a file, taken apart.
type line struct {
	raw    []byte
	values [fields][]byte
}

// has says whether a field is there and not null.
func (l *line) has(f field) bool { return present(l.values[f]) }

func present(v []byte) bool { return len(v) > 0 && v[0] != 'n' }

// offset is where a value, or what it is part of, begins in the line.
func (l *line) offset(v []byte) int {
	if cap(l.raw) < cap(v) {
		return 0
	}
	return min(cap(l.raw)-cap(v), len(l.raw))
}

// text returns a string, without escapes: part of the line if it has none. A
// null is the empty string.
func (l *line) text(what string, v []byte) ([]byte, error) {
	switch {
	case !present(v):
		return nil, nil
	case v[0] != '"':
		return nil, faultf(l.offset(v), "%s must be a string", what)
	case bytes.IndexByte(v, '\\') < 0 && utf8.Valid(v):
		return v[1 : len(v)-1], nil
	}
	s, _ := jsontext.AppendUnquote(nil, v) // what is no UTF-8 is U+FFFD
	return s, nil
}

// ident reads an id: a string, or a whole number, since some apps number
// their users. A null, and an empty string, is none.
func (l *line) ident(what string, v []byte) ([]byte, error) {
	if present(v) && (v[0] == '-' || v[0] >= '0' && v[0] <= '9') {
		if n, err := strconv.ParseFloat(string(v), 64); err == nil && n == float64(int64(n)) && n < 1<<53 && n > -1<<53 {
			return strconv.AppendInt(nil, int64(n), 10), nil
		}
		return nil, faultf(l.offset(v), "%s is a number but not a whole one below 2^53", what)
	}
	s, err := l.text(what, v)
	if len(s) > events.MaxID {
		return nil, faultf(l.offset(v), "%s is longer than %d bytes", what, events.MaxID)
	}
	return s, err
}

// The layouts that exports date their events by, beside RFC 3339. Without a
// zone they are in UTC.
var layouts = []string{
	"2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04:05.999999999Z07:00", "2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04Z07:00",
	"2006-01-02 15:04:05.999999999 UTC", // BigQuery's
	"2006-01-02 15:04:05.999999999Z07",  // PostgreSQL's
	"2006-01-02 15:04:05.999999999 -0700 MST",
}

// time reads a time as Unix milliseconds: a text, or the number of seconds, or
// of milliseconds, since 1970.
func (l *line) time(what string, v []byte) (int64, error) {
	if !present(v) {
		return 0, faultf(0, "%s is missing", what)
	}
	if v[0] >= '0' && v[0] <= '9' {
		n, err := strconv.ParseFloat(string(v), 64)
		if err != nil || n > 1e15 {
			return 0, faultf(l.offset(v), "%s is no time", what)
		}
		if n < 1e11 { // the year 5138, in seconds
			n *= 1000
		}
		return int64(n), nil
	}
	s, err := l.text(what, v)
	if err != nil {
		return 0, err
	}
	var t time.Time
	if t.UnmarshalText(s) == nil {
		return t.UnixMilli(), nil
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, string(s)); err == nil {
			return t.UnixMilli(), nil
		}
	}
	return 0, faultf(l.offset(v), "%s is %q, but must be a time such as 2026-11-01T10:11:12.123Z", what, cut(s))
}

// cut shortens what is quoted in a message.
func cut(s []byte) []byte {
	if len(s) > 40 {
		return append(s[:37:37], "..."...)
	}
	return s
}

// hash names an id. No id is 0.
func hash(id []byte) uint64 {
	if len(id) == 0 {
		return 0
	}
	return max(1, xxhash.Sum64(id))
}
