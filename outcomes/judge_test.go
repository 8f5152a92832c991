package outcomes

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
)

func tallyOf(treatment, control Counts) *Tally {
	return &Tally{Epochs: []Epoch{{Treatment: .5, TreatmentArm: treatment, ControlArm: control}}}
}

func TestBreachLatches(t *testing.T) {
	r := testRule()
	r.Guardrail.Baseline = .08
	tally := tallyOf(Counts{Exposed: 1000, Harmed: 130, Settled: 1000}, Counts{Exposed: 1000, Harmed: 80, Settled: 1000})
	if v := Judge(tally, r); v.Guardrail != Breached || v.P > .05 {
		t.Fatalf("130 against 80 of 1000: %+v", v)
	}
	tally.Epochs[0].ControlArm.Harmed = 130 // late harms
	b, err := json.Marshal(tally)
	if err != nil {
		t.Fatal(err)
	}
	restarted := NewTally()
	if err := json.Unmarshal(b, restarted); err != nil || !reflect.DeepEqual(restarted, tally) {
		t.Fatalf("%s was read as %+v, %v", b, restarted, err)
	}
	v := Judge(restarted, r)
	if v.Guardrail != Breached || v.P > .05 || v.LogE > 0 || v.MaxLogE < 2.99 {
		t.Errorf("after late harms in control: %+v", v)
	}
}

// TestBlindGuardrail: harm that is expected and doesn't come is no proof of
// safety.
func TestBlindGuardrail(t *testing.T) {
	for _, c := range []struct {
		name     string
		baseline float64
		closed   int64 // in each arm
		harmed   int64 // in control
		blind    bool
	}{
		{"20 expected", .08, 125, 0, true},
		{"fewer expected", .08, 124, 0, false},
		{"one came", .08, 1000, 1, false},
		{"nothing is expected", 0, 1000, 0, false},
	} {
		r := testRule()
		r.Guardrail.Baseline = c.baseline
		arm := Counts{Exposed: c.closed, Settled: c.closed, Closed: c.closed}
		control := arm
		control.Harmed, control.ClosedHarmed = c.harmed, c.harmed
		v := Judge(tallyOf(arm, control), r)
		if v.Blind != c.blind || v.Guardrail != Undecided || strings.Contains(v.Sentence(r), "is blind") != c.blind {
			t.Errorf("%s: %+v: %s", c.name, v, v.Sentence(r))
		}
	}
}

// Arms of the wrong sizes decide nothing, but undo no decision either.
func TestInvalidSampleRatio(t *testing.T) {
	harmful := func() *Tally {
		return tallyOf(Counts{Exposed: 3000, Harmed: 500, Settled: 3000, Closed: 3000, ClosedHarmed: 500, Matured: 3000, MaturedConverted: 900},
			Counts{Exposed: 2000, Harmed: 100, Settled: 2000, Closed: 2000, ClosedHarmed: 100, Matured: 2000, MaturedConverted: 200})
	}
	r := testRule()
	tally := harmful()
	v := Judge(tally, r)
	if v.SRM.State != SRMInvalid || v.Guardrail != Undecided || v.LogE < 20 || v.MaxLogE != 0 || v.Lift.P != 1 {
		t.Errorf("3000 against 2000 units: %+v", v)
	}
	if s := v.Sentence(r); !strings.Contains(s, "invalid") || strings.Contains(s, "helped") || strings.Contains(s, "olled back") {
		t.Error(s)
	}
	tally.Epochs[0].ControlArm.Exposed = 3000
	if v := Judge(tally, r); v.SRM.State != SRMInvalid || v.Guardrail != Undecided {
		t.Errorf("invalid does not latch: %+v", v)
	}
	tally = harmful()
	tally.MaxLogE = 5
	if v := Judge(tally, r); v.Guardrail != Breached {
		t.Errorf("a breach on record was undone: %+v", v)
	}
	safe := tallyOf(Counts{Exposed: 30000, Settled: 30000, Harmed: 3000, Closed: 30000, ClosedHarmed: 3000},
		Counts{Exposed: 20000, Settled: 20000, Harmed: 4000, Closed: 20000, ClosedHarmed: 4000})
	if v := Judge(safe, r); v.Harm.High >= .1 || v.Guardrail != Undecided {
		t.Errorf("cleared by arms that can't be compared: %+v", v)
	}
}

