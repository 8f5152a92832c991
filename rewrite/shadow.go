package rewrite

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// canHostShadow says whether an element of that name, in lower case, can have a
// shadow root attached (DOM 4.9, "valid shadow host name"). Custom elements
// with other than ASCII characters in their name are left out.
func canHostShadow(name string) bool {
	switch name {
	case "article", "aside", "blockquote", "body", "div", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "main", "nav", "p",
		"section", "span":
		return true
	}
	return isCustomElement(name)
}

// isCustomElement says whether a name in lower case is a valid custom element
// name (HTML 4.13.2), as far as ASCII goes.
func isCustomElement(name string) bool {
	switch name {
	case "annotation-xml", "color-profile", "font-face", "font-face-src", "font-face-uri", "font-face-format", "font-face-name", "missing-glyph":
		return false
	}
	return wordName(name) && strings.Contains(name, "-")
}

// A shadow is what goes around the content of a surface in a declarative shadow
// root. It is not changed once made, and so safe for concurrent use.
type shadow struct {
	slot    bool
	text    bool   // no tags of elements in the content: there is nothing that a style sheet could be for
	closing string // the end tags that the content leaves out at its end
	hide    string // the style that hides what the content takes the place of
}

// newShadow checks the content of a surface, which is UTF-8. slot is
// Surface.Slot. An error begins with line:column.
//
// In a template hardly anything is a mistake to a parser, and content that
// leaves the template is content of the page. So what is written so that parsers
// could disagree is refused: a tag or comment that isn't well-formed, an element
// that isn't closed in order, but for those whose end tags may be left out.
func newShadow(content []byte, slot bool) (*shadow, error) {
	c := shadowCheck{src: content}
	if err := c.tokens(); err != nil {
		return nil, err
	}
	closing, ok := openAtEnd(content)
	root := shadowTree(content, closing, true)
	if !ok || root == nil || shadowTree(content, closing, false) == nil {
		return nil, c.errorf(0, "parsers don't keep this content together")
	}
	s := &shadow{slot: slot, text: !c.parts, closing: closing}
	for n := range root.Descendants() {
		s.text = s.text && (n.Type != html.ElementNode || n.Data == "br" || n.Data == "wbr")
	}
	var names []string
	for n := range root.ChildNodes() {
		if n.Type == html.ElementNode && !slices.Contains(names, n.Data) {
			names = append(names, n.Data)
		}
	}
	if slot && len(names) > 0 {
		s.hide = "::slotted(" + strings.Join(names, "),::slotted(") + "){display:none!important}"
	}
	return s, nil
}

// append appends the template that a parser turns into the shadow root of the
// element whose first child it becomes. content is that of newShadow, in the
// page's charset; host is the start tag of that element, sheets are the start
// tags of the links to style sheets that the page had so far (linksStyleSheet),
// as they are there.
//
// Text alone goes in as it is: it inherits all that the element has. Selectors
// of the page don't reach into a shadow root, so content with elements brings
// the page's style sheets along, and stands in an element with the host's
// classes that takes no part in the layout, so that ".hero h1" matches. That
// element is a <slot> of a name that nothing is assigned to, because a slot is
// display: contents by itself: a style attribute alone would fall to a
// Content-Security-Policy without 'unsafe-inline', and the content get a box
// more. The attribute is there all the same, since the page's
// ".hero {display: flex}" is stronger than what a slot is by itself: under such
// a policy, and only then, that box is there twice. Selectors that name the
// host's element (section.hero h1), its id or an ancestor don't match, and
// styles in <style> elements or made by script are not brought along.
//
// With Slot the app's own children follow the content, in a default slot. Those
// of an element name that the content has at its top level are hidden: it takes
// their place. That is done by a <style>, with the nonce of the page's style
// sheets if they have one; under a policy that forbids it they stay visible.
//
// A browser without declarative shadow roots leaves the template where it is,
// unseen; the app's own content shows, and an app that hydrates meets an element
// that it doesn't know.
func (s *shadow) append(dst, content []byte, host *tag, sheets [][]byte) []byte {
	dst = append(dst, `<template shadowrootmode="open">`...)
	if s.text {
		dst = append(dst, content...)
	} else {
		for _, sheet := range sheets {
			dst = append(dst, sheet...)
		}
		if s.hide != "" {
			dst = append(dst, "<style"...)
			if nonce := nonceOf(sheets); len(nonce) > 0 {
				dst = appendQuoted(append(dst, " nonce="...), nonce)
			}
			dst = append(append(append(dst, '>'), s.hide...), "</style>"...)
		}
		dst = append(dst, `<slot name="refract" style="display:contents!important"`...)
		if class, _ := host.find("class"); len(class) > 0 {
			dst = appendQuoted(append(dst, " class="...), class)
		}
		dst = append(append(append(dst, '>'), content...), s.closing...)
		dst = append(dst, "</slot>"...)
	}
	if s.slot {
		dst = append(dst, "<slot></slot>"...)
	}
	return append(dst, "</template>"...)
}

