package outcomes

import (
	"encoding/json"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/seed14307185/refract/rules"
)

// momentsOf adds up units one by one.
func momentsOf(m, d []float64) (s Moments) {
	for i := range m {
		s = s.and(m[i], d[i])
	}
	return s
}

func (m Moments) and(x, d float64) Moments {
	did := int64(0)
	if x > 0 {
		did = 1
	}
	return Moments{m.N + 1, m.X + did, m.Sum + x, m.Squares + x*x, m.Per + d, m.PerSquares + d*d, m.Products + x*d}
}

// The delta method as it is usually written, with means and covariances of the
// units in two passes.
func TestRatioByHand(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 19))
	arm := func(n int, click float64) (m, d []float64) {
		for range n {
			views := float64(1 + rnd.IntN(9))
			clicks := 0.0
			for range int(views) {
				if rnd.Float64() < click {
					clicks++
				}
			}
			m, d = append(m, clicks), append(d, views)
		}
		return m, d
	}
	hand := func(m, d []float64) (ratio, variance float64) {
		n := float64(len(m))
		var mean, per, sm, sd, smd float64
		for i := range m {
			mean += m[i] / n
			per += d[i] / n
		}
		for i := range m {
			sm += (m[i] - mean) * (m[i] - mean) / n
			sd += (d[i] - per) * (d[i] - per) / n
			smd += (m[i] - mean) * (d[i] - per) / n
		}
		r := mean / per
		return math.Log(r), (sm + r*r*sd - 2*r*smd) / (n * per * per) / (r * r)
	}
	mT, dT := arm(700, .3)
	mC, dC := arm(900, .25)
	lT, vT := hand(mT, dT)
	lC, vC := hand(mC, dC)
	want := LiftTest{}.at(1600, lT-lC, math.Sqrt(vT+vC))
	got := LiftTest{}.EstimateRatio([]MomentSample{{.5, momentsOf(mT, dT), momentsOf(mC, dC)}})
	for what, d := range map[string]float64{"change": got.Change - want.Change, "low": got.Low - want.Low, "high": got.High - want.High, "ln E": got.LogE - want.LogE} {
		if !(math.Abs(d) < 1e-9) {
			t.Errorf("%s differs by %g: %+v, by hand %+v", what, d, got, want)
		}
	}
}

// A value that is 0 or 1 has the rate for its mean, and gives what the rate gives.
func TestMeanOfRate(t *testing.T) {
	rates := []Sample{{.5, Proportion{260, 2000}, Proportion{200, 2000}}, {.9, Proportion{450, 4500}, Proportion{50, 500}}}
	var means []MomentSample
	for _, e := range rates {
		of := func(p Proportion) Moments { return MeanMoments(p.N, p.X, float64(p.X), float64(p.X)) }
		means = append(means, MomentSample{e.Share, of(e.Treatment), of(e.Control)})
	}
	a, b := LiftTest{}.Estimate(rates), LiftTest{}.EstimateRatio(means)
	if math.Abs(a.Low-b.Low) > 1e-12 || math.Abs(a.High-b.High) > 1e-12 || math.Abs(a.LogE-b.LogE) > 1e-12 {
		t.Errorf("by rates %+v, by means %+v", a, b)
	}
}

// What bears no evidence is collecting, and never a NaN.
func TestDegenerateMoments(t *testing.T) {
	good := MeanMoments(1000, 100, 5000, 500_000)
	for name, bad := range map[string]Moments{
		"nobody":           {},
		"19 units":         MeanMoments(1000, 19, 5000, 500_000),
		"nothing but 0":    MeanMoments(1000, 100, 0, 0),
		"all the same":     MeanMoments(1000, 1000, 5000, 25_000),
		"one unit's":       MeanMoments(1000, 100, 5000, 2_000_000),
		"never the other":  {N: 1000, X: 100, Sum: 100, Squares: 100},
		"beyond float64":   MeanMoments(1000, 100, 1e308, math.Inf(1)),
		"always the other": {N: 1000, X: 100, Sum: 100, Squares: 100, Per: 100, PerSquares: 100, Products: 100},
	} {
		for _, e := range []MomentSample{{.5, good, bad}, {.5, bad, good}, {1, good, good}} {
			if l := (LiftTest{}).EstimateRatio([]MomentSample{e}); !l.Collecting || l.P != 1 {
				t.Errorf("%s: %+v", name, l)
			}
		}
	}
}

