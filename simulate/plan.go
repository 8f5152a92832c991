package simulate

import (
	"slices"
	"strings"
	"time"

	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

// plan is what the segments and rules ask of the events. Immutable.
type plan struct {
	list   []segments.Segment // of the set, in its order
	index  map[segments.Key][]int
	full   *segments.Program
	names  map[string]uint16 // of the events that anyone asks about, from 1
	heard  []heard           // by the number of the name; 0 is any other
	traits asked             // of visitors and accounts
	rules  []*rules.Rule
	watch  [][]int // by segment: the rules that have it

	accounts bool // whether it matters who belongs to which account
	present  bool // whether accounts must hear every event: a rule waits for their visitors
	group    string
	earliest int64
	latest   int64
}

// heard is what is known of the events of one name.
type heard struct {
	name  string
	asked asked
	by    map[segments.Who]*part
	rules []int // whose metric or guardrail it is
}

// part is the segments that an event can change.
type part struct {
	program *segments.Program
	of      []int // indices into plan.list
}

// asked are the members of an object that are of use.
type asked []string

func (a *asked) add(list []segments.Match) {
	for _, m := range list {
		a.addKey(m.Key)
	}
}

// addKey adds a property by its name, and by the head of its path.
func (a *asked) addKey(key string) {
	head, _, _ := strings.Cut(key, ".")
	for _, k := range []string{key, head} {
		if !slices.Contains(*a, k) {
			*a = append(*a, k)
		}
	}
}

func newPlan(set *rules.Set, group string, now time.Time) (*plan, error) {
	p := &plan{
		list: set.Segments, index: map[segments.Key][]int{}, names: map[string]uint16{}, heard: []heard{{}},
		rules: set.Rules, watch: make([][]int, len(set.Segments)), group: group,
		earliest: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli(),
		latest:   now.Add(24 * time.Hour).UnixMilli(),
	}
	var err error
	if p.full, err = segments.Compile(set.Segments, set.Edge.Late); err != nil {
		return nil, err
	}
	for i, s := range set.Segments {
		p.index[s.Key()] = append(p.index[s.Key()], i)
		p.accounts = p.accounts || s.Who == segments.Account
		for _, name := range s.Events() {
			p.name(name)
		}
		for name, keys := range s.Properties() {
			for _, key := range keys {
				p.name(name).asked.addKey(key)
			}
		}
		for _, key := range s.Names().Traits {
			p.traits.addKey(key)
		}
	}
	for i, r := range set.Rules {
		at := slices.IndexFunc(set.Segments, func(s segments.Segment) bool { return s.Name == r.Segment.Name })
		p.watch[at] = append(p.watch[at], i)
		p.accounts = p.accounts || r.Unit == segments.Account
		p.present = p.present || r.Segment.Who == segments.Account
		for name, where := range map[string][]segments.Match{r.Metric.Event: r.Metric.Where, r.Guardrail.Event: r.Guardrail.Where} {
			h := p.name(name)
			if !slices.Contains(h.rules, i) {
				h.rules = append(h.rules, i)
			}
			h.asked.add(where)
		}
		if r.Metric.Event == r.Guardrail.Event {
			p.name(r.Metric.Event).asked.add(r.Metric.Where)
		}
	}
	for i := range p.heard {
		if err := p.parts(&p.heard[i], set.Edge.Late); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// name returns what is known of the events of a name.
func (p *plan) name(name string) *heard {
	n, ok := p.names[name]
	if !ok {
		n = uint16(len(p.heard))
		p.names[name] = n
		p.heard = append(p.heard, heard{name: name})
	}
	return &p.heard[n]
}

// parts compiles, of each kind of unit, the segments that hear the name.
// Their conditions have the keys that they have in the whole program, so both
// can read one state.
func (p *plan) parts(h *heard, late time.Duration) error {
	h.by = map[segments.Who]*part{}
	for _, who := range []segments.Who{segments.Visitor, segments.Account} {
		of := &part{}
		var some []segments.Segment
		for i, s := range p.list {
			if s.Who == who && slices.Contains(s.Events(), h.name) {
				of.of = append(of.of, i)
				some = append(some, s)
			}
		}
		if len(some) == 0 {
			continue
		}
		var err error
		if of.program, err = segments.Compile(some, late); err != nil {
			return err
		}
		h.by[who] = of
	}
	return nil
}

// whole is all segments of a kind of unit.
func (p *plan) whole(who segments.Who) *part {
	of := &part{program: p.full}
	for i, s := range p.list {
		if s.Who == who {
			of.of = append(of.of, i)
		}
	}
	return of
}
