package rewrite

import "slices"

// foreignPush puts an element of svg or math in.
func (t *tree) foreignPush(g *tag, in space) {
	e := t.push(g.key, kindOther, g)
	e.space, e.props = in, 0
	if g.kind == kindTemplate {
		t.lose(Foreign) // parsers differ on what ends it
	}
	switch {
	case in == spaceSVG:
		switch g.key {
		case keyForeignObject, keyDesc, keyTitle:
			e.props = htmlPoint | special | scoping
		}
	case g.key == keyAnnotation:
		t.lose(Foreign) // parsers differ on whether it ends a scope
		e.props = annotation | special | scoping
		if g.is("encoding", "text/html") || g.is("encoding", "application/xhtml+xml") {
			e.props = htmlPoint | special | scoping
		}
	default:
		switch g.key {
		case keyMi, keyMo, keyMn, keyMs, keyMtext:
			e.props = textPoint | special | scoping
		}
	}
	if g.selfClosing() {
		t.pop()
	}
}

// foreignStart is a start tag in foreign content (13.2.6.5). It says whether it
// was taken; else the rules of the mode hold.
func (t *tree) foreignStart(g *tag) bool {
	e := t.top()
	switch {
	case e.props&htmlPoint != 0,
		e.props&textPoint != 0 && g.key != keyMglyph && g.key != keyMalignmark,
		e.props&annotation != 0 && g.key == keySVG:
		return false
	}
	out := kindProps[g.kind]&breakout != 0 || g.key == keyMeta || g.key == keyImg || g.key == keyEmbed
	if g.kind == kindFont {
		out = g.has("color") || g.has("face") || g.has("size")
	}
	switch g.kind {
	case kindBlock:
		out = g.key == keyBlockquote || g.key == keyCenter || g.key == keyDl || g.key == keyMenu
	}
	if !out {
		t.foreignPush(g, e.space)
		return true
	}
	t.leaveForeign()
	t.startIn(t.mode, g)
	return true
}

// leaveForeign pops to HTML, or to where HTML may be.
func (t *tree) leaveForeign() {
	for !t.top().html() {
		t.pop()
	}
}

// foreignEnd is an end tag in foreign content.
func (t *tree) foreignEnd(g *tag) bool {
	if g.kind == kindBr || g.kind == kindP {
		t.leaveForeign()
		t.endIn(t.mode, g)
		return true
	}
	for i := t.depth - 1; i > 0; i-- {
		e := &t.open[i]
		if e.space == spaceHTML {
			return false
		}
		if e.key == g.key {
			t.truncate(i)
			return true
		}
	}
	return true
}

// foreign says whether the current node is within svg or math.
func (t *tree) foreign() bool {
	return slices.ContainsFunc(t.open[:t.depth], func(e element) bool { return e.space != spaceHTML })
}
