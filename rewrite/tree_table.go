package rewrite

// tableStart is a start tag "in table", "in table body", "in row" or "in column
// group" (13.2.6.4.9 to 14).
func (t *tree) tableStart(m mode, g *tag) {
	switch m {
	case inColumnGroup:
		switch g.kind {
		case kindHTML:
			t.bodyStart(g)
			return
		case kindCol:
			t.leaf(g)
			return
		case kindTemplate:
			t.openTemplate(g)
			return
		}
		if t.top().kind != kindColgroup {
			return
		}
		t.pop()
		t.mode = inTable
		t.start(g)
		return
	case inTableBody:
		switch g.kind {
		case kindTr:
			t.closeTo(kindTbody)
			t.push(g.key, g.kind, g)
			t.mode = inRow
			return
		case kindTd:
			t.closeTo(kindTbody)
			t.push(keyTr, kindTr, nil)
			t.mode = inRow
			t.start(g)
			return
		case kindCaption, kindCol, kindColgroup, kindTbody:
			if t.findKind(tableScope, kindTbody) >= 0 {
				t.closeTo(kindTbody)
				t.pop()
				t.mode = inTable
				t.start(g)
			}
			return
		}
	case inRow:
		switch g.kind {
		case kindTd:
			t.closeTo(kindTr)
			t.push(g.key, g.kind, g)
			t.mode = inCell
			t.marker()
			return
		case kindCaption, kindCol, kindColgroup, kindTbody, kindTr:
			if t.closeRow() {
				t.start(g)
			}
			return
		}
	}
	switch g.kind {
	case kindCaption:
		t.closeTo(kindTable)
		t.marker()
		t.push(g.key, g.kind, g)
		t.mode = inCaption
	case kindColgroup:
		t.closeTo(kindTable)
		t.push(g.key, g.kind, g)
		t.mode = inColumnGroup
	case kindCol:
		t.closeTo(kindTable)
		t.push(keyColgroup, kindColgroup, nil)
		t.mode = inColumnGroup
		t.start(g)
	case kindTbody:
		t.closeTo(kindTable)
		t.push(g.key, g.kind, g)
		t.mode = inTableBody
	case kindTd, kindTr:
		t.closeTo(kindTable)
		t.push(keyTbody, kindTbody, nil)
		t.mode = inTableBody
		t.start(g)
	case kindTable:
		if t.closeTable() {
			t.start(g)
		}
	case kindStyle, kindScript:
		t.openRaw(g)
	case kindTemplate:
		t.openTemplate(g)
	case kindInput:
		if !g.is("type", "hidden") {
			t.bodyStart(g)
		} else if t.inserted != nil {
			t.inserted(t.depth, g.key, g)
		}
	case kindForm:
		if t.form == 0 && !t.inATemplate() {
			t.formless = t.formless || t.withinForm()
			t.form = t.push(g.key, g.kind, g).id
			t.pop()
		} else {
			t.formless = true
		}
	default:
		t.bodyStart(g) // with foster parenting: see place
	}
}

// tableEnd is an end tag in the same modes.
func (t *tree) tableEnd(m mode, g *tag) {
	switch m {
	case inColumnGroup:
		switch g.kind {
		case kindColgroup:
			if t.top().kind == kindColgroup {
				t.pop()
				t.mode = inTable
			}
			return
		case kindCol:
			return
		case kindTemplate:
			t.closeTemplate()
			return
		}
		if t.top().kind == kindColgroup {
			t.pop()
			t.mode = inTable
			t.end(g)
		}
		return
	case inTableBody:
		switch g.kind {
		case kindTbody:
			if t.find(tableScope, g.key) >= 0 {
				t.closeTo(kindTbody)
				t.pop()
				t.mode = inTable
			}
			return
		case kindTable:
			if t.findKind(tableScope, kindTbody) >= 0 {
				t.closeTo(kindTbody)
				t.pop()
				t.mode = inTable
				t.end(g)
			}
			return
		case kindTr, kindTd:
			return
		}
	case inRow:
		switch g.kind {
		case kindTr:
			t.closeRow()
			return
		case kindTable:
			if t.closeRow() {
				t.end(g)
			}
			return
		case kindTbody:
			if t.find(tableScope, g.key) >= 0 && t.closeRow() {
				t.end(g)
			}
			return
		case kindTd:
			return
		}
	}
	switch g.kind {
	case kindTable:
		t.closeTable()
	case kindBody, kindCaption, kindCol, kindColgroup, kindHTML, kindTbody, kindTd, kindTr:
	case kindTemplate:
		t.closeTemplate()
	default:
		t.bodyEnd(g) // with foster parenting
	}
}

