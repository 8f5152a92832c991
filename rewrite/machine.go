package rewrite

import (
	"bytes"
	"encoding/binary"
)

// An event is why a machine stops.
type event uint8

const (
	evMore   event = iota // the rest of the bytes is no whole token
	evMarked              // a start tag that may be wanted was taken
	evFloor               // what the floor protects was touched, or its element closed
	evToken               // a token was taken; only if each is asked for
	evLost                // the tree is lost
)

// A text is the kind of text that the lexer is in.
type text uint8

const (
	dataText  text = iota
	rawTextOf      // of the element that machine.raw names: title, style and so on
	scriptText
	noscriptText
	commentText
	bogusText // up to the next '>'
	cdataText
)

// A machine takes a page apart (13.2.5) and drives a tree. Bytes are given to
// it in pieces of any size; it never looks at one twice that it has taken. A
// machine is a value: a copy goes its own way.
type machine struct {
	tree

	text   text
	ending nameKey // the element whose end tag ends the text
	script scriptState

	// A tag whose end was not found yet: how far it was searched.
	tagSeen  int
	tagState tagState
	held     int // how far a noscript was searched for its end

	// Of the run of characters before the next token.
	run      bool // there are characters other than NUL
	runBlank bool // and all are white space

	attribute string // the marking attribute in lower case; empty: none is looked for
	mark      markSearch
	every     bool       // stop after each token
	fast      bool       // what comes next is for skim
	selected  bool       // set by who listens to tree.inserted, to stop after the tag
	linked    func(*tag) // is told of links outside of templates; nil: nobody asks
	maxToken  int
	aside     *aside // made when it is needed first

	// Of the last token.
	tag    tag
	isTag  bool
	at     int // where it begins
	before before
}

// before is what the tree was before a start tag that may be wanted; of it are
// depth and lastID known before each start tag, depth, mode and pending before
// each end tag.
type before struct {
	depth, actives int
	lastID         uint32
	mode           mode
	framesetOK     bool
	pending        bool
	newline        newline
	crowds         int
	text           bool // there was text right before the tag; what skim took, if blank, isn't known
}

// A scriptState is how deep in what looks like a comment a script is (13.2.5.15
// and on).
type scriptState uint8

const (
	plainScript scriptState = iota
	escapedScript
	doublyEscapedScript
)

func (m *machine) begin() {
	m.tree.begin()
	m.text, m.tagSeen, m.held, m.run, m.runBlank = dataText, 0, 0, false, true
	m.every, m.selected, m.fast, m.at = false, false, false, -1
}

// advance takes tokens of b from i on, until one is of interest. next is the
// first byte not taken: b is to be given again from there, with more. At the
// end of the page what then is left is no token.
//
// The window is of b, or empty: it must be emptied where b is not what it was.
func (m *machine) advance(w *window, b []byte, i int) (next int, ev event) {
	for {
		if m.fast {
			i = m.skim(w, b, i)
			if i == len(b) {
				return i, evMore
			}
		}
		m.fast = false
		if m.text != dataText {
			var ok bool
			if i, ok = m.advanceText(b, i); !ok {
				return i, evMore
			}
			if ev := m.check(); ev != evMore {
				return i, ev
			}
			m.fast = m.usual()
			continue
		}
		start := i
		i = nextTag(b, i)
		if i > start && (m.framesetOK || m.pending || m.mode != inBody) {
			m.note(b[start:i])
		}
		if len(b)-i < 12 {
			next, ok := m.short(w, b, i)
			if !ok {
				return i, evMore
			}
			i = next
		} else {
			switch c := b[i+1]; {
			case isLetter(c):
				key, n := shortName(binary.LittleEndian.Uint64(b[i+1:]))
				end, ok := 0, true
				if n == 0 {
					key, end, ok = m.longTag(w, b, i, 1)
				} else if end = i + 1 + n; b[end] != '>' {
					end, ok = m.tagEnd(w, b, i, end)
				}
				if !ok {
					return i, evMore
				}
				m.tag = tag{raw: b[i : end+1], key: key, name: n + 1}
				if n == 0 {
					m.tag.name = nameEnd(b, i+1) - i
				}
				m.at = i
				i = end + 1
				m.startTag(w, end)
			case c == '/':
				next, ok := m.endTag(w, b, i)
				if !ok {
					return i, evMore
				}
				i = next
			default:
				next, ok := m.markup(b, i)
				if !ok {
					return i, evMore
				}
				i = next
			}
		}
		if ev := m.check(); ev != evMore {
			return i, ev
		}
		m.fast = m.usual()
	}
}