// The harmed settle first: while no window is over, all the settled are
// harmed, in both arms, which shows nothing about safety.
func TestEarlyHarmsDoNotClear(t *testing.T) {
	r := testRule()
	tally := tallyOf(Counts{Exposed: 5000, Harmed: 400, Settled: 401, Closed: 1}, Counts{Exposed: 5000, Harmed: 380, Settled: 381, Closed: 1})
	if v := Judge(tally, r); v.Guardrail != Undecided || !v.Harm.Collecting {
		t.Errorf("no window is over: %+v", v)
	}
	want := GuardrailTest{Tolerate: .1, Baseline: .2}.LogE([]Sample{{.5, Proportion{400, 401}, Proportion{380, 381}}})
	if v := Judge(tally, r); v.LogE != want {
		t.Errorf("ln E is %g, but %g by the settled", v.LogE, want)
	}
	tally = tallyOf(Counts{Exposed: 2000, Harmed: 200, Settled: 2000, Closed: 2000, ClosedHarmed: 200},
		Counts{Exposed: 2000, Harmed: 200, Settled: 2000, Closed: 2000, ClosedHarmed: 200})
	if v := Judge(tally, r); v.Guardrail != Undecided || v.Harm.Collecting {
		t.Errorf("200 of 2000 in both arms may still be more than 10 %% apart: %+v", v)
	}
	tally = tallyOf(Counts{Exposed: 20000, Harmed: 1600, Settled: 20000, Closed: 20000, ClosedHarmed: 1600},
		Counts{Exposed: 20000, Harmed: 2000, Settled: 20000, Closed: 20000, ClosedHarmed: 2000})
	if v := Judge(tally, r); v.Guardrail != Cleared {
		t.Errorf("a fifth less harm of 40 000: %+v", v)
	}
}

func TestEvidenceOnlyGrows(t *testing.T) {
	r, rnd := testRule(), rand.New(rand.NewPCG(1, 3))
	tally := tallyOf(Counts{}, Counts{})
	var last Verdict
	last.P, last.Lift.P, last.SRM.P = 1, 1, 1
	fell := 0
	for i := range 3000 {
		for arm, c := range []*Counts{&tally.Epochs[0].ControlArm, &tally.Epochs[0].TreatmentArm} {
			often := int64(2)
			if (i/300+arm)%2 == 0 { // worse and better by turns
				often = 6
			}
			one := 1 - min(1, rnd.Int64N(often))
			*c = Counts{Exposed: c.Exposed + 1 + int64(arm)*rnd.Int64N(2), Settled: c.Settled + 1, Matured: c.Matured + 1,
				Harmed: c.Harmed + one, MaturedConverted: c.MaturedConverted + one}
		}
		v := Judge(tally, r)
		if v.P > last.P || v.Lift.P > last.Lift.P || v.SRM.P > last.SRM.P {
			t.Fatalf("from %+v to %+v", last, v)
		}
		if v.LogE < last.LogE {
			fell++
		}
		last = v
	}
	if last.Lift.P == 1 || last.P == 1 || last.SRM.P == 1 || fell < 100 {
		t.Errorf("the walk never went up and down: %+v, fell %d times", last, fell)
	}
}

