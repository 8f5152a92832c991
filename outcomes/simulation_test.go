package outcomes

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
)

// The false rollbacks of a rule without any effect, at the edge of what is
// tolerated, looked at after every unit.
func TestFalseRollbacks(t *testing.T) {
	const runs, exposures = 400, 5000
	for _, cell := range []struct{ rate, share, baseline float64 }{{.10, .5, .10}, {.30, .9, .20}} {
		g := GuardrailTest{Baseline: cell.baseline}
		rnd := rand.New(rand.NewPCG(7, uint64(1000*cell.rate)))
		rolledBack := 0
		for range runs {
			e := []Sample{{Share: cell.share}}
			for range exposures {
				arm := &e[0].Control
				if rnd.Float64() < cell.share {
					arm = &e[0].Treatment
				}
				arm.N++
				if rnd.Float64() < cell.rate {
					arm.X++
				}
				if g.LogE(e) >= g.Threshold() {
					rolledBack++
					break
				}
			}
		}
		atMost(t, "false rollbacks", rolledBack, runs)
		if rolledBack == 0 {
			t.Errorf("%+v: nothing at all in %d runs: a test that never fires is no test", cell, runs)
		}
	}
}

// The interval of the lift and the sample ratio, looked at after every unit of
// a rule that does change its metric, over a change of the rollout.
func TestAnytimeErrors(t *testing.T) {
	const runs, exposures, control, lift = 300, 6000, .2, .25
	rnd := rand.New(rand.NewPCG(7, 13))
	missed, narrow, alarms := 0, 0, 0
	for range runs {
		e := []Sample{{Share: .5}, {Share: .8}}
		miss, alarm := false, false
		for i := range exposures {
			now := &e[min(1, i/2000)]
			arm, rate := &now.Control, control
			if rnd.Float64() < now.Share {
				arm, rate = &now.Treatment, control*(1+lift)
			}
			arm.N++
			if rnd.Float64() < rate {
				arm.X++
			}
			l := LiftTest{}.Estimate(e)
			miss = miss || !l.Collecting && (l.Low > lift || l.High < lift)
			alarm = alarm || SRMTest{}.Check(e).P < .05
		}
		if l := (LiftTest{}).Estimate(e); l.High-l.Low < .5 {
			narrow++
		}
		if miss {
			missed++
		}
		if alarm {
			alarms++
		}
	}
	atMost(t, "intervals that missed the truth at some look", missed, runs)
	atMost(t, "false alarms of the sample ratio at 5 %", alarms, runs)
	if narrow < runs/2 {
		t.Errorf("only %d of %d intervals ever say something", narrow, runs)
	}
}

// False rollbacks through the whole fold: harms come when they come, windows close
// later, and the verdict is looked at after every change.
func TestFalseRollbacksOfTheFold(t *testing.T) {
	const runs, units, alpha = 200, 600, .05
	r := &rules.Rule{Guardrail: rules.Guardrail{Event: "Abandoned", Within: 200 * time.Millisecond, Baseline: .25}}
	rnd := rand.New(rand.NewPCG(7, 11))
	rolledBack, missed := 0, 0
	for range runs {
		tally := NewTally()
		breached, miss := false, false
		judge := func() {
			v := Judge(tally, r)
			breached = breached || v.Guardrail == Breached
			miss = miss || !v.Harm.Collecting && (v.Harm.Low > 0 || v.Harm.High < 0)
		}
		known := make([]Enrolment, units)
		harms := make([]int64, units) // when
		for now := range int64(units + 200) {
			if now < units {
				x := rules.Exposure{Arm: rules.Control, Treatment: .5, At: time.UnixMilli(now + 1)}
				if rnd.IntN(2) == 0 {
					x.Arm = rules.Treatment
				}
				known[now], _ = Enrol(tally, nil, &x)
				if rnd.Float64() < .25 {
					harms[now] = now + 2 + rnd.Int64N(150)
				}
			}
			for i := max(0, now-200); i < min(units, now+1); i++ {
				if harms[i] == now && Observe(tally, &known[i], r, &events.Event{Kind: events.Track, Name: "Abandoned", Time: time.UnixMilli(now + 1)}) {
					judge()
				}
				if Close(tally, &known[i], r, now+1) {
					judge()
				}
			}
		}
		if breached {
			rolledBack++
		}
		if miss {
			missed++
		}
		if c := tally.Epochs[0]; c.TreatmentArm.Settled+c.ControlArm.Settled != units {
			t.Fatalf("the simulation ended early: %+v", c)
		}
	}
	atMost(t, "false rollbacks of the fold", rolledBack, runs)
	atMost(t, "intervals that missed no change at some look", missed, runs)
}

// atMost fails if a share is above 5 % by more than two standard errors.
func atMost(t *testing.T, what string, n, runs int) {
	t.Helper()
	share, bound := float64(n)/float64(runs), .05+2*math.Sqrt(.05*.95/float64(runs))
	t.Logf("%s: %d of %d (%.1f %%, bound %.1f %%)", what, n, runs, 100*share, 100*bound)
	if share > bound {
		t.Errorf("%s: more than 5 %% and two standard errors", what)
	}
}
