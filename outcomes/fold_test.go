package outcomes

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

// step is one thing that happened in a generated history. Its kind is
// "expose", "event", "close" or "merge".
type step struct {
	kind      string
	id, other string // a merge: other turns out to be id
	at        int64
	arm       rules.Arm
	treatment float64
	event     events.Event
}

func (s step) String() string {
	switch s.kind {
	case "expose":
		return fmt.Sprintf("%s exposed at %d in %s of %g", s.id, s.at, s.arm, s.treatment)
	case "event":
		return fmt.Sprintf("%s did %s %s %v at %d, received %d", s.id, s.event.Kind, s.event.Name, s.event.Properties, s.at, s.event.Received.UnixMilli())
	case "merge":
		return fmt.Sprintf("%s is %s", s.other, s.id)
	}
	return fmt.Sprintf("%s closed at %d", s.id, s.at)
}

// Times of histories are multiples of unit, 12 hours.
const (
	unit            = dayMillis / 2
	metricWindow    = 20 * unit
	guardrailWindow = 35 * unit
)

func testRule() *rules.Rule {
	return &rules.Rule{
		Metric: rules.Metric{
			Event: "Invited", Within: time.Duration(metricWindow) * time.Millisecond,
			Where: []segments.Match{{Key: "real", Test: segments.Test{Op: segments.Is, Values: []any{true}}}},
		},
		Guardrail: rules.Guardrail{Event: "Abandoned", Within: time.Duration(guardrailWindow) * time.Millisecond, Tolerate: .1, Baseline: .2},
	}
}

// testRules are testRule, and the same by a sum and by a ratio.
func testRules() []*rules.Rule {
	rate, sum, ratio := testRule(), testRule(), testRule()
	sum.Metric.Value, sum.Metric.Cap = "total", 25
	ratio.Metric.Per = "Viewed"
	return []*rules.Rule{rate, sum, ratio}
}

func randomStep(rnd *rand.Rand, kind string, ids int) step {
	id := func() string { return fmt.Sprintf("u%d", rnd.IntN(ids)) }
	s := step{kind: kind, id: id(), other: id(), at: (1000 + rnd.Int64N(60)) * unit}
	s.arm, s.treatment = rules.Treatment, .5
	if rnd.IntN(3) == 0 {
		s.treatment = .9
	}
	// The arm is nearly always the same for one id and probability.
	if odd := s.id[1]%2 == 1; odd != (rnd.IntN(12) == 0) && (s.treatment == .5 || s.id[1] == '1') {
		s.arm = rules.Control
	}
	s.event = events.Event{Kind: events.Track, Name: "Abandoned", Time: time.UnixMilli(s.at)}
	s.event.Received = s.event.Time.Add(time.Duration(rnd.IntN(3)) * 5 * 24 * time.Hour)
	if rnd.IntN(2) == 0 {
		s.event.Name = "Invited"
		s.event.Properties = events.Properties{"real": rnd.IntN(4) > 0}
		if v := []any{nil, "7", -1.5, 0.0, 0.1, 9.99, 20.0, 1e300}[rnd.IntN(8)]; v != nil {
			s.event.Properties["total"] = v
		}
	} else if rnd.IntN(3) == 0 {
		s.event.Name = "Viewed"
	}
	s.event.ID = fmt.Sprint(rnd.Uint64())
	if rnd.IntN(10) == 0 {
		s.event.Kind = events.Identify
	}
	return s
}

// world folds steps as a store would.
type world struct {
	rule  *rules.Rule
	tally *Tally
	known map[string]*Enrolment
	is    map[string]string // who an id that was merged turned out to be
	seen  map[string]bool   // events by their id, where it matters that each is folded once
}

func newWorld(r *rules.Rule) *world {
	return &world{rule: r, tally: startedTally(), known: map[string]*Enrolment{}, is: map[string]string{}, seen: map[string]bool{}}
}

// startedTally is that of a run that began within the histories.
func startedTally() *Tally {
	t := NewTally()
	t.Started = 1010 * unit
	return t
}

func (w *world) canonical(id string) string {
	for w.is[id] != "" {
		id = w.is[id]
	}
	return id
}

