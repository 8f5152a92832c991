package outcomes

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
)

// noveltyOf is the comparison of a first week with a second, both of one epoch.
func noveltyOf(first, later [2]Proportion) *Novelty {
	cohort := func(p Proportion) Cohort { return Cohort{Matured: p.N, Converted: p.X} }
	return LiftTest{}.novelty(&Tally{Started: 1, Weeks: []Week{
		{0, .5, cohort(first[0]), cohort(first[1])},
		{1, .5, cohort(later[0]), cohort(later[1])},
	}}, &rules.Metric{})
}

// By hand: the log lifts are ln 1.5 and ln 1.02, their variances the sums of
// (1 − rate)/successes.
func TestNovelty(t *testing.T) {
	n := noveltyOf([2]Proportion{{1500, 5000}, {1000, 5000}}, [2]Proportion{{1020, 5000}, {1000, 5000}})
	ratio := math.Log(1.5) - math.Log(1.02)
	se := math.Sqrt(.7/1500 + .8/1000 + .796/1020 + .8/1000)
	want := LiftTest{}.at(20_000, ratio, se)
	if n == nil || math.Abs(n.Ratio.Low-want.Low) > 1e-12 || math.Abs(n.Ratio.Change-want.Change) > 1e-12 || !n.Differs || n.Ratio.Low <= 0 {
		t.Errorf("it fades: %+v, want %+v", n, want)
	}
	if n := noveltyOf([2]Proportion{{1500, 5000}, {1000, 5000}}, [2]Proportion{{1450, 5000}, {1000, 5000}}); n == nil || n.Differs {
		t.Errorf("it lasts: %+v", n)
	}
	if n := noveltyOf([2]Proportion{{1500, 5000}, {1000, 5000}}, [2]Proportion{{19, 50}, {10, 50}}); n != nil {
		t.Errorf("the later week is collecting: %+v", n)
	}
}

// Weeks of epochs with different probabilities are not pooled: the rate is the
// same in both arms at any time, but was higher while treatment was rare.
func TestNoveltyDoesNotPoolEpochs(t *testing.T) {
	n := LiftTest{}.novelty(&Tally{Started: 1, Weeks: []Week{
		{0, .5, Cohort{Matured: 2000, Converted: 400}, Cohort{Matured: 2000, Converted: 400}},
		{1, .1, Cohort{Matured: 500, Converted: 250}, Cohort{Matured: 4500, Converted: 2250}},
		{2, .9, Cohort{Matured: 4500, Converted: 450}, Cohort{Matured: 500, Converted: 50}},
		{3, .9, Cohort{Matured: 4500, Converted: 450}, Cohort{Matured: 500, Converted: 50}},
	}}, &rules.Metric{})
	if n == nil || n.Differs || math.Abs(n.Later.Change) > 1e-12 {
		t.Errorf("%+v", n)
	}
}

// The comparison, looked at often, of a rule whose effect lasts.
func TestFalseNovelty(t *testing.T) {
	const runs = 300
	atMost(t, "lasting effects called novelty at some look", falseNovelty(runs, 2000, 8000, 100), runs)
}

// falseNovelty returns in how many of the runs an effect that lasts is called
// novelty at some look.
func falseNovelty(runs, first, units, every int) (flagged int) {
	for run := range runs {
		rnd := rand.New(rand.NewPCG(17, uint64(run)))
		tally := &Tally{Started: 1, Weeks: []Week{{Week: 0, Treatment: .5}, {Week: 1, Treatment: .5}}}
		differs := false
		for i := range units {
			w := &tally.Weeks[0]
			if i >= first {
				w = &tally.Weeks[1]
			}
			arm, p := &w.ControlArm, .2
			if rnd.IntN(2) == 0 {
				arm, p = &w.TreatmentArm, .26
			}
			arm.Matured++
			if rnd.Float64() < p {
				arm.Converted++
			}
			if i%every == 0 {
				n := LiftTest{}.novelty(tally, &rules.Metric{})
				differs = differs || n != nil && n.Differs
			}
		}
		if differs {
			flagged++
		}
	}
	return flagged
}

// A rule is not said to help before its exposures span a week; a rollback, and
// that it did not help, wait for nothing.
func TestTooEarlyToCall(t *testing.T) {
	r := testRule()
	run := func(days int64, treatment, control int, waited int64) Verdict {
		tally := NewTally()
		tally.Started = 1000 - waited*dayMillis
		for arm, converted := range map[rules.Arm]int{rules.Treatment: treatment, rules.Control: control} {
			for i := range 3000 {
				n, _ := Enrol(tally, nil, &rules.Exposure{Arm: arm, Treatment: .5, At: time.UnixMilli(1000 + int64(i)*days*dayMillis/2999)})
				if i%1000 < converted {
					Observe(tally, &n, r, &events.Event{Kind: events.Track, Name: "Invited", Time: time.UnixMilli(n.At + 1), Properties: events.Properties{"real": true}})
				}
				Close(tally, &n, r, n.At+guardrailWindow)
			}
		}
		return Judge(tally, r)
	}
	for _, c := range []struct {
		name               string
		days               int64
		treatment, control int
		waited             int64 // days from the run's start to the first exposure
		want               string
	}{
		{"a day less", 6, 400, 300, 0, "too early to call it, on day 7 of 7; so far Invited within 10 days changed by +33.3 %"},
		{"a week", 7, 400, 300, 0, "It helped"},
		{"live for long, and seen for a day", 1, 400, 300, 30, "too early to call it, on day 2 of 7"},
		{"harm is not waited for", 1, 300, 400, 0, "It did not help"},
		{"nothing to call", 1, 300, 300, 0, "which includes no change"},
	} {
		r.Metric.Expect = "increase"
		v := run(c.days, c.treatment, c.control, c.waited)
		if s := v.Sentence(r); !strings.Contains(s, c.want) || v.TooEarly != (c.days < 7) {
			t.Errorf("%s: %+v: %s", c.name, v, s)
		}
	}
}