// shop is whose visitors buy with a probability, for amounts that are
// log-normal with sigma.
type shop struct{ buy, sigma float64 }

func (s shop) sale(rnd *rand.Rand, scale float64) float64 {
	if rnd.Float64() >= s.buy {
		return 0
	}
	return scale * math.Exp(s.sigma*rnd.NormFloat64())
}

// missesOfMeans returns in how many of the runs the interval of a shop's mean
// sale, which does change by lift, misses it at some look, and how
// often a 95 % interval for one look does, on the same units.
func (s shop) missesOfMeans(runs, units, every int, lift float64, seed uint64) (missed, fixedMissed int) {
	for run := range runs {
		rnd := rand.New(rand.NewPCG(seed, uint64(run)))
		var e MomentSample
		e.Share = .5
		var miss, fixedMiss bool
		for n := 1; n <= units; n++ {
			arm, scale := &e.Control, 10.
			if rnd.IntN(2) == 0 {
				arm, scale = &e.Treatment, 10*(1+lift)
			}
			*arm = arm.and(s.sale(rnd, scale), 1)
			if n%every != 0 {
				continue
			}
			l := LiftTest{}.EstimateRatio([]MomentSample{e})
			if l.Collecting {
				continue
			}
			miss = miss || l.Low > lift || l.High < lift
			a, va, _ := e.Treatment.logRatio()
			b, vb, _ := e.Control.logRatio()
			fixedMiss = fixedMiss || math.Abs(a-b-math.Log1p(lift)) > 1.96*math.Sqrt(va+vb)
		}
		if miss {
			missed++
		}
		if fixedMiss {
			fixedMissed++
		}
	}
	return missed, fixedMissed
}

// missesOfRatios is missesOfMeans for clicks per view: units differ in how
// often they look, and in how often they then click.
func missesOfRatios(runs, units, every int, lift float64, seed uint64) (missed, fixedMissed int) {
	for run := range runs {
		rnd := rand.New(rand.NewPCG(seed, uint64(run)))
		var e MomentSample
		e.Share = .5
		var miss, fixedMiss bool
		for n := 1; n <= units; n++ {
			arm, rate := &e.Control, .1
			if rnd.IntN(2) == 0 {
				arm, rate = &e.Treatment, .1*(1+lift)
			}
			rate *= 2 * rnd.Float64()
			views, clicks := 1+math.Floor(3*rnd.ExpFloat64()), 0.
			for range int(views) {
				if rnd.Float64() < rate {
					clicks++
				}
			}
			*arm = arm.and(clicks, views)
			if n%every != 0 {
				continue
			}
			l := LiftTest{}.EstimateRatio([]MomentSample{e})
			if l.Collecting {
				continue
			}
			miss = miss || l.Low > lift || l.High < lift
			// As if every view were a unit of its own.
			p, q := e.Treatment.Sum/e.Treatment.Per, e.Control.Sum/e.Control.Per
			se := math.Sqrt((1-p)/e.Treatment.Sum + (1-q)/e.Control.Sum)
			fixedMiss = fixedMiss || math.Abs(math.Log(p/q)-math.Log1p(lift)) > 1.96*se
		}
		if miss {
			missed++
		}
		if fixedMiss {
			fixedMissed++
		}
	}
	return missed, fixedMissed
}

// The intervals of a mean of skewed values and of a ratio, looked at often,
// cover a true change.
func TestAnytimeErrorsOfRatios(t *testing.T) {
	const runs = 200
	for _, s := range []shop{{.3, 1}, {.05, 1.5}} {
		missed, fixed := s.missesOfMeans(runs, 16_000, 40, .25, 21)
		atMost(t, "intervals of a mean that missed the truth at some look", missed, runs)
		if fixed < runs/20 {
			t.Errorf("an interval for one look missed it in %d of %d runs only: these streams are no test", fixed, runs)
		}
	}
	missed, _ := missesOfRatios(runs, 3000, 20, .25, 23)
	atMost(t, "intervals of a ratio that missed the truth at some look", missed, runs)
}

