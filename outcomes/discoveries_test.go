package outcomes

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestDiscoveries(t *testing.T) {
	for name, c := range map[string]struct {
		e    []float64
		want []bool
	}{
		"none":                         {nil, []bool{}},
		"one, as without the others":   {[]float64{20}, []bool{true}},
		"one, short of it":             {[]float64{19.99}, []bool{false}},
		"one of four takes four times": {[]float64{79, 1, 1, 1}, []bool{false, false, false, false}},
		"and has it":                   {[]float64{1, 80, 1, 0}, []bool{false, true, false, false}},
		"all at once take one each":    {[]float64{20, 21, 20, 25}, []bool{true, true, true, true}},
		"two of four":                  {[]float64{40, 3, 41, 39}, []bool{true, false, true, true}},
		"the second carries the first": {[]float64{41, 40, 1, 1}, []bool{true, true, false, false}},
	} {
		logE := make([]float64, len(c.e))
		for i, e := range c.e {
			logE[i] = math.Log(e)
		}
		if got := Discoveries(logE, .05); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Of what is found where some effects are there and most are not, few aren't.
func TestFalseDiscoveries(t *testing.T) {
	const runs, rules, alpha = 2000, 20, .05
	rnd := rand.New(rand.NewPCG(7, 17))
	var share float64 // of false discoveries, summed over the runs
	found := 0
	for range runs {
		logE := make([]float64, rules)
		for i := range logE {
			// The likelihood ratio of a normal mean of 3 against 0: its mean is 1
			// where there is no effect. Those of the first five are there.
			z := rnd.NormFloat64()
			if i < 5 {
				z += 3
			}
			logE[i] = 3*z - 4.5
		}
		all, wrong := 0, 0
		for i, is := range Discoveries(logE, alpha) {
			if is {
				all++
				if i >= 5 {
					wrong++
				}
			}
		}
		found += all
		share += float64(wrong) / float64(max(1, all))
	}
	if share/runs > alpha || found < runs {
		t.Errorf("%.4f of the discoveries are none, of %d in all", share/runs, found)
	}
}
