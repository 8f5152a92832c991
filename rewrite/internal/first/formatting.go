package first

import "slices"

// isOpen says whether an element is among the open ones.
func (t *tracker) isOpen(id int) bool {
	return slices.ContainsFunc(t.open, func(e element) bool { return e.id == id })
}

// pending says whether formatting elements will be opened anew before the next
// text or inline element.
func (t *tracker) pending() bool {
	n := len(t.active)
	return n > 0 && t.active[n-1].id != 0 && !t.isOpen(t.active[n-1].id)
}

// reconstruct opens the pending formatting elements (13.2.4.3).
func (t *tracker) reconstruct() {
	if !t.pending() {
		return
	}
	t.odd++
	if t.inTable() {
		t.lose(Table) // they would be foster-parented
		return
	}
	i := len(t.active) - 1
	for i > 0 && t.active[i-1].id != 0 && !t.isOpen(t.active[i-1].id) {
		i--
	}
	for ; i < len(t.active); i++ {
		t.active[i] = t.push(t.active[i].name)
	}
}

// marker keeps what is formatted outside an element out of it.
func (t *tracker) marker() { t.active = append(t.active, element{}) }

// clearActive forgets the formatting elements up to the last marker.
func (t *tracker) clearActive() {
	for n := len(t.active) - 1; n >= 0; n-- {
		last := t.active[n]
		if t.active = t.active[:n]; last.id == 0 {
			return
		}
	}
}

// lastActive is the index of the last active formatting element of the name
// since the last marker, or -1, and how many of the name there are.
func (t *tracker) lastActive(name string) (index, count int) {
	index = -1
	for i, e := range slices.Backward(t.active) {
		if e.id == 0 {
			break
		}
		if e.name != name {
			continue
		}
		if count++; index < 0 {
			index = i
		}
	}
	return index, count
}

func (t *tracker) formattingStart(name string) {
	switch i, count := t.lastActive(name); {
	case name == "a" && i >= 0:
		t.odd++
		e := t.active[i]
		t.formattingEnd("a")
		is := func(o element) bool { return o.id == e.id }
		t.active = slices.DeleteFunc(t.active, is)
		t.open = slices.DeleteFunc(t.open, is)
	case name == "nobr" && t.find(defaultScope, "nobr") >= 0:
		t.lose(Misnested)
	case count >= 3:
		t.lose(Misnested) // the fourth drops the first if their attributes are equal
	}
	t.reconstruct()
	t.active = append(t.active, t.push(name))
}

// formattingEnd is the adoption agency algorithm (13.2.6.4.7) as far as it
// moves no block.
func (t *tracker) formattingEnd(name string) {
	top := len(t.open) - 1
	if top >= 0 && t.open[top].name == name && !slices.Contains(t.active, t.open[top]) {
		t.open = t.open[:top]
		return
	}
	i, _ := t.lastActive(name)
	if i < 0 {
		t.otherEnd(name)
		return
	}
	e := t.active[i]
	at := slices.Index(t.open, e)
	if at < 0 {
		t.odd++
		t.active = slices.Delete(t.active, i, i+1)
		return
	}
	if t.find(defaultScope, name) < 0 {
		t.odd++
		return
	}
	for _, within := range t.open[at+1:] {
		if isSpecial(within.name) || isRecent(within.name) {
			t.lose(Misnested)
			return
		}
	}
	t.closeAt(at)
	t.active = slices.Delete(t.active, i, i+1)
}