func TestSentence(t *testing.T) {
	r := testRule()
	r.Metric.Within, r.Guardrail.Within = 7*24*time.Hour, 36*time.Hour
	exact := Lift{Change: .25, Low: .1147, High: .4017, Alpha: .05}
	harm := Lift{Change: .625, Low: .12, High: 1.36, Alpha: .05}
	loss := Lift{Change: -.2, Low: -.3, High: -.1, Alpha: .05}
	none := Lift{Collecting: true, Alpha: .05, P: 1}
	unsure := Lift{Change: .3, Low: -.0069, High: .7018, Alpha: .05}
	for _, c := range []struct {
		name   string
		v      Verdict
		expect string
		want   string
	}{
		{"nothing yet", Verdict{Guardrail: Undecided, Harm: none, Lift: none}, "increase",
			"Not known yet whether it helps: collecting until both arms have 20 times Invited within 7 days, of those whose time is over. " +
				"The guardrail is undecided: the evidence that Abandoned within 36 hours rose by more than the 10 % tolerated is E = 1; 20 would roll it back."},
		{"helped", Verdict{Guardrail: Cleared, Harm: loss, Lift: exact}, "increase",
			"It helped: Invited within 7 days changed by +25.0 % (95 % interval at any look: +11.5 % to +40.2 %). " +
				"The guardrail is cleared: Abandoned within 36 hours changed by -20.0 % (95 % interval at any look: -30.0 % to -10.0 %), which is below the 10 % tolerated."},
		{"the wrong way", Verdict{Guardrail: Cleared, Harm: loss, Lift: exact}, "decrease",
			"It did not help: Invited within 7 days changed the wrong way, by +25.0 % (95 % interval at any look: +11.5 % to +40.2 %). " +
				"The guardrail is cleared: Abandoned within 36 hours changed by -20.0 % (95 % interval at any look: -30.0 % to -10.0 %), which is below the 10 % tolerated."},
		{"rolled back", Verdict{Guardrail: Breached, MaxLogE: 2.995794576, P: .04999689, Harm: harm, Lift: unsure}, "increase",
			"Rolled back: the guardrail, Abandoned within 36 hours, came more often or earlier than the 10 % tolerated (E = 20, rolled back from 20 on; anytime p = 0.05). " +
				"Among those whose time is over it changed by +62.5 % (95 % interval at any look: +12.0 % to +136.0 %); an estimate at a stop leans to the extreme. " +
				"Not known yet whether it helps: Invited within 7 days changed by +30.0 % (95 % interval at any look: -0.7 % to +70.2 %), which includes no change."},
		{"beyond float64", Verdict{Guardrail: Breached, MaxLogE: 2000, SRM: SRM{State: SRMInvalid, P: .0001}, Harm: none}, "increase",
			"Rolled back: the guardrail, Abandoned within 36 hours, came more often or earlier than the 10 % tolerated (E = 10^868.6, rolled back from 20 on; anytime p = 0). " +
				"The results are invalid: the sizes of the arms do not fit the probability of treatment (sample ratio, anytime p = 0.0001); nothing can be concluded from this version."},
	} {
		r.Metric.Expect = c.expect
		if got := c.v.Sentence(r); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// Of a rule that changes nothing, whatever is found is wrong.
func TestSentenceOfNothing(t *testing.T) {
	r := testRule()
	r.Metric.Within, r.Guardrail.Within = 7*24*time.Hour, 36*time.Hour
	r.Response.Operation = rules.None
	none := Lift{Collecting: true, Alpha: .05, P: 1}
	found := Lift{Change: .25, Low: .1147, High: .4017, Alpha: .05}
	unsure := Lift{Change: .3, Low: -.0069, High: .7018, Alpha: .05}
	const is = "This is an A/A test: both arms get the app's own page, so nothing is to be found. "
	for _, c := range []struct {
		name string
		v    Verdict
		want string
	}{
		{"nothing yet", Verdict{Guardrail: Undecided, Harm: none, Lift: none},
			"Nothing is known yet: collecting until both arms have 20 times Invited within 7 days, of those whose time is over."},
		{"nothing", Verdict{Guardrail: Cleared, Harm: unsure, Lift: unsure},
			"And nothing was found: Invited within 7 days changed by +30.0 % (95 % interval at any look: -0.7 % to +70.2 %), which includes no change."},
		{"a change", Verdict{Guardrail: Undecided, Harm: unsure, Lift: found},
			"Something is wrong with the measurement: Invited within 7 days changed by +25.0 % (95 % interval at any look: +11.5 % to +40.2 %)."},
		{"a breach", Verdict{Guardrail: Breached, MaxLogE: 2.995794576, Harm: found, Lift: none},
			"Something is wrong with the measurement: the guardrail was breached (E = 20, from 20 on), which chance alone does in at most 5 % of such tests; " +
				"Abandoned within 36 hours changed by +25.0 % (95 % interval at any look: +11.5 % to +40.2 %)."},
		{"the arms", Verdict{Guardrail: Undecided, Harm: none, Lift: none, SRM: SRM{State: SRMInvalid, P: .0001}},
			"Something is wrong with the measurement: the sizes of the arms do not fit the probability of treatment (sample ratio, anytime p = 0.0001)."},
	} {
		if got := c.v.Sentence(r); got != is+c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, is+c.want)
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	c := Counts{Exposed: 1000, Converted: 200, Harmed: 80, Settled: 900, Closed: 850, ClosedHarmed: 70, Matured: 850, MaturedConverted: 180}
	r := testRule()
	for name, t := range map[string]*Tally{
		"one-epoch":    {Epochs: []Epoch{{.5, c, c}}},
		"three-epochs": {Epochs: []Epoch{{.1, c, c}, {.5, c, c}, {.9, c, c}}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Judge(t, r)
			}
		})
	}
}

func BenchmarkObserve(b *testing.B) {
	r, t := testRule(), NewTally()
	n, _ := Enrol(t, nil, &rules.Exposure{Arm: rules.Treatment, Treatment: .5, At: time.UnixMilli(1000)})
	e := &events.Event{Kind: events.Track, Name: "Abandoned", Time: time.UnixMilli(1010)}
	b.ReportAllocs()
	for b.Loop() {
		m := n
		if !Observe(t, &m, r, e) {
			b.Fatal("not counted")
		}
		t.replace(&m, &n)
	}
}
