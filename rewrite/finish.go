package rewrite

import "bytes"

// finish decides on a region whose end, or something that rules it out, the
// last token was.
func (r *Reader) finish() {
	m, g := &r.machine, &r.region
	s := &r.sightings[g.surface]
	own := m.isTag && m.tag.end && m.tag.key == g.key && m.depth == g.floor
	switch {
	case m.escaped != "":
		r.release(m.escaped)
		return
	case s.Operation == Shadow:
		r.finishShadow()
		return
	case !m.isTag, !own && kindProps[g.kind]&optional == 0:
		r.release(Unclosed)
		return
	}
	if s.Operation == Auto {
		r.detect(r.taken)
		operation, why := chooseOperation(r.detector.mayHydrate(), s.Element)
		s.Operation = operation
		if why != "" {
			r.release(why)
			return
		}
		if operation == Shadow {
			r.finishShadow()
			return
		}
	}
	content, why := r.content()
	if why == "" {
		why = r.decide(s.Operation, content, own)
	}
	if why == Ambiguous && own && (s.Operation == Inner || s.Operation == Text) {
		g.last, g.tail = true, m.at // it doesn't matter if nothing follows
		m.floor, m.left = 0, false
		return
	}
	if why != "" {
		r.release(why)
		return
	}
	if s.Operation == Inner {
		r.settle(g.content) // of what was Auto the start tag is held
	}
	switch s.Operation {
	case Before, Prepend:
		r.insert(content, r.settled)
	case Append:
		r.insert(content, m.at)
	case After:
		r.insert(content, r.taken)
	case Attr:
		r.editTag()
	case Outer, Remove:
		if own {
			r.replace(content, r.taken)
		} else {
			r.replace(content, m.at)
		}
	default:
		r.replace(content, m.at)
	}
	r.conclude()
}

// decide says why the content can't be put in, now that the region's end is known.
func (r *Reader) decide(op Operation, content []byte, own bool) Reason {
	m, g := &r.machine, &r.region
	only := r.program.surfaces[g.surface].only
	switch op {
	case Before, Prepend:
		return "" // it was tried at the start; now the element was not moved
	case Attr, After, Append:
		// The page's own content stays. It must have left the parser as it began.
		if !r.closesAlike() {
			return Ambiguous
		}
		switch {
		case op == Attr && m.crowds != r.start.crowds:
			return Misnested // it may come to be one of three alike
		case op == Attr:
			return ""
		case op == After && !own, op == Append && m.before.depth != g.floor+1:
			return Unclosed
		case op == Append && (m.before.pending || m.before.mode != r.start.mode):
			return Ambiguous // what is opened anew there, or where a comment goes to
		case op == Append:
			return r.try(content, g.floor)
		}
		r.start.copyFrom(&m.tree)
		return r.try(content, m.depth-1)
	}
	t := &r.trial
	t.branch(&r.start)
	outer := op == Outer || op == Remove
	if t.floor = g.floor; outer {
		t.floor--
	}
	if !only && !t.takeAll(&r.aside, content) || !only && outer && !t.same(&r.start.tree) {
		return Fragment
	}
	t.floor, t.left = 0, false
	if !outer || !own {
		r.feed(t)
	}
	switch {
	case t.same(&m.tree):
	case !outer && r.closesAlike():
		return Fragment // the page's content is not what is in the way
	default:
		return Ambiguous
	}
	if (t.framesetOK || m.framesetOK) && !(only && op != Remove) {
		return Frameset
	}
	return ""
}

// closesAlike says whether the region's content left the parser as no content
// would have.
func (r *Reader) closesAlike() bool {
	t := &r.trial
	t.branch(&r.start)
	r.feed(t)
	return t.same(&r.machine.tree)
}

// feed gives a trial the machine's last tag.
func (r *Reader) feed(t *machine) {
	m := &r.machine
	if g := &m.tag; g.end {
		t.end(g)
	} else {
		t.lastID, t.raw = m.before.lastID, 0
		t.start(g)
	}
}

// finishShadow puts a shadow root into the region, whose content stays. Its end
// was taken: before, it could still bring a shadow root of its own.
func (r *Reader) finishShadow() {
	g := &r.region
	s := &r.program.surfaces[g.surface]
	content, why := r.content()
	if why == "" && !s.only {
		start := r.buf[g.start:g.content]
		host := tag{raw: start, key: g.key, kind: g.kind, name: nameEnd(start, 1)}
		content = r.make(func(dst []byte) []byte { return s.shadow.append(dst, content, &host, r.sheets) })
		why = r.try(content, g.floor-1)
	}
	if why != "" {
		r.release(why)
		return
	}
	if s.Replace {
		r.settle(g.content)
		r.put(content, g.content)
	}
	r.conclude()
}

