package outcomes

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

var characteristics = flag.Int("characteristics", 0, "simulate so many rules a cell and print the tables of docs/statistics.md; 0: simulate some, print nothing")

// simulatedRules is how many rules are simulated for each cell.
func simulatedRules() int {
	if *characteristics > 0 {
		return *characteristics
	}
	return 200
}

// horizon is how many units a simulated rule is looked at for, after each harm.
const horizon = 20_000

// detector is a way to decide, from the counts so far, that harm rose. looks
// says whether it looks after n units.
type detector struct {
	name  string
	looks func(n, planned int) bool
	fires func(s Sample) bool
}

func always(int, int) bool         { return true }
func once(n, planned int) bool     { return n == planned }
func (p Proportion) rate() float64 { return float64(p.X) / float64(max(1, p.N)) }

// excess is how much more harm there is in treatment, and the variance of that
// if both arms had the same rate.
func excess(s Sample) (d, variance float64) {
	t, c := s.Treatment, s.Control
	p := Proportion{t.X + c.X, t.N + c.N}.rate()
	return t.rate() - c.rate(), p * (1 - p) * (1/float64(max(1, t.N)) + 1/float64(max(1, c.N)))
}

// zTest is the one-sided test of two proportions at 5 %.
func zTest(s Sample) bool {
	d, v := excess(s)
	return v > 0 && d/math.Sqrt(v) >= normalQuantile(.95)
}

// msprt is the mixture sequential probability ratio test of a difference of
// two rates, with a normal mixture of the standard deviation tau (Johari,
// Koomen, Pekelis and Walsh, "Always Valid Inference"), where harm rose.
func msprt(tau float64) func(Sample) bool {
	return func(s Sample) bool {
		d, v := excess(s)
		if v <= 0 || d <= 0 {
			return false
		}
		w := tau * tau
		return math.Log(v/(v+w))/2+w*d*d/(2*v*(v+w)) >= math.Log(20)
	}
}

// TestOperatingCharacteristics prints how often rules without an effect are
// rolled back, and after how many units rules that harm half as often again
// are, by the guardrail and by others that see the same units. Its seeds are
// fixed, so a run can be repeated. It fails where the guardrail is worse than
// is promised of it.
func TestOperatingCharacteristics(t *testing.T) {
	runs := simulatedRules()
	const worse = 1.5
	var table strings.Builder
	fmt.Fprintf(&table, "| harm in control | arms | | guardrail | with baseline | naive z, at each look | z, once at the end | mSPRT, at each look |\n|--:|--:|---|--:|--:|--:|--:|--:|\n")
	for _, share := range []float64{.5, .9} {
		for _, p := range []float64{.02, .10, .30} {
			planned := int(math.Ceil(FixedUnits(p, worse-1, share, .10, .80)))
			detectors := []detector{
				{"guardrail", always, func(s Sample) bool { return GuardrailTest{}.LogE([]Sample{s}) >= math.Log(20) }},
				{"with baseline", always, func(s Sample) bool { return GuardrailTest{Baseline: p}.LogE([]Sample{s}) >= math.Log(20) }},
				{"naive z", always, zTest},
				{"fixed horizon", once, zTest},
				{"mSPRT", always, msprt(p / 4)},
			}
			null := simulate(runs, p, p, share, planned, detectors, 1)
			harm := simulate(runs, p, worse*p, share, planned, detectors, 2)
			arms := fmt.Sprintf("%.0f/%.0f", 100*share, 100-100*share)
			fmt.Fprintf(&table, "| %.0f %% | %s | rolled back without any effect |", 100*p, arms)
			for i := range detectors {
				fmt.Fprintf(&table, " %.1f %% |", 100*null[i].fired(runs))
			}
			fmt.Fprintf(&table, "\n| %.0f %% | %s | units until harm × 1.5 is found, median (found) |", 100*p, arms)
			for i := range detectors {
				fmt.Fprintf(&table, " %s (%.0f %%) |", harm[i].median(runs), 100*harm[i].fired(runs))
			}
			table.WriteString("\n")
			for i, d := range detectors[:2] {
				if f := null[i].fired(runs); f > .05+2*math.Sqrt(.05*.95/float64(runs)) {
					t.Errorf("%s, %g, %g: %.1f %% are rolled back without any effect", d.name, p, share, 100*f)
				}
			}
			if got := harm[1].at(runs); *characteristics > 0 && planned >= 200 && float64(got) > 1.5*float64(planned) {
				t.Errorf("%g, %g: harm is found after %d units, a fixed horizon takes %d", p, share, got, planned)
			}
		}
	}
	if *characteristics > 0 {
		fmt.Print(table.String())
	}
}

