package rewrite

import (
	"bytes"
	"slices"
	"unicode/utf8"
)

// advanceText takes bytes in a text mode. It says false where all are taken or
// more are needed.
func (m *machine) advanceText(b []byte, i int) (int, bool) {
	switch m.text {
	case commentText:
		return m.commentEnd(b, i)
	case bogusText:
		k := bytes.IndexByte(b[i:], '>')
		if k < 0 {
			return len(b), false
		}
		m.text = dataText
		return i + k + 1, true
	case cdataText:
		k := bytes.Index(b[i:], []byte("]]>"))
		if k < 0 {
			end := max(i, len(b)-2-utf8.UTFMax)
			m.note(b[i:end])
			return end, false
		}
		m.note(b[i : i+k])
		if c, size := utf8.DecodeLastRune(b[i : i+k]); c == utf8.RuneError && size == 1 {
			m.lose(Ambiguous) // in some charsets the first ']' is of the character before
		}
		m.text = dataText
		m.at = -1
		return i + k + 3, true
	case scriptText:
		return m.scriptEnd(b, i)
	case noscriptText:
		return m.noscriptEnd(b, i)
	}
	for {
		k := bytes.IndexByte(b[i:], '<')
		if k < 0 {
			return len(b), false
		}
		i += k
		switch end, more := m.ends(b, i); {
		case end > 0:
			return m.closeText(b, i, end)
		case more:
			return i, false
		}
		i++
	}
}

// commentEnd looks for --> or --!>.
func (m *machine) commentEnd(b []byte, i int) (int, bool) {
	for {
		k := bytes.Index(b[i:], []byte("--"))
		if k < 0 {
			return max(i, len(b)-1), false
		}
		at := i + k + 2
		for at < len(b) && b[at] == '-' {
			at++
		}
		switch {
		case at == len(b), b[at] == '!' && at+1 == len(b):
			return at - 2, false // the dashes before stay, to be seen again
		case b[at] == '>':
			m.text = dataText
			return at + 1, true
		case b[at] == '!' && b[at+1] == '>':
			m.text = dataText
			return at + 2, true
		}
		i = at
	}
}

// ends says whether the end tag of the text's element begins at i: then it is
// where the name ends. more: it may, but b ends before that is known.
func (m *machine) ends(b []byte, i int) (end int, more bool) {
	return m.names(b, i, 2, m.ending)
}

// names says whether a tag of the name begins at i, skip bytes before its name.
func (m *machine) names(b []byte, i, skip int, key nameKey) (end int, more bool) {
	if i+skip > len(b) {
		return 0, true
	}
	if skip == 2 && b[i+1] != '/' {
		return 0, false
	}
	const longest = 10 // a name of these modes and what ends it
	at := i + skip
	stop := min(len(b), at+longest)
	for at < stop && isLetter(b[at]) {
		at++
	}
	switch {
	case at == stop:
		return 0, at < i+skip+longest
	case b[at] != '>' && b[at] != '/' && !isSpace(b[at]), keyOf(b[i+skip:at]) != key:
		return 0, false
	}
	return at, false
}

// closeText takes the end tag of the text's element.
func (m *machine) closeText(b []byte, i, nameEnd int) (int, bool) {
	from := nameEnd
	if m.tagSeen > 0 {
		from = i + m.tagSeen
	}
	end, ok := m.slowTagEnd(b, i, from)
	if !ok {
		return i, false
	}
	m.text = dataText
	m.tag = tag{raw: b[i : end+1], key: m.ending, kind: m.ending.kind(), name: nameEnd - i, end: true}
	m.isTag, m.at = true, i
	return end + 1, true
}

