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
	implied := uint(0) // 1 while the tag at hand has closed a p and isn't taken yet
	if i < w.base || i >= w.base+w.size {
		if i == len(b) {
			return i
		}
		w.fill(b, i, m.mark)
	}
	k := w.seek(i) // of the places: the next
	page, at, size := b[w.base:w.base+w.size], &w.at, uint(w.size)
	for {
		from := i
		for uint(at[k]) < size && page[at[k]] != '<' {
			k++
		}
		if i = w.base + int(at[k]); uint(at[k]) >= size {
			i = max(from, i) // an end tag may go beyond the window
			if t.among() && !isBlank(b[from:i]) {
				i = from // it is put elsewhere
				break
			}
			if i == len(b) {
				break
			}
			w.fill(b, i, m.mark)
			k, page, size = 0, b[w.base:w.base+w.size], uint(w.size)
			continue
		}
	found: // page[at[k]], which is b[i], is the first '<' since from
		if t.mode != inBody && t.among() && !isBlank(b[from:i]) {
			i = from
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
			k += 2
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
		slot := key.find()
		j := k + 1
		if uint(at[j]) >= size || uint(at[j]) != uint(at[k])+1+uint(n) { // what ends a name and is a place is '>'
			if j = w.quickTagEnd(page, j, uint(at[k])+1+uint(n)); j == 0 {
				break
			}
			if uint(at[j]) >= size {
				if k == 0 && at[0] == 0 {
					break // longer than a window
				}
				w.fill(b, i, m.mark)
				k, page, size = 0, b[w.base:w.base+w.size], uint(w.size)
				continue
			}
			if end := w.base + int(at[j]); marks && end > w.clear && !w.unmarked(i, end) || end-i >= m.maxToken {
				break
			}
		}
		end := w.base + int(at[j])
		if top.space != spaceHTML {
			if slot.key != 0 || key == keyDesc || depth >= maxDepth {
				break
			}
			k = j + 1
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
		if q&notQuick != 0 || t.mode != inBody && t.among() && slot.kind != kindTd && slot.kind != kindTr {
			break
		}
		if q&quickFlat != 0 && paragraphs > 0 {
			if top.kind != kindP || depth-1 <= floor || t.open[(depth-2)%openSize].space != spaceHTML {
				break
			}
			paragraphs-- // its end is implied
			depth--
			implied = 1
			top = &t.open[(depth-1)%openSize]
		}
		if q&quickLeaf != 0 {
			implied = 0
			i = end + 1
			k = j + 1
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
		implied = 0
		for k = j + 1; uint(at[k]) < size && page[at[k]] != '<'; {
			k++
		}
		next := w.base + int(at[k])
		// Most elements have text alone: then nothing stays open. A row puts it elsewhere.
		if slot.kind != kindTr && len(b)-next >= 16 && b[next+1] == '/' && (binary.LittleEndian.Uint64(b[next+2:])^uint64(key)^'>'<<(8*n))<<(56-8*n) == 0 && uint(at[k]) < size {
			i = next + n + 3
			k += 2
			top = &t.open[(depth-1)%openSize]
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
		if i = end + 1; uint(at[k]) < size {
			from, i = i, next
			goto found
		}
	}
done:
	w.k = min(k, w.n)
	t.depth, t.paragraphs = int(depth+implied), paragraphs+int(implied)
	return i
}

// among says whether the machine is between cells or rows.
func (t *tree) among() bool { return t.mode == inRow || t.mode == inTableBody }

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

// seek is the first place of the window from b[i] on. It never goes back.
func (w *window) seek(i int) int {
	k := w.k
	for k < w.n && int(w.at[k]) < i-w.base {
		k++
	}
	w.k = k
	return k
}

// quickTagEnd finds which place is the '>' of a tag, if its attributes are as
// usual: a name, '=' and a value. j is the first place after the tag's name,
// which ends at page[p]. It gives a place beyond the window if the tag goes
// on there, and 0 if something is unusual.
func (w *window) quickTagEnd(page []byte, j int, p uint) int {
	at := &w.at
	for {
		e := uint(at[j])
		if e+1 >= uint(len(page)) {
			if e < uint(len(page)) && page[e] != '>' {
				return w.n
			}
			return j
		}
		c := page[e]
		if c == '>' {
			return j
		}
		// Names end in letters, digits, '-' and such.
		if before := page[e-1]; c != '=' || e == p || before <= ' ' || before == '/' {
			return 0
		}
		if c = page[e+1]; c == '"' {
			for j += 2; uint(at[j]) < uint(len(page)) && page[at[j]] != '"'; {
				j++
			}
			p = uint(at[j]) + 1
			if p > uint(len(page)) {
				return j
			}
			j++
			continue
		}
		if c <= ' ' {
			return 0
		}
		if c == '\'' {
			k := bytes.IndexByte(page[e+2:], '\'')
			if k < 0 {
				return w.n
			}
			p = e + 3 + uint(k)
		} else {
			for p = e + 1; p < uint(len(page)) && page[p] != '>' && !isSpace(page[p]); {
				if page[p] == '"' || page[p] == '\'' {
					return 0 // a '/' that follows it is of the value
				}
				p++
			}
		}
		for j++; uint(at[j]) < p && uint(at[j]) < uint(len(page)); {
			j++
		}
	}
}
