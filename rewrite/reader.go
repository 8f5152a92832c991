package rewrite

import (
	"bytes"
	"fmt"
	"io"

	"github.com/seed14307185/refract/rewrite/selector"
)

// chunk is how much is read at a time: 32 KiB.
const chunk = 32 << 10

// leastToken is the least that a tag may have, in bytes, however small a plan's
// MaxRegion is: those of a short name alone are not measured.
const leastToken = 64

// A Reader gives a page with the regions of its program changed. It is not
// safe for concurrent use.
type Reader struct {
	program   *Program
	src       io.Reader
	sightings []Sighting
	missing   int      // how many surfaces are Missing
	elements  []string // the last element of each surface, which is likely to be the next

	// The bytes of the page are, in order: those handed on, buf[:settled], which
	// are in out or left out, and buf[settled:], which are not settled. Of these
	// the machine has taken what is before taken.
	buf     []byte
	settled int
	taken   int
	offset  int64  // of buf in the page
	past    []byte // the last bytes before buf, lookBack of them at most

	// What is ready to be handed on, from out[next][done:] on: pieces of buf, and
	// new content.
	out  [][]byte
	next int
	done int
	made []byte // an array for content that is made for this page

	machine  machine
	start    machine // what the machine was where the region began
	trial    machine // for new content to be tried with
	window   window
	aside    window // for what is tried
	matcher  *selector.Matcher
	hits     uint64 // selectors that match the element just inserted
	unsure   bool   // selectors can't tell any more
	region   region
	encoding encoding
	prescan  []byte // the first bytes of the page, if its charset isn't certain
	sniffed  bool   // the prescan has been used
	detector detector
	detected int      // how much of buf the detector has seen
	sheets   [][]byte // the links to style sheets so far, if some surface needs them
	prelude  bool     // it is not known yet whether the page has a byte order mark

	lecture lecture
	spare   []byte // an array for buf to move to
	spared  bool   // buf has moved since what is to be handed on was

	all    bool  // the page is searched to its end: see CountAll
	plain  bool  // what is left of src is copied unread
	srcErr error // what src said last; the bytes before it may not be settled yet
	fault  error
	idle   int // how often in a row src gave nothing
	breaks int // for tests: steps until a panic
	trace  *trace
}

func newReader(p *Program) *Reader {
	r := &Reader{program: p, buf: make([]byte, 0, chunk), sightings: make([]Sighting, len(p.surfaces)), elements: make([]string, len(p.surfaces))}
	r.start.maxToken = max(p.maxRegion, leastToken)
	if len(p.selectors) > 0 {
		r.matcher = selector.NewMatcher(p.selectors)
	}
	return r
}

// begin makes the Reader ready for a page.
func (r *Reader) begin(src io.Reader, contentType string) {
	p := r.program
	r.src = src
	for i := range p.surfaces {
		r.sightings[i] = Sighting{Name: p.surfaces[i].Name, State: Missing, Operation: p.surfaces[i].Operation}
	}
	r.missing = len(p.surfaces)
	r.buf, r.settled, r.taken, r.offset, r.past = r.buf[:0], 0, 0, 0, r.past[:0]
	r.out, r.next, r.done, r.made = r.out[:0], 0, 0, r.made[:0]
	r.machine.begin()
	r.machine.maxToken = max(p.maxRegion, leastToken)
	if len(p.marked) > 0 {
		r.machine.attribute, r.machine.mark = p.attribute, p.marks
	}
	if r.matcher != nil {
		r.matcher.Reset()
		r.machine.inserted, r.machine.removed, r.machine.moved = r.inserted, r.matcher.Remove, r.moved
	}
	r.hits, r.unsure = 0, false
	r.detector, r.detected, r.sheets = detector{}, 0, r.sheets[:0]
	r.machine.linked = nil
	if p.shadows {
		r.machine.linked = r.linked
	}
	r.region = region{surface: -1}
	r.lecture = lecture{}
	r.encoding = p.headerEncoding(contentType)
	r.prescan, r.sniffed, r.prelude = r.prescan[:0], false, true
	r.all, r.plain = false, r.missing == 0
	r.srcErr, r.fault, r.idle, r.breaks, r.trace = nil, nil, 0, 0, nil
	if r.encoding.refused {
		r.stop(Charset)
	}
}

// CountAll has the Reader search the page to its end, so that its Sightings are
// Whole. What it gives stays the same; it costs the scanning of what follows the
// last region. It is to be called before the first Read, if at all, and instead
// of Learn.
func (r *Reader) CountAll() { r.all = true }

// Close gives the Reader's memory back for other pages. The Reader and its
// Sightings must not be used afterwards. It does not close the source.
func (r *Reader) Close() {
	if r.program == nil {
		return
	}
	r.src = nil
	if r.lecture.memory != nil { // the page was not read to its end
		r.srcErr = io.ErrUnexpectedEOF
		r.graduate()
	}
	clear(r.out)
	if cap(r.buf) > 2*chunk {
		r.buf = make([]byte, 0, chunk)
	}
	r.program.readers.Put(r)
}

// Sightings tells what has become of each surface so far, in the order of the
// plan. It is final once Read has returned an error, io.EOF included. It is the
// Reader's, until that is closed.
func (r *Reader) Sightings() []Sighting { return r.sightings }

// Fault is the panic that stopped the rewriting, or nil. The page is whole all
// the same.
func (r *Reader) Fault() error { return r.fault }