// closeRow ends a row, if one is open in the innermost table.
func (t *tree) closeRow() bool {
	if t.findKind(tableScope, kindTr) < 0 {
		return false
	}
	t.closeTo(kindTr)
	t.pop()
	t.mode = inTableBody
	return true
}

// closeTable ends the innermost table.
func (t *tree) closeTable() bool {
	i := t.findKind(tableScope, kindTable)
	if i < 0 {
		return false
	}
	t.truncate(i)
	t.reset()
	return true
}

// cellStart is a start tag "in cell" or "in caption" (13.2.6.4.11, 15).
func (t *tree) cellStart(m mode, g *tag) {
	switch g.kind {
	case kindCaption, kindCol, kindColgroup, kindTbody, kindTd, kindTr:
		if m == inCaption && g.key == keyTh {
			t.lose(Table) // x/net/html leaves the caption open
			return
		}
		if t.closeCell(m) {
			t.start(g)
		}
	default:
		t.bodyStart(g)
	}
}

// cellEnd is an end tag "in cell" or "in caption".
func (t *tree) cellEnd(m mode, g *tag) {
	switch g.kind {
	case kindTd:
		if m == inCell && t.find(tableScope, g.key) >= 0 {
			for t.top().key != g.key || t.top().space != spaceHTML {
				t.pop()
			}
			t.pop()
			t.clearActive()
			t.mode = inRow
		}
	case kindCaption:
		if m == inCaption {
			t.closeCell(m)
		}
	case kindBody, kindCol, kindColgroup, kindHTML:
	case kindTable, kindTbody, kindTr:
		if m == inCaption {
			if g.kind == kindTable && t.closeCell(m) {
				t.end(g)
			}
			return
		}
		if t.find(tableScope, g.key) >= 0 && t.closeCell(m) {
			t.end(g)
		}
	default:
		t.bodyEnd(g)
	}
}

// closeCell ends the open cell or caption.
func (t *tree) closeCell(m mode) bool {
	k, after := kindTd, inRow
	if m == inCaption {
		k, after = kindCaption, inTable
	}
	i := t.findKind(tableScope, k)
	if i < 0 {
		return false
	}
	t.truncate(i)
	t.clearActive()
	t.mode = after
	return true
}

// openTemplate is a start tag of a template.
func (t *tree) openTemplate(g *tag) {
	if t.nested >= maxNested {
		t.lose(TooDeep)
		return
	}
	if t.floor > 0 && t.depth == t.floor+1 && (g.has("shadowrootmode") || g.has("shadowroot")) {
		t.escape(ShadowRoot) // it is the region's, and no part of its content
	}
	t.push(g.key, g.kind, g)
	t.marker()
	t.framesetOK = false
	t.mode = inTemplate
	t.templates[t.nested] = inTemplate
	t.nested++
}

// closeTemplate is an end tag of a template.
func (t *tree) closeTemplate() {
	if t.nested == 0 {
		return
	}
	for i := t.depth - 1; i >= 0; i-- {
		if e := &t.open[i]; e.kind == kindTemplate && e.space == spaceHTML {
			t.truncate(i)
			break
		}
	}
	t.clearActive()
	t.nested--
	t.reset()
}

// templateStart is a start tag "in template" (13.2.6.4.18): the first says what
// the template is for.
func (t *tree) templateStart(g *tag) {
	switch g.kind {
	case kindMeta, kindTitle, kindNoframes, kindStyle, kindScript, kindTemplate:
		t.intoHead(g)
		return
	case kindCaption, kindColgroup, kindTbody:
		t.mode = inTable
	case kindCol:
		t.mode = inColumnGroup
	case kindTr:
		t.mode = inTableBody
	case kindTd:
		t.mode = inRow
	default:
		t.mode = inBody
	}
	t.templates[t.nested-1] = t.mode
	t.start(g)
}

// openSelect is the start of a select.
func (t *tree) openSelect() {
	t.place()
	t.framesetOK = false
	t.beforeSelect, t.mode = t.mode, inSelect
}

// selectStart is a start tag within a select. Parsers have long ignored most of
// them there, and lately don't: so only options are followed.
func (t *tree) selectStart(g *tag) {
	switch g.kind {
	case kindOption, kindOptgroup, kindHr: // no selector finds them
	case kindScript:
		t.openRaw(g)
	default:
		t.lose(Select)
	}
}

// selectEnd is an end tag within a select.
func (t *tree) selectEnd(g *tag) {
	switch g.kind {
	case kindOption, kindOptgroup:
	case kindSelect:
		t.mode = t.beforeSelect
	default:
		t.lose(Select)
	}
}
