package events_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/seed14307185/refract/events"
)

func pattern(t testing.TB, s string) events.Pattern {
	t.Helper()
	p, err := events.ParsePattern(s)
	if err != nil {
		t.Fatal(err)
	}
	if p.String() != s {
		t.Fatalf("ParsePattern(%q).String() = %q", s, p)
	}
	return p
}

// oracle is the pattern as a regular expression.
func oracle(pattern string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString("^")
	segments := strings.Split(pattern[1:], "/")
	for i, s := range segments {
		switch {
		case s == "**" && i == 0:
			b.WriteString("/.*")
		case s == "**":
			b.WriteString("(/.*)?")
		case s == "*":
			b.WriteString("/[^/]+")
		default:
			b.WriteString("/" + regexp.QuoteMeta(s))
		}
	}
	b.WriteString("$")
	return regexp.MustCompile(b.String())
}

// paths returns every path of one to n of the segments.
func paths(n int, segments ...string) []string {
	all, last := []string{}, []string{""}
	for range n {
		var next []string
		for _, p := range last {
			for _, s := range segments {
				next = append(next, p+"/"+s)
			}
		}
		all, last = append(all, next...), next
	}
	return all
}

// Every pattern of up to three segments against every path of up to five, and
// every two patterns against the paths that both match.
func TestPatternAgainstOracle(t *testing.T) {
	texts := paths(3, "a", "b", "", "*")
	for _, p := range append([]string{""}, texts...) {
		texts = append(texts, p+"/**")
	}
	requests := paths(5, "a", "b", "c", "")
	matched := make([][]bool, len(texts))
	patterns := make([]events.Pattern, len(texts))
	for i, text := range texts {
		patterns[i] = pattern(t, text)
		want := oracle(text)
		matched[i] = make([]bool, len(requests))
		for j, path := range requests {
			matched[i][j] = want.MatchString(path)
			if got := patterns[i].Match(path); got != matched[i][j] {
				t.Fatalf("%q matches %q: %v, want %v", text, path, got, matched[i][j])
			}
		}
	}
	for i := range texts {
		for j := range texts {
			want := false
			for k := range requests {
				want = want || matched[i][k] && matched[j][k]
			}
			if got := events.Overlap(patterns[i], patterns[j]); got != want {
				t.Fatalf("Overlap(%q, %q) = %v, want %v", texts[i], texts[j], got, want)
			}
		}
	}
}

func TestPatternMatchesBytesAsRequested(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"/projects", "/projects/", false},
		{"/Projects", "/projects", false},
		{"/a%2fb", "/a%2Fb", false},
		{"/caf%C3%A9", "/caf%C3%A9", true},
		{"/projects/*", "/projects/%2F", true},
		{"/**", "*", false},
		{"/**", "", false},
		{"/", "/", true},
	} {
		if got := pattern(t, c.pattern).Match(c.path); got != c.want {
			t.Errorf("%q matches %q: %v, want %v", c.pattern, c.path, got, c.want)
		}
	}
	zero := events.Pattern{}
	if zero.Match("") || zero.Match("/") || events.Overlap(zero, zero) || events.Overlap(zero, pattern(t, "/**")) {
		t.Error("the zero Pattern matches something")
	}
}

func TestParsePatternRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":           "does not begin with a slash",
		"projects/*": "does not begin with a slash",
		"/a/**/b":    "only the last segment may be **",
		"/**/":       "only the last segment may be **",
		"/a*":        "a * stands for one whole segment",
		"/a/***":     "a * stands for one whole segment",
		"/a?x=1":     "only the path is matched",
		"/a#b":       "only the path is matched",
		"/a b":       "write %20",
		"/café":      "write %C3%A9",
		"/a\x00":     "write %00",
		"/a\xff":     "write %EF%BF%BD",
	} {
		if _, err := events.ParsePattern(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParsePattern(%q) = %v, want %q", text, err, want)
		}
	}
}
