package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
	"github.com/seed14307185/refract/store"
)

// aftermath compares what a dead server left with what the senders know.
type aftermath struct {
	t       *testing.T
	dir     string
	set     *rules.Set
	senders []*sender

	acknowledged, logged, repeated, observed, asked, must int // as of the last check
	lostEvents, lostExposures                             int
	worst                                                 time.Duration // from a response's end to the kill that lost what came of it
	stall                                                 time.Duration // of the machine, in the round that was killed
}

// open calls f with a copy of the store that the dead server left.
func (a *aftermath) open(now func() time.Time, f func(*store.Store)) {
	a.t.Helper()
	image := filepath.Join(a.dir, "image")
	if err := os.CopyFS(image, os.DirFS(filepath.Join(a.dir, "data", "store"))); err != nil {
		a.t.Fatal(err)
	}
	defer os.RemoveAll(image)
	s, err := store.Open(store.Options{Dir: image, Log: slog.New(slog.DiscardHandler), Now: now, Reserve: 1})
	if err != nil {
		a.t.Fatal(err)
	}
	if err := s.Use(a.t.Context(), a.set, func() {}); err != nil {
		a.t.Fatal(err)
	}
	f(s)
	if err := s.Close(); err != nil {
		a.t.Fatal(err)
	}
}

func (a *aftermath) check(killed time.Time) {
	a.t.Helper()
	a.open(time.Now, func(s *store.Store) {
		a.checkTally(s, a.checkLog(s, killed))
		a.checkExposures(s, killed)
	})
}

// did is who did what, by event name and visitor.
type did map[string]map[string]bool

// checkLog looks for what was sent and observed, and nothing else.
func (a *aftermath) checkLog(s *store.Store, killed time.Time) did {
	messages, exports, who := map[string]int{}, map[string]int{}, did{}
	states := map[string]*segments.State{}
	err := s.Events(1, func(_ uint64, e *events.Event) bool {
		if states[e.Visitor] == nil {
			states[e.Visitor] = new(segments.State)
		}
		a.set.Program.Fold(segments.Visitor, states[e.Visitor], e)
		if e.Source == "edge" {
			exports[fmt.Sprint(e.Properties["format"])]++
			return true
		}
		messages[e.ID]++
		if who[e.Name] == nil {
			who[e.Name] = map[string]bool{}
		}
		who[e.Name][e.Visitor] = true
		return true
	})
	if err != nil {
		a.t.Fatal(err)
	}
	for visitor, state := range states {
		kept, err := s.State(segments.Unit{Who: segments.Visitor, ID: visitor})
		if err != nil {
			a.t.Fatal(err)
		}
		if got, want := a.set.Program.AppendState(nil, kept), a.set.Program.AppendState(nil, state); !bytes.Equal(got, want) {
			a.t.Errorf("the state of %s is %x, folding the log gives %x", visitor, got, want)
		}
	}
	delete(messages, "") // settle's
	sent := 0
	for id, n := range messages {
		if n > 1 {
			a.t.Errorf("message %q is in the log %d times", id, n)
		}
	}
	a.logged, a.acknowledged, a.repeated, a.observed = len(messages), 0, 0, a.lostEvents
	for _, sender := range a.senders {
		a.repeated += sender.repeated
		for id, acknowledged := range sender.acknowledged {
			sent += min(messages[id], 1)
			if !acknowledged {
				continue
			}
			a.acknowledged++
			if messages[id] == 0 {
				a.t.Errorf("message %q was acknowledged and is lost", id)
			}
		}
		for _, batch := range sender.batches {
			n := 0
			for _, id := range batch {
				n += min(messages[id], 1)
			}
			if n != 0 && n != len(batch) {
				a.t.Errorf("of the batch %q, %d messages are in the log", batch, n)
			}
		}
		for id, end := range sender.observed {
			a.observed++
			if n := exports[id]; n > 1 {
				a.t.Errorf("export %s was observed once and is in the log %d times", id, n)
			} else if n == 0 {
				a.lose("the observed event "+id, killed.Sub(end))
				delete(sender.observed, id)
				a.lostEvents++
			}
		}
	}
	if sent != len(messages) {
		a.t.Errorf("%d messages are in the log, %d of them were sent", len(messages), sent)
	}
	return who
}

// lose takes note of what a kill cost.
func (a *aftermath) lose(what string, lag time.Duration) {
	a.worst = max(a.worst, lag)
	if lag > store.MaxCommitDelay+a.stall {
		a.t.Errorf("%s is lost, though its response ended %s before the kill", what, lag)
	}
}

