package rewrite_test

import (
	"strings"
	"testing"

	"golang.org/x/net/html"
	"golang.org/x/text/encoding/htmlindex"

	"github.com/seed14307185/refract/rewrite"
)

// A text that is cut in the midst of a character takes nothing of the new
// content with it, and nothing of what follows a region that is taken out.
func TestCutCharacters(t *testing.T) {
	for _, c := range []struct{ charset, before, after string }{
		{"shift_jis", "\x83", "abc"}, {"shift_jis", "\x93\xfa\x96", "{"}, {"shift_jis", "\x93\xfa\x96\x7b", "abc"}, {"shift_jis", "\xb1\xb1", "\x83\x5c"},
		{"euc-jp", "\xc6\xfc\xcb", "\xdc"}, {"euc-jp", "\x8f\xa2", "\xaf"}, {"euc-jp", "\xc6\xfc", "\xcb\xdc"},
		{"gb18030", "\x81\x30\x81", "0"}, {"gb18030", "\x81", "0\x810"}, {"gb18030", "\xc4\xe3", "abc"}, {"gb18030", "x\x81\x30", "\x81\x30"},
		{"gbk", "\xc4", "abc"}, {"big5", "\xa4", "abc"}, {"big5", "\xa4\xa4\xa4", "\x40"}, {"euc-kr", "\xb0", "abc"},
		{"utf-8", "\xe3\x81", "\x82"}, {"utf-8", "\xe3\x81\x82", "abc"}, {"utf-8", "\xf0\x9f", "\x98\x80"}, {"utf-8", "\xc3", "\xa9"},
		{"windows-1252", "\xe9", "abc"}, {"koi8-r", "\xd0", "abc"},
		{"shift_jis", strings.Repeat("\x83\x83", 200) + "\x83", "abc"}, {"utf-8", strings.Repeat("\xe3\x81\x82", 100), "abc"},
	} {
		known, err := htmlindex.Get(c.charset)
		if err != nil {
			t.Fatal(err)
		}
		decoded := func(s string) string {
			s, err := known.NewDecoder().String(s)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		const open, end = "<!doctype html><body><p>", "</p>"
		const region = "<b data-surface=x>old</b>"
		before, after := decoded(open+c.before), decoded(c.after+end)
		for _, content := range []string{"abc", "\u672c", "\u3042x", "@", "<i>n</i>", "\u00e9", ""} {
			for _, op := range []rewrite.Operation{rewrite.Before, rewrite.Outer, rewrite.Remove} {
				if (op == rewrite.Remove) != (content == "") {
					continue
				}
				want := before + content + after
				if op == rewrite.Before {
					want = before + content + region + after
				}
				surface := rewrite.Surface{Name: "x", Operation: op, HTML: []byte(content), Replace: true}
				got, saw, err := rewriteAllWays(open+c.before+region+c.after+end, "text/html; charset="+c.charset, rewrite.Plan{Surfaces: []rewrite.Surface{surface}})
				if err != nil {
					t.Fatal(err)
				}
				if saw[0].State != rewrite.Swappable {
					if content != "" || decoded(open+c.before+c.after+end) == want && len(c.before) < 100 {
						t.Errorf("%s %q: %v of %q is left: %s", c.charset, c.before, op, content, saw[0].Reason)
					}
					continue
				}
				if is := html.UnescapeString(decoded(got)); is != want {
					t.Errorf("%s %q %q: %s of %q is %q, not %q (%q)", c.charset, c.before, c.after, op, content, is, want, got)
				}
			}
		}
	}
}
