package front

import (
	"bytes"
	"math"
	"net/http"

	"github.com/seed14307185/refract/rules"
)

// Refusal is why a request was not let through: always the client's doing. It
// is what reading the body returns where the body's framing is broken or the
// client sends nothing more.
type Refusal struct {
	Status int    // of the answer: 4xx, 501 or 505
	Reason string // for people; no bytes of the client's are in it
}

func (r *Refusal) Error() string { return "refused: " + r.Reason }

// HTTPStatus is r.Status, for who knows r as an error alone.
func (r *Refusal) HTTPStatus() int { return r.Status }

func bad(reason string) *Refusal { return &Refusal{http.StatusBadRequest, reason} }

// maxChunkLine bounds the line that begins a chunk, extensions included.
const maxChunkLine = 1024

// scanner follows requests by RFC 9112, so that it knows where each begins and
// ends. The zero value waits for a head. It is stricter than what net/http
// takes, in whatever two parsers could see in two ways; the characters of
// field values and of the host are left to net/http.
type scanner struct {
	phase  phase
	remain int64 // bytes of the body, or of the chunk, that are still to come

	// Of the head that is being read.
	line, seen    int // where its last, incomplete line begins; up to where that was searched
	lines, fields int
	old           bool // HTTP/1.0
	hosts         int
	length        int64
	hasLength     bool
	chunked       bool

	// Of the chunked body that is being read.
	digits, width int
	name          [len("transfer-encoding")]byte // of the trailer field, in small letters
	nameLen       int
}

// phase is what the next byte belongs to.
type phase uint8

const (
	inHead phase = iota
	inLength
	inChunkSize
	inChunkSpace
	inChunkExtension
	inChunkSizeEnd
	inChunk
	inChunkEnd
	inChunkEnd2
	inTrailer
	inTrailerName
	inTrailerValue
	inTrailerValueEnd
	inTrailerEnd
)

// between says that a request has ended and nothing of the next was seen.
func (s *scanner) between() bool { return s.phase == inHead && s.seen == 0 }

// next returns how many bytes of b may pass: whole heads, any piece of a body,
// nothing beyond the request's end. 0 asks for more: the same bytes and those
// that follow. Otherwise b goes on behind what passed. What it refuses, and
// whatever follows, must not pass.
func (s *scanner) next(b []byte, limits *rules.Limits) (int, *Refusal) {
	n := 0
	if s.phase == inHead {
		var r *Refusal
		if n, r = s.head(b, limits); r != nil || n == 0 {
			return 0, r
		}
		if s.phase == inHead {
			return n, nil // no body
		}
	}
	k, r := s.body(b[n:], limits)
	if n+k > 0 {
		return n + k, nil // what is wrong is found again, as the first byte
	}
	return 0, r
}

// head takes as many lines as are complete and returns where the head ends, 0
// if it doesn't yet.
func (s *scanner) head(b []byte, limits *rules.Limits) (int, *Refusal) {
	for {
		i := bytes.IndexByte(b[s.seen:], '\n')
		if i < 0 {
			s.seen = len(b)
		} else {
			i += s.seen
		}
		if i < 0 && len(b) >= limits.HeaderBytes || i >= limits.HeaderBytes {
			if s.lines == 0 {
				return 0, &Refusal{http.StatusRequestURITooLong, "the request line is too long"}
			}
			return 0, &Refusal{http.StatusRequestHeaderFieldsTooLarge, "the header is too large"}
		}
		if i < 0 {
			return 0, nil
		}
		if i == s.line || b[i-1] != '\r' {
			return 0, bad("a line ends with a bare LF")
		}
		line := b[s.line : i-1]
		s.line, s.seen = i+1, i+1
		s.lines++
		var r *Refusal
		switch {
		case s.lines == 1:
			r = s.requestLine(line)
		case len(line) == 0:
			r = s.headEnd(b[:i+1])
			return i + 1, r
		default:
			r = s.field(line, limits)
		}
		if r != nil {
			return 0, r
		}
	}
}

