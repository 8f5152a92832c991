package selector

import "math/bits"

// A Tag is a start tag as a Matcher needs it. What it returns is read before
// Open returns or calls it again, and not kept.
type Tag interface {
	// Name returns the name of the element in lower case.
	Name() []byte

	// Attribute returns the value of an attribute, after character references,
	// and whether there is one. The name is in lower case. A value of nil is an
	// empty one.
	Attribute(name string) (value []byte, ok bool)
}

// A Matcher tells which selectors match each element of a page, when its start
// tag is met. It keeps a few words for each open element and, in the steady
// state, allocates nothing. It is for one page at a time, and for one goroutine.
//
// Each chain of compound selectors is an automaton over the path from the root;
// all of them run at once. A bit stands for one compound, those of a chain are
// neighbours, so that a compound that matched makes the next one possible by a
// shift.
type Matcher struct {
	// Quirks says that the page is in quirks mode: classes and ids are compared
	// without regard to ASCII case. Set it before the first Open.
	Quirks bool

	compounds  []compound // by bit
	matched    []uint64   // by bit: the selector, if this is the subject of its chain; else 0
	width      int        // words in a set of bits
	start      []uint64   // the compounds that begin a chain
	child      []uint64   // those after a child combinator
	descendant []uint64   // those after a descendant combinator
	types      []uint64   // by hash of a type: those that it may have

	// For the document and then each open element, the compounds that are
	// possible for its children, and those of them possible anywhere within.
	possible []uint64
	here     []uint64 // those that match the element being opened
	within   []within
	ofType   typeCounter
	counts   bool // whether positions matter

	values  []value // of the attributes of the element being opened
	element uint64  // how many were opened
}

// within is what an open element has seen within.
type within struct {
	children int
	element  uint64 // its own number
}

// A value is what an element says for an attribute.
type value struct {
	name    string
	text    []byte
	ok      bool
	element uint64 // whose it is
}

// NewMatcher returns a matcher for at most MaxSelectors selectors. It panics if
// there are more.
func NewMatcher(selectors []*Selector) *Matcher {
	if len(selectors) > MaxSelectors {
		panic("selector: more than MaxSelectors")
	}
	m := &Matcher{}
	n := 0
	for _, s := range selectors {
		for _, chain := range s.list {
			n += len(chain)
		}
	}
	m.width = (n + 63) / 64
	m.start, m.child, m.descendant = make([]uint64, m.width), make([]uint64, m.width), make([]uint64, m.width)
	m.here = make([]uint64, m.width)
	m.types = make([]uint64, m.width*typeHashes)
	for i, s := range selectors {
		for _, chain := range s.list {
			m.add(chain, 1<<i)
		}
	}
	m.Reset()
	return m
}

// add gives bits to a chain.
func (m *Matcher) add(chain complexSelector, selector uint64) {
	for i, c := range chain {
		word, bit := len(m.compounds)/64, uint64(1)<<(len(m.compounds)%64)
		switch {
		case i == 0:
			m.start[word] |= bit
		case c.child:
			m.child[word] |= bit
		default:
			m.descendant[word] |= bit
		}
		for hash := range typeHashes {
			if c.name == "" || hashType(c.name) == hash {
				m.types[hash*m.width+word] |= bit
			}
		}
		m.compounds = append(m.compounds, m.prepare(c, c.name))
		m.matched = append(m.matched, 0)
	}
	m.matched[len(m.matched)-1] = selector
}

// prepare returns a copy of c with slots for its attributes. The type is what
// the element must be for c to be looked at; empty: any.
func (m *Matcher) prepare(c compound, typ string) compound {
	attributes := c.attributes
	c.attributes = nil
	for _, a := range attributes {
		if a.slot = m.slot(a.name); a.impossible() {
			a.test = never
		}
		c.attributes = append(c.attributes, a)
	}
	for _, p := range c.positions {
		m.counts = true
		if p.ofType {
			m.ofType.want(typ)
		}
	}
	choices := c.choices
	c.choices = nil
	for _, ch := range choices {
		prepared := choice{not: ch.not}
		for _, alternative := range ch.list {
			inner := alternative.name
			if inner == "" {
				inner = typ
			}
			prepared.list = append(prepared.list, m.prepare(alternative, inner))
		}
		c.choices = append(c.choices, prepared)
	}
	return c
}

func (m *Matcher) slot(name string) int {
	for i, v := range m.values {
		if v.name == name {
			return i
		}
	}
	m.values = append(m.values, value{name: name})
	return len(m.values) - 1
}

