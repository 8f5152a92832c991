package first

// foreignStart is a start tag within svg or math (13.2.6.5), as long as it
// stays there.
func (t *tracker) foreignStart(tok token) {
	switch t.foreign[len(t.foreign)-1] {
	case "desc", "foreignobject", "title", "mi", "mo", "mn", "ms", "mtext", "annotation-xml":
		t.lose(Foreign) // HTML again
		return
	}
	switch tok.name {
	case "b", "big", "blockquote", "body", "br", "center", "code", "dd", "div", "dl", "dt", "em",
		"embed", "font", "h1", "h2", "h3", "h4", "h5", "h6", "head", "hr", "i", "img", "li",
		"listing", "menu", "meta", "nobr", "ol", "p", "pre", "ruby", "s", "small", "span", "strong",
		"strike", "sub", "sup", "table", "tt", "u", "ul", "var":
		t.lose(Foreign) // these break out
		return
	}
	if !tok.selfClosing {
		t.foreign = append(t.foreign, tok.name)
	}
}

func (t *tracker) foreignEnd(name string) {
	last := len(t.foreign) - 1
	if t.foreign[last] != name {
		t.lose(Foreign)
		return
	}
	t.foreign = t.foreign[:last]
}

// templateStart is a start tag within a template. Its content has a tree of its
// own, and whatever is open there ends with it, but two things get out: raw
// text, where it depends on the mode whether it is; and markers among the
// active formatting elements, of which </template> clears one. So tags are
// held to nest, and what may upset either is not followed.
func (t *tracker) templateStart(tok token) {
	switch tok.name {
	case "svg", "math":
		if t.templateSelect {
			t.lose(Template)
		}
		if !tok.selfClosing {
			t.foreign = append(t.foreign, tok.name)
		}
	case "applet", "marquee", "object", "col", "colgroup", "frame", "frameset", "plaintext":
		t.lose(Template)
	case "iframe", "noembed", "noframes", "noscript", "style", "textarea", "title", "xmp":
		if t.templateSelect {
			t.lose(Template)
		}
		t.raw = tok.name
	case "script":
		t.raw = tok.name
	case "area", "base", "basefont", "bgsound", "br", "embed", "hr", "image", "img", "input",
		"keygen", "link", "meta", "param", "source", "track", "wbr":
	default:
		t.templateSelect = t.templateSelect || tok.name == "select"
		t.template = append(t.template, tok.name)
	}
}

func (t *tracker) templateEnd(name string) {
	last := len(t.template) - 1
	for last > 0 && t.template[last] != name && endIsOptional(t.template[last]) {
		switch t.template[last] {
		case "td", "th", "caption":
			t.lose(Template)
		}
		last--
	}
	if t.template[last] != name {
		t.lose(Template)
	}
	t.template = t.template[:last]
}

// selectStart is a start tag within a select. Parsers have long ignored most of
// them there, and lately don't: so only options are followed.
func (t *tracker) selectStart(name string) {
	switch name {
	case "option", "optgroup", "hr":
	default:
		t.lose(Select)
	}
}

func (t *tracker) selectEnd(name string) {
	switch name {
	case "option", "optgroup":
	case "select":
		t.inSelect = false
	default:
		t.lose(Select)
	}
}