// requestLine is RFC 9112 section 3.
func (s *scanner) requestLine(line []byte) *Refusal {
	method, rest, ok := bytes.Cut(line, []byte{' '})
	if !ok || token(method) != len(method) || len(method) == 0 {
		return bad("the request line is malformed")
	}
	target, version, ok := bytes.Cut(rest, []byte{' '})
	if !ok || len(target) == 0 {
		return bad("the request line is malformed")
	}
	switch {
	case string(version) == "HTTP/1.1":
	case string(version) == "HTTP/1.0":
		s.old = true
	case len(version) == 8 && string(version[:5]) == "HTTP/" && version[6] == '.' && digit(version[5]) && digit(version[7]):
		return &Refusal{http.StatusHTTPVersionNotSupported, "this version of HTTP is not served here"}
	default:
		return bad("the request line is malformed")
	}
	for _, c := range target {
		if c <= ' ' || c == 0x7f {
			return bad("the target has a control character")
		}
	}
	switch {
	case target[0] == '/', string(method) == http.MethodConnect:
	case string(target) == "*" && string(method) == http.MethodOptions:
	case prefixed(target, "http://"), prefixed(target, "https://"):
	default:
		return bad("the target is neither a path nor a URL")
	}
	return nil
}

// field is RFC 9112 section 5, and of section 6 what can be told by one field.
func (s *scanner) field(line []byte, limits *rules.Limits) *Refusal {
	if s.fields++; s.fields > limits.Headers {
		return &Refusal{http.StatusRequestHeaderFieldsTooLarge, "the header has too many fields"}
	}
	n := token(line)
	if n == 0 || n == len(line) || line[n] != ':' {
		if line[0] == ' ' || line[0] == '\t' {
			return bad("a header line is folded")
		}
		return bad("a header's name is malformed")
	}
	switch {
	case n == len("Host") && prefixed(line, "Host"):
		s.hosts++
	case n == len("Content-Length") && prefixed(line, "Content-Length"):
		if s.hasLength {
			return bad("there is more than one Content-Length")
		}
		s.hasLength = true
		v := bytes.Trim(line[n+1:], " \t")
		if len(v) == 0 {
			return bad("the Content-Length is malformed")
		}
		for _, c := range v {
			if !digit(c) || s.length > (math.MaxInt64-9)/10 {
				return bad("the Content-Length is malformed")
			}
			s.length = s.length*10 + int64(c-'0')
		}
	case n == len("Transfer-Encoding") && prefixed(line, "Transfer-Encoding"):
		v := bytes.Trim(line[n+1:], " \t")
		if s.chunked || len(v) != len("chunked") || !prefixed(v, "chunked") {
			return &Refusal{http.StatusNotImplemented, "this transfer coding is not served here"}
		}
		s.chunked = true
	}
	return nil
}

// headEnd looks at what only the whole head can tell, and begins the body.
func (s *scanner) headEnd(head []byte) *Refusal {
	switch {
	case bytes.IndexByte(head, 0) >= 0:
		return bad("the header has a NUL")
	case bytes.Count(head, []byte{'\r'}) != s.lines:
		return bad("the header has a bare CR")
	case s.hosts > 1 || s.hosts == 0 && !s.old:
		return bad("there must be one Host")
	case s.chunked && s.hasLength:
		return bad("there is a Content-Length and a Transfer-Encoding")
	case s.chunked && s.old:
		return bad("HTTP/1.0 has no Transfer-Encoding")
	}
	next := scanner{}
	switch {
	case s.chunked:
		next.phase = inChunkSize
	case s.length > 0:
		next.phase, next.remain = inLength, s.length
	}
	*s = next
	return nil
}

// token returns how many bytes at the beginning of b are a token's, by RFC 9110
// section 5.6.2.
func token(b []byte) int {
	for i, c := range b {
		if !tchar[c] {
			return i
		}
	}
	return len(b)
}

var tchar = func() (t [256]bool) {
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t
}()

func digit(c byte) bool { return '0' <= c && c <= '9' }

// prefixed says whether b begins with the ASCII text s, in letters of any case.
func prefixed(b []byte, s string) bool {
	return len(b) >= len(s) && bytes.EqualFold(b[:len(s)], []byte(s))
}
