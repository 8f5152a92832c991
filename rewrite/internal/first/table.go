package first

import "slices"

// inTable says whether the parser is in one of the table modes: between cells,
// where what doesn't belong is expelled from the table.
func (t *tracker) inTable() bool {
	switch t.top() {
	case "table", "tbody", "thead", "tfoot", "tr", "colgroup":
		return true
	}
	return false
}

// cell is the index of the cell or caption that the parser is in, or -1.
func (t *tracker) cell() int {
	for i, e := range slices.Backward(t.open) {
		switch e.name {
		case "td", "th", "caption":
			return i
		case "table":
			return -1
		}
	}
	return -1
}

// inTableScope says whether an element of the name is open in the innermost table.
func (t *tracker) inTableScope(name string) bool {
	for _, e := range slices.Backward(t.open) {
		if e.name == name {
			return true
		}
		if e.name == "table" {
			return false
		}
	}
	return false
}

// closeTo closes what is between cells down to one of the names.
func (t *tracker) closeTo(names ...string) {
	for !slices.Contains(names, t.top()) {
		t.open = t.open[:len(t.open)-1]
	}
}

func (t *tracker) tableText(raw []byte) {
	if isBlank(raw) {
		return
	}
	t.odd++ // it is put before the table
	if t.top() == "colgroup" {
		t.closeTo("table")
	}
	t.reconstruct()
}

// tableStart is a start tag "in table", "in table body", "in row" or "in column
// group" (13.2.6.4.9 to 14).
func (t *tracker) tableStart(tok token) {
	name := tok.name
	if t.top() == "colgroup" && name != "col" && name != "template" && name != "html" {
		t.closeTo("table")
	}
	switch name {
	case "caption":
		t.closeTo("table")
		t.push(name)
		t.marker()
	case "colgroup", "tbody", "tfoot", "thead":
		t.closeTo("table")
		t.push(name)
	case "col":
		if t.top() != "colgroup" {
			t.closeTo("table")
			t.push("colgroup")
		}
	case "tr":
		if t.top() == "table" {
			t.push("tbody")
		}
		t.closeTo("tbody", "tfoot", "thead")
		t.push(name)
	case "td", "th":
		if t.top() == "table" {
			t.push("tbody")
		}
		if t.top() != "tr" {
			t.push("tr")
		}
		t.push(name)
		t.marker()
	case "style", "script":
		t.raw = name
	case "template":
		t.template, t.templateSelect = append(t.template, name), false
	case "html", "head", "body", "frame", "frameset", "base", "meta", "link", "basefont", "bgsound",
		"area", "br", "embed", "img", "image", "keygen", "wbr", "input", "param", "source", "track", "hr":
		// Expelled, but nothing of them stays open.
		t.odd++
		t.bodyStart(tok)
	default:
		t.lose(Table)
	}
}

// tableEnd is an end tag in the same modes.
func (t *tracker) tableEnd(name string) {
	if t.top() == "colgroup" {
		switch name {
		case "colgroup":
			t.closeTo("table")
			return
		case "col", "template":
			t.odd++
			return
		}
		t.closeTo("table")
	}
	switch name {
	case "table":
		t.closeTo("table")
		t.open = t.open[:len(t.open)-1]
	case "tbody", "tfoot", "thead", "tr":
		if !t.inTableScope(name) {
			t.odd++
			return
		}
		t.closeTo(name)
		t.open = t.open[:len(t.open)-1]
	case "body", "caption", "col", "colgroup", "html", "td", "th":
		t.odd++
	default:
		t.odd++
		t.bodyEnd(name)
	}
}

// cellStart is the start tag of a part of a table in a cell or a caption, which
// ends it; elsewhere in the body such a tag is ignored.
func (t *tracker) cellStart(tok token) {
	i := t.cell()
	if i < 0 {
		t.odd++
		return
	}
	if t.open[i].name == "caption" && tok.name == "th" {
		t.lose(Table) // x/net/html leaves the caption open
		return
	}
	t.closeCell(i)
	t.tableStart(tok)
}

// cellEnd is an end tag of a part of a table, inside of a cell or a caption or
// elsewhere in the body.
func (t *tracker) cellEnd(name string) {
	i := t.cell()
	if i < 0 {
		t.otherEnd(name)
		return
	}
	inCaption := t.open[i].name == "caption"
	switch {
	case name == t.open[i].name:
		t.closeCell(i)
	case name == "table", !inCaption && (name == "tbody" || name == "tfoot" || name == "thead" || name == "tr") && t.inTableScope(name):
		t.closeCell(i)
		t.tableEnd(name)
	default:
		t.odd++
	}
}

func (t *tracker) closeCell(i int) {
	t.closeAt(i)
	t.clearActive()
}
