package events

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// SourceEdge is the Source of the events that an Observation makes.
const SourceEdge = "edge"

// Observation makes an event of a request that the edge saw answered. It is
// immutable once in use, and then safe for concurrent use.
type Observation struct {
	Event  string        // the event's name
	Method string        // in capitals; "" or "ANY" is every method
	Path   Pattern       // see Pattern
	Status []StatusRange // any of these; empty is every status
	// Set is the event's properties: what each is read from.
	Set map[string]Source
}

// Exchange is what an Observation looks at: a request and the status of its
// response.
type Exchange struct {
	Method   string
	Path     string // escaped, as requested
	RawQuery string
	Status   int
	At       time.Time // when the response ended
}

// Match returns the event that the exchange is, without Visitor and Account,
// and whether it is one. The event happened when the response ended. Without a
// match nothing is allocated.
func (o *Observation) Match(x *Exchange) (Event, bool) {
	if o.Method != "" && o.Method != "ANY" && o.Method != x.Method {
		return Event{}, false
	}
	if len(o.Status) > 0 && !slices.ContainsFunc(o.Status, func(r StatusRange) bool { return r.Has(x.Status) }) {
		return Event{}, false
	}
	if !o.Path.Match(x.Path) {
		return Event{}, false
	}
	at := x.At.UTC().Truncate(time.Millisecond)
	e := Event{Source: SourceEdge, Kind: Track, Name: o.Event, Time: at, Received: at}
	for name, source := range o.Set {
		if v, ok := source.value(x); ok {
			if e.Properties == nil {
				e.Properties = make(Properties, len(o.Set))
			}
			e.Properties[name] = v
		}
	}
	return e, true
}

// StatusRange is the response statuses Min to Max, both included.
type StatusRange struct{ Min, Max int }

// ParseStatus parses one status ("404") or one class of them ("2xx").
func ParseStatus(s string) (StatusRange, error) {
	digits, class := strings.CutSuffix(s, "xx")
	n, err := strconv.ParseUint(digits, 10, 16)
	switch {
	case err == nil && class && len(digits) == 1 && n >= 1 && n <= 5:
		return StatusRange{int(n) * 100, int(n)*100 + 99}, nil
	case err == nil && !class && len(digits) == 3 && n >= 100 && n <= 599:
		return StatusRange{int(n), int(n)}, nil
	}
	return StatusRange{}, fmt.Errorf("status %q is neither a status such as 404 nor a class such as 2xx", s)
}

// Has says whether the status is in the range.
func (r StatusRange) Has(status int) bool { return r.Min <= status && status <= r.Max }

// String returns the range as ParseStatus reads it.
func (r StatusRange) String() string {
	switch {
	case r.Min == r.Max:
		return strconv.Itoa(r.Min)
	case r.Min%100 == 0 && r.Max == r.Min+99:
		return strconv.Itoa(r.Min/100) + "xx"
	}
	return strconv.Itoa(r.Min) + "-" + strconv.Itoa(r.Max)
}

// Source is where an Observation reads a property from. Its zero value yields
// nothing.
type Source struct {
	from    byte // 'p', 'q' or 's'
	segment int  // of the path, counted from 1
	query   string
}

// ParseSource parses "path.N" (the N-th segment of the path, from 1),
// "query.NAME" (the first value of that query parameter) or "status".
func ParseSource(s string) (Source, error) {
	if s == "status" {
		return Source{from: 's'}, nil
	}
	if name, ok := strings.CutPrefix(s, "query."); ok && name != "" {
		return Source{from: 'q', query: name}, nil
	}
	if n, ok := strings.CutPrefix(s, "path."); ok {
		if i, err := strconv.ParseUint(n, 10, 8); err == nil && i > 0 {
			return Source{from: 'p', segment: int(i)}, nil
		}
	}
	return Source{}, fmt.Errorf("%q is none of path.N (N from 1), query.NAME and status", s)
}

// String returns the source as ParseSource reads it.
func (s Source) String() string {
	switch s.from {
	case 'p':
		return "path." + strconv.Itoa(s.segment)
	case 'q':
		return "query." + s.query
	case 's':
		return "status"
	}
	return ""
}

// Numeric says whether what the source yields is a number; else it is text.
func (s Source) Numeric() bool { return s.from == 's' }

// value reads the source from an exchange. Path and query are strings, the
// status is a number. What the request lacks, and what is longer than
// MaxObserved or could not be kept as text, is absent.
func (s Source) value(x *Exchange) (any, bool) {
	switch s.from {
	case 's':
		return float64(x.Status), true
	case 'p':
		raw, ok := segment(x.Path, s.segment)
		if !ok {
			return nil, false
		}
		return decoded(raw, url.PathUnescape)
	case 'q':
		raw, ok := parameter(x.RawQuery, s.query)
		if !ok {
			return nil, false
		}
		return decoded(raw, url.QueryUnescape)
	}
	return nil, false
}

// segment returns the n-th segment (from 1) of a path, unless it is missing
// or empty.
func segment(path string, n int) (string, bool) {
	rest, more := strings.CutPrefix(path, "/")
	var seg string
	for ; n > 0 && more; n-- {
		seg, rest, more = strings.Cut(rest, "/")
	}
	return seg, n == 0 && seg != ""
}

// parameter returns the first value, still encoded, of a query parameter.
func parameter(query, name string) (string, bool) {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		key, value, _ := strings.Cut(pair, "=")
		if k, err := url.QueryUnescape(key); err == nil && k == name {
			return value, true
		}
	}
	return "", false
}

// decoded returns the text that raw encodes, or raw itself if that isn't text.
func decoded(raw string, unescape func(string) (string, error)) (any, bool) {
	if len(raw) > 3*MaxObserved {
		return nil, false
	}
	s, err := unescape(raw)
	if err != nil || !isText(s) {
		s = raw
	}
	if len(s) > MaxObserved || !isText(s) {
		return nil, false
	}
	return s, true
}

// isText says whether a string may be kept: valid UTF-8 without NUL.
func isText(s string) bool {
	return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}
