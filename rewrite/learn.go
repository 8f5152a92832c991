package rewrite

import (
	"bytes"
	"io"
)

// A lecture is a Reader's use of a Memory for one page.
type lecture struct {
	memory *Memory
	route  route

	made *learned // being learned; nil: not

	page      *learned // followed; nil: there is none
	following bool
	shift     int64 // of the Reader's page against it, in bytes
	same      int64 // up to here the Reader's page is known to be the same
	stop      int   // the next of its stops that is an event
	tries     int   // left to take it up again
	followed  int64 // bytes
	since     int64 // where the following began
}

// Learn has the Reader compare the page with the last one of the route, such as
// a path, and remember it if there is none. It is to be called before the first
// Read, if at all. Programs that find regions by selectors, or look at the page
// for other reasons, do without.
func (r *Reader) Learn(memory *Memory, name, contentType string) {
	p := r.program
	if r.plain || r.all || r.trace != nil || len(p.selectors) > 0 || p.shadows || len(p.surfaces) > 64 {
		return
	}
	l := &r.lecture
	*l = lecture{memory: memory, route: route{p, name, contentType}, tries: 8}
	var learn bool
	l.page, learn = memory.recall(l.route)
	l.following = l.page != nil
	if learn {
		l.made = new(learned)
	}
}

// encodingOf is what metaEncoding says of the first bytes of a page, if they are
// those of the learned one.
func (l *lecture) encodingOf(head []byte) (encoding, bool) {
	if p := l.page; p != nil && p.head == len(head) && p.head > 0 && bytes.Equal(head, p.page[:p.head]) {
		return p.encoding, true
	}
	return encoding{}, false
}

// noteEncoding puts on record what metaEncoding said.
func (l *lecture) noteEncoding(head []byte, e encoding) {
	if l.made != nil && bytes.HasPrefix(l.made.page, head) {
		l.made.head, l.made.encoding = len(head), e
	}
}

// advance is the machine's, with the help of what was learned. The last held
// bytes of buf are not for it.
func (r *Reader) advance(held int) (next int, ev event) {
	l := &r.lecture
	for {
		if l.following {
			if next, ev, ok := r.follow(r.buf[:len(r.buf)-held]); ok {
				return next, ev
			}
		}
		page := r.buf[:len(r.buf)-held]
		switch {
		case l.page != nil && l.tries > 0:
			if next, ev := r.takeUp(page); !l.following {
				return next, ev
			}
		case l.made != nil:
			return r.learn(page)
		default:
			return r.machine.advance(&r.window, page, r.taken)
		}
	}
}

// follow goes to the next stop of the learned page, or as far as the page is
// the same. It says false where that ends.
func (r *Reader) follow(page []byte) (next int, ev event, ok bool) {
	l := &r.lecture
	known := l.page.page[l.same-l.shift:]
	fresh := page[l.same-r.offset:]
	n := commonPrefix(fresh, known)
	l.same += int64(n)
	for l.stop < len(l.page.stops) && l.page.stops[l.stop].ev == evMore {
		l.stop++
	}
	limit := l.same
	if l.stop < len(l.page.stops) {
		s := &l.page.stops[l.stop]
		at, next := int64(s.at)+l.shift, int64(s.next)+l.shift
		if next <= l.same {
			l.stop++
			i, to := int(at-r.offset), int(next-r.offset)
			var raw []byte
			if s.at >= 0 {
				raw = page[i:to]
			}
			r.resume(s, i, raw)
			if s.ev == evFloor && r.region.surface < 0 {
				r.taken = to
				return r.follow(page)
			}
			return to, s.ev, true
		}
		limit = min(limit, at)
	}
	if n == len(fresh) {
		limit = min(limit, r.boundary())
	}
	if n == len(fresh) && !(r.srcErr != nil && (r.region.surface >= 0 || l.stop < len(l.page.stops))) {
		return max(r.taken, int(limit-r.offset)), evMore, true
	}
	r.leave()
	return 0, 0, false
}

