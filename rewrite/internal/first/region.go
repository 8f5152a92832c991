package first

import (
	"slices"

	"golang.org/x/net/html"
)

// A region is one that is held: the Reader's window begins with its content.
type region struct {
	surface int
	element element
	depth   int // how many elements are open around it

	// What the tracker knew when the region opened.
	odd, active, form int
	noFrameset        bool
}

// isBlock lists the elements whose inner content is swapped: those whose start
// tag is never ignored and opens nothing but themselves, whose end tag ends
// nothing else, and which a search for another element's end does not leave.
func isBlock(name string) bool {
	switch name {
	case "address", "article", "aside", "blockquote", "center", "dd", "details", "div", "dl", "dt",
		"fieldset", "figcaption", "figure", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header",
		"hgroup", "li", "main", "menu", "nav", "ol", "p", "section", "summary", "ul":
		return true
	}
	return false
}

// meet opens the region of a start tag that has just been taken.
func (r *Reader) meet(surface int, name string) {
	t := &r.tracker
	if !isBlock(name) {
		r.note(surface, NotABlock)
		return
	}
	if t.pending() || t.top() != name {
		r.note(surface, Ambiguous)
		return
	}
	if !r.encoding.certain && !r.sniffed {
		r.sniffed = true
		r.encoding = metaEncoding(r.prescan[:min(len(r.prescan), r.offset+r.scanned)])
		if r.encoding.refused {
			r.note(surface, Charset)
			r.stop(Charset)
			return
		}
	}
	r.settle(r.scanned)
	r.region = &region{
		surface: surface, element: t.open[len(t.open)-1], depth: len(t.open) - 1,
		odd: t.odd, active: len(t.active), form: t.form, noFrameset: t.noFrameset,
	}
}

// hold looks at a token of the given size after a region has begun.
func (r *Reader) hold(tok token, size int) {
	t, g := &r.tracker, r.region
	switch {
	case len(t.open) <= g.depth || t.open[g.depth] != g.element:
		r.finish(tok, r.scanned-size)
	case t.odd != g.odd:
		r.release(Ambiguous)
	case tok.shadow && tok.name == "template":
		r.release(ShadowRoot)
	case r.scanned > r.maxRegion:
		r.release(TooLarge)
	}
}

// release gives a region up, if one is held: its bytes stay.
func (r *Reader) release(why Reason) {
	if r.region != nil {
		r.note(r.region.surface, why)
		r.region = nil
	}
}

// finish decides on a region when its element is closed, by tok. Its content
// has the given size.
func (r *Reader) finish(tok token, size int) {
	t, g := &r.tracker, r.region
	why := Reason("")
	switch {
	case tok.kind != html.EndTagToken || tok.name != g.element.name || len(t.open) != g.depth:
		why = Unclosed
	case t.odd != g.odd || len(t.active) != g.active || t.form != g.form:
		why = Ambiguous
	case size > r.maxRegion:
		why = TooLarge
	}
	if why != "" {
		r.release(why)
		return
	}
	content, why := r.content(g)
	if why == "" && r.surfaces[g.surface].Replace {
		r.out = append(r.out, content...)
		r.drop(size)
	}
	r.release(why)
}

// content gives what is to be put into a region that has just been closed, or
// the reason why it can't. It must leave the parser as the old content did.
func (r *Reader) content(g *region) ([]byte, Reason) {
	s := &r.surfaces[g.surface]
	content := s.HTML
	if content == nil && !s.Replace {
		return nil, "" // only looked for
	}
	t := r.tracker.clone()
	t.noFrameset = g.noFrameset
	e := t.push(g.element.name)
	if !t.run(content) || len(t.open) <= g.depth || t.open[g.depth] != e {
		return nil, Fragment
	}
	odd := t.odd
	t.end(g.element.name)
	if t.lost != "" || t.odd != odd || len(t.open) != g.depth || !slices.Equal(t.active, r.tracker.active) || t.form != g.form {
		return nil, Fragment
	}
	if !t.noFrameset || !r.tracker.noFrameset {
		return nil, Frameset // one of them might let a later frameset take the body's place
	}
	if r.encoding.utf8 {
		return content, ""
	}
	content, ok := asReferences(content)
	if !ok {
		return nil, Charset
	}
	return content, ""
}
