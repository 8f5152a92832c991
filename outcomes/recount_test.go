package outcomes

import (
	"cmp"
	"math"
	"math/big"
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
		x := *slices.MinFunc(firsts, func(a, b *step) int {
			return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.treatment, b.treatment))
		})
		if len(firsts) == 2 { // both had to be in one arm, or the person is mixed
			odds := firsts[0].treatment / (1 - firsts[0].treatment) * firsts[1].treatment / (1 - firsts[1].treatment)
			x.treatment = math.Round(odds/(1+odds)*1e12) / 1e12
		}
		return &x, p.steps
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
func (p *person) ignored(per bool, why func(x *step, s step, window int64) bool) bool {
	return p.some(func(x *step, s step) bool {
		metric := isMetric(s.event) || per && s.event.Kind == events.Track && s.event.Name == "Viewed"
		return s.kind == "event" && (metric && why(x, s, metricWindow) || isGuardrail(s.event) && why(x, s, guardrailWindow))
	})
}

// total adds up what the person did that counts, by the first exposure of
// whoever the person was then.
func (p *person) total(is func(events.Event) bool, of func(events.Event) int64) (sum int64) {
	p.some(func(x *step, s step) bool {
		if s.kind == "event" && is(s.event) && x.at < s.at && s.at <= x.at+metricWindow && !received(x, s, metricWindow) {
			sum += of(s.event)
		}
		return false
	})
	return sum
}

func millionthsOf(e events.Event) int64 {
	switch v, _ := e.Properties["total"].(float64); v {
	case 0.1:
		return 100_000
	case 9.99:
		return 9_990_000
	case 20:
		return 20_000_000
	case 1e300:
		return 1e15
	}
	return 0
}

func exact(n *big.Int) (e Exact) {
	if err := e.UnmarshalText([]byte(n.String())); err != nil {
		panic(err)
	}
	return e
}

func addSums(a, b Sums) Sums {
	add := func(a, b Exact) Exact { return exact(new(big.Int).Add(a.big(), b.big())) }
	return Sums{add(a.Sum, b.Sum), add(a.Squares, b.Squares), add(a.Per, b.Per), add(a.PerSquares, b.PerSquares), add(a.Products, b.Products)}
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
func recount(history []step, r *rules.Rule) *Tally {
	epochs, t := map[float64]*Epoch{}, startedTally()
	days, weeks, watched := map[int64]*Day{}, map[weekKey]*Week{}, map[int64]*Watched{}
	for _, p := range people(history) {
		x, _ := p.first()
		if x == nil {
			continue
		}
		t.Earliest, t.Latest = earlier(t.Earliest, x.at), max(t.Latest, p.latest())
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
		per := r.Metric.Per != ""
		matured, closed := p.over(metricWindow), p.over(guardrailWindow)
		for count, is := range map[*int64]bool{
			&c.Exposed: true, &c.Moved: p.moved(),
			&c.Early: p.ignored(per, early), &c.Late: p.ignored(per, late), &c.Dropped: p.ignored(per, dropped),
			&c.Converted: converted, &c.Matured: matured, &c.MaturedConverted: converted && matured,
			&c.Harmed: harmed, &c.Closed: closed, &c.ClosedHarmed: harmed && closed, &c.Settled: harmed || closed,
		} {
			if is {
				*count++
			}
		}
		if closed || harmed {
			w := at(watched, max(0, x.at-t.Started)/dayMillis)
			if closed {
				w.Closed++
			}
			if harmed {
				w.Harmed++
			}
		}
		if b := browserAt(x.at); b != "" {
			*c.Browsers.Of(b)++
		}
		odd := map[*int64]func(any) bool{}
		var sums Sums
		if m := &r.Metric; m.Value != "" {
			odd[&c.NoValue] = func(v any) bool { return v == nil }
			odd[&c.NotNumber] = func(v any) bool { _, number := v.(float64); return v != nil && !number }
			odd[&c.Negative] = func(v any) bool { f, _ := v.(float64); return f < 0 }
			total := big.NewInt(min(p.total(isMetric, millionthsOf), int64(m.Cap)*millionths))
			sums = Sums{Sum: exact(total), Squares: exact(new(big.Int).Mul(total, total))}
		} else if m.Per != "" {
			once := func(events.Event) int64 { return 1 }
			isViewed := func(e events.Event) bool { return e.Kind == events.Track && e.Name == "Viewed" }
			m, d := big.NewInt(p.total(isMetric, once)), big.NewInt(p.total(isViewed, once))
			mul := func(a, b *big.Int) Exact { return exact(new(big.Int).Mul(a, b)) }
			sums = Sums{exact(m), mul(m, m), exact(d), mul(d, d), mul(m, d)}
		}
		for count, is := range odd {
			if p.total(isMetric, func(e events.Event) int64 {
				if is(e.Properties["total"]) {
					return 1
				}
				return 0
			}) > 0 {
				*count++
			}
		}
		if matured {
			c.Sums = addSums(c.Sums, sums)
			week := at(weeks, weekKey{int(max(0, x.at-t.Started) / weekMillis), x.treatment})
			cohort := &week.ControlArm
			if x.arm == rules.Treatment {
				cohort = &week.TreatmentArm
			}
			cohort.Matured++
			cohort.Sums = addSums(cohort.Sums, sums)
			if converted {
				cohort.Converted++
			}
		}
	}
	for i := int64(0); len(watched) > 0; i++ {
		t.Watched = append(t.Watched, *at(watched, i))
		delete(watched, i)
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
