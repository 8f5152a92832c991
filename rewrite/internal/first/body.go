package first

import "slices"

// bodyStart is a start tag "in body" (13.2.6.4.7), which is also what happens
// in cells and captions but for the tags of the table around them.
func (t *tracker) bodyStart(tok token) {
	name := tok.name
	switch name {
	case "html", "head":
		t.odd++
	case "body":
		t.odd++
		t.noFrameset = true
	case "frameset":
		t.odd++
		if !t.noFrameset {
			t.lose(Frameset)
		}
	case "base", "meta":
		t.odd++ // what they say is for the whole page
	case "link", "basefont", "bgsound":
	case "script", "style", "title", "noframes", "noembed":
		t.raw = name
	case "noscript":
		t.raw = name
		if t.pending() {
			t.lose(Noscript) // a browser without scripts opens them here
		}
	case "textarea", "iframe":
		t.raw = name
		t.noFrameset = true
	case "xmp":
		t.closeP()
		t.reconstruct()
		t.raw = name
		t.noFrameset = true
	case "template":
		t.template, t.templateSelect = append(t.template, name), false
	case "plaintext":
		t.lose(Plaintext)

	case "address", "article", "aside", "blockquote", "center", "details", "dir", "div", "dl",
		"fieldset", "figcaption", "figure", "footer", "header", "hgroup", "main", "menu", "nav",
		"ol", "p", "section", "summary", "ul":
		t.closeP()
		t.push(name)
	case "dialog", "search":
		if t.find(buttonScope, "p") >= 0 {
			t.lose(Ambiguous)
		}
		t.push(name)
	case "pre", "listing":
		t.closeP()
		t.push(name)
		t.noFrameset = true
	case "h1", "h2", "h3", "h4", "h5", "h6":
		t.closeP()
		if isHeading(t.top()) {
			t.odd++
			t.open = t.open[:len(t.open)-1]
		}
		t.push(name)
	case "li":
		t.noFrameset = true
		t.closeItem("li")
		t.push(name)
	case "dd", "dt":
		t.noFrameset = true
		t.closeItem("dd", "dt")
		t.push(name)
	case "form":
		if t.form != 0 {
			t.odd++
			return
		}
		t.closeP()
		t.form = t.push(name).id
	case "button":
		if i := t.find(defaultScope, "button"); i >= 0 {
			t.odd++
			t.closeAt(i)
		}
		t.reconstruct()
		t.push(name)
		t.noFrameset = true
	case "a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u":
		t.formattingStart(name)
	case "applet", "marquee", "object":
		t.reconstruct()
		t.push(name)
		t.marker()
		t.noFrameset = true
	case "area", "br", "embed", "img", "image", "keygen", "wbr":
		t.reconstruct()
		t.noFrameset = true
	case "input":
		t.reconstruct()
	case "param", "source", "track":
	case "hr":
		t.closeP()
		t.noFrameset = true
	case "table":
		if t.find(buttonScope, "p") >= 0 {
			if !t.noQuirks {
				t.lose(Ambiguous)
			}
			t.closeP()
		}
		t.push(name)
		t.noFrameset = true
	case "caption", "col", "colgroup", "tbody", "td", "tfoot", "th", "thead", "tr":
		t.cellStart(tok)
	case "frame":
		t.odd++
	case "select":
		t.reconstruct()
		t.inSelect = true
		t.noFrameset = true
	case "option", "optgroup":
		if t.top() == "option" {
			t.open = t.open[:len(t.open)-1]
		}
		t.reconstruct()
		t.push(name)
	case "rb", "rtc", "rp", "rt":
		t.rubyStart(name)
	case "svg", "math":
		t.reconstruct()
		if !tok.selfClosing {
			t.foreign = append(t.foreign, name)
		}
	default:
		t.reconstruct()
		t.push(name)
	}
}

// closeItem closes the list item that a new one ends. It looks past div,
// address and p only.
func (t *tracker) closeItem(names ...string) {
	for i, e := range slices.Backward(t.open) {
		if slices.Contains(names, e.name) {
			t.closeAt(i)
			break
		}
		if isRecent(e.name) {
			t.lose(Ambiguous)
		}
		if isSpecial(e.name) && e.name != "address" && e.name != "div" && e.name != "p" {
			break
		}
	}
	t.closeP()
}

func (t *tracker) rubyStart(name string) {
	if t.find(defaultScope, "ruby") >= 0 {
		for {
			switch top := t.top(); top {
			case "dd", "dt", "li", "optgroup", "option", "p", "rb", "rp", "rt", "rtc":
				if top != "rtc" || name == "rb" || name == "rtc" {
					t.open = t.open[:len(t.open)-1]
					continue
				}
			}
			break
		}
	}
	t.push(name)
}

// bodyEnd is an end tag "in body".
func (t *tracker) bodyEnd(name string) {
	switch name {
	case "html", "body", "template":
		t.odd++ // the body stays open; a template of which this were the end is not
	case "br":
		t.odd++
		t.reconstruct()
		t.noFrameset = true
	case "address", "article", "aside", "blockquote", "button", "center", "details", "dir", "div",
		"dl", "fieldset", "figcaption", "figure", "footer", "header", "hgroup", "listing", "main",
		"menu", "nav", "ol", "p", "pre", "section", "select", "summary", "ul", "dd", "dt", "li":
		in := defaultScope
		switch name {
		case "p":
			in = buttonScope
		case "li":
			in = listScope
		}
		t.closeIn(in, name)
	case "dialog", "search":
		if t.top() != name {
			t.lose(Ambiguous)
			return
		}
		t.open = t.open[:len(t.open)-1]
	case "h1", "h2", "h3", "h4", "h5", "h6":
		i := t.find(defaultScope, "h1", "h2", "h3", "h4", "h5", "h6")
		if i < 0 || t.open[i].name != name {
			t.odd++
		}
		if i >= 0 {
			t.closeAt(i)
		}
	case "form":
		t.formEnd()
	case "a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u":
		t.formattingEnd(name)
	case "applet", "marquee", "object":
		if t.closeIn(defaultScope, name) {
			t.clearActive()
		}
	case "caption", "col", "colgroup", "table", "tbody", "td", "tfoot", "th", "thead", "tr":
		t.cellEnd(name)
	default:
		t.otherEnd(name)
	}
}

// formEnd ends the form that the form pointer names, wherever it is in the
// open elements, and leaves open what is within.
func (t *tracker) formEnd() {
	id := t.form
	t.form = 0
	i := t.find(defaultScope, "form")
	if id == 0 || i < 0 || t.open[i].id != id {
		t.odd++
		return
	}
	for n := len(t.open) - 1; n > i && isImplied(t.open[n].name); n-- {
		t.open = t.open[:n]
	}
	if i != len(t.open)-1 {
		t.odd++
	}
	t.open = slices.Delete(t.open, i, i+1)
}

// otherEnd is "any other end tag".
func (t *tracker) otherEnd(name string) {
	for i, e := range slices.Backward(t.open) {
		if e.name == name {
			t.closeAt(i)
			return
		}
		if isRecent(e.name) {
			t.lose(Ambiguous)
		}
		if isSpecial(e.name) {
			break
		}
	}
	t.odd++
}

func isHeading(name string) bool {
	return len(name) == 2 && name[0] == 'h' && '1' <= name[1] && name[1] <= '6'
}

// isImplied is the list of "generate implied end tags" (13.2.6.3).
func isImplied(name string) bool {
	switch name {
	case "dd", "dt", "li", "optgroup", "option", "p", "rb", "rp", "rt", "rtc":
		return true
	}
	return false
}