// boundary is where the token begins that the page is the same up to, or l.same
// if that is between two: how a token goes on decides on all of it.
func (r *Reader) boundary() int64 {
	l := &r.lecture
	same := int(l.same - l.shift)
	t := &r.trial
	t.begin()
	from := 0
	if last := r.lastStop(); last >= 0 {
		s := &l.page.stops[last]
		t.load(&s.state, -1, nil)
		t.floor, t.left, t.escaped = 0, false, ""
		from = s.next
	}
	t.attribute, t.mark, t.maxToken = "", markSearch{}, r.machine.maxToken
	t.inserted, t.removed, t.moved, t.linked, t.every = nil, nil, nil, nil, false
	r.aside.size = 0
	next, _ := t.advance(&r.aside, l.page.page[:same], from)
	return int64(next) + l.shift
}

// lastStop is the last stop that was passed or come to, or -1.
func (r *Reader) lastStop() int {
	l := &r.lecture
	last := -1
	for i := range l.page.stops {
		if int64(l.page.stops[i].next)+l.shift > l.same || i >= l.stop && l.page.stops[i].ev != evMore {
			break
		}
		last = i
	}
	return last
}

// resume makes the machine what it was at a stop.
func (r *Reader) resume(s *stop, at int, raw []byte) {
	m := &r.machine
	every := m.every
	m.load(&s.state, at, raw)
	m.every = every
	switch {
	case r.region.surface < 0 || r.region.last:
		m.floor, m.left, m.escaped = 0, false, ""
	case s.ev != evFloor:
		m.floor = r.region.floor
	}
}

// leave ends the following: the machine is set to the last stop before what
// differs, and what of the page it has to take from there comes from memory
// where it is not at hand any more.
func (r *Reader) leave() {
	l := &r.lecture
	l.following = false
	l.followed += l.same - l.since
	last := r.lastStop()
	from := 0
	if last < 0 {
		attribute, mark, max := r.machine.attribute, r.machine.mark, r.machine.maxToken
		r.machine.begin()
		r.machine.attribute, r.machine.mark, r.machine.maxToken = attribute, mark, max
	} else {
		s := &l.page.stops[last]
		from = s.next
		r.resume(s, -1, nil)
		r.machine.left, r.machine.escaped = false, "" // that has been looked at
	}
	r.taken = int(int64(from) + l.shift - r.offset)
	if r.taken >= 0 {
		return
	}
	missing := -r.taken
	if r.spared { // what is to be handed on may be in it
		r.spare = nil
	}
	r.spared = true
	b := append(r.spare[:0], l.page.page[from:from+missing]...)
	b = append(b, r.buf...)
	r.buf, r.spare = b, r.buf
	r.past = append(r.past[:0], l.page.page[max(0, from-lookBack):from]...)
	r.offset -= int64(missing)
	r.taken = 0
	r.settled += missing
	r.detected += missing
	r.region.moveBy(missing)
}

// takeUp scans on, and follows the learned page again where the page is as it
// is there. What the machine is then must be what it was.
func (r *Reader) takeUp(page []byte) (next int, ev event) {
	l := &r.lecture
	for l.tries > 0 && r.region.surface < 0 {
		s, to := r.meeting(page)
		if s == nil {
			break
		}
		r.window.size = 0
		next, ev := r.machine.advance(&r.window, page[:to], r.taken)
		r.window.size = 0
		if ev != evMore || next != to {
			if ev == evMore {
				l.tries--
				r.taken = next
				continue
			}
			return next, ev
		}
		r.taken = next
		l.tries--
		if s.met == r.metSurfaces() && r.machine.like(&s.state) {
			l.following = true
			l.shift = r.offset + int64(to) - int64(s.next)
			l.same = r.offset + int64(to)
			l.since = l.same
			for l.stop = 0; l.page.stops[l.stop].next <= s.next; {
				if l.stop++; l.stop == len(l.page.stops) {
					break
				}
			}
			return to, evMore
		}
	}
	r.window.size = 0
	return r.machine.advance(&r.window, page, r.taken)
}

