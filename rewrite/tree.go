package rewrite

import "slices"

// The most that is followed. Chromium and x/net/html both do something else
// from 512 open elements on; new content needs room below that.
const (
	maxDepth  = 300
	maxActive = 100 // active formatting elements, markers included
	maxNested = 60  // templates within each other

	openSize = 512 // a power of two spares bounds checks
)

// A space is the namespace of an element.
type space uint8

const (
	spaceHTML space = iota
	spaceSVG
	spaceMath
)

// An element is an open one, or an active formatting one.
type element struct {
	key   nameKey
	id    uint32 // differs for every element; 0 for a marker among the formatting elements
	props props
	kind  kind // kindOther in foreign content
	space space
}

// html says whether what comes next in the element is HTML.
func (e *element) html() bool { return e.space == spaceHTML || e.props&(textPoint|htmlPoint) != 0 }

type activeElement struct {
	element
	attributes uint64 // a hash of them
}

// A tree follows tree construction (section 13.2.6 of the standard) as far as
// the open elements, the active formatting elements and the modes go. It knows
// nothing of what is closed.
//
// It is exact or lost, never approximate. Either it knows what the parser's
// state is after a token, or lost says why it stopped knowing, and then nothing
// else of it means anything. A tree is a value: a copy goes its own way.
//
// Tried and dropped: counting the tags of the region's own name. It takes
// <div><p><b></div> for closed although the b comes back after the end tag.
type tree struct {
	open      [openSize]element        // the stack of open elements, html first; one to spare
	active    [maxActive]activeElement // the list of active formatting elements
	templates [maxNested]mode          // the stack of template insertion modes
	treeState

	// inserted is told of every element that is put into the document, as the
	// child of the open element below depth. tag is nil if it has no attributes of
	// its own there. Nil: nobody asks.
	inserted func(depth int, key nameKey, t *tag)
	// removed is told of an open element taken from between others, moved of
	// elements moved in the document or put elsewhere than into the current node.
	// They are nil where inserted is.
	removed func(depth int)
	moved   func()
}

// treeState is what of a tree has a fixed size.
type treeState struct {
	depth, actives, nested int

	mode         mode
	beforeSelect mode    // to go back to from "in select"
	raw          nameKey // the element whose text mode the last start tag began, or 0
	form         uint32  // the form pointer: an id, or 0
	formless     bool    // a form was ignored, or is within another
	lastID       uint32
	paragraphs   int  // how many p are open
	pending      bool // the last active formatting element is not open
	crowds       int  // how often a formatting element came to three of its name
	loose        int  // how many active formatting elements are not open, at most
	framesetOK   bool // a frameset may still take the place of the body
	quirks       bool
	newline      newline

	// floor is the index of the region's element. left: it is not open any more.
	// escaped: something that the region must not touch was: an element below, or
	// the document elsewhere than in the region. Zero without a region.
	floor   int
	left    bool
	escaped Reason

	lost Reason
}

// copyFrom makes the tree the same as another, to go its own way unheard.
func (t *tree) copyFrom(o *tree) {
	t.treeState = o.treeState
	copy(t.open[:], o.open[:o.depth])
	copy(t.active[:], o.active[:o.actives])
	copy(t.templates[:], o.templates[:o.nested])
	t.inserted, t.removed, t.moved = nil, nil, nil
}

// same says whether two trees will take what follows alike.
func (t *tree) same(o *tree) bool {
	return t.depth == o.depth && t.actives == o.actives && t.nested == o.nested &&
		t.mode == o.mode && t.form == o.form && t.pending == o.pending && t.newline == o.newline &&
		slices.Equal(t.open[:t.depth], o.open[:o.depth]) &&
		slices.Equal(t.active[:t.actives], o.active[:o.actives]) &&
		slices.Equal(t.templates[:t.nested], o.templates[:o.nested])
}

// newline says whether the next line feed is dropped, as after a pre.
type newline uint8

const (
	keepNewline newline = iota
	dropNewline
	dropLineFeed // of a CR LF whose CR was dropped
)

// begin sets the tree to the start of a page.
func (t *tree) begin() { t.treeState = treeState{mode: initial, framesetOK: true} }

// top is the current node.
func (t *tree) top() *element { return &t.open[t.depth-1] }

