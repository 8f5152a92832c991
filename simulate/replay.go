package simulate

import (
	"errors"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/segments"
)

// replay folds the units of one pile. Not safe for concurrent use.
type replay struct {
	folder
	in      *intake
	from    int64 // of the history
	until   int64
	moved   map[uint64]int // visitors whose events are on another pile too
	out     *stacker       // for accounts; nil if none is needed, or they are folded
	units   map[uint64]*unit
	seen    map[uint64]bool // ids of events
	places  []place
	event   events.Event
	reader  *reader
	visitor [8]byte
}

func newReplay(in *intake, who segments.Who, out *stacker, count *tallies) *replay {
	p := in.plan
	r := &replay{in: in, out: out, from: in.from, until: in.until, reader: newReader(), units: map[uint64]*unit{}, seen: map[uint64]bool{}}
	r.folder = folder{plan: p, who: who, whole: p.whole(who), count: count}
	r.of = r.whole.of
	return r
}

// pile folds the items of a pile to the end of the history.
func (r *replay) pile(chunks [][]byte, pile int) error {
	r.places = sorted(r.places[:0], chunks)
	clear(r.units)
	clear(r.seen)
	for _, at := range r.places {
		decoded, _ := decodeItem(chunks[at.chunk][at.off:])
		it := &decoded
		if to, ok := r.moved[it.visitor]; ok && to != pile && r.who == segments.Visitor {
			continue
		}
		if it.id != 0 && r.who == segments.Visitor {
			if r.seen[it.id] {
				r.count.repeated++
				continue
			}
			r.seen[it.id] = true
		}
		var err error
		if r.who == segments.Visitor {
			err = r.visit(it)
		} else {
			err = r.account(it)
		}
		if err != nil {
			return err
		}
	}
	for _, u := range r.units {
		if u.into == nil {
			r.finish(u)
		}
	}
	return nil
}

// unit returns the unit of an id, or that which it was merged into.
func (r *replay) unit(id uint64) *unit {
	u := r.units[id]
	if u == nil {
		u = &unit{id: id}
		r.units[id] = u
		if r.who == segments.Visitor {
			r.count.visitors++
		}
		return u
	}
	for u.into != nil {
		if u.into.into != nil {
			u.into = u.into.into
		}
		u = u.into
	}
	return u
}

// visit is one event of a visitor's, in the order that the store has: see its
// writer.
func (r *replay) visit(it *item) error {
	u := r.unit(it.visitor)
	r.advance(u, it.at)
	if err := r.reach(u, it, 0); err != nil {
		return err
	}
	if it.other != 0 {
		// An id that is somebody else's already stays theirs.
		if o := r.unit(it.other); o.id == it.other && o != u {
			r.advance(o, it.at)
			r.merge(u, o, it.at)
			r.count.merged++
			r.count.visitors--
		}
	}
	h := &r.plan.heard[it.name]
	if err := r.fill(it, u.id); err != nil {
		return err
	}
	of := h.by[segments.Visitor]
	if it.kind == identify {
		of = r.whole
	}
	if (of != nil || it.account != 0) && r.plan.full.Fold(segments.Visitor, &u.state, &r.event) {
		r.touch(u, of, it.at)
	} else if !u.known {
		r.touch(u, nil, it.at)
	}
	r.outcome(u, h, it, 0)
	if r.out == nil || u.state.Account == "" && it.account == 0 {
		return nil
	}
	if it.account == 0 {
		it.account = hash([]byte(u.state.Account))
	}
	// Whatever a visitor does makes their account known, the first time.
	if u.told != it.account || r.plan.present || it.kind == group || it.kind == track && (h.by[segments.Account] != nil || len(h.rules) > 0) {
		u.told = it.account
		sent := *it
		sent.visitor, sent.other, sent.id = u.id, 0, 0
		return r.out.put(pileOf(it.account), &sent)
	}
	return nil
}

// touch notes that a unit's state changed in what some segments hear.
func (r *replay) touch(u *unit, of *part, at int64) {
	if of == nil {
		if u.known {
			return // it told the account alone
		}
		of = r.whole
	}
	if u.dirty != nil && u.dirty != of {
		of = r.whole
	}
	u.dirty, u.at = of, at
}

// account is one event of an account's visitor.
func (r *replay) account(it *item) error {
	u := r.unit(it.account)
	if it.kind == reached {
		r.await(u, int(it.name), 0, it.at)
		return nil
	}
	r.advance(u, it.at)
	if err := errors.Join(r.reach(u, it, it.visitor), r.fill(it, it.visitor)); err != nil {
		return err
	}
	h := &r.plan.heard[it.name]
	of := h.by[segments.Account]
	if it.kind == group {
		of = r.whole
	}
	if of != nil && r.plan.full.Fold(segments.Account, &u.state, &r.event) {
		r.touch(u, of, it.at)
	} else if !u.known {
		r.touch(u, nil, it.at)
	}
	r.outcome(u, h, it, it.visitor)
	return nil
}

