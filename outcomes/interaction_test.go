package outcomes

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/seed14307185/refract/rules"
)

// cells is what a pair shows of a rate: in the companion's treatment the rule's
// treatment and control, then in its control.
func cells(c [4]Proportion) Stratum {
	cohort := func(p Proportion) Cohort { return Cohort{Matured: p.N, Converted: p.X} }
	return Stratum{.5, .5, Arms{cohort(c[0]), cohort(c[1])}, Arms{cohort(c[2]), cohort(c[3])}}
}

// By hand: the log ratios are ln 1.5 and ln 0.9, their variances the sums of
// (1 − rate)/successes.
func TestInteraction(t *testing.T) {
	rate := &rules.Metric{}
	test := func(list ...Stratum) Interaction { return LiftTest{}.Interaction(&Crossed{Strata: list}, rate) }

	is := test(cells([4]Proportion{{1500, 5000}, {1000, 5000}, {900, 5000}, {1000, 5000}}))
	want := LiftTest{}.at(20_000, math.Log(1.5)-math.Log(.9), math.Sqrt(.7/1500+.8/1000+.82/900+.8/1000))
	if math.Abs(is.Ratio.Low-want.Low) > 1e-12 || math.Abs(is.Ratio.High-want.High) > 1e-12 || !is.Interacts {
		t.Errorf("they interact: %+v, want %+v", is, want)
	}
	if math.Abs(is.InTreatment.Change-.5) > 1e-12 || math.Abs(is.InControl.Change+.1) > 1e-12 {
		t.Errorf("the changes are %+v", is)
	}
	// As much in the companion's treatment as in its control, which is another rate.
	if is := test(cells([4]Proportion{{1500, 5000}, {1000, 5000}, {750, 5000}, {500, 5000}})); is.Interacts || is.Ratio.Collecting || math.Abs(is.Ratio.Change) > 1e-12 {
		t.Errorf("they don't: %+v", is)
	}
	for i := range 4 {
		few := [4]Proportion{{900, 1000}, {900, 1000}, {100, 1000}, {900, 1000}}
		few[i].X = 19
		if is := test(cells(few)); !is.Ratio.Collecting || is.Interacts {
			t.Errorf("cell %d is collecting: %+v", i, is)
		}
	}
	if is := test(); !is.Ratio.Collecting {
		t.Errorf("no unit in common: %+v", is)
	}
	// The rule's effect moved while the companion's treatment became frequent:
	// within each epoch it is the same in both of the companion's arms.
	first := cells([4]Proportion{{60, 200}, {40, 200}, {540, 1800}, {360, 1800}})
	later := cells([4]Proportion{{180, 1800}, {360, 1800}, {20, 200}, {40, 200}})
	first.Companion, later.Companion = .1, .9
	if is := test(first, later); is.Interacts || math.Abs(is.Ratio.Change) > 1e-12 {
		t.Errorf("epochs are pooled: %+v", is)
	}
}

// A metric that is a mean: a value of 3 or 1 for everyone in one cell, 2 or 1 in
// the others.
func TestInteractionOfMeans(t *testing.T) {
	r := testRules()[1]
	var c Crossed
	for i := range 4000 {
		n := Enrolment{Arm: rules.Control, Treatment: .5, At: 1000, MetricClosed: true, Converted: 1001}
		other := n
		if n.Sum = 1e6; i/4%2 == 0 {
			n.Sum = 2e6
		}
		if i%2 == 0 {
			n.Arm = rules.Treatment
		}
		if i/2%2 == 0 {
			other.Arm = rules.Treatment
		}
		if i%4 == 0 {
			n.Sum += 1e6
		}
		c.Add(&n, &other, r)
	}
	is := LiftTest{}.Interaction(&c, &r.Metric)
	if !is.Interacts || math.Abs(is.Ratio.Change-(2.5/1.5-1)) > 1e-9 || math.Abs(is.InControl.Change) > 1e-9 {
		t.Errorf("%+v of %+v", is, c)
	}
}

