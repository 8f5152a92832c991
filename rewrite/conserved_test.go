package rewrite_test

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"

	"github.com/seed14307185/refract/rewrite"
)

// The oracle's half that knows bytes: a changed page is the page as it was, cut
// at the places that the operations name, with the new content at the cuts. A line
// end in new content is put in as a parser would read it.

// conserved says whether the changes account for every byte that differs. The
// page must be one into which new content goes as it is.
func conserved(page, got string, edits []edit) error {
	edits = slices.SortedStableFunc(slices.Values(edits), func(a, b edit) int { return cmp.Compare(a.offset, b.offset) })
	for _, e := range edits {
		if e.offset < 0 || e.offset >= len(page) || page[e.offset] != '<' {
			return fmt.Errorf("%q is not at %d", e.surface.Name, e.offset)
		}
	}
	if !accounted(page, got, 0, edits) {
		return fmt.Errorf("bytes beside the region changed\nwas   %q\nnow   %q\nedits %v", page, got, edits)
	}
	return nil
}

// accounted says whether got is page[from:] with the edits made.
func accounted(page, got string, from int, edits []edit) bool {
	if len(edits) == 0 {
		return got == page[from:] ||
			endOfPage.MatchString(page[from:]) && got == afterTag.ReplaceAllString(page[from:], ">")
	}
	e, rest := edits[0], edits[1:]
	start := e.offset
	inside := start + tagSize(page[start:])
	added := newlines.Replace(string(e.surface.HTML))

	// spliced: the same up to a place, then something new, then the same from
	// another place on.
	spliced := func(at int, added string, to int) bool {
		if at < from {
			return false
		}
		after, ok := strings.CutPrefix(got, page[from:at])
		if !ok {
			return false
		}
		for _, added := range guarded(added) {
			if after, ok := strings.CutPrefix(after, added); ok && accounted(page, after, to, rest) {
				return true
			}
		}
		return false
	}
	// ended: so for one of the places where the element may end: at one of its
	// end tags, or where its end is implied, before another tag.
	ended := func(try func(end, beyond int) bool) bool {
		if isVoid(e.element) {
			return try(inside, inside)
		}
		for end := inside; end < len(page); end++ {
			if hasPrefixFold(page[end:], "</"+e.element) && try(end, end+tagSize(page[end:])) {
				return true
			}
		}
		for end := inside; end < len(page); end++ {
			if page[end] == '<' && try(end, end) {
				return true
			}
		}
		return try(len(page), len(page))
	}
	switch e.operation {
	case rewrite.Before:
		return spliced(start, added, start)
	case rewrite.Prepend:
		return spliced(inside, added, inside)
	case rewrite.Append:
		return ended(func(end, _ int) bool { return spliced(end, added, end) })
	case rewrite.After:
		return ended(func(_, beyond int) bool { return spliced(beyond, added, beyond) })
	case rewrite.Inner:
		return ended(func(end, _ int) bool { return spliced(inside, added, end) })
	case rewrite.Outer:
		return ended(func(_, beyond int) bool { return spliced(start, added, beyond) })
	case rewrite.Remove:
		return ended(func(_, beyond int) bool { return spliced(start, "", beyond) })
	case rewrite.Attr:
		if at := start - from; at >= 0 && at < len(got) {
			return spliced(start, got[at:at+tagSize(got[at:])], inside)
		}
	case rewrite.Text:
		if at := inside - from; at >= 0 && at < len(got) {
			text, _, _ := strings.Cut(got[at:], "<")
			seen := newlines.Replace(html.UnescapeString(text))
			return (seen == added || seen == "\n"+added && (e.element == "pre" || e.element == "listing")) && // see guarded
				ended(func(end, _ int) bool { return spliced(inside, text, end) })
		}
	case rewrite.Shadow:
		const last = "</template>"
		for at := inside - from; at >= 0 && at < len(got); {
			i := strings.Index(got[at:], last)
			if i < 0 {
				return false
			}
			at += i + len(last)
			if spliced(inside, got[inside-from:at], inside) {
				return true
			}
		}
	}
	return false
}

// guarded lists what new content may be put in as, so that it means the same
// after what precedes it: with its first character as a reference, which would
// else end a character reference or a tag's name, or after a line end, which is
// dropped at the start of a pre; in a table, within end tags that part it from
// other text and are ignored.
func guarded(added string) []string {
	if added == "" {
		return []string{"", "</col>"}
	}
	r, size := utf8.DecodeRuneInString(added)
	return []string{added, fmt.Sprintf("&#%d;", r) + added[size:], "\n" + added, "</col>" + added, added + "</col>", "</col>" + added + "</col>"}
}

// tagSize is the size of the tag that a piece begins with.
func tagSize(piece string) int {
	z := html.NewTokenizer(strings.NewReader(piece))
	z.Next()
	return len(z.Raw())
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

func isVoid(name string) bool {
	switch name {
	case "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr":
		return true
	}
	return false
}

// White space between and after the end tags that end a page is content of a
// region that is still open there by the rules of the parser, and goes with it.
var (
	endOfPage = regexp.MustCompile(`^</[^<>]*>(\s*</(?i:body|html)\s*>)*\s*$`)
	afterTag  = regexp.MustCompile(`>\s+`)
)
