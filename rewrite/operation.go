package rewrite

import (
	"bytes"
	"slices"
	"strconv"
	"unicode/utf8"
)

// beginRegion starts on the operation of a region whose start tag was just
// taken: some are done at once, others need the end. It gives the reason where
// the operation can't be.
func (r *Reader) beginRegion() Reason {
	m, g := &r.machine, &r.region
	op := r.sightings[g.surface].Operation
	content, why := r.content()
	if why != "" {
		return why
	}
	switch op {
	case Before, Outer, Remove:
		if !r.standBefore() {
			return Ambiguous
		}
	default:
		r.start.copyFrom(&m.tree)
	}
	switch op {
	case Before:
		if why := r.try(content, r.start.depth-1); why != "" {
			return why
		}
		if r.start.formats() || g.kind == kindTable { // whose content may come to stand before it
			r.settle(g.start)
			g.hold = true
			break
		}
		r.insert(content, g.start)
		return r.conclude()
	case Attr:
		switch {
		case g.kind == kindMarked && g.key != keyMarquee, g.key == keyEmbed:
			return NotABlock // they load code
		case m.framesetOK:
			return Frameset // it may yet take the element away
		case g.kind == kindInput && m.before.framesetOK:
			return Frameset // its type could matter
		case g.kind == kindFont && !r.standBefore():
			return Ambiguous // its color could have ended foreign content
		case m.crowds != m.before.crowds:
			return Misnested // it may be one of three alike, or become one
		}
		r.settle(g.start)
		if kindProps[g.kind]&formatting == 0 {
			r.editTag()
			return r.conclude()
		}
		g.hold = true // the parser could open it anew
	case Outer, Remove:
		if !r.standsApart(g.start, content) {
			return Ambiguous
		}
		r.settle(g.start)
		g.hold = true
		if g.leaf {
			return r.replaceLeaf(content)
		}
	case After:
		if g.leaf {
			if why := r.try(content, m.depth-1); why != "" {
				return why
			}
			r.insert(content, g.content)
			return r.conclude()
		}
	case Prepend:
		if g.leaf || m.newline != keepNewline {
			return NotABlock
		}
		if why := r.try(content, g.floor); why != "" {
			return why
		}
		if r.start.formats() {
			r.settle(g.content)
			g.hold = true
			break
		}
		r.insert(content, g.content)
		return r.conclude()
	case Append:
		if g.leaf || m.newline != keepNewline {
			return NotABlock
		}
	case Inner, Text:
		if g.leaf {
			return NotABlock
		}
		r.settle(g.content)
		g.hold = true
	case Shadow, Auto:
		if g.leaf {
			return NotABlock
		}
		if m.foreign() {
			return Foreign // x/net/html drops a template there
		}
		if op == Shadow && !canHostShadow(r.sightings[g.surface].Element) {
			return Host
		}
		r.settle(g.start) // its classes are needed at the end
		g.hold = true
	}
	m.floor, m.left, m.escaped = g.floor, false, ""
	return ""
}

// standBefore makes r.start what the parser was before the start tag, if all
// that the tag did was to put its element in.
func (r *Reader) standBefore() bool {
	m, was, t := &r.machine, &r.machine.before, &r.start
	if was.mode < inBody || was.depth < 2 || was.pending || was.newline != keepNewline {
		return false
	}
	t.copyFrom(&m.tree)
	t.mode, t.framesetOK, t.newline = was.mode, was.framesetOK, keepNewline
	if r.region.leaf {
		return m.depth == was.depth && m.lastID == was.lastID
	}
	actives := was.actives
	if k := r.region.kind; k == kindMarked || k == kindTd || k == kindCaption || kindProps[k]&formatting != 0 {
		actives++
	}
	if m.depth != was.depth+1 || m.lastID != was.lastID+1 || m.actives != actives {
		return false
	}
	t.depth, t.actives = was.depth, was.actives
	switch r.region.kind {
	case kindForm:
		t.form = 0
	case kindP:
		t.paragraphs--
	}
	return true
}

// try says why the content can't be put where r.start is: the parser must be
// there again after it, and what is open at the floor or below not be touched.
func (r *Reader) try(content []byte, floor int) Reason {
	if r.program.surfaces[r.region.surface].only {
		return ""
	}
	t := &r.trial
	t.branch(&r.start)
	t.floor = floor
	if !t.takeAll(&r.aside, content) || !t.same(&r.start.tree) {
		return Fragment
	}
	if t.framesetOK || r.start.framesetOK {
		return Frameset // it may yet take the region away
	}
	return ""
}

// content is what the operation puts in, in the page's charset.
func (r *Reader) content() ([]byte, Reason) {
	i := r.region.surface
	s := &r.program.surfaces[i]
	if s.only || len(s.HTML) == 0 {
		return nil, ""
	}
	content := s.HTML
	if e := r.encoding; e.name != "utf-8" || !e.declared {
		if content = r.program.encoded(e)[i]; content == nil {
			return nil, Charset
		}
	}
	if k := r.region.kind; content[0] == '\n' && (k == kindPre || k == kindListing) {
		switch r.sightings[i].Operation {
		case Inner, Text:
			content = r.make(func(dst []byte) []byte { return append(append(dst, '\n'), content...) }) // the first is dropped there
		}
	}
	return content, ""
}

// make gives content made for this page.
func (r *Reader) make(appendTo func(dst []byte) []byte) []byte {
	n := len(r.made)
	r.made = appendTo(r.made)
	return r.made[n:]
}

