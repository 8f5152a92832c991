package rules

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// fragment checks a response's HTML. A response is written into pages that we
// do not know, between tags that we did not write, so it must not be able to
// leave its region nor bring anything that acts by itself. That is decided
// once, when it is loaded, and strictly:
//
//   - The source is read by a grammar much smaller than HTML's: well-formed
//     tags, every element closed, no stray "<", plain comments. What is outside
//     of it is refused rather than repaired.
//   - Elements are those of a list, not those off a list (see elements.go).
//   - The tree so read must be the tree that an HTML parser builds inside a
//     <div>. Where they differ, the parser has moved, implied or dropped
//     something: a fragment that browsers would read differently.
//
// A <style> element is refused because its rules would reach the whole page; a
// style attribute reaches its own element only.
type fragment struct {
	file      string
	src       []byte
	attribute string // that marks regions
	problems  Problems
	places    map[*html.Node]int // offsets of what was read
}

// maxNesting is how deep elements of a response may be nested. Browsers stop
// nesting at 512, and the page needs some of them.
const maxNesting = 64

// checkFragment returns what is wrong with a response's HTML, in the order of
// the file. src is UTF-8 without NUL. attribute is the one that marks regions.
func checkFragment(file string, src []byte, attribute string) Problems {
	f := &fragment{file: file, src: src, attribute: attribute, places: map[*html.Node]int{}}
	root := &html.Node{Type: html.ElementNode, Data: "div", DataAtom: atom.Div}
	if f.read(root) && len(f.problems) == 0 {
		f.compare(root)
	}
	if len(f.problems) == 0 && !shows(root) {
		f.refuse(0, "a response shows something; what takes a region away is response: {remove: true}", "is empty")
	}
	return f.problems
}

func (f *fragment) refuse(at int, hint, format string, args ...any) {
	line, column := position(f.src, at)
	f.problems = append(f.problems, Problem{f.file, line, column, fmt.Sprintf(format, args...), hint})
}

var (
	startTag   = syntax(`^<([a-zA-Z][a-zA-Z0-9-]*)((?:\s+[a-zA-Z_][a-zA-Z0-9_.:-]*(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'=<>` + "`" + `][^\s"'<>` + "`" + `]*))?)*)\s*(/?)>`)
	endTag     = syntax(`^</([a-zA-Z][a-zA-Z0-9-]*)\s*>`)
	comment    = syntax(`^<!--((?:[^->]|-[^->])(?:[^-]|-[^-])*)-->`)
	attributes = syntax(`^\s+([a-zA-Z_][a-zA-Z0-9_.:-]*)(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'=<>` + "`" + `][^\s"'<>` + "`" + `]*))?`)
)

// read reads the source into root's children. It returns false if it could
// not get to the end.
func (f *fragment) read(root *html.Node) bool {
	top, depth := root, 0
	for at := 0; at < len(f.src); {
		rest := f.src[at:]
		if rest[0] != '<' {
			n := bytes.IndexByte(rest, '<')
			if n < 0 {
				n = len(rest)
			}
			f.text(top, at, rest[:n])
			at += n
			continue
		}
		if m := comment().FindSubmatch(rest); m != nil {
			f.add(top, &html.Node{Type: html.CommentNode, Data: lines(string(m[1]))}, at)
			at += len(m[0])
			continue
		}
		if m := endTag().FindSubmatch(rest); m != nil {
			name := strings.ToLower(string(m[1]))
			if top == root || name != top.Data {
				f.stray(top, root, name, at)
				return false
			}
			at += len(m[0])
			top, depth = top.Parent, depth-1
			continue
		}
		m := startTag().FindSubmatch(rest)
		if m == nil {
			f.malformed(rest, at)
			return false
		}
		name := strings.ToLower(string(m[1]))
		n := &html.Node{Type: html.ElementNode, Data: name, DataAtom: atom.Lookup([]byte(name)), Attr: f.attr(m[0], m[2], at+1+len(name))}
		f.add(top, n, at)
		f.element(n, at)
		switch slash := len(m[3]) > 0; {
		case void(name), slash && drawn(n):
		case slash:
			f.refuse(at, fmt.Sprintf("write <%s></%s>", name, name), "<%s/> does not close the element: browsers ignore the slash", name)
		default:
			top, depth = n, depth+1
		}
		if depth > maxNesting {
			f.refuse(at, "", "elements are nested more than %d deep", maxNesting)
			return false
		}
		at += len(m[0])
	}
	if top != root {
		f.refuse(f.places[top], fmt.Sprintf("close it with </%s>", top.Data), "<%s> is not closed", top.Data)
		return false
	}
	return true
}

func (f *fragment) add(parent, n *html.Node, at int) {
	f.places[n] = at
	parent.AppendChild(n)
}

func (f *fragment) text(parent *html.Node, at int, src []byte) {
	if i := bytes.IndexFunc(src, isControl); i >= 0 {
		f.refuse(at+i, "", "there is a control character")
	}
	s := html.UnescapeString(lines(string(src)))
	if parent.FirstChild == nil && (parent.Data == "pre" || parent.Data == "textarea") {
		s = strings.TrimPrefix(s, "\n") // HTML drops it, and so it is meant
	}
	if s != "" {
		f.add(parent, &html.Node{Type: html.TextNode, Data: s}, at)
	}
}

func isControl(r rune) bool {
	return r < ' ' && !strings.ContainsRune("\t\n\r\f", r) || r >= 0x7f && r <= 0x9f
}