// Whom a pair counts, and where.
func TestCrossed(t *testing.T) {
	rate, sum := testRules()[0], testRules()[1]
	window := int64(metricWindow)
	unit := func(at, converted int64) Enrolment {
		return Enrolment{Arm: rules.Treatment, Treatment: .5, At: at, Converted: converted, MetricClosed: true}
	}
	for _, c := range []struct {
		name     string
		n        Enrolment
		met      int64 // the companion
		edit     func(n, other *Enrolment)
		in       string // stratum, first, open or nowhere
		converts bool
	}{
		{name: "both at once", n: unit(100, 101), met: 100, in: "stratum", converts: true},
		{name: "the companion long before", n: unit(100, 101), met: 1, in: "stratum", converts: true},
		{name: "the companion before the outcome", n: unit(100, 103), met: 102, in: "first"},
		{name: "no outcome, the companion within the window", n: unit(100, 0), met: 99 + window, in: "first"},
		{name: "the window is open", n: unit(100, 101), met: 100, in: "open", edit: func(n, _ *Enrolment) { n.MetricClosed = false }},
		{name: "the companion later, and the window is open", n: unit(100, 101), met: 102, in: "first", edit: func(n, _ *Enrolment) { n.MetricClosed = false }},
		{name: "saw both arms", n: unit(100, 0), met: 100, in: "nowhere", edit: func(n, _ *Enrolment) { n.Mixed = true }},
		{name: "saw both arms of the companion", n: unit(100, 101), met: 100, in: "nowhere", edit: func(_, o *Enrolment) { o.Mixed = true }},
		{name: "was moved", n: unit(100, 101), met: 100, in: "stratum", converts: true, edit: func(n, o *Enrolment) { n.Moved, o.Moved = true, true }},
	} {
		for _, r := range []*rules.Rule{rate, sum} {
			want := c.in
			n, other := c.n, Enrolment{Arm: rules.Control, Treatment: .9, At: c.met}
			if c.edit != nil {
				c.edit(&n, &other)
			}
			var got Crossed
			got.Add(&n, &other, r)
			is := map[bool]string{true: "nowhere", false: "?"}[got.Units == 0]
			switch {
			case got.First == 1:
				is = "first"
			case got.Open == 1:
				is = "open"
			case len(got.Strata) == 1:
				is = "stratum"
				s, one := got.Strata[0], Cohort{Matured: 1}
				if c.converts {
					one.Converted = 1
				}
				if s != (Stratum{Treatment: .5, Companion: .9, InControl: Arms{TreatmentArm: one}}) {
					t.Errorf("%s: %+v", c.name, s)
				}
			}
			if is != want || got.First+got.Open+int64(len(got.Strata)) != got.Units {
				t.Errorf("%s: %s in %+v, want %s", c.name, is, got, want)
			}
		}
	}
}

// traffic is two rules, each with an effect of its own, on units of which some
// meet the companion only after the rule had some time to act alone: fewer where
// the companion treats. What the rates are multiplied by is the same whether or
// not the other treats, but for together.
type traffic struct {
	early, control, lift, companion float64
	together                        float64 // what both treatments do more than each by itself: 1, nothing
}

// unit draws a unit.
func (f traffic) unit(rnd *rand.Rand) (n, companion Enrolment) {
	draw := func(at int64) Enrolment {
		e := Enrolment{Arm: rules.Control, Treatment: .5, At: at, MetricClosed: true}
		if rnd.IntN(2) == 0 {
			e.Arm = rules.Treatment
		}
		return e
	}
	n, companion = draw(1000), draw(1000)
	if later := rnd.IntN(4); later == 0 || later == 1 && companion.Arm == rules.Control {
		companion.At += 5
	}
	early, rate := f.early, f.control
	if n.Arm == rules.Treatment {
		early, rate = 2*early, rate*f.lift
	}
	if companion.Arm == rules.Treatment {
		if rate *= f.companion; n.Arm == rules.Treatment {
			rate *= f.together
		}
	}
	switch {
	case companion.At > n.At && rnd.Float64() < early:
		n.Converted = 1003
	case rnd.Float64() < rate:
		n.Converted = 1007
	}
	return n, companion
}

// interactions returns in how many of the runs the pair is said to interact at
// some look.
func (f traffic) interactions(runs, units, every int, seed uint64) (found int) {
	r := testRule()
	for run := range runs {
		rnd := rand.New(rand.NewPCG(seed, uint64(run)))
		var c Crossed
		for i := 1; i <= units; i++ {
			n, companion := f.unit(rnd)
			c.Add(&n, &companion, r)
			if i%every == 0 && (LiftTest{}).Interaction(&c, &r.Metric).Interacts {
				found++
				break
			}
		}
	}
	return found
}

// ordinary has no interaction, although both rules do much.
var ordinary = traffic{early: .1, control: .2, lift: 1.25, companion: .5, together: 1}

// TestFalseInteractions looks often at rules that do not interact, and
// TestInteractionsAreFound at some that do.
func TestFalseInteractions(t *testing.T) {
	const runs = 300
	atMost(t, "pairs said to interact without cause, at some look", ordinary.interactions(runs, 6000, 50, 41), runs)
}

func TestInteractionsAreFound(t *testing.T) {
	const runs = 100
	strong := ordinary
	strong.together = .5
	if found := strong.interactions(runs, 9000, 75, 43); found < 95 {
		t.Errorf("half as many in both treatments as each by itself explains: found in %d of %d", found, runs)
	}
}
