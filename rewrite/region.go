package rewrite

import (
	"math/bits"
)

// A region is a surface's element between its start tag and its end.
type region struct {
	surface int // -1: there is none
	key     nameKey
	kind    kind
	start   int // of the start tag, in the Reader's buf
	content int // of what follows it

	text  bool // before.text of the start tag
	floor int  // the index of the element among the open ones
	leaf  bool
	hold  bool // nothing of it may be handed on before its end
	last  bool // it is closed, and may only be replaced if nothing follows
	tail  int  // then: of its end tag
}

func (g *region) moveBy(n int) {
	g.start += n
	g.content += n
	g.tail += n
}

// inserted and moved are for the selectors: see tree.
func (r *Reader) inserted(depth int, key nameKey, g *tag) {
	if g == nil {
		r.hits |= r.matcher.Open(depth, impliedTag(key))
		return
	}
	r.hits |= r.matcher.Open(depth, g)
	r.machine.selected = r.machine.selected || r.hits != 0
}

// moved gives up the surfaces that selectors have not found yet: from here on
// elements may be elsewhere, or have other attributes, than the matcher knows.
func (r *Reader) moved() {
	if r.unsure {
		return
	}
	r.unsure = true
	for _, i := range r.program.selects {
		if i != r.region.surface {
			r.note(i, Ambiguous)
		}
	}
}

// An impliedTag stands for an element without a tag, so without attributes.
type impliedTag nameKey

// Name gives names of up to eight bytes; all implied elements have such.
func (k impliedTag) Name() []byte {
	var b [8]byte
	n := 0
	for ; n < 8 && k>>(8*n) != 0; n++ {
		b[n] = byte(k >> (8 * n))
	}
	return b[:n]
}

func (impliedTag) Attribute(string) ([]byte, bool) { return nil, false }

// met is a start tag that was just taken and that a surface may want.
func (r *Reader) met() {
	m := &r.machine
	if r.region.surface >= 0 && (m.left || m.escaped != "") {
		r.finish() // the tag ended a region before it may begin one
	}
	hits := r.hits
	r.hits = 0
	if m.nested > 0 && m.tag.kind != kindTemplate || m.nested > 1 {
		return // the content of a template is no part of the page
	}
	marked := -1
	if m.attribute != "" {
		if mark, ok := m.tag.Attribute(m.attribute); ok {
			if i, ok := r.program.marked[string(mark)]; ok {
				marked = i
			}
		}
	}
	// Of several surfaces that meet, the first of the plan has the element.
	within := r.region.surface >= 0
	for marked >= 0 || hits != 0 {
		i := marked
		if hits != 0 {
			if selected := r.program.selects[bits.TrailingZeros64(hits)]; i < 0 || selected < i {
				i = selected
			}
		}
		if i == marked {
			marked = -1
			within = r.meet(i, within) || within
			continue
		}
		hits &= hits - 1
		if !r.unsure {
			within = r.meet(i, within) || within
		}
	}
	r.goOn()
}

// meet is the element of a surface, within or on that of another. It says
// whether it is the surface's first.
func (r *Reader) meet(i int, within bool) bool {
	s := &r.sightings[i]
	if s.Count++; s.State != Missing || r.region.surface == i {
		return false // a later one
	}
	m := &r.machine
	if name := m.tag.Name(); string(name) != r.elements[i] {
		r.elements[i] = string(name)
	}
	s.Element = r.elements[i]
	s.Offset = r.offset + int64(m.at)
	if within {
		r.note(i, Nested)
	} else if why := r.open(i); why != "" {
		r.note(i, why)
	}
	return true
}

// open begins the region of the start tag that was just taken, or does what is
// to be done if that needs no end. It gives the reason where it can't.
func (r *Reader) open(i int) Reason {
	m := &r.machine
	g, was := &m.tag, &m.before
	isLeaf := kindProps[g.kind]&empty != 0
	switch {
	case m.depth == 0 || m.top().space != spaceHTML || g.kind == kindMath || g.kind == kindSVG:
		return Foreign
	case m.mode == inSelect || was.mode == inSelect:
		return Select
	case g.kind == kindTemplate:
		return Template
	case kindProps[g.kind]&rawText != 0, g.kind == kindHTML, g.kind == kindHead, g.kind == kindBody, g.kind == kindFrameset, g.kind == kindColgroup:
		return NotABlock
	case isLeaf:
		if g.kind == kindMeta || g.kind == kindCol || g.kind == kindFrame {
			return NotABlock
		}
	case m.top().key != g.key || m.top().id != m.lastID || m.lastID == was.lastID || m.pending:
		return Ambiguous // the tag was ignored, or what is pending would get in
	}
	switch was.mode {
	case inTable, inTableBody, inRow, inColumnGroup:
		switch g.kind {
		case kindCaption, kindTbody, kindTr, kindTd:
		default:
			return Table
		}
	}
	if why := r.sniff(); why != "" {
		return why
	}
	r.region = region{surface: i, key: g.key, kind: g.kind, start: m.at, content: r.taken, text: was.text, leaf: isLeaf, floor: m.depth - 1}
	if isLeaf {
		r.region.floor = m.depth
	}
	why := r.beginRegion()
	switch {
	case why != "":
		r.close()
	case r.trace != nil && r.region.surface == i:
		r.trace.opened(r)
	}
	return why
}

// sniff finds out the page's charset before the first region.
func (r *Reader) sniff() Reason {
	if r.encoding.certain || r.sniffed {
		return ""
	}
	r.sniffed = true
	head := r.prescan[:min(int64(len(r.prescan)), r.offset+int64(r.taken))]
	known := false
	if r.encoding, known = r.lecture.encodingOf(head); !known {
		r.encoding = metaEncoding(head)
		r.lecture.noteEncoding(head, r.encoding)
	}
	if r.encoding.refused {
		r.stop(Charset)
		return Charset
	}
	return ""
}

// note puts a surface on record: swappable if there is no reason against it.
func (r *Reader) note(i int, why Reason) {
	s := &r.sightings[i]
	if s.State != Missing {
		return
	}
	r.missing--
	s.State, s.Reason = Swappable, why
	if why != "" {
		s.State = Untouched
	}
	if r.trace != nil {
		r.trace.decided(r, i)
	}
}

// release gives a region up, if one is held: its bytes stay.
func (r *Reader) release(why Reason) {
	if i := r.region.surface; i >= 0 {
		r.close()
		r.note(i, why)
	}
}

// close ends the region's guard.
func (r *Reader) close() {
	r.region = region{surface: -1}
	r.machine.floor, r.machine.left, r.machine.escaped = 0, false, ""
}