// found is after how many units a detector fired, for each rule where it did.
type found []int

func (f found) fired(runs int) float64 { return float64(len(f)) / float64(runs) }

// at is the median over all rules; where it didn't fire, it took for ever.
func (f found) at(runs int) int {
	if len(f) <= runs/2 {
		return math.MaxInt
	}
	slices.Sort(f)
	return f[runs/2]
}

func (f found) median(runs int) string {
	if n := f.at(runs); n != math.MaxInt {
		return fmt.Sprint(n)
	}
	return "none"
}

// simulate runs rules whose arms harm at the given rates, each looked at by
// every detector until all have fired or the horizon is reached.
func simulate(runs int, control, treatment, share float64, planned int, detectors []detector, seed uint64) []found {
	all := make([]found, len(detectors))
	var mu sync.Mutex
	var wg sync.WaitGroup
	const workers = 8 // fixed, so that the streams are
	for w := range workers {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(1e6*control)<<16|uint64(100*share)<<8|uint64(w)))
			mine := make([]found, len(detectors))
			for range (runs + workers - 1 - w) / workers {
				var s Sample
				s.Share = share
				open := make([]bool, len(detectors))
				for i := range open {
					open[i] = true
				}
				for n := 1; n <= max(horizon, planned); n++ {
					arm, p := &s.Control, control
					if rnd.Float64() < share {
						arm, p = &s.Treatment, treatment
					}
					arm.N++
					harmed := rnd.Float64() < p
					if harmed {
						arm.X++
					}
					for i, d := range detectors {
						if open[i] && (harmed || n == planned) && (n <= horizon || n == planned) && d.looks(n, planned) && d.fires(s) {
							open[i] = false
							mine[i] = append(mine[i], n)
						}
					}
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for i := range all {
				all[i] = append(all[i], mine[i]...)
			}
		})
	}
	wg.Wait()
	return all
}

