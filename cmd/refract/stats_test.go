package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/seed14307185/refract/outcomes"
)

func stats(args string) (string, error) {
	var out bytes.Buffer
	cmd := newStatsCommand()
	cmd.SetArgs(strings.Fields(args))
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.Execute()
	return out.String(), err
}

func TestStats(t *testing.T) {
	for args, want := range map[string]string{
		"guardrail --treatment 130/1000 --control 80/1000 --tolerate 0.10 --baseline .08": `
ln E               2.995794576
roll back at ln E  2.995732274
anytime p          0.049996885
guardrail          breached
decision           roll back
`,
		"guardrail --treatment 65/500 --control 40/500 --tolerate 0": `
ln E               2.133878428
roll back at ln E  2.995732274
anytime p          0.118377285
guardrail          undecided
decision           continue
`,
		"guardrail --treatment 1600/20000 --control 2000/20000": `
ln E               -32.911765107
roll back at ln E  2.995732274
anytime p          1.000000000
guardrail          cleared
decision           continue
`,
		"lift --treatment 260/2000 --control 200/2000 --planned 5000": `
lift               0.300000000
low                -0.006923455
high               0.701782212
ln E               2.792371454
anytime p          0.061275729
decision           not known yet
`,
		"lift --treatment 24/200 --control 9/40": `
anytime p          1.000000000
decision           collecting
low by successes   -0.233468236
high by successes  11.286547931
`,
		"lift --mean --treatment n=2000,x=260,sum=260,squares=260 --control n=2000,x=200,sum=200,squares=200": `
lift               0.300000000
low                -0.006923455
high               0.701782212
ln E               2.792371454
anytime p          0.061275729
decision           not known yet
`,
		"srm --treatment 89600 --control 10400 --share .9": `
ln BF              6.374021945
anytime p          0.001705287
decision           warn
`,
		"srm --treatment 66 --control 195 --classes 5": `
ln BF              6.499150681
anytime p          0.007523583
decision           warn
`,
	} {
		got, err := stats(args)
		if err != nil || "\n"+got != want {
			t.Errorf("stats %s: %v\n%s", args, err, got)
		}
	}
}

func TestStatsJSON(t *testing.T) {
	out, err := stats("lift --treatment 1250/5000 --control 1000/5000 --json")
	var got struct {
		Lift, Low, High, P float64
		Decision           string
	}
	if err != nil || json.Unmarshal([]byte(out), &got) != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got.Decision != "increase" || got.Low < .1147091 || got.High > .4017109 || got.P > 2.24e-7 || got.P < 2.22e-7 {
		t.Errorf("%s", out)
	}
}

func TestStatsWrongUsage(t *testing.T) {
	for _, args := range []string{
		"", "median", "guardrail", "guardrail --treatment 5/4 --control 1/4", "guardrail --treatment 1/4 --control -1/4",
		"guardrail --treatment 1/4 --control 1/4 --baseline 0", "guardrail --treatment 1/4 --control 1/4 --baseline 1",
		"guardrail --treatment 1/4 --control 1/4 --tolerate -0.1", "guardrail --treatment 1/4 --control 1/4 --alpha 0",
		"guardrail --treatment 1/4 --control 1/4 more", "lift --treatment 1/4 --control 1/4 --share 1",
		"lift --treatment 1/4 --control 1/4 --planned NaN", "srm --treatment 5 --control x", "srm --treatment 5 --control 5 --kappa 0", "srm --treatment 5 --control 5 --classes 0",
		"srm --treatment 5 --control 5 --treatment 6", "srm --treatment 5 --control 5 --share .5 --share .9", "lift",
		"lift --mean --ratio --treatment n=1 --control n=1", "lift --mean --treatment 1/4 --control 1/4",
		"lift --mean --treatment n=4,x=1,sum=1,squares=-1 --control n=4,x=1,sum=1,squares=1",
		"lift --mean --treatment n=4,x=5,sum=1,squares=1 --control n=4,x=1,sum=1,squares=1",
		"lift --mean --treatment n=4,x=1,sum=1,squares=1,per=2 --control n=4,x=1,sum=1,squares=1",
		"lift --mean --treatment n=4,x=1,sum=1,sum=1,squares=1 --control n=4,x=1,sum=1,squares=1",
		"lift --mean --treatment n=4,x=1,sum=NaN,squares=1 --control n=4,x=1,sum=1,squares=1",
		"lift --ratio --treatment n=4,x=1,sum=1,squares=1 --control n=4,x=1,sum=1,squares=1",
		"lift --treatment 1/4 --control 1/4 --planned 0.5", "lift --treatment 1/4 --control 1/9223372036854775807",
		"srm --treatment 5 --control 5 --kappa 1e300", "srm --treatment 5 --control 9223372036854775807",
		"guardrail --treatment 1/4 --control 1/4 --tolerate 1e300", "factors --tolerate 1e17",
		"factors --share 1", "factors --baseline 2", "factors --tolerate -1",
	} {
		var wrong usageError
		if out, err := stats(args); !errors.As(err, &wrong) || out != "" {
			t.Errorf("stats %s: %v, printed %q", args, err, out)
		}
	}
}