func (w *world) fold(t *testing.T, s step) {
	id := w.canonical(s.id)
	n := w.known[id]
	var before Enrolment
	if n != nil {
		before = *n
	}
	changed := false
	switch s.kind {
	case "expose":
		x := rules.Exposure{Arm: s.arm, Treatment: s.treatment, At: time.UnixMilli(s.at), Browser: browserAt(s.at)}
		now, first := Enrol(w.tally, n, &x)
		if first != (n == nil) {
			t.Fatalf("%v: first is %v", s, first)
		}
		w.known[id] = &now
		return
	case "event":
		if w.seen[s.event.ID] && !w.rule.Metric.IsRate() {
			return
		}
		w.seen[s.event.ID] = true
		if n != nil {
			changed = Observe(w.tally, n, w.rule, &s.event)
		}
	case "close":
		if n != nil {
			due := Due(n, w.rule)
			if changed = Close(w.tally, n, w.rule, s.at); changed != (s.at >= due) {
				t.Fatalf("%v: was due at %d, changed %v", s, due, changed)
			}
		}
	case "merge":
		other := w.canonical(s.other)
		if other == id {
			return
		}
		w.is[other] = id
		o := w.known[other]
		delete(w.known, other)
		switch {
		case n != nil && o != nil:
			now := Merge(w.tally, n, o, w.rule)
			w.known[id] = &now
		case o != nil:
			w.known[id] = o
		}
		return
	}
	if n != nil && changed != (*n != before) {
		t.Fatalf("%v: changed is %v, from %+v to %+v", s, changed, before, *n)
	}
}

// same says whether two tallies of a rule have the same counts, and are judged
// the same.
func same(a, b *Tally, r *rules.Rule) bool {
	one, two := a.Clone(), b.Clone()
	v, w := Judge(&one, r), Judge(&two, r)
	near := func(x, y float64) bool { return math.Abs(x-y) <= 1e-9 }
	return a.Mixed == b.Mixed && slices.Equal(a.Epochs, b.Epochs) &&
		a.Started == b.Started && a.Earliest == b.Earliest && a.Latest == b.Latest && slices.Equal(a.Days, b.Days) && slices.Equal(a.Weeks, b.Weeks) && slices.Equal(a.Watched, b.Watched) &&
		near(v.LogE, w.LogE) && near(v.Lift.LogE, w.Lift.LogE) && near(v.SRM.LogBF, w.SRM.LogBF) && near(v.Harm.LogE, w.Harm.LogE) &&
		v.Guardrail == w.Guardrail && v.Blind == w.Blind && v.Lift.Collecting == w.Lift.Collecting
}

func TestFoldEqualsRecount(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(1500) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		r := testRules()[seed%3]
		w := newWorld(r)
		var history []step
		for i := range 70 {
			kind := []string{"expose", "expose", "event", "event", "event", "close", "merge"}[rnd.IntN(7)]
			if kind == "merge" && rnd.IntN(2) == 0 {
				kind = "event"
			}
			s := randomStep(rnd, kind, 9)
			history = append(history, s)
			w.fold(t, s)
			for id, n := range w.known { // as if it had been written and read
				b, err := n.AppendBinary(nil)
				if err != nil {
					t.Fatal(err)
				}
				w.known[id] = new(Enrolment)
				if err := w.known[id].UnmarshalBinary(b); err != nil || *w.known[id] != *n {
					t.Fatalf("%+v was read as %+v, %v", *n, *w.known[id], err)
				}
			}
			if i%8 != 0 && i < 66 {
				continue
			}
			if want := recount(history, r); !same(w.tally, want, r) {
				t.Fatalf("seed %d: after\n%s\nthe fold has  %+v\nthe recount is %+v", seed, lines(history), w.tally, want)
			}
		}
		for _, e := range w.tally.Epochs {
			for _, c := range []Counts{e.TreatmentArm, e.ControlArm} {
				if !r.Metric.IsRate() && c.Sums.Sum != (Exact{}) && c.Sums.Squares != (Exact{}) {
					seen["Sums "+r.Metric.Subject()]++
				}
				v := reflect.ValueOf(c)
				for i := range v.NumField() {
					if v.Field(i).Kind() != reflect.Int64 {
						continue
					}
					seen[v.Type().Field(i).Name] += int(v.Field(i).Int())
				}
				for _, b := range rules.Browsers {
					seen["of "+string(b)] += int(*c.Browsers.Of(b))
				}
			}
		}
		seen["Mixed"] += int(w.tally.Mixed)
		for i, d := range w.tally.Days {
			if i > 0 && d != (Day{}) {
				seen["later days"]++
			}
		}
		for _, c := range w.tally.Weeks {
			if c.Week > 0 {
				seen["later weeks"]++
			}
		}
	}
	for name, least := range map[string]int{
		"Exposed": 100, "Converted": 100, "Harmed": 100, "Settled": 100, "Closed": 100, "ClosedHarmed": 100, "Matured": 100,
		"MaturedConverted": 100, "Moved": 100, "Early": 100, "Late": 100, "Dropped": 100, "Mixed": 100, "later days": 100, "later weeks": 100,
		"NoValue": 30, "NotNumber": 30, "Negative": 30, "Sums total of Invited": 30, "Sums Invited per Viewed": 30,
		"of chromium": 100, "of firefox": 100, "of safari": 100, "of other": 100, "of app": 100,
	} {
		if seen[name] < least {
			t.Errorf("the histories hardly reach %s: %d", name, seen[name])
		}
	}
}

