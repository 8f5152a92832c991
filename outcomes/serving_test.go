package outcomes

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed14307185/refract/rules"
)

// site is made-up traffic of a rule. Its visitors come back, and differ in how
// fast they are served and in how many of their pages fail; a third of them
// share addresses, fifty to one.
type site struct {
	rate     func(at time.Duration) float64 // responses a second, of both arms
	visitors int
	share    float64
	eager    float64 // how much more often visitors in treatment come; 0: as often
	// change makes a response what it is at that time in that arm.
	change func(at time.Duration, x *Served, rnd *rand.Rand)
}

type visitor struct {
	unit, address uint64
	arm           rules.Arm
	took          float64 // in milliseconds
	fails         float64
}

var siteEpoch = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// serve lets a rule run for a time, and returns when it was stopped, and by what.
func (s site) serve(g *Serving, seed uint64, last time.Duration) (time.Duration, *Breach) {
	rnd := rand.New(rand.NewPCG(seed, 3))
	people := make([]visitor, s.visitors)
	for i := range people {
		p := &people[i]
		p.unit, p.address, p.arm = rnd.Uint64(), rnd.Uint64(), rules.Control
		if rnd.Float64() < 1./3 {
			p.address = uint64(rnd.IntN(1 + s.visitors/150))
		}
		if rnd.Float64() < s.share {
			p.arm = rules.Treatment
		}
		p.took = 60 * math.Exp(rnd.NormFloat64()/4)
		if p.fails = .002; rnd.Float64() < .01 {
			p.fails = .5
		}
	}
	for at := time.Duration(0); at < last; {
		at += time.Duration(rnd.ExpFloat64() / s.rate(at) * float64(time.Second))
		p := &people[rnd.IntN(len(people))]
		for p.arm == rules.Control && s.eager > 0 && rnd.Float64() < 1-1/s.eager {
			p = &people[rnd.IntN(len(people))]
		}
		x := Served{
			At: siteEpoch.Add(at), Arm: p.arm, Unit: p.unit, Address: p.address, Page: uint64(rnd.IntN(20)),
			Failed: rnd.Float64() < p.fails, Took: time.Duration(p.took * math.Exp(rnd.NormFloat64()/4) * float64(time.Millisecond)),
		}
		x.Surface, x.Counted = !x.Failed, rnd.IntN(8) == 0
		if s.change != nil {
			s.change(at, &x, rnd)
		}
		if b := g.Count(x); b != nil {
			return at, b
		}
	}
	return last, nil
}

func steady(perSecond float64) func(time.Duration) float64 {
	return func(time.Duration) float64 { return perSecond }
}

// broke is when the sites of servingHarms break.
const broke = 5*time.Minute + 20*time.Second

// servingHarms are what a serving guardrail is there for.
var servingHarms = []struct {
	name   string
	fault  Fault
	within time.Duration // at 50 responses a second and arm
	change func(x *Served, rnd *rand.Rand)
}{
	{"20 % errors in treatment", FaultError, 30 * time.Second, func(x *Served, rnd *rand.Rand) {
		if x.Arm == rules.Treatment && rnd.Float64() < .2 {
			x.Failed, x.Surface = true, false
		}
	}},
	{"5 % errors in treatment", FaultError, 2 * time.Minute, func(x *Served, rnd *rand.Rand) {
		if x.Arm == rules.Treatment && rnd.Float64() < .05 {
			x.Failed, x.Surface = true, false
		}
	}},
	{"10 % of treatment's pages broken", FaultBroken, 30 * time.Second, func(x *Served, rnd *rand.Rand) {
		if x.Arm == rules.Treatment && rnd.Float64() < .1 {
			x.Broken, x.Surface = true, false
		}
	}},
	{"treatment 200 ms slower", FaultSlow, 30 * time.Second, func(x *Served, _ *rand.Rand) {
		if x.Arm == rules.Treatment {
			x.Took += 200 * time.Millisecond
		}
	}},
	{"surface gone", FaultMissing, 30 * time.Second, func(x *Served, _ *rand.Rand) { x.Fault = FaultMissing }},
	{"surface twice", FaultDuplicate, 30 * time.Second, func(x *Served, _ *rand.Rand) {
		if x.Counted {
			x.Fault = FaultDuplicate
		}
	}},
	{"surface can't be changed", FaultBailout, 30 * time.Second, func(x *Served, _ *rand.Rand) { x.Fault = FaultBailout }},
}