// scriptEnd looks for the end tag of a script, and for what hides it.
func (m *machine) scriptEnd(b []byte, i int) (int, bool) {
	for {
		if m.script == plainScript {
			k := bytes.IndexByte(b[i:], '<')
			if k < 0 {
				return len(b), false
			}
			i += k
		} else {
			k := bytes.IndexAny(b[i:], "<-")
			if k < 0 {
				return len(b), false
			}
			i += k
			if b[i] == '-' {
				at := i
				for at < len(b) && b[at] == '-' {
					at++
				}
				switch {
				case at == len(b):
					return max(i, at-2), false
				case at-i >= 2 && b[at] == '>':
					m.script = plainScript
				}
				i = at
				continue
			}
		}
		rest := b[i:]
		if len(rest) < 2 {
			return i, false
		}
		switch {
		case rest[1] == '!' && m.script == plainScript:
			const opening = "<!--"
			if !bytes.HasPrefix(rest, []byte(opening)) {
				if len(rest) < len(opening) && bytes.HasPrefix([]byte(opening), rest) {
					return i, false
				}
				break
			}
			m.script = escapedScript
			i += 2 // its dashes count for -->
			continue
		case rest[1] == '/':
			end, more := m.ends(b, i)
			switch {
			case more:
				return i, false
			case end > 0 && m.script == doublyEscapedScript:
				m.script = escapedScript
				i = end
				continue
			case end > 0:
				return m.closeText(b, i, end)
			}
		case m.script == escapedScript:
			end, more := m.names(b, i, 1, m.ending)
			if more {
				return i, false
			}
			if end > 0 {
				m.script = doublyEscapedScript
				i = end
				continue
			}
		}
		i++
	}
}

// noscriptEnd holds what is in a noscript, to see what a browser without
// scripts makes of it: that must be closed in itself.
func (m *machine) noscriptEnd(b []byte, i int) (int, bool) {
	at := i + m.held
	for at < len(b) {
		k := bytes.IndexByte(b[at:], '<')
		if k < 0 {
			m.held = len(b) - i
			return i, false
		}
		at += k
		end, more := m.ends(b, at)
		if end == 0 && !more {
			at++
			continue
		}
		next, ok := at, false
		if !more {
			next, ok = m.closeText(b, at, end)
		}
		if !ok {
			m.held = at - i
			return i, false
		}
		m.held = 0
		if next-i > m.maxToken {
			m.lose(TooLarge)
		}
		if !m.closedInItself(b[i:at]) {
			m.lose(Noscript)
		}
		return next, true
	}
	return i, false
}

// closedInItself says whether a piece of HTML, as the content of an element of
// its own in the place where the machine is, leaves the parser as it was.
func (m *machine) closedInItself(piece []byte) bool {
	if m.aside == nil {
		m.aside = new(aside)
	}
	p := &m.aside.machine
	p.branch(m)
	if p.mode < inBody {
		p.openBody()
	}
	p.push(keyOf([]byte("noscript")), kindOther, nil)
	was := p.treeState
	p.floor = was.depth - 1
	return p.takeAll(&m.aside.window, piece) && p.depth == was.depth && p.mode == was.mode && p.form == was.form &&
		p.nested == was.nested && !p.pending && slices.Equal(p.active[:p.actives], m.active[:was.actives])
}

// An aside is what a machine tries something with.
type aside struct {
	machine machine
	window  window
}

// branch makes the machine stand where another does, in data, to try something.
func (m *machine) branch(o *machine) {
	m.copyFrom(&o.tree)
	m.floor, m.left, m.escaped, m.formless = 0, false, "", false
	m.text, m.tagSeen, m.held, m.run, m.runBlank = dataText, 0, 0, false, true
	m.linked, m.maxToken = nil, o.maxToken
	m.attribute, m.mark, m.every, m.selected, m.fast, m.at = "", markSearch{}, false, false, false, -1
}

// takeAll takes a whole piece of HTML, and says whether it is whole tokens,
// nothing of it lost the tree or left the floor, and markup follows.
func (m *machine) takeAll(w *window, piece []byte) bool {
	w.size = 0
	n, ev := m.advance(w, piece, 0)
	m.flush()
	return ev == evMore && n == len(piece) && m.lost == "" && m.text == dataText && m.escaped == "" && !m.left && !m.formless
}

// plainName says whether a tag's name is the same to all. A browser's decoder
// puts U+FFFD for bytes that are not UTF-8, so two names could become one.
func plainName(name []byte) bool { return utf8.Valid(name) }
