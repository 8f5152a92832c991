package simulate_test

import (
	"maps"
	"slices"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/segments"
	"github.com/seed14307185/refract/segments/oracle"
	"github.com/seed14307185/refract/simulate"
)

// All times of a generated history are whole hours, and so are all windows: so
// a segment can only change at a whole hour, and the oracle tests each
// condition's definition at every one of them, on all events so far.
const hour = int64(time.Hour / time.Millisecond)

// person is what the oracle knows of a visitor or an account.
type person struct {
	log      []*events.Event
	account  string
	joined   int64
	known    bool
	in, ever map[string]bool
	changed  map[string]int64 // when it last entered or left
	flips    map[string]bool
	met      map[[2]string]bool
	parts    []*person // merged into it since the last hour
}

func newPerson() *person {
	return &person{in: map[string]bool{}, ever: map[string]bool{}, changed: map[string]int64{}, flips: map[string]bool{}, met: map[[2]string]bool{}}
}

// oracle replays a history hour by hour.
type bruteForce struct {
	list     []segments.Segment
	people   map[segments.Who]map[string]*person
	into     map[string]string
	days     map[string]map[string]*simulate.Day // by segment and day
	overlaps map[[2]string]int64
}

// replay returns, of each segment, what Run must find, and the overlaps.
func replay(list []segments.Segment, history []*events.Event) ([]simulate.Segment, map[[2]string]int64) {
	o := &bruteForce{
		list:   list,
		people: map[segments.Who]map[string]*person{segments.Visitor: {}, segments.Account: {}}, into: map[string]string{},
		days: map[string]map[string]*simulate.Day{}, overlaps: map[[2]string]int64{},
	}
	for _, s := range list {
		o.days[s.Name] = map[string]*simulate.Day{}
	}
	sorted := slices.Clone(history)
	slices.SortStableFunc(sorted, func(a, b *events.Event) int { return a.Time.Compare(b.Time) })
	seen := map[string]bool{}
	first, last := sorted[0].Time.UnixMilli(), sorted[len(sorted)-1].Time.UnixMilli()
	for t := first; t <= last; t += hour {
		for len(sorted) > 0 && sorted[0].Time.UnixMilli() == t {
			if e := sorted[0]; !seen[e.ID] {
				o.take(*e)
				seen[e.ID] = true
			}
			sorted = sorted[1:]
		}
		o.look(t)
	}
	return o.results()
}

func (o *bruteForce) person(who segments.Who, id string) *person {
	if o.people[who][id] == nil {
		o.people[who][id] = newPerson()
	}
	return o.people[who][id]
}

func (o *bruteForce) resolve(id string) string {
	for o.into[id] != "" {
		id = o.into[id]
	}
	return id
}

// take is one event, as docs/ARCHITECTURE.md has it.
func (o *bruteForce) take(e events.Event) {
	id := o.resolve(e.Visitor)
	v := o.person(segments.Visitor, id)
	if e.Anonymous != "" && o.into[e.Anonymous] == "" && e.Anonymous != id {
		a := o.person(segments.Visitor, e.Anonymous)
		o.into[e.Anonymous] = id
		v.log = append(v.log, a.log...)
		v.known = v.known || a.known
		if a.account != "" {
			v.join(a.account, a.joined)
		}
		v.parts = append(append(v.parts, a), a.parts...)
		delete(o.people[segments.Visitor], e.Anonymous)
	}
	e.Visitor = id
	if e.Account != "" {
		v.join(e.Account, e.Time.UnixMilli())
	} else {
		e.Account = v.account
	}
	v.log = append(v.log, &e)
	v.known = true
	if e.Account != "" {
		a := o.person(segments.Account, e.Account)
		a.log = append(a.log, &e)
		a.known = true
	}
}

func (p *person) join(account string, at int64) {
	if p.account == "" || at > p.joined || at == p.joined && account > p.account {
		p.account, p.joined = account, at
	}
}

// look compares who is in each segment now with who was before.
func (o *bruteForce) look(t int64) {
	for _, s := range o.list {
		name := s.Name
		key := time.UnixMilli(t).UTC().Format(time.DateOnly)
		day := o.days[name][key]
		if day == nil {
			day = &simulate.Day{Day: key}
			o.days[name][key] = day
		}
		day.Members = 0
		for _, p := range o.people[s.Who] {
			was := p.in[name]
			for _, part := range p.parts {
				was = was || part.in[name]
				p.ever[name] = p.ever[name] || part.ever[name]
				p.flips[name] = p.flips[name] || part.flips[name]
				if at, ok := part.changed[name]; ok {
					p.changed[name] = max(at, p.changed[name])
				}
			}
			is := p.known && oracle.History(p.log).Holds(s.Condition, s.Who, t)
			if p.in[name] = is; is {
				p.ever[name] = true
				day.Members++
			}
			if was == is {
				continue
			}
			if at, ok := p.changed[name]; ok && t-at < 24*hour {
				p.flips[name] = true
			}
			p.changed[name] = t
			if is {
				day.Entries++
			} else {
				day.Exits++
			}
		}
	}
	for _, who := range []segments.Who{segments.Visitor, segments.Account} {
		for _, p := range o.people[who] {
			for _, part := range p.parts {
				maps.Copy(p.met, part.met)
			}
			p.parts = nil
			for _, a := range o.list {
				for _, b := range o.list {
					if a.Name < b.Name && p.in[a.Name] && p.in[b.Name] {
						p.met[[2]string{a.Name, b.Name}] = true
					}
				}
			}
		}
	}
}

func (o *bruteForce) results() ([]simulate.Segment, map[[2]string]int64) {
	var list []simulate.Segment
	overlaps := map[[2]string]int64{}
	for _, s := range o.list {
		out := simulate.Segment{Name: s.Name}
		for _, key := range slices.Sorted(maps.Keys(o.days[s.Name])) {
			out.Days = append(out.Days, *o.days[s.Name][key])
		}
		for _, p := range o.people[s.Who] {
			if p.ever[s.Name] {
				out.Ever++
			}
			if p.flips[s.Name] {
				out.Flippers++
			}
		}
		list = append(list, out)
	}
	for _, people := range o.people {
		for _, p := range people {
			for pair := range p.met {
				overlaps[pair]++
			}
		}
	}
	return list, overlaps
}
