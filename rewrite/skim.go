package rewrite

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// usual says whether the machine is where most of a page is: in the body or
// among cells, with nothing that the next text or tag would set in motion.
func (m *machine) usual() bool {
	switch m.mode {
	case inBody, inCell, inCaption:
	case inRow, inTableBody:
		if k := m.top().kind; k != kindTr && k != kindTbody {
			return false
		}
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
// that isn't, or len(b). It does what start and end would do, and little more
// than a few comparisons beside.
func (m *machine) skim(w *window, b []byte, i int) int {
	t := &m.tree
	depth, paragraphs, floor := uint(t.depth), t.paragraphs, uint(t.floor)
	top := &t.open[(depth-1)%openSize]
	marks := m.attribute != ""
	for {
		from := i
		if k := uint(i - w.base); k < uint(w.size) && w.lt.ahead(k) != 0 {
			i += bits.TrailingZeros64(w.lt.ahead(k))
		} else {
			i = w.nextLT(b, i, m.mark)
		}
	found: // b[i] is the first '<' since from
		if t.mode != inBody && (t.mode == inRow || t.mode == inTableBody) && !isBlank(b[from:i]) {
			i = from // it is put elsewhere
			break
		}
		if len(b)-i < 16 {
			break
		}
		x := binary.LittleEndian.Uint64(b[i+1:])
		if byte(x) == '/' {
			x = binary.LittleEndian.Uint64(b[i+2:])
			bitLen := uint(bits.Len64(uint64(top.key))+7) &^ 7
			if (x^uint64(top.key)^'>'<<bitLen)<<(56-bitLen) != 0 || bitLen > 56 || depth-1 <= floor {
				break
			}
			switch {
			case top.props&plainEnd != 0 || top.space != spaceHTML:
			case top.kind == kindP:
				paragraphs--
			case top.props&formatting != 0 && t.actives > 0 && t.active[t.actives-1].id == top.id:
				t.actives--
			case top.kind == kindTd && t.mode == inCell && t.actives > 0 && t.active[t.actives-1].id == 0:
				t.actives--
				t.mode = inRow
			case top.kind == kindTr && t.mode == inRow:
				t.mode = inTableBody
			default:
				goto done
			}
			i += int(bitLen/8) + 3
			depth--
			if top = &t.open[(depth-1)%openSize]; top.space != spaceHTML && !quickTop(top) {
				break
			}
			continue
		}
		key, n := shortName(x)
		if n == 0 || byte(x)-'a' >= 26 {
			break
		}
		end := i + 1 + n
		if b[end] != '>' {
			name := end
			if end = w.quickTagEnd(b, end, m.mark); end < 0 || marks && (name < w.base || end > w.clear) && !w.unmarked(name, end) || end-i >= m.maxToken {
				break
			}
		}
		slot := key.find()
		if top.space != spaceHTML {
			if slot.key != 0 || key == keyDesc || depth >= maxDepth {
				break
			}
			if b[end-1] == '/' {
				if c := b[end-2]; c != '"' && c != ' ' && c != '\'' && end-1 != i+1+n {
					break
				}
				i = end + 1
				continue
			}
			t.lastID++
			top = &t.open[depth%openSize]
			*top = element{key: key, id: t.lastID, space: spaceSVG}
			depth++
			i = end + 1
			continue
		}
		q := slot.quick
		if q&notQuick != 0 || t.mode != inBody && (t.mode == inRow || t.mode == inTableBody) && slot.kind != kindTd && slot.kind != kindTr {
			break
		}
		if q&quickFlat != 0 && paragraphs > 0 {
			if top.kind != kindP || depth-1 <= floor || t.open[(depth-2)%openSize].space != spaceHTML {
				break
			}
			paragraphs-- // its end is implied
			depth--
			top = &t.open[(depth-1)%openSize]
		}
		if q&quickLeaf != 0 {
			i = end + 1
			continue
		}
		if depth >= maxDepth {
			break // the long way, to say so
		}
		if q&quickRare != 0 {
			switch slot.kind {
			case kindHeading:
				if top.kind == kindHeading {
					goto done
				}
			case kindLi, kindDd, kindDt:
				if top.kind == slot.kind && depth-1 > floor && t.open[(depth-2)%openSize].space == spaceHTML {
					depth-- // its end is implied
				} else if top.kind != kindUl && top.kind != kindOl && top.key != keyDl {
					goto done
				}
			case kindTd:
				if t.mode != inRow || t.actives >= maxActive {
					goto done
				}
			case kindTr:
				if t.mode != inTableBody {
					goto done
				}
			default:
				if !t.mayActivate(slot.kind, key) {
					goto done
				}
			}
		}
		// Most elements have text alone: then nothing stays open.
		next := end + 1
		if k := uint(next - w.base); k < uint(w.size) && w.lt.ahead(k) != 0 {
			next += bits.TrailingZeros64(w.lt.ahead(k))
		} else {
			next = w.nextLT(b, next, m.mark)
		}
		if len(b)-next >= 16 && b[next+1] == '/' && (binary.LittleEndian.Uint64(b[next+2:])^uint64(key)^'>'<<(8*n))<<(56-8*n) == 0 {
			i = next + n + 3
			continue
		}
		t.lastID++
		if q&quickRare != 0 {
			switch {
			case slot.kind == kindTr:
				t.mode = inRow
			case slot.kind == kindTd:
				t.active[t.actives] = activeElement{}
				t.actives++
				t.mode = inCell
			case slot.props&formatting != 0:
				a := activeElement{element: element{key: key, id: t.lastID, kind: slot.kind, props: slot.props}}
				if name := i + 1 + n; name != end && slot.kind != kindA {
					a.attributes = hashBytes(b[name:end])
				}
				t.active[t.actives] = a
				t.actives++
			}
		}
		paragraphs += int(q & quickP)
		top = &t.open[depth%openSize]
		*top = element{key: key, id: t.lastID, kind: slot.kind, props: slot.props}
		depth++
		from, i = end+1, next
		goto found
	}
done:
	t.depth, t.paragraphs = int(depth), paragraphs
	return i
}

func isBlank(b []byte) bool {
	for _, c := range b {
		if !isSpace(c) {
			return false
		}
	}
	return true
}

// mayActivate says whether an element can be made an active formatting one
// without anything else to be done.
func (t *tree) mayActivate(kind kind, key nameKey) bool {
	if t.actives >= maxActive {
		return false
	}
	same := 0
	for i := t.actives - 1; i >= 0 && t.active[i].id != 0; i-- {
		if t.active[i].key == key {
			if same++; kind == kindA || same == 3 {
				return false
			}
		}
	}
	return true
}

// quickTagEnd finds the '>' of a tag whose name ends at p, if its attributes are
// as usual: a name, '=' and a value. Else it
// gives -1.
func (w *window) quickTagEnd(b []byte, p int, mark markSearch) int {
	for {
		e := p
		if k := uint(e - w.base); k < uint(w.size) && w.tag.ahead(k) != 0 {
			e += bits.TrailingZeros64(w.tag.ahead(k))
		} else {
			e = w.nextTag(b, p, mark)
		}
		if e+1 >= len(b) {
			return -1
		}
		c := b[e]
		if c == '>' {
			return e
		}
		// Names end in letters, digits, '-' and such.
		if before := b[e-1]; c != '=' || e == p || before <= ' ' || before == '/' {
			return -1
		}
		if c = b[e+1]; c == '"' {
			p = e + 2
			if k := uint(p - w.base); k < uint(w.size) && w.quote.ahead(k) != 0 {
				p += bits.TrailingZeros64(w.quote.ahead(k)) + 1
			} else {
				p = w.nextQuote(b, p, mark) + 1
			}
		} else {
			if c <= ' ' {
				return -1
			}
			if c == '\'' {
				k := bytes.IndexByte(b[e+2:], '\'')
				if k < 0 {
					return -1
				}
				p = e + 3 + k
				continue
			}
			for p = e + 1; p < len(b) && b[p] != '>' && !isSpace(b[p]); {
				p++
			}
		}
		if p >= len(b) {
			return -1
		}
	}
}