func TestExact(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 29))
	var sum Exact
	want := new(big.Int)
	var added []Exact
	for range 1000 {
		a, b := rnd.Uint64()>>rnd.IntN(64), rnd.Uint64()>>(10+rnd.IntN(54))
		e := product(a, b>>10)
		sum, added = sum.plus(e, +1), append(added, e)
		want.Add(want, new(big.Int).Mul(new(big.Int).SetUint64(a), new(big.Int).SetUint64(b>>10)))
	}
	if sum.String() != want.String() {
		t.Fatalf("the sum is %s, want %s", sum, want)
	}
	f, _ := new(big.Float).SetInt(want).Float64()
	if math.Abs(sum.Float()/f-1) > 1e-15 {
		t.Errorf("as a float64 it is %g, want %g", sum.Float(), f)
	}
	b, err := json.Marshal(sum)
	var read Exact
	if err != nil || json.Unmarshal(b, &read) != nil || read != sum || string(b) != `"`+want.String()+`"` {
		t.Errorf("%s was read as %s, %v", b, read, err)
	}
	rnd.Shuffle(len(added), func(i, j int) { added[i], added[j] = added[j], added[i] })
	for _, e := range added {
		sum = sum.plus(e, -1)
	}
	if sum != (Exact{}) {
		t.Errorf("with everything taken away it is %s", sum)
	}
	for text, want := range map[string]string{"0": "0", "5": "0.000005", "1500000": "1.5", "20000000": "20", "1234567": "1.234567"} {
		if err := read.UnmarshalText([]byte(text)); err != nil || read.Decimal(6) != want {
			t.Errorf("%s in millionths is %s, want %s, %v", text, read.Decimal(6), want, err)
		}
	}
	for _, text := range []string{"", "-1", "1.5", "x", strings.Repeat("9", 40)} {
		if read.UnmarshalText([]byte(text)) == nil {
			t.Errorf("%q was read as %s", text, read)
		}
	}
}

// A rule's verdict is by its own kind of metric.
func TestJudgeByMetric(t *testing.T) {
	sums := func(sum, squares, per, perSquares, products uint64) Sums {
		return Sums{product(sum, 1), product(squares, 1), product(per, 1), product(perSquares, 1), product(products, 1)}
	}
	tally := &Tally{Epochs: []Epoch{{Treatment: .5,
		TreatmentArm: Counts{Exposed: 1000, Matured: 1000, MaturedConverted: 300, Sums: sums(600, 2400, 4000, 20_000, 3000)},
		ControlArm:   Counts{Exposed: 1000, Matured: 1000, MaturedConverted: 300, Sums: sums(400, 1600, 4000, 20_000, 2000)},
	}}}
	for i, want := range []float64{0, .5, .5} {
		r := testRules()[i]
		if v := Judge(tally, r); v.Lift.Collecting || math.Abs(v.Lift.Change-want) > 1e-12 {
			t.Errorf("%s: %+v", r.Metric.Subject(), v.Lift)
		}
	}
	// 1/var by hand: Σm²/(Σm)² + Σd²/(Σd)² − 2Σmd/(Σm·Σd), of both arms.
	se := math.Sqrt(2400./360_000 + 20_000./16e6 - 2*3000./(600*4000) + 1600./160_000 + 20_000./16e6 - 2*2000./(400*4000))
	r := testRules()[2]
	r.Metric.Expect = "increase"
	v := Judge(tally, r)
	if want := (LiftTest{}).at(2000, math.Log(1.5), se); math.Abs(v.Lift.Low-want.Low) > 1e-12 {
		t.Errorf("%+v, want %+v", v.Lift, want)
	}
	if s := v.Sentence(r); !strings.Contains(s, "Invited per Viewed within 10 days changed by +50.0 %") {
		t.Error(s)
	}
	s := Judge(NewTally(), r).Sentence(r)
	if !strings.Contains(s, "collecting until in both arms 20 units, of those whose time is over, did Invited within 10 days, and no few of them make up most of it") {
		t.Error(s)
	}
	if m := (&rules.Metric{Value: "total", Event: "A"}); m.IsRate() || m.Subject() != "total of A" {
		t.Errorf("%s", m.Subject())
	}
}