// lines normalises line ends as HTML does.
func lines(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

// attr returns the attributes of a start tag as a browser reads their values.
// src is the part of the tag that holds them, and lies at an offset.
func (f *fragment) attr(tag, src []byte, at int) []html.Attribute {
	z := html.NewTokenizer(bytes.NewReader(tag))
	z.Next()
	all := z.Token().Attr // without repeated ones
	for i := 0; len(src) > 0; i++ {
		m := attributes().FindSubmatchIndex(src)
		name := strings.ToLower(string(src[m[2]:m[3]]))
		if slices.ContainsFunc(all[:min(i, len(all))], func(a html.Attribute) bool { return a.Key == name }) {
			f.refuse(at+m[2], "", "the attribute %s is there twice", name)
			return nil
		}
		if i >= len(all) || all[i].Key != name {
			f.refuse(at+m[2], "", "browsers would read the attribute %s differently", name)
			return nil
		}
		checkAttribute(name, all[i].Val, f.attribute, func(hint, format string, args ...any) {
			f.refuse(at+m[2], hint, format, args...)
		})
		src, at = src[m[1]:], at+m[1]
	}
	return all
}

// stray reports an end tag that does not belong where it is.
func (f *fragment) stray(top, root *html.Node, name string, at int) {
	switch {
	case void(name):
		f.refuse(at, "leave it out", "<%s> has no end tag", name)
	case top == root:
		f.refuse(at, "in a page it would end the region or something around it", "</%s> closes nothing", name)
	default:
		line, _ := position(f.src, f.places[top])
		f.refuse(at, fmt.Sprintf("close <%s> of line %d first", top.Data, line), "</%s> stands where </%s> is due", name, top.Data)
	}
}

// malformed reports a "<" that begins none of what the grammar knows.
func (f *fragment) malformed(rest []byte, at int) {
	lower := bytes.ToLower(rest[:min(len(rest), 16)])
	switch {
	case bytes.HasPrefix(lower, []byte("<!--")):
		f.refuse(at, "a comment is <!-- text -->, and its text has no two hyphens in a row", "this comment is not well-formed or not closed")
	case bytes.HasPrefix(lower, []byte("<!doctype")):
		f.refuse(at, "leave it out", "a response is a part of a page and has no doctype")
	case len(rest) > 1 && (rest[1] == '!' || rest[1] == '?'):
		f.refuse(at, "leave it out", "browsers take this for a comment")
	case len(rest) > 1 && (rest[1] == '/' || rest[1]|0x20 >= 'a' && rest[1]|0x20 <= 'z'):
		f.refuse(at, `write attributes as name="value"; is a quote or a ">" missing?`, "this tag is not well-formed")
	default:
		f.refuse(at, "write &lt;", `a "<" that begins no tag`)
	}
}

// compare reports where an HTML parser sees something else.
func (f *fragment) compare(root *html.Node) {
	context := &html.Node{Type: html.ElementNode, Data: "div", DataAtom: atom.Div}
	kids, err := html.ParseFragment(bytes.NewReader(f.src), context)
	if err != nil {
		f.refuse(0, "", "is not HTML: %v", err)
		return
	}
	parsed := &html.Node{Type: html.ElementNode, Data: "div", DataAtom: atom.Div}
	for _, k := range kids {
		parsed.AppendChild(k)
	}
	if n := differs(root, parsed); n != nil {
		hint := "an element is where HTML does not allow it: for example a block in a <p>, a link in a link, a form in a form"
		if inside(n, "table") {
			hint = "a table is <table><tbody><tr><td>…</td></tr></tbody></table>, with nothing in between"
		}
		f.refuse(f.places[n], hint, "browsers would read this differently from how it is written")
	}
}

// differs returns the first node of a, or the parent of what is missing,
// that is not the same in b; or nil.
func differs(a, b *html.Node) *html.Node {
	if a.Type != b.Type || !strings.EqualFold(a.Data, b.Data) && a.Type == html.ElementNode ||
		a.Data != b.Data && a.Type != html.ElementNode || !sameAttributes(a.Attr, b.Attr) {
		return a
	}
	x, y := a.FirstChild, b.FirstChild
	for ; x != nil && y != nil; x, y = x.NextSibling, y.NextSibling {
		if n := differs(x, y); n != nil {
			return n
		}
	}
	if x != nil {
		return x
	}
	if y != nil {
		return a
	}
	return nil
}

// sameAttributes compares attributes, of which the parser reorders some and
// renames those of <svg>.
func sameAttributes(a, b []html.Attribute) bool {
	return slices.Equal(attributeTexts(a), attributeTexts(b))
}

func attributeTexts(attr []html.Attribute) []string {
	var all []string
	for _, a := range attr {
		name := strings.ToLower(a.Key)
		if a.Namespace != "" {
			name = a.Namespace + ":" + name
		}
		all = append(all, name+"="+a.Val)
	}
	slices.Sort(all)
	return all
}

// inside says whether a node is, or is in, an element of that name.
func inside(n *html.Node, name string) bool {
	for ; n != nil; n = n.Parent {
		if n.Type == html.ElementNode && n.Data == name {
			return true
		}
	}
	return false
}

// shows says whether there is more than white space and comments.
func shows(root *html.Node) bool {
	for n := range root.Descendants() {
		if n.Type == html.ElementNode || n.Type == html.TextNode && strings.TrimSpace(n.Data) != "" {
			return true
		}
	}
	return false
}