// anchor is how many bytes after a place of rest must be the same for it to be
// looked at.
const anchor = 48

// meeting finds where a place of rest of the learned page may be on this one,
// among the bytes at hand.
func (r *Reader) meeting(page []byte) (*stop, int) {
	l := &r.lecture
	from := r.offset + int64(r.taken) - l.shift // about, in the learned page
	for i := range l.page.stops {
		s := &l.page.stops[i]
		if s.ev != evMore || s.open || int64(s.next) <= max(from, l.same-l.shift) || len(l.page.page)-s.next < anchor {
			continue
		}
		sign := l.page.page[s.next : s.next+anchor]
		at := int(int64(s.next) + l.shift - r.offset)
		if at > r.taken && at+anchor <= len(page) && bytes.Equal(page[at:at+anchor], sign) {
			return s, at
		}
		if k := bytes.Index(page[r.taken:], sign); k > 0 {
			return s, r.taken + k
		}
		l.tries--
		return nil, 0
	}
	return nil, 0
}

// learn is advance, put on record.
func (r *Reader) learn(page []byte) (next int, ev event) {
	l := &r.lecture
	for {
		to := min(len(page), r.taken+restEvery)
		r.window.size = 0
		next, ev = r.machine.advance(&r.window, page[:to], r.taken)
		r.window.size = 0
		if ev == evMore && next == r.taken && to < len(page) {
			next, ev = r.machine.advance(&r.window, page, r.taken) // longer than that
		}
		switch {
		case ev != evMore:
			r.record(ev, next)
			return next, ev
		case next > r.taken && to == len(page) && l.made.rested(int(r.offset)+next):
			r.taken = next
			r.record(evMore, next)
			return next, ev
		case next == r.taken || to == len(page):
			return next, ev
		}
		r.taken = next
		r.record(evMore, next)
	}
}

// record puts a stop on record.
func (r *Reader) record(ev event, next int) {
	l := &r.lecture
	at := -1
	if ev != evMore && r.machine.at >= 0 {
		at = int(r.offset) + r.machine.at
	}
	l.made.stops = append(l.made.stops, stop{ev: ev, at: at, next: int(r.offset) + next, state: r.machine.save(), met: r.metSurfaces(), open: r.region.surface >= 0})
}

// remember keeps the bytes of a page that is being learned.
func (r *Reader) remember(fresh []byte) {
	l := &r.lecture
	if l.made == nil || r.plain {
		return
	}
	if len(l.made.page)+len(fresh) > maxLearned || len(l.made.stops) > maxStops {
		l.memory.keep(l.route, nil)
		l.made = nil
		return
	}
	l.made.page = append(l.made.page, fresh...)
}

// graduate ends the use of the memory, at the end of the page or of its scanning.
func (r *Reader) graduate() {
	l := &r.lecture
	if l.memory == nil {
		return
	}
	memory, whole := l.memory, r.fault == nil && (r.srcErr == nil || r.srcErr == io.EOF)
	switch {
	case l.made != nil && whole && len(l.made.stops) <= maxStops:
		memory.keep(l.route, l.made)
	case l.made != nil:
		memory.keep(l.route, nil)
	case l.page != nil:
		if l.following {
			l.followed += l.same - l.since
		}
		memory.judge(l.route, l.page, 2*l.followed > int64(len(l.page.page)) || !whole)
	}
	*l = lecture{}
}

// metSurfaces has a bit for each surface that was met.
func (r *Reader) metSurfaces() uint64 {
	var met uint64
	for i := range r.sightings {
		if r.sightings[i].State != Missing {
			met |= 1 << i
		}
	}
	return met
}

// commonPrefix is how many bytes a and b have in common at their start.
func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	if bytes.Equal(a[:n], b[:n]) {
		return n
	}
	const step = 256
	i := 0
	for i+step <= n && bytes.Equal(a[i:i+step], b[i:i+step]) {
		i += step
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}
