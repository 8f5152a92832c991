package first

import (
	"bytes"
	"io"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// maxDepth is how many elements may be open. Chromium and x/net/html both do
// something else from 512 on; new content needs room below that.
const maxDepth = 300

// A tracker follows tree construction (section 13.2.6 of the standard) on the
// open elements alone. html and body are always open beneath: what the parser
// does before the body opens neither needs nor changes the elements below it,
// and what follows </body> goes into the body again.
//
// It is exact or lost, never approximate. Either it knows which elements are
// open after a token, or lost says why it stopped knowing, and then nothing
// else of it means anything.
//
// Tried and dropped: counting the tags of the region's own name. It takes
// <div><p><b></div> for closed although the b comes back after the end tag.
type tracker struct {
	open   []element // without html and body, outermost first
	active []element // the list of active formatting elements; a marker has id 0
	form   int       // the form pointer: an id, or 0
	lastID int

	// odd counts what the parser had to tolerate or rearrange. Within a region
	// it must not rise.
	odd int

	// Rather than as open elements, these are followed as what they are.
	raw            string   // the element whose end tag the tokenizer gives next, text aside
	foreign        []string // open elements from the outermost svg or math on
	template       []string // open elements from the outermost template on
	templateSelect bool     // a select was opened in the template
	inSelect       bool

	begun      bool // something other than white space and comments was there
	noFrameset bool // certainly: a frameset is ignored from here on
	noQuirks   bool // certainly: a table closes a p
	lost       Reason
}

type element struct {
	name string
	id   int // differs for every element; never 0
}

// take moves the tracker over a token. z is where it came from, told where the
// standard's tokenizer would not be in a raw text state.
func (t *tracker) take(z *html.Tokenizer, tok token) {
	if !plainName(tok.name) {
		t.lose(Ambiguous)
	}
	switch tok.kind {
	case html.TextToken:
		t.text(tok.raw)
	case html.CommentToken:
		if len(t.foreign) > 0 && bytes.HasPrefix(tok.raw, []byte("<![CDATA[")) {
			t.lose(Foreign)
		}
	case html.DoctypeToken:
		t.doctype(tok.raw)
	case html.StartTagToken:
		if len(t.foreign) > 0 {
			z.NextIsNotRawText()
		}
		t.start(tok)
	case html.EndTagToken:
		t.end(tok.name)
	}
	t.begun = t.begun || tok.kind != html.CommentToken && (tok.kind != html.TextToken || skipSpace(tok.raw, 0) < len(tok.raw))
	if len(t.open)+len(t.foreign)+len(t.template) > maxDepth {
		t.lose(TooDeep)
	}
}

func (t *tracker) doctype(raw []byte) {
	// Other doctypes turn quirks mode off as well; which ones is not for here.
	name := bytes.Trim(raw[len("<!doctype"):], " \t\n\r\f>")
	t.noQuirks = t.noQuirks || !t.begun && strings.EqualFold(string(name), "html")
}

func (t *tracker) text(raw []byte) {
	switch {
	case t.raw != "":
		t.rawText(raw)
	case len(t.template) > 0, t.inSelect, len(t.foreign) > 0:
	case t.inTable():
		t.tableText(raw)
	case len(bytes.Trim(raw, "\x00")) > 0:
		t.reconstruct()
		t.noFrameset = t.noFrameset || !isBlank(raw)
	}
}

// rawText looks into raw text for what is read differently by others.
func (t *tracker) rawText(raw []byte) {
	switch t.raw {
	case "script":
		// In what looks like a comment a second <script hides the first end tag.
		// The tokenizer follows that, though not to the letter.
		lower := bytes.ToLower(raw)
		if bytes.Contains(lower, []byte("<!--")) && bytes.Contains(lower, []byte("<script")) {
			t.lose(Script)
		}
	case "noscript":
		in := t.clone()
		in.template = nil
		in.push("noscript")
		if depth := len(in.open); !in.run(raw) || len(in.open) != depth || in.pending() {
			t.lose(Noscript)
		}
	}
}

// run moves the tracker over a piece of HTML and says whether all of it was
// taken, nothing in it was odd, and what follows is markup again.
func (t *tracker) run(piece []byte) bool {
	const after = "</x-after>"
	t.raw = ""
	odd := t.odd
	z := html.NewTokenizer(io.MultiReader(bytes.NewReader(piece), strings.NewReader(after)))
	for n := 0; n < len(piece); {
		kind := z.Next()
		if kind == html.ErrorToken {
			return false
		}
		if n += len(z.Raw()); n > len(piece) {
			return false
		}
		tok := readToken(z, kind, "")
		if t.take(z, tok); t.lost != "" || t.odd != odd || tok.shadow {
			return false
		}
	}
	return z.Next() == html.EndTagToken && string(z.Raw()) == after &&
		t.raw == "" && len(t.foreign) == 0 && len(t.template) == 0 && !t.inSelect
}

func (t *tracker) start(tok token) {
	switch {
	case len(t.foreign) > 0:
		t.foreignStart(tok)
	case len(t.template) > 0:
		t.templateStart(tok)
	case t.inSelect:
		t.selectStart(tok.name)
	case t.inTable():
		t.tableStart(tok)
	default:
		t.bodyStart(tok)
	}
}

func (t *tracker) end(name string) {
	switch {
	case t.raw != "":
		if t.raw != name {
			panic("rewrite: internal error: <" + t.raw + "> ended by </" + name + ">")
		}
		t.raw = ""
	case len(t.foreign) > 0:
		t.foreignEnd(name)
	case len(t.template) > 0:
		t.templateEnd(name)
	case t.inSelect:
		t.selectEnd(name)
	case t.inTable():
		t.tableEnd(name)
	default:
		t.bodyEnd(name)
	}
}

// clone gives a tracker that goes its own way from here.
func (t *tracker) clone() *tracker {
	c := *t
	c.open, c.active = slices.Clone(t.open), slices.Clone(t.active)
	c.foreign, c.template = slices.Clone(t.foreign), slices.Clone(t.template)
	return &c
}

func (t *tracker) lose(why Reason) {
	if t.lost == "" {
		t.lost = why
	}
}

func (t *tracker) top() string {
	if len(t.open) == 0 {
		return "body"
	}
	return t.open[len(t.open)-1].name
}

func (t *tracker) push(name string) element {
	t.lastID++
	e := element{name, t.lastID}
	t.open = append(t.open, e)
	return e
}

// closeAt closes open[i] and what is within, which is only regular for
// elements whose end tag is optional.
func (t *tracker) closeAt(i int) {
	for _, e := range t.open[i+1:] {
		if !endIsOptional(e.name) {
			t.odd++
		}
	}
	t.open = t.open[:i]
}

// A scope is what a search among the open elements does not cross, beside the
// barriers of every scope.
type scope string

const (
	defaultScope scope = ""
	buttonScope  scope = "button"
	listScope    scope = "list"
)

// find is the index of the innermost element with one of the names in scope, or -1.
func (t *tracker) find(in scope, names ...string) int {
	for i, e := range slices.Backward(t.open) {
		if slices.Contains(names, e.name) {
			return i
		}
		switch e.name {
		case "applet", "caption", "table", "td", "th", "marquee", "object":
			return -1
		case "button":
			if in == buttonScope {
				return -1
			}
		case "ol", "ul":
			if in == listScope {
				return -1
			}
		}
	}
	return -1
}

// closeIn closes the innermost element with one of the names in scope. An end
// tag without one is ignored by the parser.
func (t *tracker) closeIn(in scope, names ...string) bool {
	i := t.find(in, names...)
	if i < 0 {
		t.odd++
		return false
	}
	t.closeAt(i)
	return true
}

func (t *tracker) closeP() {
	if i := t.find(buttonScope, "p"); i >= 0 {
		t.closeAt(i)
	}
}

// endIsOptional is the standard's list of elements whose end tag may be left
// out (13.1.2.4), html, head and body aside.
func endIsOptional(name string) bool {
	switch name {
	case "dd", "dt", "li", "optgroup", "option", "p", "rb", "rp", "rt", "rtc",
		"caption", "colgroup", "tbody", "td", "tfoot", "th", "thead", "tr":
		return true
	}
	return false
}

// isSpecial is the standard's category (13.2.4.2), of the elements that can be
// open here.
func isSpecial(name string) bool {
	switch name {
	case "address", "applet", "article", "aside", "blockquote", "button", "caption", "center",
		"colgroup", "dd", "details", "dir", "div", "dl", "dt", "fieldset", "figcaption", "figure",
		"footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup", "li", "listing",
		"main", "marquee", "menu", "nav", "noscript", "object", "ol", "p", "pre", "section",
		"summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul":
		return true
	}
	return false
}

// isRecent says that parsers of different years take the element differently.
func isRecent(name string) bool { return name == "dialog" || name == "search" }