// stopTime is how long after it breaks a site is stopped.
func stopTime(t *testing.T, i, seed int, perArm, share float64) time.Duration {
	harm := servingHarms[i]
	s := site{rate: steady(perArm * 2), visitors: 20_000, share: share, change: func(at time.Duration, x *Served, rnd *rand.Rand) {
		if at >= broke {
			harm.change(x, rnd)
		}
	}}
	at, b := s.serve(NewServing(share), uint64(seed), broke+time.Hour)
	switch {
	case b == nil: // after the longest time
	case at < broke:
		t.Errorf("%s, seed %d: stopped after %v, before anything was wrong: %s", harm.name, seed, at, b)
	case b.Fault != harm.fault:
		t.Errorf("%s, seed %d: stopped for %s", harm.name, seed, b)
	}
	return at - broke
}

// servingNulls is traffic that is no reason to stop a rule.
var servingNulls = []struct {
	name string
	site site
}{
	{"day and night", site{rate: func(at time.Duration) float64 {
		return 1 + .95*math.Sin(2*math.Pi*at.Hours()/24)
	}, share: .5}},
	{"90/10, treatment comes half as often again", site{rate: steady(1), share: .9, eager: 1.5}},
	{"an outage of 20 min each day, in both arms", site{rate: steady(1), share: .5, eager: 1.2, change: func(at time.Duration, x *Served, rnd *rand.Rand) {
		if at%(24*time.Hour) > 10*time.Hour && at%(24*time.Hour) < 10*time.Hour+20*time.Minute {
			x.Failed = rnd.Float64() < .7
			x.Surface = !x.Failed
			x.Took *= 6
		}
	}}},
	{"visitors who ask a hundred times as often, for pages that fail", site{rate: steady(1), share: .5, change: func(at time.Duration, x *Served, rnd *rand.Rand) {
		if rnd.Float64() < .5 {
			*x = Served{At: x.At, Arm: rules.Treatment, Unit: rnd.Uint64() % 5, Address: x.Unit % 3, Failed: true}
		}
	}}},
	{"the surface leaves half of the pages over a day", site{rate: steady(1), share: .5, change: func(at time.Duration, x *Served, rnd *rand.Rand) {
		if rnd.Float64() < min(.5, at.Hours()/48) {
			x.Fault = FaultMissing
		}
	}}},
	{"pages are twice as slow within an hour", site{rate: steady(1), share: .5, change: func(at time.Duration, x *Served, _ *rand.Rand) {
		x.Took = time.Duration(float64(x.Took) * (1 + min(1, at.Hours())))
	}}},
}

// falseStop runs a site without a fault of its rule, with a budget for a week.
func falseStop(i, seed int, last time.Duration, budget float64) *Breach {
	s := servingNulls[i].site
	s.visitors = 3000
	_, by := s.serve(newServing(s.share, budget), uint64(seed), last)
	return by
}