// typeHashes is the number of values of hashType.
const typeHashes = 64

func hashType[T string | []byte](name T) int {
	if len(name) == 0 {
		return 0
	}
	return int((uint(len(name)) + 7*uint(name[0]) + 31*uint(name[len(name)-1])) % typeHashes)
}

// Reset makes the matcher ready for another page. Quirks stays as it is.
func (m *Matcher) Reset() {
	m.possible = append(append(m.possible[:0], m.start...), m.start...)
	clear(m.possible[m.width:])
	m.within = append(m.within[:0], within{})
	m.ofType.reset()
	m.element = 0
	for i := range m.values {
		m.values[i] = value{name: m.values[i].name}
	}
}

// Open tells that an element was inserted as the last child of the open element
// at depth-1 or, at depth 0, as the root. Void elements are told too. Every
// element at depth and deeper is closed by it. A depth beyond that of the
// innermost open element plus one is a fault of the caller.
//
// It returns the set of the selectors that match: bit i stands for selectors[i]
// of NewMatcher. tag.Attribute is called at most once for each name, and only
// when the type, the position and the ancestors leave a selector possible.
func (m *Matcher) Open(depth int, tag Tag) uint64 {
	if depth < 0 || depth >= len(m.within) {
		panic("selector: an element without a parent")
	}
	m.within = m.within[:depth+1]
	m.possible = m.possible[:2*m.width*(depth+1)]
	m.element++
	e := element{tag: tag, name: tag.Name(), root: depth == 0}
	if m.counts {
		m.within[depth].children++
		e.index = m.within[depth].children
		e.indexOfType = m.ofType.count(e.name, depth, m.within[depth].element)
	}
	possible := m.possible[2*m.width*depth:][:m.width]
	types := m.types[hashType(e.name)*m.width:][:m.width]
	var result uint64
	for w := range possible {
		m.here[w] = 0
		for set := possible[w] & types[w]; set != 0; set &= set - 1 {
			i := bits.TrailingZeros64(set)
			if bit := 64*w + i; m.matches(&m.compounds[bit], &e) {
				m.here[w] |= 1 << i
				result |= m.matched[bit]
			}
		}
	}
	m.push(depth)
	return result
}

// push opens the element of which m.here is known.
func (m *Matcher) push(depth int) {
	m.within = append(m.within, within{element: m.element})
	base, carry := 2*m.width*depth, uint64(0)
	for w := range m.width {
		after := m.here[w]<<1 | carry
		carry = m.here[w] >> 63
		anywhere := m.possible[base+m.width+w] | after&m.descendant[w]
		m.possible = append(m.possible, m.start[w]|anywhere|after&m.child[w])
		m.here[w] = anywhere
	}
	m.possible = append(m.possible, m.here...)
}

// Remove tells that the open element at depth is taken out of the stack while
// what is within it stays open, as the end tag of a form does. Those deeper are
// one less deep from now on; what they are in stays as it was.
func (m *Matcher) Remove(depth int) {
	row := 2 * m.width
	m.possible = append(m.possible[:row*(depth+1)], m.possible[row*(depth+2):]...)
	m.within = append(m.within[:depth+1], m.within[depth+2:]...)
	m.ofType.remove(depth + 1)
}

// An element is one being opened.
type element struct {
	tag         Tag
	name        []byte
	root        bool
	index       int // among its siblings, from 1
	indexOfType int
}

func (m *Matcher) matches(c *compound, e *element) bool {
	if c.name != "" && c.name != string(e.name) || c.root && !e.root {
		return false
	}
	for _, p := range c.positions {
		if !p.at(e) {
			return false
		}
	}
	for i := range c.attributes {
		a := &c.attributes[i]
		v := &m.values[a.slot]
		if v.element != m.element {
			v.text, v.ok = e.tag.Attribute(v.name)
			v.element = m.element
		}
		if !v.ok || !a.matches(v.text, a.fold || a.quirks && m.Quirks) {
			return false
		}
	}
	for i := range c.choices {
		ch := &c.choices[i]
		if m.any(ch.list, e) == ch.not {
			return false
		}
	}
	return true
}

func (m *Matcher) any(list []compound, e *element) bool {
	for i := range list {
		if m.matches(&list[i], e) {
			return true
		}
	}
	return false
}

func (p position) at(e *element) bool {
	n := e.index - p.b
	if p.ofType {
		n = e.indexOfType - p.b
	}
	if p.a == 0 {
		return n == 0
	}
	return n%p.a == 0 && n/p.a >= 0
}
