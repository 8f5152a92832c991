package events

import (
	"fmt"
	"net/url"
	"strings"
)

// Pattern is a path pattern: segments separated by slashes, of which "*"
// matches exactly one segment that is not empty, and "**", as the last,
// matches any rest, also none: /a/** matches /a, /a/ and /a/b/c. Everything
// else matches literally, byte for byte, the path as it stands in the request
// line.
//
// Patterns are compared with ==. The zero Pattern matches no path.
type Pattern struct{ text string }

// ParsePattern parses a path pattern. It must begin with a slash, and nothing
// in it may be what no request path can hold: that pattern would silently
// match nothing.
func ParsePattern(s string) (Pattern, error) {
	if !strings.HasPrefix(s, "/") {
		return Pattern{}, fmt.Errorf("path pattern %q does not begin with a slash", s)
	}
	for _, r := range s {
		switch {
		case r == '?' || r == '#':
			return Pattern{}, fmt.Errorf("path pattern %q has a %q: only the path is matched, without its query", s, r)
		case r <= ' ' || r >= 0x7f:
			return Pattern{}, fmt.Errorf("path pattern %q has %q, which stands percent-encoded in a request: write %s", s, r, url.PathEscape(string(r)))
		}
	}
	for rest, more := s[1:], true; more; {
		var seg string
		seg, rest, more = strings.Cut(rest, "/")
		switch {
		case seg == "**" && more:
			return Pattern{}, fmt.Errorf("path pattern %q has ** before its end: only the last segment may be **", s)
		case seg != "*" && seg != "**" && strings.Contains(seg, "*"):
			return Pattern{}, fmt.Errorf("path pattern %q has a * within the segment %q: a * stands for one whole segment", s, seg)
		}
	}
	return Pattern{s}, nil
}

// String returns the pattern as it was written.
func (p Pattern) String() string { return p.text }

// Match says whether the path (escaped, as requested, without its query)
// matches. It doesn't allocate.
func (p Pattern) Match(path string) bool {
	want, ok := strings.CutPrefix(p.text, "/")
	have, ok2 := strings.CutPrefix(path, "/")
	if !ok || !ok2 {
		return false
	}
	for {
		w, wantRest, moreWant := strings.Cut(want, "/")
		if w == "**" {
			return true
		}
		h, haveRest, moreHave := strings.Cut(have, "/")
		if w != h && (w != "*" || h == "") {
			return false
		}
		if !moreHave {
			return !moreWant || wantRest == "**"
		}
		if !moreWant {
			return false
		}
		want, have = wantRest, haveRest
	}
}

// Overlap says whether some path matches both patterns.
func Overlap(a, b Pattern) bool {
	x, ok := strings.CutPrefix(a.text, "/")
	y, ok2 := strings.CutPrefix(b.text, "/")
	if !ok || !ok2 {
		return false
	}
	for {
		s, xRest, moreX := strings.Cut(x, "/")
		t, yRest, moreY := strings.Cut(y, "/")
		switch {
		case s == "**" || t == "**":
			return true
		case s == t, s == "*" && t != "", t == "*" && s != "":
		default:
			return false
		}
		switch {
		case !moreX && !moreY:
			return true
		case !moreX:
			return yRest == "**"
		case !moreY:
			return xRest == "**"
		}
		x, y = xRest, yRest
	}
}