// TestServingCharacteristics prints how often rules without a fault are stopped
// in a week, and how long after a fault begins those are that have one. Its seeds
// are fixed. It fails where that is worse than is promised.
func TestServingCharacteristics(t *testing.T) {
	runs, seeds, last := 2, 4, 24*time.Hour
	sites := []struct{ perArm, share float64 }{{50, .5}}
	if testing.Short() {
		runs, seeds, last = 1, 1, 11*time.Hour
	}
	if *characteristics > 0 {
		runs, seeds, last = max(20, *characteristics/100), max(100, *characteristics/20), week
		sites = append(sites, struct{ perArm, share float64 }{5, .5}, struct{ perArm, share float64 }{50, .9})
	}
	const generous = 100 // times the budget, to see how much of it is used
	var table strings.Builder
	fmt.Fprintf(&table, "\n| a week at 1 response a second without a fault of the rule, %d each | stopped | with a budget of 100 %% |\n|---|--:|--:|\n", runs)
	for i, null := range servingNulls {
		usual := 0
		most, _ := parallel(runs, func(seed int) (bool, time.Duration) {
			return falseStop(i, seed, last, generous*servingBudget) != nil, 0
		})
		if most > 0 { // else there is none with a smaller one
			usual, _ = parallel(runs, func(seed int) (bool, time.Duration) {
				return falseStop(i, seed, last, servingBudget) != nil, 0
			})
		}
		fmt.Fprintf(&table, "| %s | %d | %d |\n", null.name, usual, most)
		if float64(usual) > servingBudget*float64(runs)+2*math.Sqrt(servingBudget*float64(runs)) {
			t.Errorf("%s: %d of %d are stopped", null.name, usual, runs)
		}
	}
	fmt.Fprintf(&table, "\n| stopped after, median and p99 of %d | 50/50, 50 a second and arm | 50/50, 5 | 90/10, 100 in all |\n|---|--:|--:|--:|\n", seeds)
	for i, harm := range servingHarms {
		fmt.Fprintf(&table, "| %s |", harm.name)
		for j, c := range sites {
			_, times := parallel(seeds, func(seed int) (bool, time.Duration) { return true, stopTime(t, i, seed, c.perArm, c.share) })
			p99 := times[len(times)*99/100]
			fmt.Fprintf(&table, " %s |", stopWords(times[len(times)/2], p99))
			if j == 0 && p99 > harm.within {
				t.Errorf("%s: p99 is %v", harm.name, p99)
			}
		}
		table.WriteString("\n")
	}
	if *characteristics > 0 {
		fmt.Print(table.String())
	}
}