// Sums that no units can have are refused with the reason; those of some units
// are not, also at the bounds.
func TestStatsImpossibleSums(t *testing.T) {
	for arm, why := range map[string]string{
		"--mean n=9,x=2,sum=10,squares=49":   "at least sum²/x = 50",
		"--mean n=9,x=2,sum=10,squares=101":  "at most sum² = 100",
		"--mean n=9,x=0,sum=10,squares=100":  "nobody did the event",
		"--mean n=0,x=0,sum=10,squares=100":  "nobody did the event",
		"--mean n=4,x=5,sum=10,squares=20":   "x is more than n",
		"--mean n=9,x=2,sum=10,squares=50":   "",
		"--mean n=9,x=2,sum=0.1,squares=.01": "",
		"--mean n=9,x=1,sum=10,squares=100":  "",
		"--mean n=0,x=0,sum=0,squares=0":     "",

		"--ratio n=9,x=2,sum=3,squares=5,per=4,per-squares=6,products=5":  "",
		"--ratio n=9,x=2,sum=3,squares=5,per=4,per-squares=6,products=6":  "at most √(squares·per-squares) = 5.477",
		"--ratio n=9,x=3,sum=3,squares=2,per=4,per-squares=6,products=1":  "at least sum²/x",
		"--ratio n=9,x=3,sum=2,squares=4,per=4,per-squares=6,products=1":  "at least x times",
		"--ratio n=9,x=2,sum=3,squares=5,per=4,per-squares=3,products=1":  "whole numbers",
		"--ratio n=2,x=2,sum=3,squares=5,per=9,per-squares=40,products=1": "at least per²/n = 40.5",
		"--ratio n=9,x=2,sum=3,squares=5,per=4,per-squares=17,products=1": "at most per² = 16",
		"--ratio n=9,x=0,sum=0,squares=0,per=4,per-squares=16,products=1": "at most √",
		"--ratio n=9,x=0,sum=0,squares=0,per=4,per-squares=16,products=0": "",
		"--ratio n=0,x=0,sum=0,squares=0,per=0,per-squares=0,products=0":  "",
		"--ratio n=9,x=1,sum=1,squares=1,per=0,per-squares=0,products=0":  "",
	} {
		form, sums, _ := strings.Cut(arm, " ")
		_, err := stats("lift " + form + " --treatment " + sums + " --control " + sums)
		var wrong usageError
		if (err != nil) != (why != "") || err != nil && (!errors.As(err, &wrong) || !strings.Contains(err.Error(), why)) {
			t.Errorf("%s: %v", arm, err)
		}
	}
}

// The sums of random units are never refused.
func TestStatsPossibleSums(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var mean, ratio outcomes.Moments
		for range 1 + rng.IntN(8) {
			m, d := float64(rng.IntN(4)), float64(rng.IntN(4))
			v := m * math.Round(1e6*rng.ExpFloat64()) / 1e6
			did := int64(min(m, 1))
			mean = outcomes.MeanMoments(mean.N+1, mean.X+did, mean.Sum+v, mean.Squares+v*v)
			ratio = outcomes.Moments{N: ratio.N + 1, X: ratio.X + did, Sum: ratio.Sum + m, Squares: ratio.Squares + m*m,
				Per: ratio.Per + d, PerSquares: ratio.PerSquares + d*d, Products: ratio.Products + m*d}
		}
		if why := impossible(mean, false) + impossible(ratio, true); why != "" {
			t.Fatalf("%+v, %+v: %s", mean, ratio, why)
		}
	}
}
