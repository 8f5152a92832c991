package outcomes

import (
	"cmp"
	"slices"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
)

// isMetric and isGuardrail are the oracle's reading of testRule.
func isMetric(e events.Event) bool {
	return e.Kind == events.Track && e.Name == "Invited" && e.Properties["real"] == true
}

func isGuardrail(e events.Event) bool { return e.Kind == events.Track && e.Name == "Abandoned" }

// person is the oracle's notion of a unit: one id, or two persons from the
// moment of their merge, with the steps of the time in between.
type person struct {
	was   []*person
	steps []step
}

// people replays nothing: it sorts the steps by whose they are.
func people(history []step) []*person {
	whose := map[string]*person{}
	var all []*person
	find := func(id string) *person {
		if whose[id] == nil {
			whose[id] = &person{}
			all = append(all, whose[id])
		}
		return whose[id]
	}
	for _, s := range history {
		p := find(s.id)
		if s.kind != "merge" {
			p.steps = append(p.steps, s)
			continue
		}
		o := find(s.other)
		if o == p {
			continue
		}
		both := &person{was: []*person{p, o}}
		all = append(slices.DeleteFunc(all, func(q *person) bool { return q == p || q == o }), both)
		for id, q := range whose {
			if q == p || q == o {
				whose[id] = both
			}
		}
	}
	return all
}

// first returns the exposure that counts, and the person's own steps after it.
func (p *person) first() (x *step, after []step) {
	var firsts []*step
	for _, q := range p.was {
		if f, _ := q.first(); f != nil {
			firsts = append(firsts, f)
		}
	}
	if len(firsts) > 0 {
		return slices.MinFunc(firsts, func(a, b *step) int {
			return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.treatment, b.treatment))
		}), p.steps
	}
	if i := slices.IndexFunc(p.steps, func(s step) bool { return s.kind == "expose" }); i >= 0 {
		return &p.steps[i], p.steps[i+1:]
	}
	return nil, nil
}

// some says whether a step of the person's life, after the first exposure of
// whoever the person was then, meets the condition.
func (p *person) some(is func(first *step, s step) bool) bool {
	for _, q := range p.was {
		if q.some(is) {
			return true
		}
	}
	x, after := p.first()
	return x != nil && slices.ContainsFunc(after, func(s step) bool { return is(x, s) })
}

func (p *person) mixed() bool {
	var arms []rules.Arm
	for _, q := range p.was {
		if q.mixed() {
			return true
		}
		if x, _ := q.first(); x != nil {
			arms = append(arms, x.arm)
		}
	}
	return len(arms) == 2 && arms[0] != arms[1] || p.some(func(x *step, s step) bool {
		return s.kind == "expose" && s.arm != x.arm && s.treatment == x.treatment
	})
}

func (p *person) moved() bool {
	return p.some(func(x *step, s step) bool {
		return s.kind == "expose" && s.arm != x.arm && s.treatment != x.treatment
	})
}

// did is when the person first did it within the window; 0: never.
func (p *person) did(is func(events.Event) bool, window int64) (first int64) {
	final, _ := p.first()
	p.some(func(x *step, s step) bool {
		if s.kind == "event" && is(s.event) && x.at < s.at && s.at <= final.at+window && !received(x, s, window) && (first == 0 || s.at < first) {
			first = s.at
		}
		return false
	})
	return first
}

// received says whether the event was received too late to count.
func received(x *step, s step, window int64) bool {
	return s.event.Received.UnixMilli() > x.at+window+2*unit
}

// ignored says whether the person did the metric or guardrail event when it
// doesn't count, by the first exposure of whoever the person was then.
func (p *person) ignored(why func(x *step, s step, window int64) bool) bool {
	return p.some(func(x *step, s step) bool {
		return s.kind == "event" && (isMetric(s.event) && why(x, s, metricWindow) || isGuardrail(s.event) && why(x, s, guardrailWindow))
	})
}

