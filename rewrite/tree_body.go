package rewrite

// bodyStart is a start tag "in body" (13.2.6.4.7).
func (t *tree) bodyStart(g *tag) {
	switch g.kind {
	case kindOther, kindRuby, kindSpan, kindSub, kindSup, kindVar:
		t.reconstruct()
		t.bodyPush(g)
	case kindHTML:
		t.merge(g)
	case kindHead:
	case kindBody:
		t.framesetOK = false
		t.merge(g)
	case kindFrameset:
		if t.framesetOK {
			t.lose(Frameset)
		}
	case kindMeta, kindStyle, kindScript, kindTitle, kindNoframes, kindTemplate:
		t.intoHead(g)
	case kindNoembed, kindNoscript:
		t.intoHead(g)
		if t.pending && g.kind == kindNoscript {
			t.lose(Noscript) // a browser without scripts opens them here
		}
	case kindTextarea, kindIframe:
		t.framesetOK = false
		t.intoHead(g)
	case kindXmp:
		t.closeP()
		t.reconstruct()
		t.framesetOK = false
		t.intoHead(g)
	case kindPlaintext:
		t.lose(Plaintext)

	case kindBlock, kindDiv, kindOl, kindUl, kindP:
		t.closeP()
		t.bodyPush(g)
	case kindDialog, kindSearch: // parsers of different years take them differently
		if t.findKind(buttonScope, kindP) >= 0 {
			t.lose(Ambiguous)
		}
		t.bodyPush(g)
	case kindHeading:
		t.closeP()
		if e := t.top(); e.kind == kindHeading {
			t.pop()
		}
		t.bodyPush(g)
	case kindPre, kindListing:
		t.closeP()
		t.bodyPush(g)
		t.framesetOK = false
		t.newline = dropNewline
	case kindForm:
		if t.form != 0 && !t.inATemplate() {
			t.formless = true
			return
		}
		t.closeP()
		t.formless = t.formless || t.withinForm()
		e := t.bodyPush(g)
		if !t.inATemplate() {
			t.form = e.id
		}
	case kindLi:
		t.framesetOK = false
		t.closeItem(kindLi, kindLi)
		t.bodyPush(g)
	case kindDd, kindDt:
		t.framesetOK = false
		t.closeItem(kindDd, kindDt)
		t.bodyPush(g)
	case kindButton:
		if i := t.findKind(defaultScope, kindButton); i >= 0 {
			t.truncate(i)
		}
		t.reconstruct()
		t.bodyPush(g)
		t.framesetOK = false
	case kindA, kindNobr, kindFont, kindFormat:
		t.formattingStart(g)
	case kindMarked:
		t.reconstruct()
		t.bodyPush(g)
		t.marker()
		t.framesetOK = false
	case kindVoid, kindBr, kindImage:
		t.reconstruct()
		t.leaf(g)
		if g.kind == kindImage && t.moved != nil {
			t.moved() // it is an img, whatever its tag says
		}
		t.framesetOK = false
	case kindInput:
		t.reconstruct()
		t.leaf(g)
		t.framesetOK = t.framesetOK && g.is("type", "hidden")
	case kindParam:
		t.leaf(g)
	case kindHr:
		t.closeP()
		t.leaf(g)
		t.framesetOK = false
	case kindTable:
		if !t.quirks {
			t.closeP()
		}
		t.bodyPush(g)
		t.framesetOK = false
		t.mode = inTable
	case kindSelect:
		t.reconstruct()
		if t.inserted != nil {
			t.inserted(t.depth, g.key, g)
		}
		t.openSelect()
	case kindOption, kindOptgroup:
		if t.top().kind == kindOption && t.top().space == spaceHTML {
			t.pop()
		}
		t.reconstruct()
		t.bodyPush(g)
	case kindRb, kindRtc:
		if t.findKind(defaultScope, kindRuby) >= 0 {
			t.closeImplied(0)
		}
		t.bodyPush(g)
	case kindRp, kindRt:
		if t.findKind(defaultScope, kindRuby) >= 0 {
			for t.top().props&implied != 0 && t.top().kind != kindRtc {
				t.pop()
			}
		}
		t.bodyPush(g)
	case kindMath, kindSVG:
		t.reconstruct()
		t.place()
		in := spaceMath
		if g.kind == kindSVG {
			in = spaceSVG
		}
		t.foreignPush(g, in)
	default: // caption, col, colgroup, frame, tbody, td, tr: ignored
	}
}

