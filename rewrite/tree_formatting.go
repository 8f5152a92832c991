package rewrite

import (
	"encoding/binary"
	"slices"
)

// isOpen says whether an element is among the open ones.
func (t *tree) isOpen(id uint32) bool { return t.indexOf(id) >= 0 }

func (t *tree) indexOf(id uint32) int {
	for i := t.depth - 1; i >= 0; i-- {
		if t.open[i].id == id {
			return i
		}
	}
	return -1
}

// repend finds out whether the last active formatting element is closed.
func (t *tree) repend() {
	t.pending = false
	if n := t.actives; n > 0 && t.active[n-1].id != 0 {
		t.pending = !t.isOpen(t.active[n-1].id)
	}
	if t.loose > 0 {
		t.loose = 0
		for i := range t.active[:t.actives] {
			if id := t.active[i].id; id != 0 && !t.isOpen(id) {
				t.loose++
			}
		}
	}
}

// reconstruct opens the closed ones of the active formatting elements (13.2.4.3).
func (t *tree) reconstruct() {
	if !t.pending {
		return
	}
	i := t.actives - 1
	for i > 0 && t.active[i-1].id != 0 && !t.isOpen(t.active[i-1].id) {
		i--
	}
	if t.moved != nil {
		t.moved() // copies have attributes that are not at hand any more
	}
	for ; i < t.actives; i++ {
		a := &t.active[i]
		t.place()
		a.element = *t.push(a.key, a.kind, nil)
	}
	t.repend()
}

// marker keeps what is formatted outside an element out of it.
func (t *tree) marker() { t.activate(activeElement{}) }

func (t *tree) activate(a activeElement) {
	if t.actives >= maxActive {
		t.lose(TooDeep)
		return
	}
	t.active[t.actives] = a
	t.actives++
	t.pending = false
}

// deactivate takes active[i] out.
func (t *tree) deactivate(i int) {
	copy(t.active[i:], t.active[i+1:t.actives])
	t.actives--
	t.repend()
}

// clearActive forgets the formatting elements up to the last marker.
func (t *tree) clearActive() {
	for t.actives > 0 {
		t.actives--
		if t.active[t.actives].id == 0 {
			break
		}
	}
	t.repend()
}

// lastActive is the index of the last active formatting element of a name since
// the last marker, or -1.
func (t *tree) lastActive(key nameKey) int {
	for i := t.actives - 1; i >= 0 && t.active[i].id != 0; i-- {
		if t.active[i].key == key {
			return i
		}
	}
	return -1
}

func (t *tree) formattingStart(g *tag) {
	switch g.kind {
	case kindA:
		if i := t.lastActive(g.key); i >= 0 {
			id := t.active[i].id
			t.adopt(g.key)
			if i := slices.IndexFunc(t.active[:t.actives], func(a activeElement) bool { return a.id == id }); i >= 0 {
				t.deactivate(i)
			}
			if i := t.indexOf(id); i >= 0 {
				t.remove(i)
				t.repend()
			}
		}
		t.reconstruct()
	case kindNobr:
		t.reconstruct()
		if t.find(defaultScope, g.key) >= 0 {
			t.adopt(g.key)
			t.reconstruct()
		}
	default:
		t.reconstruct()
	}
	e := t.bodyPush(g)
	a := activeElement{element: *e}
	if g.kind != kindA { // of which there is never more than one
		a.attributes = hashBytes(g.raw[g.name : len(g.raw)-1])
	}
	// Of four alike, only the last three are kept ("the Noah's Ark clause").
	same, alike, first, named := 0, 0, 0, 0
	for i := t.actives - 1; i >= 0 && t.active[i].id != 0; i-- {
		if o := &t.active[i]; o.key == a.key {
			named++
			same++
			if o.attributes == a.attributes {
				alike++
				first = i
			} else if o.attributes == 0 || a.attributes == 0 {
				same--
			}
		}
	}
	if named >= 3 {
		t.crowds++
	}
	switch {
	case alike >= 3:
		t.deactivate(first)
	case same >= 3:
		t.lose(Misnested) // alike, if the same attributes are written differently
	}
	t.activate(a)
}

