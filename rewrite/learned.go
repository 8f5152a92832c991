package rewrite

// restEvery is how far apart the points are, in bytes, from which the scanning
// of a learned page can be taken up.
const restEvery = 2 << 10

// maxStops is how many stops a page may have to be learned: each difference is
// held against them all.
const maxStops = 4 << 10

// A learned page is the bytes of one, and what its Reader stopped at. It is
// immutable once it is in a Memory.
type learned struct {
	page  []byte
	stops []stop

	head     int // bytes that its charset was looked for in; 0: it wasn't
	encoding encoding
}

func (l *learned) size() int {
	n := cap(l.page)
	for i := range l.stops {
		n += l.stops[i].state.size()
	}
	return n
}

// rested says whether at is far from the last stop, so that a page that comes in
// small pieces has places of rest too.
func (l *learned) rested(at int) bool {
	last := 0
	if n := len(l.stops); n > 0 {
		last = l.stops[n-1].next
	}
	return at-last >= restEvery
}

// A stop is an event, or with evMore a place of rest between tokens.
type stop struct {
	ev       event
	at, next int // the token's begin and what follows it, in the page
	state    machineState
	met      uint64 // the surfaces met by then
	open     bool   // a region was open
}

// machineState is what a machine is between two tokens.
type machineState struct {
	treeState
	open      []element
	active    []activeElement
	templates []mode

	text          text
	ending        nameKey
	script        scriptState
	run, runBlank bool
	before        before

	tagKey  nameKey
	tagKind kind
	tagName int
	tagEnd  bool
	isTag   bool
}

func (s *machineState) size() int {
	return 300 + 16*len(s.open) + 24*len(s.active) + len(s.templates)
}

func (m *machine) save() machineState {
	return machineState{
		treeState: m.treeState,
		open:      append([]element(nil), m.open[:m.depth]...),
		active:    append([]activeElement(nil), m.active[:m.actives]...),
		templates: append([]mode(nil), m.templates[:m.nested]...),
		text:      m.text, ending: m.ending, script: m.script, run: m.run, runBlank: m.runBlank, before: m.before,
		tagKey: m.tag.key, tagKind: m.tag.kind, tagName: m.tag.name, tagEnd: m.tag.end, isTag: m.isTag,
	}
}

// load makes the machine what was saved, after a token that is raw.
func (m *machine) load(s *machineState, at int, raw []byte) {
	m.treeState = s.treeState
	copy(m.tree.open[:], s.open)
	copy(m.active[:], s.active)
	copy(m.templates[:], s.templates)
	m.text, m.ending, m.script, m.run, m.runBlank, m.before = s.text, s.ending, s.script, s.run, s.runBlank, s.before
	m.tag = tag{raw: raw, key: s.tagKey, kind: s.tagKind, name: s.tagName, end: s.tagEnd}
	m.isTag, m.at, m.tagSeen, m.held, m.fast = s.isTag, at, 0, 0, false
}

// like says whether the machine will take what follows as one would that was
// saved: but for the numbers of the elements they are the same.
func (m *machine) like(s *machineState) bool {
	a, b := m.treeState, s.treeState
	if a.form != 0 && b.form != 0 && m.indexOf(a.form) != indexOf(s.open, b.form) || (a.form == 0) != (b.form == 0) {
		return false
	}
	a.lastID, a.form, a.raw, a.loose = b.lastID, b.form, b.raw, b.loose
	a.left, a.escaped, a.formless = b.left, b.escaped, b.formless // there is no region
	if a != b || m.text != s.text || m.ending != s.ending && m.text != dataText || m.script != s.script && m.text == scriptText ||
		m.run != s.run || m.runBlank != s.runBlank || m.tagSeen != 0 || m.held != 0 {
		return false
	}
	for i, x := range s.open {
		y := m.tree.open[i]
		if x.id, y.id = 0, 0; x != y {
			return false
		}
	}
	for i, x := range s.active {
		y := m.active[i]
		if (x.id == 0) != (y.id == 0) || m.indexOf(y.id) != indexOf(s.open, x.id) {
			return false
		}
		if x.id, y.id = 0, 0; x != y {
			return false
		}
	}
	for i, x := range s.templates {
		if m.templates[i] != x {
			return false
		}
	}
	return true
}

func indexOf(open []element, id uint32) int {
	for i := len(open) - 1; i >= 0; i-- {
		if open[i].id == id {
			return i
		}
	}
	return -1
}