func early(x *step, s step, _ int64) bool     { return s.at <= x.at }
func late(x *step, s step, window int64) bool { return s.at > x.at+window }
func dropped(x *step, s step, window int64) bool {
	return !early(x, s, window) && !late(x, s, window) && received(x, s, window)
}

func (p *person) over(window int64) bool {
	return p.some(func(x *step, s step) bool { return s.kind == "close" && s.at >= x.at+window })
}

type weekKey struct {
	week      int
	treatment float64
}

// at is a map's entry, made if there is none.
func at[K comparable, V any](m map[K]*V, k K) *V {
	if m[k] == nil {
		m[k] = new(V)
	}
	return m[k]
}

func (d *Day) arm(arm rules.Arm) *FirstOutcomes {
	if arm == rules.Treatment {
		return &d.TreatmentArm
	}
	return &d.ControlArm
}

// latest is the latest exposure that was the first of an id, or of the person.
func (p *person) latest() (at int64) {
	for _, q := range p.was {
		at = max(at, q.latest())
	}
	if x, _ := p.first(); x != nil {
		at = max(at, x.at)
	}
	return at
}

// recount is the oracle: the tally from the full lists.
func recount(history []step) *Tally {
	epochs, t := map[float64]*Epoch{}, startedTally()
	days, weeks := map[int64]*Day{}, map[weekKey]*Week{}
	for _, p := range people(history) {
		x, _ := p.first()
		if x == nil {
			continue
		}
		t.Latest = max(t.Latest, p.latest())
		if p.mixed() {
			t.Mixed++
			continue
		}
		if epochs[x.treatment] == nil {
			epochs[x.treatment] = &Epoch{Treatment: x.treatment}
		}
		c := &epochs[x.treatment].ControlArm
		if x.arm == rules.Treatment {
			c = &epochs[x.treatment].TreatmentArm
		}
		conversion, harm := p.did(isMetric, metricWindow), p.did(isGuardrail, guardrailWindow)
		if conversion != 0 {
			at(days, (conversion-x.at)/dayMillis).arm(x.arm).Converted++
		}
		if harm != 0 {
			at(days, (harm-x.at)/dayMillis).arm(x.arm).Harmed++
		}
		converted, harmed := conversion != 0, harm != 0
		matured, closed := p.over(metricWindow), p.over(guardrailWindow)
		for count, is := range map[*int64]bool{
			&c.Exposed: true, &c.Moved: p.moved(),
			&c.Early: p.ignored(early), &c.Late: p.ignored(late), &c.Dropped: p.ignored(dropped),
			&c.Converted: converted, &c.Matured: matured, &c.MaturedConverted: converted && matured,
			&c.Harmed: harmed, &c.Closed: closed, &c.ClosedHarmed: harmed && closed, &c.Settled: harmed || closed,
		} {
			if is {
				*count++
			}
		}
		if matured {
			week := at(weeks, weekKey{int(max(0, x.at-t.Started) / weekMillis), x.treatment})
			cohort := &week.ControlArm
			if x.arm == rules.Treatment {
				cohort = &week.TreatmentArm
			}
			cohort.Matured++
			if converted {
				cohort.Converted++
			}
		}
	}
	for i := int64(0); len(days) > 0; i++ {
		t.Days = append(t.Days, *at(days, i))
		delete(days, i)
	}
	for k, w := range weeks {
		w.Week, w.Treatment = k.week, k.treatment
		t.Weeks = append(t.Weeks, *w)
	}
	slices.SortFunc(t.Weeks, func(a, b Week) int { return cmp.Or(a.Week-b.Week, cmp.Compare(a.Treatment, b.Treatment)) })
	for _, e := range epochs {
		t.Epochs = append(t.Epochs, *e)
	}
	slices.SortFunc(t.Epochs, func(a, b Epoch) int { return cmp.Compare(a.Treatment, b.Treatment) })
	return t
}
