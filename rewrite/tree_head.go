package rewrite

// headStart is a start tag in the modes before "in body" (13.2.6.4.2 to 6).
func (t *tree) headStart(g *tag) {
	switch g.kind {
	case kindHTML:
		if t.depth > 0 {
			t.bodyStart(g)
			return
		}
		t.quirks = t.quirks || t.mode == initial
		t.push(g.key, g.kind, g)
		t.mode = beforeHead
		return
	case kindHead:
		if t.mode <= beforeHead {
			t.openHead(g)
		}
		return
	case kindMeta, kindTitle, kindNoframes, kindStyle, kindScript, kindTemplate, kindNoscript:
		if g.kind == kindNoscript && t.mode == afterHead {
			break
		}
		if t.mode < inHead {
			t.openHead(nil)
		}
		if t.mode == afterHead {
			// Into the head, which is opened again for it.
			t.open[t.depth] = element{key: keyHead, kind: kindHead, props: kindProps[kindHead]}
			t.depth++
			t.intoHead(g)
			if g.kind == kindTemplate {
				t.remove(t.depth - 2)
			} else {
				t.depth--
			}
			return
		}
		t.intoHead(g)
		return
	case kindBody:
		if t.mode <= inHead {
			t.openHeadOnly()
		}
		t.push(g.key, g.kind, g)
		t.framesetOK = false
		t.mode = inBody
		return
	case kindFrameset:
		t.lose(Frameset)
		return
	}
	t.openBody()
	t.start(g)
}

// openHead pushes the head, and the html if need be.
func (t *tree) openHead(g *tag) {
	if t.mode == initial {
		t.quirks = true
	}
	if t.mode <= beforeHTML {
		t.push(keyHTML, kindHTML, nil)
	}
	t.push(keyHead, kindHead, g)
	t.mode = inHead
}

// openHeadOnly goes on to "after head".
func (t *tree) openHeadOnly() {
	if t.mode < inHead {
		t.openHead(nil)
	}
	t.pop()
	t.mode = afterHead
}

// intoHead is a start tag by the rules of "in head" that all modes share.
func (t *tree) intoHead(g *tag) {
	switch g.kind {
	case kindMeta:
		t.leaf(g)
	case kindTemplate:
		t.openTemplate(g)
	default:
		t.place()
		t.openRaw(g)
	}
}

// openRaw puts an element in whose text the lexer follows; it is never open.
func (t *tree) openRaw(g *tag) {
	if t.inserted != nil {
		t.inserted(t.depth, g.key, g)
	}
	t.raw = g.key
}

// headEnd is an end tag in the modes before "in body".
func (t *tree) headEnd(g *tag) {
	switch g.kind {
	case kindHead:
		if t.mode <= inHead {
			t.openHeadOnly()
			return
		}
	case kindTemplate:
		if t.mode >= inHead {
			t.closeTemplate()
		}
		return
	case kindBody, kindHTML, kindBr:
		t.openBody()
		t.end(g)
	}
}

// openBody goes on to "in body" from the modes before. From there on Chromium and
// x/net/html allow a frameset again, whatever was in the head; by the standard a
// template forbids it.
func (t *tree) openBody() {
	t.framesetOK = true
	if t.mode == initial {
		t.quirks = true
	}
	if t.mode <= beforeHTML {
		t.push(keyHTML, kindHTML, nil)
	}
	if t.mode <= beforeHead {
		t.push(keyHead, kindHead, nil)
	}
	if t.mode <= inHead {
		t.pop()
	}
	t.push(keyBody, kindBody, nil)
	t.mode = inBody
}
