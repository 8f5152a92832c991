package rewrite

// A mode is an insertion mode of the standard (13.2.4.1). Its "text" modes are
// the lexer's.
type mode uint8

const (
	initial mode = iota
	beforeHTML
	beforeHead
	inHead
	afterHead
	inBody
	inTable
	inCaption
	inColumnGroup
	inTableBody
	inRow
	inCell
	inSelect
	inTemplate
	afterBody
)

// start takes a start tag.
func (t *tree) start(g *tag) {
	t.newline = keepNewline
	if t.depth > 0 && t.top().space != spaceHTML && t.foreignStart(g) {
		return
	}
	t.startIn(t.mode, g)
}

// startIn takes a start tag by the rules of a mode.
func (t *tree) startIn(m mode, g *tag) {
	switch m {
	case initial, beforeHTML, beforeHead, inHead, afterHead:
		t.headStart(g)
	case inTable, inTableBody, inRow, inColumnGroup:
		t.tableStart(m, g)
	case inCaption, inCell:
		t.cellStart(m, g)
	case inSelect:
		t.selectStart(g)
	case inTemplate:
		t.templateStart(g)
	case afterBody:
		if g.kind != kindHTML {
			t.mode = inBody
		}
		t.bodyStart(g)
	default:
		t.bodyStart(g)
	}
}

// end takes an end tag.
func (t *tree) end(g *tag) {
	t.newline = keepNewline
	if t.depth > 0 && t.top().space != spaceHTML && t.foreignEnd(g) {
		return
	}
	t.endIn(t.mode, g)
}

// endIn takes an end tag by the rules of a mode.
func (t *tree) endIn(m mode, g *tag) {
	switch m {
	case initial, beforeHTML, beforeHead, inHead, afterHead:
		t.headEnd(g)
	case inTable, inTableBody, inRow, inColumnGroup:
		t.tableEnd(m, g)
	case inCaption, inCell:
		t.cellEnd(m, g)
	case inSelect:
		t.selectEnd(g)
	case inTemplate:
		if g.kind == kindTemplate {
			t.closeTemplate()
		}
	case afterBody:
		switch g.kind {
		case kindBody, kindHTML:
		default:
			t.mode = inBody
			t.bodyEnd(g)
		}
	default:
		t.bodyEnd(g)
	}
}

// reset finds the mode anew ("reset the insertion mode appropriately", 13.2.4.1).
func (t *tree) reset() {
	for i := t.depth - 1; i >= 0; i-- {
		e := &t.open[i]
		if e.space != spaceHTML {
			continue
		}
		switch e.kind {
		case kindTd:
			t.mode = inCell
			return
		case kindTr:
			t.mode = inRow
			return
		case kindTbody:
			t.mode = inTableBody
			return
		case kindCaption:
			t.mode = inCaption
			return
		case kindColgroup:
			t.mode = inColumnGroup
			return
		case kindTable:
			t.mode = inTable
			return
		case kindTemplate:
			t.mode = t.templates[t.nested-1]
			return
		case kindHead:
			t.mode = inHead
			return
		case kindBody:
			t.mode = inBody
			return
		case kindHTML:
			t.mode = afterHead // a head element pointer is always there
			return
		}
	}
}