// fill reads once from the source and settles what it can. It says false if the
// source gave nothing.
func (r *Reader) fill() bool {
	r.out, r.next, r.done = r.out[:0], 0, 0
	r.compact()
	if cap(r.buf)-len(r.buf) < chunk/2 {
		r.grow()
	}
	n, err := r.src.Read(r.buf[len(r.buf):cap(r.buf)])
	from := len(r.buf)
	r.buf = r.buf[:from+n]
	r.srcErr = err
	r.remember(r.buf[from:])
	r.spared = false
	if !r.plain {
		r.guarded(from)
	}
	if r.plain {
		r.settle(len(r.buf))
		r.graduate()
	}
	return n > 0 || err != nil
}

// detect shows the detector the page before buf[to].
func (r *Reader) detect(to int) {
	if r.program.auto && !r.plain && to > r.detected {
		r.detector.scan(r.buf[r.detected:to])
	}
	r.detected = max(to, r.detected)
}

// linked keeps links to style sheets.
func (r *Reader) linked(g *tag) {
	if linksStyleSheet(g) {
		r.sheets = append(r.sheets, bytes.Clone(g.raw))
	}
}

func (r *Reader) grow() {
	b := make([]byte, len(r.buf), max(2*cap(r.buf), len(r.buf)+chunk))
	copy(b, r.buf)
	r.buf = b
}

// guarded takes the bytes from buf[from] on, and survives a panic: it stops the
// rewriting, and no byte is lost.
func (r *Reader) guarded(from int) {
	defer func() {
		if v := recover(); v != nil {
			r.fault = fmt.Errorf("rewrite: %v", v)
			r.stop(Internal)
		}
	}()
	r.take(from)
}

// take looks at what was received from buf[from] on.
func (r *Reader) take(from int) {
	r.window.size = 0
	if r.prelude {
		if !r.takeMark() {
			return
		}
		from = 0
	}
	held := 0 // how many of the bytes are not to be looked at
	if !r.encoding.certain {
		fresh := r.buf[max(from, r.taken):]
		if room := prescanSize - len(r.prescan); room > 0 && !r.sniffed {
			r.prescan = append(r.prescan, fresh[:min(len(fresh), room)]...)
		}
		if k := bytes.IndexByte(fresh, escape); k >= 0 {
			held = len(fresh) - k
		}
	}
	for !r.plain {
		if r.breaks > 0 {
			if r.breaks--; r.breaks == 0 {
				panic("a fault made by a test")
			}
		}
		if r.region.last && !r.mayEnd() {
			r.release(Ambiguous)
			r.goOn()
			continue
		}
		if r.region.last {
			r.wait()
			return
		}
		next, ev := r.advance(held)
		r.taken = next
		if r.trace != nil && ev != evMore {
			r.trace.token(r)
		}
		switch ev {
		case evMore:
			if held > 0 {
				r.outgrow(r.taken)
				why := Charset
				if len(r.buf)-held-r.taken > r.machine.maxToken {
					why = TooLarge // as it would be, had the rest not come yet
				}
				r.stop(why)
				return
			}
			r.wait()
			return
		case evMarked:
			if r.outgrow(r.machine.at); !r.plain {
				r.met()
			}
		case evFloor:
			if r.outgrow(r.machine.at); r.region.surface >= 0 {
				r.finish()
			}
			r.goOn()
		case evToken:
			r.goOn()
		case evLost:
			r.outgrow(r.machine.at)
			r.stop(r.machine.lost)
		}
	}
}

// goOn hands on what is settled after a region, and stops after the last one.
func (r *Reader) goOn() {
	if !r.region.hold && !r.plain {
		r.settle(r.taken)
		if r.searched() && r.region.surface < 0 {
			r.rest()
		}
	}
}

// wait is for more bytes, or for the end.
func (r *Reader) wait() {
	r.outgrow(r.taken)
	if !r.region.hold {
		r.settle(r.taken)
	}
	if !r.region.last && len(r.buf)-r.taken > r.machine.maxToken {
		r.stop(TooLarge)
		return
	}
	if r.srcErr == io.EOF && r.region.surface >= 0 {
		r.finishAtEnd()
	}
	if r.srcErr != nil {
		r.release(Unclosed)
		for i := range r.sightings {
			r.sightings[i].Whole = r.srcErr == io.EOF
		}
		r.rest()
	}
}

// searched says whether nothing more is to be looked for.
func (r *Reader) searched() bool { return r.missing == 0 && !r.all }

// outgrow gives a held region up whose content goes beyond what may be held
// before buf[at], however much of it was received at once.
func (r *Reader) outgrow(at int) {
	if r.region.hold && !r.region.last && at-r.region.content > r.program.maxRegion {
		r.release(TooLarge)
		if r.searched() {
			r.rest()
		}
	}
}

// takeMark looks for a byte order mark. It says false while that needs more.
func (r *Reader) takeMark() bool {
	e, size, more := markEncoding(r.buf)
	if more && r.srcErr == nil {
		return false
	}
	r.prelude = false
	if size > 0 {
		r.encoding = e
		r.taken = size
		r.settle(size)
		if e.refused {
			r.stop(Charset)
			return false
		}
	}
	return true
}

// stop ends the rewriting of this page.
func (r *Reader) stop(why Reason) {
	r.release(why)
	for i := range r.sightings {
		r.note(i, why)
	}
	r.rest()
}

// rest hands on all that was received, and then what the source has left.
func (r *Reader) rest() {
	if r.trace != nil && !r.plain {
		r.trace.rest(r)
	}
	r.settle(len(r.buf))
	r.plain = true
}
