package rewrite

import (
	"encoding/binary"
	"math/bits"
)

// usual says whether the machine is where most of a page is: in the body or a
// cell, with nothing that the next text or tag would set in motion.
func (m *machine) usual() bool {
	switch m.mode {
	case inBody, inCell, inCaption:
	default:
		return false
	}
	return m.text == dataText && m.loose == 0 && !m.pending && !m.framesetOK && m.newline == keepNewline &&
		m.inserted == nil && m.linked == nil && !m.every && m.lost == "" && !m.run && m.tagSeen == 0 && quickTop(m.top())
}

// quickTop says whether skim can go on within an element.
func quickTop(e *element) bool {
	return e.space == spaceHTML || e.space == spaceSVG && e.props == 0
}

// skim takes the tokens that are as usual: start tags that put an element in and
// do nothing else, end tags of the current node. It returns where the first is
// that isn't, or len(b). It does what start and end would do, and no more than a
// few comparisons beside.
func (m *machine) skim(w *window, b []byte, i int) int {
	t := &m.tree
	top := t.top()
	for {
		i = w.nextLT(b, i, m.mark)
		if len(b)-i < 16 {
			return i
		}
		x := binary.LittleEndian.Uint64(b[i+1:])
		if byte(x) == '/' {
			x = binary.LittleEndian.Uint64(b[i+2:])
			n := (bits.Len64(uint64(top.key)) + 7) / 8
			name := uint64(top.key) | '>'<<(8*n)
			if x&(1<<(8*n+8)-1) != name || n == 8 || t.depth-1 <= t.floor {
				return i
			}
			switch {
			case top.props&plainEnd != 0 || top.space != spaceHTML:
			case top.kind == kindP:
				t.paragraphs--
			case top.props&formatting != 0 && t.actives > 0 && t.active[t.actives-1].id == top.id:
				t.actives--
			default:
				return i
			}
			i += n + 3
			t.depth--
			if top = t.top(); !quickTop(top) {
				return i
			}
			continue
		}
		key, n := shortName(b[i+1:])
		if n == 0 {
			return i
		}
		slot := key.find()
		end := i + 1 + n
		if b[end] != '>' {
			from := end
			if end = w.quickTagEnd(b, end, m.mark); end < 0 || m.attribute != "" && !w.unmarked(from, end) || end-i >= m.maxToken {
				return i
			}
		}
		if top.space != spaceHTML {
			if slot.key != 0 || key == keyDesc {
				return i
			}
			if b[end-1] == '/' {
				if c := b[end-2]; c != '"' && c != ' ' && c != '\'' && end-1 != i+1+n {
					return i
				}
				i = end + 1
				continue
			}
			if t.depth >= maxDepth {
				return i
			}
			t.lastID++
			top = &t.open[t.depth]
			*top = element{key: key, id: t.lastID, space: spaceSVG}
			t.depth++
			i = end + 1
			continue
		}
		switch slot.quick {
		case quickPush:
		case quickBlock:
			if t.paragraphs > 0 {
				return i
			}
			if slot.kind == kindP {
				t.paragraphs++
			}
		case quickHeading:
			if t.paragraphs > 0 || top.kind == kindHeading {
				return i
			}
		case quickItem:
			if t.paragraphs > 0 || top.kind != kindUl && top.kind != kindOl && top.key != keyDl {
				return i
			}
		case quickFormat:
			attributes := uint64(0)
			if e := i + 1 + n; e != end {
				attributes = hashBytes(b[e:end])
			}
			if !t.activateQuickly(slot, key, attributes) {
				return i
			}
		case quickVoid:
			i = end + 1
			continue
		case quickRule:
			if t.paragraphs > 0 {
				return i
			}
			i = end + 1
			continue
		default:
			return i
		}
		if t.depth >= maxDepth {
			return i // the long way, to say so
		}
		t.lastID++
		top = &t.open[t.depth]
		*top = element{key: key, id: t.lastID, kind: slot.kind, props: slot.props}
		t.depth++
		i = end + 1
	}
}

// activateQuickly makes the element that comes next an active formatting one,
// unless that takes more than adding it.
func (t *tree) activateQuickly(slot *kindSlot, key nameKey, attributes uint64) bool {
	if t.actives >= maxActive || t.depth >= maxDepth {
		return false
	}
	same := 0
	for i := t.actives - 1; i >= 0 && t.active[i].id != 0; i-- {
		if t.active[i].key == key {
			if same++; slot.kind == kindA || same == 3 {
				return false
			}
		}
	}
	t.active[t.actives] = activeElement{element{key: key, id: t.lastID + 1, kind: slot.kind, props: slot.props}, attributes}
	t.actives++
	return true
}

// quickTagEnd finds the '>' of a tag whose name ends at p, if its attributes are
// as usual: a name, '=' and a value, in double quotes or without any. Else it
// gives -1.
func (w *window) quickTagEnd(b []byte, p int, mark markSearch) int {
	for {
		e := w.nextTag(b, p, mark)
		if e >= len(b)-1 {
			if e < len(b) && b[e] == '>' {
				return e
			}
			return -1
		}
		switch b[e] {
		case '>':
			return e
		case '=':
			if c := b[e-1]; e == p || isSpace(c) || c == '/' {
				return -1
			}
			switch c := b[e+1]; {
			case c == '"':
				p = w.nextQuote(b, e+2, mark) + 1
			case c == '\'' || isSpace(c):
				return -1
			default:
				for p = e + 1; p < len(b) && b[p] != '>' && !isSpace(b[p]); {
					p++
				}
			}
			if p >= len(b) {
				return -1
			}
		default:
			return -1
		}
	}
}