// push makes an element the current node, as a child of the one before.
func (t *tree) push(key nameKey, kind kind, tag *tag) *element {
	if t.depth >= maxDepth {
		t.lose(TooDeep)
		return &t.open[maxDepth] // spare
	}
	if t.inserted != nil {
		t.inserted(t.depth, key, tag)
	}
	t.lastID++
	e := &t.open[t.depth]
	*e = element{key: key, id: t.lastID, kind: kind, props: kindProps[kind]}
	if kind == kindP {
		t.paragraphs++
	}
	t.depth++
	return e
}

// leaf puts an element in that has no content.
func (t *tree) leaf(g *tag) {
	t.place()
	if t.inserted != nil {
		t.inserted(t.depth, g.key, g)
	}
}

// truncate closes all elements from depth on.
func (t *tree) truncate(depth int) {
	for i := t.depth - 1; i >= depth; i-- {
		t.closed(&t.open[i])
	}
	t.depth = depth
	if depth <= t.floor {
		t.left = true
	}
}

func (t *tree) pop() { t.truncate(t.depth - 1) }

// closed accounts for an element that is not open any more.
func (t *tree) closed(e *element) {
	if e.kind == kindP {
		t.paragraphs--
	}
	if e.props&formatting != 0 {
		t.loose++
		if t.actives > 0 && t.active[t.actives-1].id == e.id {
			t.pending = true
		}
	}
}

// remove takes open[i] from between others.
func (t *tree) remove(i int) {
	t.touch(i)
	t.closed(&t.open[i])
	if t.removed != nil {
		t.removed(i)
	}
	copy(t.open[i:], t.open[i+1:t.depth])
	t.depth--
}

// touch says that open[i] is not what it was.
func (t *tree) touch(i int) {
	if i <= t.floor {
		t.escape(Misnested)
	}
}

func (t *tree) escape(why Reason) {
	if t.escaped == "" {
		t.escaped = why
	}
}

func (t *tree) lose(why Reason) {
	if t.lost == "" {
		t.lost = why
	}
}

// doctype takes a doctype token.
func (t *tree) doctype(raw []byte) {
	t.newline = keepNewline
	if t.mode == initial {
		t.quirks = quirksMode(raw)
		t.mode = beforeHTML
	}
}

// comment takes a comment token.
func (t *tree) comment() {
	t.newline = keepNewline
	if t.mode == afterBody {
		t.escape(Ambiguous) // it goes to the end of the page
	}
}

// text takes a run of text that has other characters than NUL. blank: it has
// white space only.
func (t *tree) text(blank bool) {
	if t.depth > 0 && !t.top().html() {
		t.framesetOK = t.framesetOK && blank
		return
	}
	switch t.mode {
	case initial, beforeHTML, beforeHead:
		if blank {
			return
		}
		t.openBody()
	case inHead:
		if blank {
			return
		}
		t.openBody()
	case afterHead:
		if blank {
			return
		}
		t.openBody()
	case inTable, inTableBody, inRow:
		if t.top().props&fosters == 0 && t.top().kind != kindTemplate {
			break // as in body
		}
		if blank {
			return
		}
		t.place()
	case inTemplate:
	case inColumnGroup:
		if blank {
			return
		}
		if t.top().kind != kindColgroup {
			return // ignored
		}
		t.pop()
		t.mode = inTable
		t.text(blank)
		return
	case inSelect:
		return
	case afterBody:
		if !blank {
			t.mode = inBody
		}
	}
	t.reconstruct()
	t.framesetOK = t.framesetOK && blank
}

// holdsRows says whether the current node is one of a table that wants rows or
// cells, and moves a text before the table.
func (t *tree) holdsRows() bool {
	switch t.mode {
	case inTable, inTableBody, inRow:
		return t.top().props&fosters != 0 && t.top().space == spaceHTML
	}
	return false
}

// place accounts for where something is put in that goes into the current
// node: from a table's own elements it is moved before the table (13.2.6.1).
func (t *tree) place() {
	if t.depth == 0 || t.top().space != spaceHTML || t.top().props&fosters == 0 {
		return
	}
	switch t.mode {
	case inTable, inTableBody, inRow:
	default:
		return // foster parenting is not enabled
	}
	if t.moved != nil {
		t.moved()
	}
	for i := t.depth - 1; i >= 0; i-- {
		e := &t.open[i]
		if e.space != spaceHTML {
			continue
		}
		if e.kind == kindTemplate {
			return
		}
		if e.kind == kindTable {
			if i <= t.floor {
				t.escape(Table)
			}
			return
		}
	}
	t.escape(Table)
}
