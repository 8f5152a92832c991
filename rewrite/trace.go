package rewrite

import (
	"cmp"
	"fmt"
	"io"
	"strings"
)

// Trace makes the Reader tell w what it does: a line for each token, with its
// offset and size, how many elements are open after it, and the insertion mode
// where that changes; and in between, marked by "*", what becomes of the regions
// and why. It is for people: the form may change.
//
// It must be called before the first Read, and not on a Reader that learns. What
// the Reader gives stays the same, but takes longer. Errors of w are not told.
func (r *Reader) Trace(w io.Writer) {
	r.trace = &trace{w: w, comment: -1}
	fmt.Fprintln(w, "  offset   bytes depth")
	r.machine.every = true
	if r.plain { // it was decided by the plan, or the Content-Type
		for i := range r.sightings {
			r.trace.decided(r, i)
		}
		r.trace.rest(r)
	}
}

// A trace writes what a Reader does. The Reader's is nil if nobody asks.
type trace struct {
	w       io.Writer
	end     int64 // of the last token, in the page
	comment int64 // where the comment begins that the machine is in, or -1
	depth   int
	mode    mode
	open    int // the surface whose region is open, from 1 on
}

// token tells of the token that the machine took last.
func (t *trace) token(r *Reader) {
	m := &r.machine
	at, end := r.offset+int64(m.at), r.offset+int64(r.taken)
	ended := t.comment >= 0
	switch {
	case ended:
		at, t.comment = t.comment, -1
	case m.at < 0:
		return // it is text
	}
	t.text(at)
	if m.text == commentText || m.text == bogusText {
		t.comment = at // and its end is another token
		return
	}
	what := "comment"
	switch {
	case m.isTag && m.tag.end:
		what = "</" + string(m.tag.Name()) + ">"
	case m.isTag:
		what = "<" + string(m.tag.Name()) + ">"
		if mark, ok := m.tag.find(cmp.Or(m.attribute, DefaultAttribute)); ok {
			what += fmt.Sprintf(" marked %q", mark)
		}
	case !ended && lower(r.buf[m.at+2]) == 'd':
		what = "doctype"
	}
	t.line(at, end, m.depth, m.mode, what)
}

// text tells of text up to an offset.
func (t *trace) text(to int64) {
	if to > t.end {
		t.line(t.end, to, t.depth, t.mode, "text")
	}
}

func (t *trace) line(at, end int64, depth int, mode mode, what string) {
	if mode != t.mode {
		what += "  → " + modeNames[mode]
	}
	fmt.Fprintf(t.w, "%8d %7d %5d  %s%s\n", at, end-at, depth, strings.Repeat("  ", min(depth, 20)), what)
	t.end, t.depth, t.mode = end, depth, mode
}

// tell tells of a surface, or with -1 of the page.
func (t *trace) tell(r *Reader, surface int, format string, args ...any) {
	name := ""
	if surface >= 0 {
		name = r.sightings[surface].Name + ": "
	}
	fmt.Fprintf(t.w, "%8d        *      %s%s\n", r.offset+int64(r.taken), name, fmt.Sprintf(format, args...))
}

// opened tells of the region that was just begun.
func (t *trace) opened(r *Reader) {
	g := &r.region
	t.open = g.surface + 1
	s := &r.sightings[g.surface]
	held := "what it holds flows on"
	if g.hold {
		held = "held"
	}
	t.tell(r, g.surface, "<%s> at %d opened for %s, %s", s.Element, s.Offset, s.Operation, held)
}

// decided tells what became of a surface.
func (t *trace) decided(r *Reader, surface int) {
	s := &r.sightings[surface]
	opened := t.open == surface+1
	if opened {
		t.open = 0
	}
	switch {
	case s.Reason != "" && opened:
		t.tell(r, surface, "released, %s (%s)", s.State, s.Reason)
	case s.Reason != "":
		t.tell(r, surface, "%s (%s)", s.State, s.Reason)
	case r.program.surfaces[surface].Replace:
		t.tell(r, surface, "%s, %s done", s.State, s.Operation)
	default:
		t.tell(r, surface, "%s, %s only observed", s.State, s.Operation)
	}
}

// rest tells that no more is looked at.
func (t *trace) rest(r *Reader) {
	if t.text(r.offset + int64(r.taken)); r.srcErr != nil {
		t.tell(r, -1, "the source ended %d bytes on: %v", len(r.buf)-r.taken, r.srcErr)
		return
	}
	t.tell(r, -1, "the rest of the page is copied as it is")
}

var modeNames = [...]string{
	initial: "initial", beforeHTML: "before html", beforeHead: "before head", inHead: "in head", afterHead: "after head",
	inBody: "in body", inTable: "in table", inCaption: "in caption", inColumnGroup: "in column group",
	inTableBody: "in table body", inRow: "in row", inCell: "in cell", inSelect: "in select", inTemplate: "in template",
	afterBody: "after body",
}