// checkTally recounts the rule.
func (a *aftermath) checkTally(s *store.Store, who did) {
	rule := a.set.Rule(killedRule)
	st, _ := s.Standing(killedRule)
	if st.Run.Stop != nil {
		a.t.Fatalf("the rule was stopped: %+v", st.Run.Stop)
	}
	arm := func(visitor string) rules.Arm {
		arm, _ := rule.Assign(visitor)
		return arm
	}
	most, least := map[rules.Arm]int64{}, map[rules.Arm]int64{}
	converted, harmed := map[rules.Arm]int64{}, map[rules.Arm]int64{}
	a.asked, a.must = 0, 0
	for _, sender := range a.senders {
		for _, v := range sender.visits {
			if v.asked {
				most[arm(v.visitor)]++
				a.asked++
			}
			if v.finished {
				least[arm(v.visitor)]++
				a.must++
			}
			if who["Report Scheduled"][v.visitor] {
				converted[arm(v.visitor)]++
			}
			if who["Support Asked"][v.visitor] {
				harmed[arm(v.visitor)]++
			}
		}
	}
	for _, epoch := range st.Tally.Epochs {
		for arm, have := range map[rules.Arm]struct{ exposed, converted, harmed int64 }{
			rules.Treatment: {epoch.TreatmentArm.Exposed, epoch.TreatmentArm.Converted, epoch.TreatmentArm.Harmed},
			rules.Control:   {epoch.ControlArm.Exposed, epoch.ControlArm.Converted, epoch.ControlArm.Harmed},
		} {
			if have.exposed < least[arm] || have.exposed > most[arm] {
				a.t.Errorf("%s: %d exposed, want between %d and %d", arm, have.exposed, least[arm], most[arm])
			}
			if have.converted != converted[arm] || have.harmed != harmed[arm] {
				a.t.Errorf("%s: %d converted and %d harmed, the log says %d and %d", arm, have.converted, have.harmed, converted[arm], harmed[arm])
			}
		}
	}
	if len(st.Tally.Epochs) > 1 || st.Tally.Mixed != 0 || len(st.Tally.Epochs) == 0 && a.must > 0 {
		a.t.Errorf("%d epochs, %d mixed", len(st.Tally.Epochs), st.Tally.Mixed)
	}
}

// checkExposures exposes everyone again: that counts who is not enrolled.
func (a *aftermath) checkExposures(s *store.Store, killed time.Time) {
	var finished []*visit
	for _, sender := range a.senders {
		for _, v := range sender.visits {
			switch {
			case v.finished:
				finished = append(finished, v)
			case v.page.IsZero():
			case a.expose(s, v) > 0:
				a.lose("the exposure of "+v.visitor, killed.Sub(v.page))
				a.lostExposures++
				v.page = time.Time{}
			}
		}
	}
	if n := a.expose(s, finished...); n > 0 {
		a.t.Errorf("%d visitors who went on from the page are not exposed", n)
	}
}

// expose returns how many of the visits are newly exposed by it.
func (a *aftermath) expose(s *store.Store, visits ...*visit) uint64 {
	before := s.Counters().Exposures
	settle := func() {
		e := &events.Event{Source: "test", Kind: events.Track, Name: "Settled", Visitor: "nobody", Time: time.Now(), Received: time.Now()}
		if err := s.Append(a.t.Context(), []*events.Event{e}); err != nil {
			a.t.Fatal(err)
		}
	}
	rule := a.set.Rule(killedRule)
	for i, v := range visits {
		arm, _ := rule.Assign(v.visitor)
		if !s.Expose(rules.Exposure{
			Rule: rule.Name, Version: rule.Version, Unit: segments.Unit{Who: segments.Visitor, ID: v.visitor},
			Arm: arm, Treatment: rule.Rollout.Treatment, At: time.Now(),
		}) {
			a.t.Fatal("the queue is full")
		}
		if i%1000 == 999 {
			settle()
		}
	}
	settle()
	return s.Counters().Exposures - before
}

// checkWindows opens what is left when every window is over: each of them is
// closed, once.
func (a *aftermath) checkWindows() {
	a.t.Helper()
	later := func() time.Time { return time.Now().Add(8 * 24 * time.Hour) }
	a.open(later, func(s *store.Store) {
		eventually(a.t, "every window is closed", func() bool {
			var exposed, closed, matured int64
			st, _ := s.Standing(killedRule)
			for _, epoch := range st.Tally.Epochs {
				for _, arm := range []outcomes.Counts{epoch.TreatmentArm, epoch.ControlArm} {
					exposed += arm.Exposed
					closed += arm.Closed
					matured += arm.Matured
				}
			}
			return exposed == int64(a.asked) && closed == exposed && matured == exposed
		})
	})
}