// check says whether the last token is of interest.
func (m *machine) check() event {
	switch {
	case m.lost != "":
		return evLost
	case m.selected:
		m.selected = false
		return evMarked
	case m.floor > 0 && (m.left || m.escaped != ""):
		return evFloor
	case m.every && m.at >= 0:
		return evToken
	}
	return evMore
}

// nextTag is the first '<' from i on, or len(b).
func nextTag(b []byte, i int) int {
	if k := bytes.IndexByte(b[i:], '<'); k >= 0 {
		return i + k
	}
	return len(b)
}

// markup takes what begins with '<' and is no tag.
func (m *machine) markup(b []byte, i int) (int, bool) {
	rest := b[i:]
	m.isTag, m.at = false, i
	switch {
	case rest[1] == '/' && rest[2] == '>':
		m.at = -1
		return i + 3, true // nothing at all
	case rest[1] == '/' || rest[1] == '?':
		m.flush()
		m.comment()
		m.text = bogusText
		return i + 2, true
	case rest[1] != '!':
		m.at = -1
		m.note(rest[:1]) // text
		return i + 1, true
	}
	const dashes, doctype, cdata = "<!--", "<!doctype", "<![CDATA["
	switch {
	case bytes.HasPrefix(rest, []byte(dashes)):
		switch k := bytes.TrimPrefix(rest, []byte(dashes)); {
		case len(k) == 0, len(k) == 1 && k[0] == '-':
			return i, false
		case k[0] == '>':
			m.flush()
			m.comment()
			return i + 5, true
		case k[0] == '-' && k[1] == '>':
			m.flush()
			m.comment()
			return i + 6, true
		}
		m.flush()
		m.comment()
		m.text = commentText
		return i + 4, true
	case len(rest) >= len(doctype) && foldedEqual(rest[:len(doctype)], doctype):
		end := bytes.IndexByte(rest, '>')
		if end < 0 {
			return i, false
		}
		if end >= m.maxToken {
			m.lose(TooLarge)
		}
		m.flush()
		m.doctype(rest[:end+1])
		return i + end + 1, true
	case bytes.HasPrefix(rest, []byte(cdata)) && m.depth > 0 && m.top().space != spaceHTML:
		m.text = cdataText
		m.at = -1
		return i + len(cdata), true
	case len(rest) < len(dashes) && bytes.HasPrefix([]byte(dashes), rest),
		len(rest) < len(doctype) && foldedEqual(rest, doctype[:len(rest)]),
		len(rest) < len(cdata) && bytes.HasPrefix([]byte(cdata), rest):
		return i, false
	}
	m.flush()
	m.comment()
	m.text = bogusText
	return i + 2, true
}

// note takes characters of a run of text.
func (m *machine) note(s []byte) {
	for m.newline != keepNewline && len(s) > 0 {
		switch {
		case s[0] == '\n':
			m.newline = keepNewline
		case s[0] == '\r' && m.newline == dropNewline:
			m.newline = dropLineFeed
		default:
			m.newline = keepNewline
			continue
		}
		s = s[1:]
	}
	if m.run && !m.runBlank {
		return
	}
	foreign := m.depth > 0 && !m.top().html()
	for _, c := range s {
		if c == 0 && !foreign {
			continue
		}
		m.run = true
		if !isSpace(c) && c != 0 {
			m.runBlank = false
			return
		}
	}
}

// flush gives the run of characters to the tree, before the next token.
func (m *machine) flush() {
	if m.run {
		blank := m.runBlank
		m.run, m.runBlank = false, true
		m.tree.text(blank)
	}
}
