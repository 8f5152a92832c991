package rewrite

import "encoding/binary"

// startTag takes m.tag. Its '>' is at end.
func (m *machine) startTag(w *window, end int) {
	g := &m.tag
	g.kind = g.key.kind()
	m.isTag = true
	text := m.run
	m.flush()
	m.before = before{m.depth, m.actives, m.lastID, m.mode, m.framesetOK, m.pending, m.newline, m.crowds, text}
	if m.inserted != nil || m.attribute != "" && !w.unmarked(m.at+g.name, end) {
		m.selected = m.attribute != "" && g.has(m.attribute)
	}
	if g.kind == kindMeta && m.linked != nil && m.nested == 0 {
		m.linked(g)
	}
	m.raw = 0
	m.start(g)
	if m.raw != 0 {
		m.openText(g)
	}
}

// openText begins the text mode of a start tag.
func (m *machine) openText(g *tag) {
	m.ending = g.key
	m.newline = keepNewline
	switch g.kind {
	case kindScript:
		m.text, m.script = scriptText, plainScript
	case kindNoscript:
		m.text = noscriptText
	default:
		m.text = rawTextOf
	}
}

// endTag takes an end tag at i, or what else begins with "</" there.
func (m *machine) endTag(w *window, b []byte, i int) (int, bool) {
	if !isLetter(b[i+2]) {
		return m.markup(b, i)
	}
	key, n := shortName(binary.LittleEndian.Uint64(b[i+2:]))
	end, ok := 0, true
	if n == 0 {
		key, end, ok = m.longTag(w, b, i, 2)
		n = nameEnd(b, i+2) - i - 2
	} else if end = i + 2 + n; b[end] != '>' {
		end, ok = m.tagEnd(w, b, i, end)
	}
	if !ok {
		return i, false
	}
	m.tag = tag{raw: b[i : end+1], key: key, kind: key.kind(), name: n + 2, end: true}
	m.isTag, m.at = true, i
	m.takeEnd()
	return end + 1, true
}

// takeEnd takes m.tag, an end tag.
func (m *machine) takeEnd() {
	m.flush()
	m.before.depth, m.before.mode, m.before.pending = m.depth, m.mode, m.pending
	m.end(&m.tag)
}

// longTag reads the name and finds the end of a tag whose name is not a plain
// short one. The name begins skip bytes after i.
func (m *machine) longTag(w *window, b []byte, i, skip int) (key nameKey, end int, ok bool) {
	const long = 64
	at := i + skip
	if m.tagSeen > 0 && m.tagState == inTagName {
		at = i + m.tagSeen
	}
	if at > len(b) {
		return 0, 0, false
	}
	if at = nameEnd(b, at); at == len(b) {
		if at-i > long {
			m.tagSeen, m.tagState = at-i, inTagName
		}
		return 0, 0, false
	}
	name := b[i+skip : at]
	end, ok = at, true
	if b[at] != '>' {
		end, ok = m.tagEnd(w, b, i, at)
	} else if m.tagSeen = 0; end-i >= m.maxToken {
		m.lose(TooLarge)
	}
	if ok && !plainName(name) {
		m.lose(Ambiguous)
	}
	return keyOf(name), end, ok
}

// nameEnd is where a tag's name ends that begins at i.
func nameEnd(b []byte, i int) int {
	for i < len(b) && b[i] != '>' && b[i] != '/' && !isSpace(b[i]) {
		i++
	}
	return i
}

// tagEnd finds the '>' of the tag that begins at i and whose name ends at p.
func (m *machine) tagEnd(w *window, b []byte, i, p int) (int, bool) {
	switch {
	case m.tagSeen > 0:
		p = i + m.tagSeen
	case w.base <= i && p < w.base+w.size:
		page := b[w.base : w.base+w.size]
		j := w.quickTagEnd(page, w.seek(p), uint(p-w.base))
		if j == 0 || int(w.at[j]) >= w.size || page[w.at[j]] != '>' {
			break
		}
		end := w.base + int(w.at[j])
		if end-i >= m.maxToken {
			m.lose(TooLarge)
		}
		return end, true
	}
	return m.slowTagEnd(b, i, p)
}

// slowTagEnd is tagEnd state by state, and remembers how far it came. b may be
// less of the page than it was then.
func (m *machine) slowTagEnd(b []byte, i, from int) (int, bool) {
	if from > len(b) {
		return 0, false
	}
	state := m.tagState
	if m.tagSeen == 0 {
		state = inTagName
	}
	end, state, ok := findTagEnd(b, from, state)
	if !ok {
		m.tagSeen, m.tagState = end-i, state
		return 0, false
	}
	m.tagSeen = 0
	if end-i >= m.maxToken {
		m.lose(TooLarge)
	}
	return end, true
}

// short takes the token at i where fewer bytes follow than the fast way reads.
func (m *machine) short(w *window, b []byte, i int) (int, bool) {
	if len(b)-i < 2 {
		return i, false
	}
	switch c := b[i+1]; {
	case isLetter(c):
		key, end, ok := m.longTag(w, b, i, 1)
		if !ok {
			return i, false
		}
		m.tag = tag{raw: b[i : end+1], key: key, name: nameEnd(b, i+1) - i}
		m.at = i
		m.startTag(w, end)
		return end + 1, true
	case c == '/':
		if len(b)-i < 3 {
			return i, false
		}
		if !isLetter(b[i+2]) {
			return m.markup(b, i)
		}
		key, end, ok := m.longTag(w, b, i, 2)
		if !ok {
			return i, false
		}
		m.tag = tag{raw: b[i : end+1], key: key, kind: key.kind(), name: nameEnd(b, i+2) - i, end: true}
		m.isTag, m.at = true, i
		m.takeEnd()
		return end + 1, true
	}
	return m.markup(b, i)
}