// Once a unit's first exposure is folded, the order of what follows does not
// matter, nor do repetitions of single events or of everything, nor who folds
// which unit: the counts are the same, and so is the decision.
func TestFoldIsFreeOfOrder(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		r := testRules()[seed%3]
		type placed struct {
			step
			key float64
		}
		var history []placed
		started := map[string]float64{}
		for range 200 {
			s := randomStep(rnd, []string{"expose", "event", "event", "close"}[rnd.IntN(4)], 40)
			if _, ok := started[s.id]; !ok {
				s.kind = "expose"
				started[s.id] = 0
			}
			history = append(history, placed{step: s})
		}
		var want *Tally
		for range 4 {
			clear(started)
			var order []placed
			for _, s := range history {
				from, ok := started[s.id]
				s.key = from + rnd.Float64()
				if !ok {
					started[s.id] = s.key
				}
				order = append(order, s)
				if ok && rnd.IntN(3) == 0 {
					s.key++
					order = append(order, s)
				}
			}
			slices.SortFunc(order, func(a, b placed) int { return cmp.Compare(a.key, b.key) })
			if rnd.IntN(2) == 0 {
				order = append(order, order...) // everything is told twice
			}
			whole, parts := newWorld(r), make([]*world, 2+rnd.IntN(7))
			for i := range parts {
				parts[i] = newWorld(r)
			}
			for _, s := range order {
				whole.fold(t, s.step)
				parts[int(s.id[len(s.id)-1])%len(parts)].fold(t, s.step)
			}
			sum := NewTally()
			for _, i := range rnd.Perm(len(parts)) {
				sum.Add(parts[i].tally)
			}
			if want == nil {
				want = whole.tally
			}
			if !same(whole.tally, want, r) || !same(sum, want, r) {
				t.Fatalf("seed %d: one order gives %+v, another %+v, in %d parts %+v", seed, want, whole.tally, len(parts), sum)
			}
		}
	}
}

func lines(history []step) (s string) {
	for _, h := range history {
		s += h.String() + "\n"
	}
	return s
}

// A ramp puts units in the other arm. Were those that come back left out, the
// control arm of the first epoch would lose its returning units.
func TestRampKeepsFirstAssignment(t *testing.T) {
	tally := NewTally()
	at := time.UnixMilli(1000)
	n, _ := Enrol(tally, nil, &rules.Exposure{Arm: rules.Control, Treatment: .5, At: at})
	n, first := Enrol(tally, &n, &rules.Exposure{Arm: rules.Treatment, Treatment: .9, At: at.Add(time.Hour)})
	want := &Tally{Epochs: []Epoch{{Treatment: .5, ControlArm: Counts{Exposed: 1, Moved: 1}}}}
	if first || !reflect.DeepEqual(tally, want) {
		t.Errorf("after the ramp: %+v", tally)
	}
	Enrol(tally, &n, &rules.Exposure{Arm: rules.Treatment, Treatment: .5, At: at.Add(2 * time.Hour)})
	if tally.Mixed != 1 || len(tally.Epochs) != 0 {
		t.Errorf("both arms under one probability: %+v", tally)
	}
}

// The millisecond of the exposure is outside both windows, their last one is
// inside, and what comes after they closed still counts.
func TestWindowEdges(t *testing.T) {
	r := testRule()
	for at, want := range map[int64]bool{1000: false, 1001: true, 1000 + guardrailWindow: true, 1001 + guardrailWindow: false} {
		tally := NewTally()
		n, _ := Enrol(tally, nil, &rules.Exposure{Arm: rules.Treatment, Treatment: .5, At: time.UnixMilli(1000)})
		Close(tally, &n, r, 1000+guardrailWindow)
		if c := tally.Epochs[0].TreatmentArm; c.Settled != 1 || c.Closed != 1 || c.Harmed != 0 {
			t.Fatalf("closed: %+v", c)
		}
		Observe(tally, &n, r, &events.Event{Kind: events.Track, Name: "Abandoned", Time: time.UnixMilli(at)})
		if c := tally.Epochs[0].TreatmentArm; (c.Harmed == 1) != want || (c.ClosedHarmed == 1) != want || c.Settled != 1 {
			t.Errorf("a harm at %d: %+v", at, c)
		}
	}
}