// hashBytes is zero where there are no attributes.
func hashBytes(b []byte) uint64 {
	for len(b) > 0 && (isSpace(b[0]) || b[0] == '/') {
		b = b[1:]
	}
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	if len(b) == 0 {
		return 0
	}
	h := uint64(0)
	for len(b) >= 8 {
		h = (h ^ binary.LittleEndian.Uint64(b)) * 0x9e3779b97f4a7c15
		h ^= h >> 29
		b = b[8:]
	}
	last := uint64(0)
	for i, c := range b {
		last |= uint64(c) << (8 * i)
	}
	h = (h ^ last) * 0x9e3779b97f4a7c15
	return h ^ h>>29 | 1
}

func (t *tree) formattingEnd(key nameKey) { t.adopt(key) }

// adopt is the adoption agency algorithm (13.2.6.4.7), without the document.
func (t *tree) adopt(subject nameKey) {
	top := t.top()
	if top.key == subject && top.space == spaceHTML && !t.isActive(top.id) {
		t.pop()
		return
	}
	for range 8 {
		at := t.lastActive(subject)
		if at < 0 {
			t.otherEnd(subject)
			return
		}
		formatter := t.active[at]
		from := t.indexOf(formatter.id)
		if from < 0 {
			t.deactivate(at)
			return
		}
		if !t.inScope(from) {
			return
		}
		block := -1
		for i := from + 1; i < t.depth; i++ {
			if t.open[i].kind == kindDialog || t.open[i].kind == kindSearch {
				t.lose(Ambiguous)
				return
			}
			if t.open[i].props&special != 0 {
				block = i
				break
			}
		}
		if block < 0 {
			t.truncate(from)
			t.deactivate(at)
			return
		}
		t.adoptBlock(at, from, block)
	}
}

// formats says whether a formatting element is open whose end tag could move
// the element that comes next.
func (t *tree) formats() bool { return t.actives > 0 && t.active[t.actives-1].id != 0 }

// inScope says whether no search from the current node ends before open[i].
func (t *tree) inScope(i int) bool {
	for n := t.depth - 1; n > i; n-- {
		if !defaultScope.crosses(&t.open[n]) {
			return false
		}
	}
	return true
}

func (t *tree) isActive(id uint32) bool {
	for i := range t.active[:t.actives] {
		if t.active[i].id == id {
			return true
		}
	}
	return false
}

// adoptBlock is one round of the outer loop of adopt, from step 10 on: the
// block is moved out of the formatting element, which gets a copy within it.
func (t *tree) adoptBlock(at, from, block int) {
	t.touch(from)
	if t.moved != nil {
		t.moved()
	}
	formatter := t.active[at]
	id := t.open[block].id
	bookmark := at
	last := id
	for count, node := 1, block-1; node > from; node-- {
		e := t.open[node]
		i := slices.IndexFunc(t.active[:t.actives], func(a activeElement) bool { return a.id == e.id && a.id != 0 })
		if count > 3 && i >= 0 {
			t.deactivate(i)
			if i < bookmark {
				bookmark--
			}
			i = -1
		}
		count++
		if i < 0 {
			t.remove(node)
			continue
		}
		t.lastID++
		t.open[node].id = t.lastID
		t.active[i].id = t.lastID
		if last == id {
			bookmark = i + 1
		}
		last = t.lastID
	}
	t.adoptPlace(from - 1)
	block = t.indexOf(id)
	// The copy takes the formatting element's place at the bookmark, and stands
	// within the block.
	t.lastID++
	formatter.id = t.lastID
	at = slices.IndexFunc(t.active[:t.actives], func(a activeElement) bool { return a.id == t.open[from].id })
	copy(t.active[at:], t.active[at+1:t.actives])
	t.actives--
	if at < bookmark {
		bookmark--
	}
	copy(t.active[bookmark+1:], t.active[bookmark:t.actives])
	t.active[bookmark] = formatter
	t.actives++
	copy(t.open[from:], t.open[from+1:t.depth]) // the formatting element goes
	copy(t.open[block+1:], t.open[block:t.depth-1])
	t.open[block] = formatter.element
	t.repend()
}

// adoptPlace accounts for the block being put into open[ancestor], or before
// the table that it is of.
func (t *tree) adoptPlace(ancestor int) {
	if t.open[ancestor].props&fosters == 0 || t.open[ancestor].space != spaceHTML {
		return
	}
	for i := t.depth - 1; i >= 0; i-- {
		if e := &t.open[i]; e.space == spaceHTML && (e.kind == kindTable || e.kind == kindTemplate) {
			if e.kind == kindTable && i <= t.floor {
				t.escape(Misnested)
			}
			return
		}
	}
	t.escape(Misnested)
}