// TestAnytimeCharacteristics prints how often the interval of the lift misses
// the truth at some look, and the test of the sample ratio raises an alarm
// where there is nothing, each beside what is usual and holds for one look.
func TestAnytimeCharacteristics(t *testing.T) {
	runs := simulatedRules()
	const every, exposures, control, lift = 100, 200_000, .10, .25
	var missed, fixedMissed, alarms, fixedAlarms int
	for run := range runs {
		rnd := rand.New(rand.NewPCG(3, uint64(run)))
		e := []Sample{{Share: .5}}
		var miss, fixedMiss, alarm, fixedAlarm bool
		for n := 1; n <= exposures; n++ {
			arm, p := &e[0].Control, control
			if rnd.Float64() < .5 {
				arm, p = &e[0].Treatment, control*(1+lift)
			}
			arm.N++
			if rnd.Float64() < p {
				arm.X++
			}
			if n%every != 0 {
				continue
			}
			alarm = alarm || SRMTest{}.Check(e).State == SRMInvalid
			d := float64(e[0].Treatment.N - e[0].Control.N)
			fixedAlarm = fixedAlarm || d*d/float64(n) >= 10.828 // chi-square, 1 degree of freedom, p = 0.001
			l := LiftTest{}.Estimate(e)
			if l.Collecting || n > horizon {
				continue
			}
			miss = miss || l.Low > lift || l.High < lift
			x, y := e[0].Treatment, e[0].Control
			ratio := math.Log(x.rate() / y.rate())
			se := math.Sqrt((1-x.rate())/float64(x.X) + (1-y.rate())/float64(y.X))
			fixedMiss = fixedMiss || math.Abs(ratio-math.Log1p(lift)) > 1.96*se
		}
		for _, c := range []struct {
			is bool
			n  *int
		}{{miss, &missed}, {fixedMiss, &fixedMissed}, {alarm, &alarms}, {fixedAlarm, &fixedAlarms}} {
			if c.is {
				*c.n++
			}
		}
	}
	share := func(n int) float64 { return 100 * float64(n) / float64(runs) }
	if s := share(missed); s > 5+200*math.Sqrt(.05*.95/float64(runs)) {
		t.Errorf("%.1f %% of the intervals miss the truth at some look", s)
	}
	if s := share(alarms); s > .1+200*math.Sqrt(.001*.999/float64(runs)) {
		t.Errorf("%.1f %% of the sample ratios raise an alarm", s)
	}
	if *characteristics > 0 { // else TestAnytimeErrorsOfRatios and TestFalseNovelty look at fewer
		const means, ratios, often = 20_000, 20_000, 20
		meanMissed, meanFixed := shop{.3, 1}.missesOfMeans(runs, means, often, lift, 31)
		fewMissed, fewFixed := shop{.05, 1.5}.missesOfMeans(runs, means, often, lift, 31)
		ratioMissed, ratioFixed := missesOfRatios(runs, ratios, often, lift, 37)
		flagged := falseNovelty(runs, 2000, 8000, 20)
		strong := ordinary
		strong.together = .6
		crossed, found := ordinary.interactions(runs, 10_000, 20, 41), strong.interactions(runs, 10_000, 20, 43)
		for what, n := range map[string]int{"intervals of a mean": meanMissed, "intervals of a mean of few": fewMissed, "intervals of a ratio": ratioMissed, "lasting effects": flagged, "pairs": crossed} {
			if s := share(n); s > 5+200*math.Sqrt(.05*.95/float64(runs)) {
				t.Errorf("%s: %.1f %% are wrong at some look", what, s)
			}
		}
		fmt.Printf("\n| at some look | ours | what holds for one look |\n|---|--:|--:|\n")
		fmt.Printf("| the interval of the lift misses a true +25 %%, of 20 000 units | %.1f %% | %.1f %% (95 %% interval) |\n", share(missed), share(fixedMissed))
		fmt.Printf("| the sample ratio is called invalid without cause, of 200 000 units | %.2f %% | %.1f %% (chi-square, p < 0.001) |\n", share(alarms), share(fixedAlarms))
		fmt.Printf("| the interval of a mean misses a true +25 %%, of 20 000 units, 30 %% of whom buy, log-normally (σ = 1) | %.1f %% | %.1f %% (95 %% interval) |\n", share(meanMissed), share(meanFixed))
		fmt.Printf("| the same, where 5 %% buy (σ = 1.5) | %.1f %% | %.1f %% (95 %% interval) |\n", share(fewMissed), share(fewFixed))
		fmt.Printf("| the interval of a ratio misses a true +25 %%, of 20 000 units that differ in both | %.1f %% | %.1f %% (95 %% interval, as if every view were a unit) |\n", share(ratioMissed), share(ratioFixed))
		fmt.Printf("| an effect that lasts is called novelty, of 8000 units | %.1f %% | |\n", share(flagged))
		fmt.Printf("| the sample ratio, or that of a class of browsers, is called invalid without cause, of 20 000 units | %.2f %% | |\n", share(falseClasses(runs, 20_000, 20)))
		fmt.Printf("| two rules that don't are said to interact, of 10 000 units | %.1f %% | |\n", share(crossed))
		fmt.Printf("| and two whose treatments together come to 0.6 times what each by itself explains | %.1f %% | |\n", share(found))
	}
}
