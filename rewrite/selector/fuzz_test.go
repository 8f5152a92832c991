package selector_test

import (
	"errors"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/andybalholm/cascadia"
	"golang.org/x/net/html"

	"github.com/seed14307185/refract/rewrite/selector"
)

// refusedByCascadia lists what we take, rightly, and Cascadia does not, by the
// text and its error.
var refusedByCascadia = regexp.MustCompile(`(?s)` +
	`\nunknown pseudoclass or pseudoelement :(is|where)$` + // it doesn't know them
	`|\nexpected '\]', found '[sS]' instead` + // nor the flag s
	`|/\*.*\n` + // nor comments where no space may be
	`|--.*\nexpected identifier, found`) // nor names of hyphens alone, or with a digit after two

// differentInCascadia lists what Cascadia takes for something else.
var differentInCascadia = regexp.MustCompile(`` +
	`/\*` + // a comment for a space
	`|=\s*(""|'')` + // the empty value matches as a prefix, a suffix, a part or a word of some
	`|=\s*["'][^"']*[\s\\]`) // values with white space likewise

const fuzzPage = `<div class="a b"><p id=a>1<p class=a-b data-a="a b">2</p><ul><li class="A">1<li class=b>2<li>3</ul></div><b class=c data-a=A></b>`

// FuzzParse: no text makes Parse panic, its errors have their place, and what it
// takes Cascadia takes too and finds the same elements by it.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"testdata/errors.golden", "testdata/chromium.txtar"} {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if quoted, err := strconv.QuotedPrefix(line); err == nil {
				s, _ := strconv.Unquote(quoted)
				f.Add(s)
			}
		}
	}
	root, err := html.Parse(strings.NewReader(fuzzPage))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		sel, err := selector.Parse(s)
		if err != nil {
			var e *selector.Error
			if !errors.As(err, &e) || e.Message == "" || e.Offset < 0 || e.Offset > len(s) {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		m := selector.NewMatcher([]*selector.Selector{sel})
		theirs, err := cascadia.ParseGroup(s)
		if err != nil && !refusedByCascadia.MatchString(s+"\n"+err.Error()) {
			t.Fatalf("%q is taken, but Cascadia says: %v", s, err)
		}
		walk(m, root, 0, func(n *html.Node, set uint64) {
			if theirs != nil && !differentInCascadia.MatchString(s) && theirs.Match(n) != (set == 1) {
				t.Errorf("%q matches %v, Cascadia says %v of\n%s", s, set == 1, theirs.Match(n), path(n))
			}
		})
	})
}
