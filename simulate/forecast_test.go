package simulate_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/simulate"
)

const forecastSite = `
-- refract.yaml --
origin: http://127.0.0.1:3000
holdout: 20%
-- segments/active.yaml --
did: A
-- segments/nobody.yaml --
did: Z
-- rules/a-plain.yaml --
segment: active
surface: home
response: {text: a}
metric: {event: M, within: 7d}
guardrail: {event: B, within: 2d, tolerate: 50%}
rollout: {share: 50%}
-- rules/b-ramp.yaml --
segment: active
surface: home
response: {text: a}
metric: {event: M, within: 7d}
guardrail: {event: B, within: 2d, tolerate: 50%}
rollout: {ramp: [10%, {share: 50%, for: 14d}]}
-- rules/c-blind.yaml --
segment: active
surface: home
response: {text: a}
metric: {event: Q, within: 7d}
guardrail: {event: R, within: 2d}
-- rules/d-nobody.yaml --
segment: nobody
surface: home
response: {text: a}
metric: {event: M, within: 7d}
guardrail: {event: C, within: 2d}
-- rules/e-elsewhere.yaml --
segment: active
surface: home
response: {text: a}
metric: {event: M, within: 7d}
guardrail: {event: C, within: 2d}
`

// A site of twenty new visitors a day, of whom a fifth comes to M and a tenth to
// B: what its rules' tests take is what the formulas say of these rates.
func TestForecast(t *testing.T) {
	begin := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
	var history []*events.Event
	did := func(at time.Time, visitor, name string) {
		history = append(history, &events.Event{Source: "test", Kind: events.Track, Name: name, Visitor: visitor, Time: at, Received: at})
	}
	for i := range 60 * 20 {
		at, visitor := begin.Add(time.Duration(i)*72*time.Minute), fmt.Sprint("v", i)
		did(at, visitor, "A")
		did(at.Add(time.Minute), visitor, "Looked")
		if i%5 == 0 {
			did(at.Add(time.Hour), visitor, "M")
		}
		if i%10 == 0 {
			did(at.Add(2*time.Hour), visitor, "B")
		}
	}
	did(begin, "somebody-else", "C")
	set := site(t, forecastSite)
	r := run(t, write(t, history), simulate.Options{}, forecastSite)
	list := r.Forecast(set, []float64{.1, .5})
	near := func(what string, got *float64, want float64) {
		t.Helper()
		if got == nil || math.Abs(*got-want) > .01*want+.1 {
			t.Errorf("%s: %v days, want %.1f", what, deref(got), want)
		}
	}
	const perDay = 20 * .8 // of them a fifth is held out
	lift := outcomes.LiftTest{}.Units(.2, .5, .5, .8)
	harm := outcomes.GuardrailTest{Tolerate: .5, Alpha: .05}.Units(.1, simulate.ForecastHarm, .5, .8)

	plain := list[0]
	if plain.Reached != 1200 || math.Abs(plain.PerDay-20) > .2 || len(plain.Problems) > 0 {
		t.Errorf("the plain rule is %+v", plain)
	}
	if got := plain.Lift[1]; got.Units == nil || float64(*got.Units) < .9*lift || float64(*got.Units) > 1.1*lift {
		t.Errorf("units to tell + 50 %%: %+v, want %v", got, lift)
	} else {
		near("+50 %", got.Days, float64(*got.Units)/(perDay*.5)+7)
	}
	if plain.Found.Units != nil || !math.IsInf(harm, 1) {
		t.Errorf("a harm that is tolerated is found after %+v", plain.Found)
	}

	ramp := list[1]
	clear := outcomes.LiftTest{Alpha: .05}.UnitsToClear(ramp.Harm.Rate, .5, .5, .8)
	cleared := clear/(perDay*.1) + 2
	near("the second step", ramp.Steps[1].Day, cleared)
	near("the third step", ramp.Steps[2].Day, cleared+14)
	units := float64(*ramp.Lift[1].Units)
	want := units / (perDay * .1)
	if before := (cleared) * perDay * .1; units > before {
		want = cleared + (units-before)/(perDay*.5)
	}
	near("+50 % by a ramp", ramp.Lift[1].Days, want+7)

	for i, problems := range map[int][]string{
		2: {`blind: the guardrail's event "R" was never seen, so nothing would stop the rule`, `the metric's event "Q" was never seen, so nothing would be measured`},
		3: {"nobody: no visitor was in nobody and did anything then"},
	} {
		if !slices.Equal(list[i].Problems, problems) {
			t.Errorf("%s: %q, want %q", list[i].Rule, list[i].Problems, problems)
		}
	}
	if got := list[4].Problems; len(got) != 1 || !strings.HasPrefix(got[0], `blind: "C" was seen, but after none of the `) {
		t.Errorf("an event of others: %q", got)
	}
	var text strings.Builder
	if err := r.WriteForecast(&text, list); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"b-ramp (draft)", "10.0 % from day 0, 50.0 % from day ", "tells a metric that is +50 % from none: ", "finds a harm × 1.5: no number of units would do"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text does not say %q:\n%s", want, &text)
		}
	}
	t.Logf("\n%s", &text)
}

func deref(f *float64) any {
	if f == nil {
		return "no"
	}
	return *f
}

// A forecast from some seconds, in which nobody's window can be over, says that it
// knows no rates.
func TestForecastOfAShortHistory(t *testing.T) {
	begin := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
	var history []*events.Event
	for i := range 40 {
		at := begin.Add(time.Duration(i) * time.Second)
		for j, name := range []string{"A", "Looked", "M", "B"} {
			at := at.Add(time.Duration(j) * 100 * time.Millisecond)
			history = append(history, &events.Event{Source: "test", Kind: events.Track, Name: name, Visitor: fmt.Sprint("v", i), Time: at, Received: at})
		}
	}
	r := run(t, write(t, history), simulate.Options{}, forecastSite)
	var out strings.Builder
	if err := r.WriteForecast(&out, r.Forecast(site(t, forecastSite), []float64{.1})[:1]); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"the history spans 39s, from which no rate a day can be told", "from none: unknown, as the rate is", "a harm × 1.5: unknown, as the rate is"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the forecast does not say %q:\n%s", want, out.String())
		}
	}
}
