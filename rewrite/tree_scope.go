package rewrite

// A barrier is what a search among the open elements does not cross beside
// what no search crosses.
type barrier uint8

const (
	defaultScope barrier = iota
	buttonScope
	listScope
	tableScope // table and template alone
)

// crosses says whether a search in the scope goes on beyond an element.
func (s barrier) crosses(e *element) bool {
	if s == tableScope {
		return e.space != spaceHTML || e.kind != kindTable && e.kind != kindTemplate && e.kind != kindHTML
	}
	if e.props&scoping != 0 {
		return false
	}
	return e.space != spaceHTML || !(s == buttonScope && e.kind == kindButton || s == listScope && (e.kind == kindOl || e.kind == kindUl))
}

// find is the index of the innermost open element of a name in scope, or -1.
func (t *tree) find(s barrier, key nameKey) int {
	for i := t.depth - 1; i >= 0; i-- {
		e := &t.open[i]
		if e.key == key && e.space == spaceHTML {
			return i
		}
		if !s.crosses(e) {
			return -1
		}
	}
	return -1
}

// findKind is the index of the innermost open element of a kind in scope, or -1.
func (t *tree) findKind(s barrier, k kind) int {
	for i := t.depth - 1; i >= 0; i-- {
		e := &t.open[i]
		if e.kind == k && e.space == spaceHTML {
			return i
		}
		if !s.crosses(e) {
			return -1
		}
	}
	return -1
}

// closeImplied is "generate implied end tags".
func (t *tree) closeImplied(except nameKey) {
	for t.top().props&implied != 0 && t.top().key != except {
		t.pop()
	}
}

// closeTo pops until the current node is one of the kinds, or what no table
// reaches beyond ("clear the stack back to a table context" and its like).
func (t *tree) closeTo(k kind) {
	for {
		e := t.top()
		if e.space == spaceHTML && (e.kind == k || e.kind == kindTemplate || e.kind == kindHTML) {
			return
		}
		t.pop()
	}
}

// closeIn closes the innermost element of a name in scope. An end tag without
// one is ignored.
func (t *tree) closeIn(s barrier, key nameKey) bool {
	i := t.find(s, key)
	if i < 0 {
		return false
	}
	t.truncate(i)
	return true
}

// closeP closes a p in button scope.
func (t *tree) closeP() {
	if t.paragraphs > 0 {
		if i := t.findKind(buttonScope, kindP); i >= 0 {
			t.truncate(i)
		}
	}
}