// fill makes the event that an item stands for.
func (r *replay) fill(it *item, visitor uint64) error {
	e := &r.event
	at := time.UnixMilli(it.at).UTC()
	*e = events.Event{Kind: it.kind.event(), Name: r.plan.heard[it.name].name, Time: at, Received: at}
	if r.who == segments.Account {
		// Only that it is another than others' matters.
		for i := range r.visitor {
			r.visitor[i] = byte(visitor >> (8 * i))
		}
		e.Visitor = string(r.visitor[:])
	}
	if it.account != 0 {
		e.Account = r.in.accounts[it.account]
	}
	if len(it.payload) == 0 {
		return nil
	}
	properties, err := r.properties(it.payload)
	if it.kind == track {
		e.Properties = properties
	} else {
		e.Traits = properties
	}
	return err
}

// properties decodes a payload.
func (r *replay) properties(raw []byte) (events.Properties, error) {
	all := events.Properties{}
	var failed error
	err := r.reader.members(raw, func(name, value []byte) {
		v, err := decodeValue(value)
		if err != nil {
			failed = err
			return
		}
		all[string(name)] = v
	})
	if err == nil {
		err = failed
	}
	return all, err
}

func decodeValue(raw []byte) (any, error) {
	switch raw[0] {
	case 'n':
		return nil, nil
	case 't':
		return true, nil
	case 'f':
		return false, nil
	case '"':
		s, _ := jsontext.AppendUnquote(nil, raw) // what is no UTF-8 is U+FFFD
		return string(s), nil
	case '{', '[':
		var v any
		err := json.Unmarshal(raw, &v, lenient...)
		return v, err
	}
	n, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		return nil, nil // out of range: as good as absent
	}
	return n, nil
}

// reach notes the rules whose surface the event's visitor may have reached:
// they did something while the segment held.
func (r *replay) reach(u *unit, it *item, visitor uint64) error {
	if u.inside == 0 || it.kind == alias {
		return nil
	}
	for _, s := range r.of {
		if !u.tracks[s].in {
			continue
		}
		for _, n := range r.plan.watch[s] {
			unit := r.plan.rules[n].Unit
			switch {
			case unit == r.who:
				r.await(u, n, 0, it.at)
			case r.who == segments.Account:
				r.await(u, n, visitor, it.at)
			case it.account != 0 || u.state.Account != "":
				account := it.account
				if account == 0 {
					account = hash([]byte(u.state.Account))
				}
				if r.out != nil && r.await(u, n, ^uint64(0), it.at) { // once is enough
					told := item{at: it.at, seq: it.seq, visitor: u.id, account: account, name: uint16(n), kind: reached}
					if err := r.out.put(pileOf(account), &told); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// await begins the wait for what becomes of who reached a rule's surface, and
// says whether that is the first time.
func (r *replay) await(u *unit, rule int, visitor uint64, at int64) bool {
	for i := range u.waits {
		if u.waits[i].rule == rule && u.waits[i].visitor == visitor {
			return false
		}
	}
	u.waits = append(u.waits, wait{rule: rule, visitor: visitor, at: at})
	return true
}

// outcome notes a metric's or a guardrail's event. The event that showed that
// the surface was reached counts too: its page was there before.
func (r *replay) outcome(u *unit, h *heard, it *item, visitor uint64) {
	if len(u.waits) == 0 || it.kind != track {
		return
	}
	for _, n := range h.rules {
		rule := r.plan.rules[n]
		for i := range u.waits {
			w := &u.waits[i]
			if w.rule != n || w.visitor != 0 && w.visitor != visitor {
				continue
			}
			within := func(d time.Duration) bool { return it.at <= w.at+d.Milliseconds() }
			m, g := rule.Metric, rule.Guardrail
			if m.Event == h.name && within(m.Within) && all(m.Where, r.event.Properties) {
				w.converted = true
			}
			if g.Event == h.name && within(g.Within) && all(g.Where, r.event.Properties) {
				w.harmed = true
			}
		}
	}
}

func all(where []segments.Match, p events.Properties) bool {
	for _, m := range where {
		if !m.Holds(p) {
			return false
		}
	}
	return true
}

// finish brings a unit to the end of the history.
func (r *replay) finish(u *unit) {
	r.advance(u, r.until+1)
	for _, i := range r.of {
		if u.tracks != nil && u.tracks[i].in {
			r.count.segments[i].stays.add(r.until-u.tracks[i].since, false)
		}
	}
	for _, w := range u.waits {
		if w.visitor == ^uint64(0) {
			continue
		}
		rule, c := r.plan.rules[w.rule], &r.count.rules[w.rule]
		c.reached[r.count.day(w.at)]++
		if over(rule.Metric.Within, w.at, r.until) {
			c.matured++
			c.converted += one(w.converted)
		}
		if over(rule.Guardrail.Within, w.at, r.until) {
			c.closed++
			c.harmed += one(w.harmed)
		}
	}
}

func over(within time.Duration, from, until int64) bool { return from+within.Milliseconds() <= until }

func one(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