// conclude puts an operation on record that can be done.
func (r *Reader) conclude() Reason {
	i := r.region.surface
	r.close()
	r.note(i, "")
	return ""
}

// insert puts content in at buf[at].
func (r *Reader) insert(content []byte, at int) {
	r.settle(at)
	if r.program.surfaces[r.region.surface].Replace {
		r.put(r.apart(content, at), at)
	}
}

// replace puts content in the place of what is held before buf[to].
func (r *Reader) replace(content []byte, to int) {
	if r.program.surfaces[r.region.surface].Replace {
		if r.sightings[r.region.surface].Operation != Inner && r.sightings[r.region.surface].Operation != Text {
			content = r.apart(content, r.settled)
		}
		r.put(content, to)
	}
}

// standsApart says whether content can take the place of what begins at buf[at]
// without being read together with what stands before. Without content that is
// not known of what comes then.
func (r *Reader) standsApart(at int, content []byte) bool {
	return len(content) > 0 || r.program.surfaces[r.region.surface].only || r.apartFrom(at)
}

// apart makes sure that the first character of content is not read together
// with what stands before buf[at].
//
// A table puts all of a text before itself that is more than white space. So
// there content must not be read as one text with what stands on either side.
func (r *Reader) apart(content []byte, at int) []byte {
	if r.start.holdsRows() {
		return r.apartInTable(content, at)
	}
	if len(content) == 0 || content[0] == '<' || content[0] == '&' || r.apartFrom(at) {
		return content
	}
	if content[0] < utf8.RuneSelf {
		return r.make(func(dst []byte) []byte { return append(appendReference(dst, int(content[0])), content[1:]...) })
	}
	if r.encoding.name == "utf-8" {
		return content // begins a character whatever precedes it
	}
	c, size := firstRune(content, r.encoding)
	return r.make(func(dst []byte) []byte { return append(appendReference(dst, int(c)), content[size:]...) })
}

// textEnd ends a text, and does nothing else, where a table wants rows or cells.
const textEnd = "</col>"

func (r *Reader) apartInTable(content []byte, at int) []byte {
	n := len(content)
	var before, after bool
	switch {
	case n == 0:
		before = r.region.text || r.back(at, 1) != '>' || r.back(at, 2) == '/' && r.back(at, 3) == '<'
	default:
		before = content[0] != '<' || bytes.HasPrefix(content, []byte("</>"))
		after = content[n-1] != '>' || bytes.HasSuffix(content, []byte("</>"))
	}
	if !before && !after {
		return content
	}
	return r.make(func(dst []byte) []byte {
		if before {
			dst = append(dst, textEnd...)
		}
		if dst = append(dst, content...); after {
			dst = append(dst, textEnd...)
		}
		return dst
	})
}

// lookBack is how far apartFrom looks for the beginning of a character
// reference, or of a run of characters of several bytes. The longest name of a
// reference has 32.
const lookBack = 128

// back is the byte n before buf[at], or 0 where the page, or what is known of
// it, begins.
func (r *Reader) back(at, n int) byte {
	if i := at - n; i >= 0 {
		return r.buf[i]
	} else if i += len(r.past); i >= 0 {
		return r.past[i]
	}
	return 0
}

// apartFrom says whether whatever is put at buf[at] is read by itself: there is
// no unfinished character, character reference, carriage return or '<' before.
func (r *Reader) apartFrom(at int) bool {
	for n := 1; n <= lookBack; n++ {
		c := r.back(at, n)
		switch {
		case n == 1 && (c >= utf8.RuneSelf || c-'0' < 10 && r.back(at, 2) >= utf8.RuneSelf): // in GB18030 digits are second bytes
			return r.wholeBefore(at)
		case c == '&', n == 1 && (c == '<' || c == '\r'):
			return false
		case !isOfReference(c):
			return true
		}
	}
	return false
}

// wholeBefore says whether the byte before buf[at], which is not ASCII, is the
// last of its character: pages have texts that were cut in the midst of one.
func (r *Reader) wholeBefore(at int) bool {
	var text []byte
	for n := 1; ; n++ {
		if n > lookBack {
			return false
		}
		c := r.back(at, n)
		if neverTrails(c) {
			break
		}
		text = append(text, c)
	}
	slices.Reverse(text)
	return r.encoding.whole(text)
}

// appendReference appends a character as a character reference.
func appendReference(dst []byte, c int) []byte {
	dst = strconv.AppendInt(append(dst, "&#"...), int64(c), 10)
	return append(dst, ';')
}

// editTag puts the start tag with the attributes that Attr asks for in the
// place of the region's, before which all is settled.
func (r *Reader) editTag() {
	s, g := &r.program.surfaces[r.region.surface], &r.region
	if s.Replace {
		r.put(r.make(func(dst []byte) []byte { return setAttributes(dst, r.buf[g.start:g.content], s.Attributes) }), g.content)
	}
}

// replaceLeaf is Outer and Remove for an element without content.
func (r *Reader) replaceLeaf(content []byte) Reason {
	if why := r.try(content, r.start.depth-1); why != "" {
		return why
	}
	if r.start.framesetOK != r.machine.framesetOK {
		return Frameset
	}
	if !r.start.same(&r.machine.tree) {
		return Ambiguous // after the body's end it leads back into it
	}
	r.replace(content, r.region.content)
	return r.conclude()
}