// bodyPush puts an element in by the rules of "in body".
func (t *tree) bodyPush(g *tag) *element {
	t.place()
	return t.push(g.key, g.kind, g)
}

// withinForm says whether a form is open, whatever the form pointer says: a
// script could put none in there.
func (t *tree) withinForm() bool {
	for i := range t.open[:t.depth] {
		if t.open[i].kind == kindForm {
			return true
		}
	}
	return false
}

// merge is a second html or body tag: its attributes go to the first.
func (t *tree) merge(g *tag) {
	if t.inATemplate() {
		return
	}
	if a := g.attributes(); a.next() {
		t.escape(Ambiguous)
		if t.moved != nil {
			t.moved()
		}
	}
}

func (t *tree) inATemplate() bool { return t.nested > 0 }

// closeItem closes the list item that a new one ends. It looks past address,
// div and p only.
func (t *tree) closeItem(a, b kind) {
	for i := t.depth - 1; i >= 0; i-- {
		e := &t.open[i]
		if e.space == spaceHTML && (e.kind == a || e.kind == b) {
			t.truncate(i)
			break
		}
		if e.kind == kindDialog || e.kind == kindSearch {
			t.lose(Ambiguous)
		}
		if e.props&special != 0 && e.kind != kindDiv && e.kind != kindP && e.key != keyAddress {
			break
		}
	}
	t.closeP()
}

// bodyEnd is an end tag "in body".
func (t *tree) bodyEnd(g *tag) {
	switch g.kind {
	case kindOther, kindRuby, kindSpan, kindSub, kindSup, kindVar, kindOption, kindOptgroup, kindRb, kindRtc, kindRp, kindRt:
		t.otherEnd(g.key)
	case kindTemplate:
		t.closeTemplate()
	case kindBody, kindHTML:
		if t.findKind(defaultScope, kindBody) >= 0 {
			t.mode = afterBody
		}
	case kindBlock, kindDiv, kindOl, kindUl, kindButton, kindPre, kindListing:
		t.closeIn(defaultScope, g.key)
	case kindSelect:
		// Without one open it is ignored, by old rules and new.
	case kindDialog, kindSearch:
		if t.top().key != g.key {
			t.lose(Ambiguous)
			return
		}
		t.pop()
	case kindForm:
		t.formEnd()
	case kindP:
		if !t.closeIn(buttonScope, g.key) {
			t.place() // an empty one is put in
			if t.inserted != nil {
				t.inserted(t.depth, g.key, nil)
			}
		}
	case kindLi:
		t.closeIn(listScope, g.key)
	case kindDd, kindDt:
		t.closeIn(defaultScope, g.key)
	case kindHeading:
		if i := t.findKind(defaultScope, kindHeading); i >= 0 {
			t.truncate(i)
		}
	case kindA, kindNobr, kindFont, kindFormat:
		t.formattingEnd(g.key)
	case kindMarked:
		if t.closeIn(defaultScope, g.key) {
			t.clearActive()
		}
	case kindBr:
		t.reconstruct()
		t.place()
		if t.inserted != nil {
			t.inserted(t.depth, g.key, nil)
		}
		t.framesetOK = false
	default:
		t.otherEnd(g.key)
	}
}

// formEnd ends the form that the form pointer names, wherever it is among the
// open elements, and leaves open what is within.
func (t *tree) formEnd() {
	if t.inATemplate() {
		t.closeIn(defaultScope, keyForm)
		return
	}
	id := t.form
	t.form = 0
	if id == 0 {
		return
	}
	for i := t.depth - 1; i >= 0; i-- {
		e := &t.open[i]
		if e.id == id {
			t.closeImplied(0)
			if i == t.depth-1 {
				t.pop()
			} else {
				t.remove(i)
			}
			return
		}
		if !defaultScope.crosses(e) {
			return
		}
	}
}

// otherEnd is "any other end tag".
func (t *tree) otherEnd(key nameKey) {
	for i := t.depth - 1; i >= 0; i-- {
		e := &t.open[i]
		if e.key == key && e.space == spaceHTML {
			t.truncate(i)
			return
		}
		if e.kind == kindDialog || e.kind == kindSearch {
			t.lose(Ambiguous)
		}
		if e.props&special != 0 {
			return
		}
	}
}
