package ingest

import (
	"crypto/sha256"
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/seed14307185/refract/events"
)

// Fields is one JSON object as it came. A field that is null or an empty string
// is absent, as SDKs mean it. Errors are refusals that name the field.
type Fields map[string]any

// Decode reads a body that is exactly one JSON object.
func Decode(raw []byte) (Fields, error) {
	v, err := events.DecodeJSON(raw)
	if err != nil {
		return nil, err
	}
	return Object(v)
}

// Object returns a value that must be an object.
func Object(v any) (Fields, error) {
	f, ok := v.(map[string]any)
	if !ok {
		return nil, events.Refuse(events.RefusedType, "not an object")
	}
	return f, nil
}

// Text returns a field that must be a string.
func (f Fields) Text(field string) (string, error) {
	switch v := f[field].(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	}
	return "", events.Refuse(events.RefusedType, "%s must be a string", field)
}

// Name returns the name of an event, which is needed.
func (f Fields) Name(field string) (string, error) {
	name, err := f.Text(field)
	switch {
	case err != nil:
		return "", err
	case name == "":
		return "", events.Refuse(events.RefusedType, "%s is needed", field)
	case len(name) > events.MaxName:
		return "", events.Refuse(events.RefusedLimit, "%s is longer than %d bytes", field, events.MaxName)
	}
	return name, nil
}

// ID returns an id; see the function of that name.
func (f Fields) ID(field string) (string, error) { return ID(field, f[field]) }

// ID reads an id: a string, or a whole number that JSON carries exactly, since
// some apps number their users.
func ID(field string, v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return strconv.FormatInt(int64(v), 10), nil
		}
		return "", events.Refuse(events.RefusedType, "%s is a number but not a whole one below 2^53", field)
	case string:
		if len(v) > events.MaxID {
			return "", events.Refuse(events.RefusedID, "%s is longer than %d bytes", field, events.MaxID)
		}
		return v, nil
	}
	return "", events.Refuse(events.RefusedType, "%s must be a string", field)
}

// Object returns a field that must be an object: nil if it has no members. An
// empty array is one of those: it is how PHP writes an empty map.
func (f Fields) Object(field string) (Fields, error) {
	switch v := f[field].(type) {
	case nil:
		return nil, nil
	case string:
		if v == "" {
			return nil, nil
		}
	case []any:
		if len(v) == 0 {
			return nil, nil
		}
	case map[string]any:
		if len(v) == 0 {
			return nil, nil
		}
		return v, nil
	}
	return nil, events.Refuse(events.RefusedType, "%s must be an object", field)
}

// List returns a field that must be an array: nil if it is absent, and refused
// if it is longer than a batch may be.
func (f Fields) List(field string) ([]any, error) {
	switch v := f[field].(type) {
	case nil:
		return nil, nil
	case []any:
		if len(v) > events.MaxBatch {
			return nil, events.Refuse(events.RefusedLimit, "%s has more than %d messages", field, events.MaxBatch)
		}
		return v, nil
	}
	return nil, events.Refuse(events.RefusedType, "%s must be an array", field)
}

// instants are the layouts of times beside RFC 3339: with the offset as many
// languages write it by themselves, with a space for the T as Python does,
// without seconds, and without a zone, which is UTC.
var instants = []string{
	time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05",
	"2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04Z07:00",
}

// Instant reads a time: one of ISO 8601 with date and time of day.
func (f Fields) Instant(field string) (time.Time, error) {
	switch v := f[field].(type) {
	case nil:
		return time.Time{}, nil
	case string:
		if v == "" {
			return time.Time{}, nil
		}
		for _, layout := range instants {
			if t, err := time.Parse(layout, v); err == nil {
				return t, nil
			}
		}
		return time.Time{}, events.Refuse(events.RefusedTime, "%s is not an ISO 8601 time", field)
	}
	return time.Time{}, events.Refuse(events.RefusedTime, "%s must be a string", field)
}

// latest is what Epoch reads at most, in seconds: the year 9999.
const latest = 253402300799

// Epoch reads a time that is a number, or the digits of one: seconds since
// 1970, or milliseconds, which these days have three digits more.
func (f Fields) Epoch(field string) (time.Time, error) {
	var n float64
	switch v := f[field].(type) {
	case nil:
		return time.Time{}, nil
	case float64:
		n = v
	case string:
		if v == "" {
			return time.Time{}, nil
		}
		var err error
		if n, err = strconv.ParseFloat(v, 64); err != nil {
			return time.Time{}, events.Refuse(events.RefusedTime, "%s is not a number", field)
		}
	default:
		return time.Time{}, events.Refuse(events.RefusedTime, "%s must be a number", field)
	}
	if n < 1e11 {
		n *= 1000
	}
	if !(n >= 0 && n <= latest*1000) {
		return time.Time{}, events.Refuse(events.RefusedTime, "%s is not a time since 1970", field)
	}
	return time.UnixMilli(int64(n)), nil
}

// Own returns the properties without those that the SDK adds to say what
// browser and machine it runs on: those with a name that begins with one of the
// marks, unless keep has it; and without those in drop. It is nil if none is
// left.
func (f Fields) Own(marks, keep, drop []string) events.Properties {
	own := events.Properties{}
next:
	for name, v := range f {
		for _, d := range drop {
			if name == d {
				continue next
			}
		}
		for _, mark := range marks {
			if strings.HasPrefix(name, mark) && !contains(keep, name) {
				continue next
			}
		}
		own[name] = v
	}
	if len(own) == 0 {
		return nil
	}
	return own
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

// JoinID makes one id of what together identifies an event, or nothing if the
// first part, the sender's own id, is empty.
func JoinID(parts ...string) string {
	if parts[0] == "" {
		return ""
	}
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(strconv.Itoa(len(p))))
		h.Write([]byte{':'})
		h.Write([]byte(p))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:18])
}

// GroupVisitor is who an event is by that is about a group and names nobody.
// The name is the one that PostHog's SDKs give.
func GroupVisitor(groupType, id string) (string, error) {
	return ID("the group's type and id", "$"+groupType+"_"+id)
}

// Check refuses an event that nobody did or that is too long.
func Check(e *events.Event, who string) error {
	if e.Visitor == "" {
		return events.Refuse(events.RefusedID, "%s is needed", who)
	}
	if e.Properties.Size()+e.Traits.Size() > events.MaxEvent {
		return events.Refuse(events.RefusedLimit, "the message is longer than %d bytes", events.MaxEvent)
	}
	return nil
}