// appendQuoted appends, in double quotes, a value as it is written on a page:
// its character references stay.
func appendQuoted(dst, value []byte) []byte {
	dst = append(dst, '"')
	for _, c := range value {
		if c == '"' {
			dst = append(dst, "&quot;"...)
		} else {
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// nonceOf is the first nonce of start tags.
func nonceOf(tags [][]byte) []byte {
	for _, raw := range tags {
		if nonce, ok := (&tag{raw: raw, name: nameEnd(raw, 1)}).find("nonce"); ok {
			return nonce
		}
	}
	return nil
}

// linksStyleSheet says whether a start tag is a <link> to a style sheet that
// applies: not an alternative one, nor disabled.
func linksStyleSheet(t *tag) bool {
	if string(t.Name()) != "link" || t.has("disabled") {
		return false
	}
	rel, _ := t.find("rel")
	sheet := false
	for word := range bytes.FieldsSeq(rel) {
		if foldedEqual(word, "alternate") {
			return false
		}
		sheet = sheet || foldedEqual(word, "stylesheet")
	}
	return sheet
}

// maxShadowDepth is how deep the elements of a shadow root's content may nest.
// Browsers stop nesting at 512, and the page needs some of them.
const maxShadowDepth = 64

// A shadowCheck reads the tags of content for a template.
type shadowCheck struct {
	src     []byte
	at      int
	open    []openTag
	foreign int  // how many of those are svg or math
	parts   bool // of a table, which a template by itself would keep and other elements don't
}

type openTag struct {
	name string
	kind kind
	at   int
}

func (c *shadowCheck) errorf(at int, format string, args ...any) error {
	before := c.src[:at]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := at - bytes.LastIndexByte(before, '\n')
	return fmt.Errorf("%d:%d: %s", line, column, fmt.Sprintf(format, args...))
}

// tokens returns what is wrong with the content's tags and comments.
func (c *shadowCheck) tokens() error {
	if i := bytes.IndexByte(c.src, 0); i >= 0 {
		return c.errorf(i, "there is a NUL byte")
	}
	z := html.NewTokenizer(bytes.NewReader(c.src))
	for kind := z.Next(); kind != html.ErrorToken; kind = z.Next() {
		raw := z.Raw()
		if err := c.token(kind, raw); err != nil {
			return err
		}
		c.at += len(raw)
		if c.foreign > 0 {
			z.NextIsNotRawText()
		}
	}
	if c.at != len(c.src) {
		return c.errorf(c.at, "this tag is not closed")
	}
	for _, o := range slices.Backward(c.open) {
		if kindProps[o.kind]&optional == 0 {
			return c.errorf(o.at, "<%s> is not closed", o.name)
		}
	}
	return nil
}

func (c *shadowCheck) token(kind html.TokenType, raw []byte) error {
	switch kind {
	case html.StartTagToken, html.SelfClosingTagToken:
		return c.start(raw)
	case html.EndTagToken:
		return c.end(raw)
	case html.DoctypeToken:
		return c.errorf(c.at, "a doctype can't be within a page")
	case html.CommentToken:
		inner, opened := bytes.CutPrefix(raw, []byte("<!--"))
		inner, closed := bytes.CutSuffix(inner, []byte("-->"))
		if !opened || !closed || bytes.Contains(inner, []byte("--")) || hasPrefix(inner, ">") || hasPrefix(inner, "->") || hasSuffix(inner, "-") {
			return c.errorf(c.at, "this comment is not well-formed or not closed")
		}
	default:
		if i := bytes.IndexByte(raw, '<'); i >= 0 && !c.inRawText() {
			return c.errorf(c.at+i, `a "<" that begins no tag: write &lt;`)
		}
	}
	// Where a parser takes for markup what another takes for text, that must not
	// end the template.
	if bytes.Contains(bytes.ToLower(raw), []byte("</template")) {
		return c.errorf(c.at, "there is a </template in what is no tag")
	}
	return nil
}

func (c *shadowCheck) start(raw []byte) error {
	t := tag{raw: raw, name: nameEnd(raw, 1)}
	name := string(t.Name())
	k := keyOf([]byte(name)).kind()
	switch {
	case !wordName(name):
		return c.errorf(c.at, "%q is no name of an element", name)
	case k == kindPlaintext, k == kindHTML, k == kindHead, k == kindBody, k == kindFrameset, k == kindFrame:
		return c.errorf(c.at, "<%s> can't be in a shadow root", name)
	case len(c.open) == maxShadowDepth:
		return c.errorf(c.at, "elements are nested more than %d deep", maxShadowDepth)
	}
	c.parts = c.parts || k >= kindCaption && k <= kindTd
	drawing := k == kindSVG || k == kindMath
	if kindProps[k]&empty != 0 || (c.foreign > 0 || drawing) && t.selfClosing() {
		return nil
	}
	if drawing {
		c.foreign++
	}
	c.open = append(c.open, openTag{name, k, c.at})
	return nil
}

func (c *shadowCheck) end(raw []byte) error {
	t := tag{raw: raw, name: nameEnd(raw, 2), end: true}
	name := string(t.Name())
	if len(bytes.TrimRight(raw[t.name:], whiteSpace+">")) > 0 {
		return c.errorf(c.at, "this end tag is not well-formed")
	}
	top := len(c.open) - 1
	for top >= 0 && c.open[top].name != name && kindProps[c.open[top].kind]&optional != 0 {
		top--
	}
	switch {
	case top < 0:
		return c.errorf(c.at, "</%s> closes nothing", name)
	case c.open[top].name != name:
		return c.errorf(c.at, "</%s> stands where </%s> is due", name, c.open[top].name)
	case c.open[top].kind == kindSVG || c.open[top].kind == kindMath:
		c.foreign--
	}
	c.open = c.open[:top]
	return nil
}

// inRawText says whether what stands here is text even if it looks like markup.
func (c *shadowCheck) inRawText() bool {
	return len(c.open) > 0 && c.foreign == 0 && kindProps[c.open[len(c.open)-1].kind]&rawText != 0
}

const (
	beforeShadow = "<!doctype html><body><div><template><slot>"
	afterShadow  = "</slot><b></b></template><i></i></div><hr>"
)

// openAtEnd gives the end tags of the elements that the content leaves open.
func openAtEnd(content []byte) (closing string, ok bool) {
	const mark = "end of the content"
	doc, err := html.Parse(strings.NewReader(beforeShadow + string(content) + "<!--" + mark + "-->"))
	if err != nil {
		return "", false
	}
	var end *html.Node
	for n := range doc.Descendants() {
		if n.Type == html.CommentNode && n.Data == mark {
			end = n // the last one
		}
	}
	for n := end; n != nil; {
		if n = n.Parent; n == nil || n.Type != html.ElementNode {
			break
		}
		if n.Data == "slot" && n.Parent.Data == "template" {
			return closing, true
		}
		if kindProps[keyOf([]byte(n.Data)).kind()]&optional == 0 {
			break
		}
		closing += "</" + n.Data + ">"
	}
	return "", false
}

// shadowTree gives the tree of content that is in a template, or nil if any of
// it isn't there, or anything else is.
func shadowTree(content []byte, closing string, scripting bool) *html.Node {
	doc, err := html.ParseWithOptions(strings.NewReader(beforeShadow+string(content)+closing+afterShadow), html.ParseOptionEnableScripting(scripting))
	if err != nil {
		return nil
	}
	page := doc.LastChild
	body := page.LastChild
	if !children(doc, "html", "html") || !children(page, "head", "body") || page.FirstChild.FirstChild != nil || !children(body, "div", "hr") {
		return nil
	}
	host := body.FirstChild
	if !children(host, "template", "i") || host.LastChild.FirstChild != nil || body.LastChild.FirstChild != nil {
		return nil
	}
	root := host.FirstChild
	if !children(root, "slot", "b") || root.LastChild.FirstChild != nil {
		return nil
	}
	return root.FirstChild
}

// children says whether a node has children of those names, and no others.
func children(n *html.Node, names ...string) bool {
	for c := range n.ChildNodes() {
		if len(names) == 0 || c.Data != names[0] {
			return false
		}
		names = names[1:]
	}
	return len(names) == 0
}