// longestEnd is how much may follow the last region of a page, in bytes.
const longestEnd = 128

// mayEnd says whether what was received after the region's end may be the end
// of the page: nothing but </body> and </html>, whole or begun, and few of them.
func (r *Reader) mayEnd() bool {
	rest := r.buf[r.taken:]
	if len(rest) > longestEnd {
		return false
	}
	for len(rest) > 0 {
		n := 0
		for _, end := range [...]string{"</body>", "</html>"} {
			if k := min(len(rest), len(end)); foldedEqual(rest[:k], end[:k]) {
				n = k
			}
		}
		if n == 0 {
			return false
		}
		rest = rest[n:]
	}
	return true
}

// finishAtEnd decides on a region that the end of the page finds held.
//
// One that is closed left the parser in a state that would show in what
// follows, but nothing does. One that is still open has all since for its
// content by the rules of the parser. That is enough to put a shadow root before
// it; but only where its own end tag is the last thing on the page, apart from
// those of body and html, is that what was meant to be replaced.
func (r *Reader) finishAtEnd() {
	m, g := &r.machine, &r.region
	op := r.sightings[g.surface].Operation
	m.flush()
	if m.escaped != "" || m.lost != "" || m.text == noscriptText {
		return
	}
	if op == Shadow {
		r.finishShadow()
	}
	if op != Inner && op != Text {
		return
	}
	cut, ends := g.tail, r.buf[r.taken:]
	if !g.last {
		if cut, ends = r.lastEnd(); cut < 0 {
			return
		}
	} else if len(ends) > 0 && ends[len(ends)-1] != '>' {
		return
	}
	content, why := r.content()
	if why == "" && !r.program.surfaces[g.surface].only {
		t := &r.trial
		t.branch(&r.start)
		t.floor = g.floor
		if !t.takeAll(&r.aside, content) {
			why = Fragment
		} else if t.end(&tag{key: g.key, kind: g.kind, end: true}); t.depth != g.floor || t.escaped != "" || t.lost != "" {
			why = Fragment // the region's own end tag must be what ends it, as before
		}
	}
	if why != "" {
		r.release(why)
		return
	}
	if r.program.surfaces[g.surface].Replace {
		r.settle(g.content) // of what was Auto the start tag is held
		r.put(content, cut)
		r.settle(cut + bytes.IndexByte(r.buf[cut:], '>') + 1)
		end := len(bytes.TrimRight(r.buf, whiteSpace))
		for len(ends) > 0 {
			r.settled = end - len(ends)
			n := bytes.IndexByte(ends, '>') + 1
			r.settle(r.settled + n)
			ends = bytes.TrimLeft(ends[n:], whiteSpace)
		}
		r.settled = len(r.buf)
	}
	r.conclude()
}

const whiteSpace = " \t\n\r\f"

// lastEnd finds the region's own end tag as the last thing of what is held, and
// the end tags of body and html after it. White space between them is content
// of the region like all else.
func (r *Reader) lastEnd() (cut int, ends []byte) {
	held := r.buf[r.region.content:]
	rest := bytes.TrimRight(held, whiteSpace)
	to := len(rest)
	for {
		k := bytes.LastIndex(rest, []byte("</"))
		if k < 0 || rest[len(rest)-1] != '>' {
			return -1, nil
		}
		name := bytes.TrimRight(rest[k+2:len(rest)-1], whiteSpace)
		if len(name) == 0 || nameEnd(name, 0) < len(name) {
			return -1, nil
		}
		switch keyOf(name) {
		case r.region.key:
			// It must not be in the midst of another tag.
			t := &r.trial
			t.branch(&r.start)
			r.aside.size = 0
			if n, ev := t.advance(&r.aside, held[:k], 0); ev == evMore && n < k && t.text == dataText {
				return -1, nil
			}
			return r.region.content + k, bytes.TrimLeft(held[len(rest):to], whiteSpace)
		case keyBody, keyHTML:
		default:
			return -1, nil
		}
		rest = bytes.TrimRight(rest[:k], whiteSpace)
	}
}