// stopWords words two times that a stop took; of a fault that is mostly not found
// there is no second.
func stopWords(median, p99 time.Duration) string {
	word := func(d time.Duration) string {
		if d >= time.Hour {
			return "not in 1 h"
		}
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	if median >= time.Hour {
		return word(median)
	}
	return word(median) + ", " + word(p99)
}

// parallel calls f for each seed, and returns how often it says true and the
// times that it returns, in order.
func parallel(seeds int, f func(seed int) (bool, time.Duration)) (n int, times []time.Duration) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	const workers = 8
	for w := range workers {
		wg.Go(func() {
			for seed := w; seed < seeds; seed += workers {
				is, took := f(seed)
				mu.Lock()
				if is {
					n++
				}
				times = append(times, took)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(times)
	return n, times
}

// One client, whatever it asks for and whoever it says it is, stops nothing; nor
// do as many as minAddresses says, less one. That others together do says that
// this test could fail.
func TestServingClients(t *testing.T) {
	for _, x := range []struct {
		addresses uint64
		stops     bool
	}{{1, false}, {minAddresses - 1, false}, {20, true}} {
		for _, f := range []int{faultError, faultBroken, faultSlow, faultMissing} {
			s := site{rate: steady(50), visitors: 10_000, share: .5, change: func(at time.Duration, r *Served, rnd *rand.Rand) {
				if at < 2*time.Minute || rnd.Float64() < .5 {
					return
				}
				*r = Served{At: r.At, Arm: rules.Treatment, Unit: rnd.Uint64(), Address: rnd.Uint64() % x.addresses, Page: 1}
				switch f {
				case faultError:
					r.Failed = true
				case faultBroken:
					r.Broken = true
				case faultSlow:
					r.Took = time.Minute
				case faultMissing:
					r.Surface, r.Fault = true, FaultMissing
				}
			}}
			if f == faultMissing && x.stops {
				continue // it is about the share of pages, of which twenty clients have few
			}
			_, by := s.serve(NewServing(.5), 1, 5*time.Minute)
			if (by != nil) != x.stops {
				t.Errorf("%s by %d addresses: %v", Faults[f], x.addresses, by)
			}
		}
	}
}

// Evidence is a bet that nobody wins on average while the null holds: summed
// over all that can happen, E has the mean 1.
func TestServingEvidenceIsFair(t *testing.T) {
	binomial := func(n, x int64, p float64) float64 {
		a, _ := math.Lgamma(float64(n + 1))
		b, _ := math.Lgamma(float64(x + 1))
		c, _ := math.Lgamma(float64(n - x + 1))
		return math.Exp(a - b - c + float64(x)*math.Log(p) + float64(n-x)*math.Log1p(-p))
	}
	for _, n := range []int64{1, 7, 40} {
		for _, p := range []float64{.1, .5, .9} {
			var arms, rate float64
			t0 := p * (1 + servingTolerate) / (p*(1+servingTolerate) + 1 - p)
			for x := range n + 1 {
				arms += binomial(n, x, t0) * math.Exp(shareLogE([2]int64{n - x, x}, p))
				rate += binomial(n, x, p) * math.Exp(rateLogE(x, n, p))
			}
			if math.Abs(arms-1) > 1e-9 || math.Abs(rate-1) > 1e-9 {
				t.Errorf("of %d, %g: E is %g between arms, %g by rate, on average", n, p, arms, rate)
			}
		}
	}
}

// The parts of the budget sum up to it.
func TestServingBudget(t *testing.T) {
	var sum float64
	for _, w := range NewServing(.5).windows {
		sum += float64(faults) * float64(week/w.length) * math.Exp(-w.limit)
	}
	if math.Abs(sum-servingBudget) > 1e-12 {
		t.Errorf("the windows of a week have %g of false stops", sum)
	}
}

// A site whose visitors all have a load balancer's address is told from one
// where some share theirs.
func TestServingIsCrowded(t *testing.T) {
	for _, one := range []bool{false, true} {
		s := site{rate: steady(20), visitors: 2000, share: .5, change: func(_ time.Duration, x *Served, _ *rand.Rand) {
			if one {
				x.Address = 1
			}
		}}
		g := NewServing(s.share)
		if _, by := s.serve(g, 1, 3*time.Minute); by != nil || g.Crowded() != one {
			t.Errorf("all from one address: %t; crowded: %t, stopped: %v", one, g.Crowded(), by)
		}
	}
}

func TestServingIsBounded(t *testing.T) {
	g := NewServing(.5)
	rnd := rand.New(rand.NewPCG(1, 1))
	for i := range 200_000 {
		x := Served{At: siteEpoch.Add(time.Duration(i) * time.Millisecond), Arm: rules.Control, Unit: rnd.Uint64(), Address: rnd.Uint64(), Page: rnd.Uint64(), Surface: true}
		if i%2 == 0 {
			x.Arm = rules.Treatment
		}
		if b := g.Count(x); b != nil {
			t.Fatal(b)
		}
	}
	for i := range g.windows {
		if w := &g.windows[i]; len(w.units) > maxCounted || len(w.clients) > maxCounted {
			t.Errorf("%v: %d units, %d addresses", w.length, len(w.units), len(w.clients))
		}
	}
	if n := len(g.pages[0]) + len(g.pages[1]); n > 2*maxPages {
		t.Errorf("%d pages", n)
	}
}

func BenchmarkServing(b *testing.B) {
	g := NewServing(.5)
	rnd := rand.New(rand.NewPCG(1, 1))
	b.ReportAllocs()
	for i := range b.N {
		x := Served{At: siteEpoch.Add(time.Duration(i) * 10 * time.Millisecond), Arm: rules.Treatment, Unit: rnd.Uint64() % 5000,
			Address: rnd.Uint64() % 4000, Page: uint64(i % 20), Surface: true, Took: time.Duration(40+i%40) * time.Millisecond}
		x.Unit |= 1
		if x.Unit%4 == 1 {
			x.Arm = rules.Control
		}
		g.Count(x)
	}
}
