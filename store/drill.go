package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

// Drill is what a rehearsed rollback came to: when each step was done.
type Drill struct {
	Sent         time.Time `json:"sent"` // the deciding event was handed over
	Decided      time.Time `json:"decided,omitzero"`
	OnDisk       time.Time `json:"on_disk,omitzero"`
	Published    time.Time `json:"published,omitzero"`    // the set without the twin was live
	Acknowledged time.Time `json:"acknowledged,omitzero"` // the event's sender was answered
	Failed       string    `json:"failed,omitempty"`      // why; empty: the twin was stopped
}

// maxDrillUnits bounds how many units a twin takes to be one short of a breach.
const maxDrillUnits = 10_000

// drillKey is written and deleted in one batch: a stop has to wait for the disk.
func drillKey() []byte { return metaKey("drill") }

// Drill stops a twin (rules.Rule.Twin) by its guardrail: an event is attributed,
// the twin judged, halted, and its stop synced and handed to Options.Stopped,
// by what does so for every rule. Nothing of it is kept, whenever a crash comes.
// It returns as Append does for the event.
func (s *Store) Drill(ctx context.Context, twin *rules.Rule) error {
	return s.do(ctx, func(w *writer) error {
		t := &tracked{rule: twin, run: Run{Rule: twin.Name, Version: twin.Version}, tally: outcomes.NewTally(), drill: true}
		if w.tracked == nil {
			return errors.New("the site is not loaded yet")
		}
		present, hears := w.tracked, w.hears
		w.tracked, w.hears = append(present[:len(present):len(present)], t), map[string][]*tracked{rules.TwinEvent: {t}}
		enrolled := w.enrolled
		w.enrolled = map[enrolID]*enrolment{}
		defer func() {
			w.tracked, w.hears, w.enrolled = present, hears, enrolled
			delete(w.touched, t)
			w.s.mu.Lock()
			delete(w.s.standings, twin.Name)
			w.s.mu.Unlock()
		}()
		e, err := w.rehearse(t)
		if err != nil {
			return err
		}
		if _, err := w.attribute(e); err != nil {
			return err
		}
		if err := w.judge(t); err != nil {
			return err
		}
		if t.run.Stop == nil {
			return errors.New("the breach of the guardrail stopped nothing")
		}
		return nil
	})
}

// rehearse enrols units until one more harm breaches the guardrail, and returns
// the event that is that harm.
func (w *writer) rehearse(t *tracked) (*events.Event, error) {
	now := w.s.opts.Now().UTC()
	for i := range maxDrillUnits {
		for _, arm := range []rules.Arm{rules.Treatment, rules.Control} {
			unit := segments.Unit{Who: segments.Visitor, ID: fmt.Sprintf("%s %d", arm, i)}
			n := &enrolment{known: true}
			n.Enrolment, _ = outcomes.Enrol(t.tally, nil, &rules.Exposure{Rule: t.rule.Name, Unit: unit, Arm: arm, Treatment: t.rule.Rollout.Treatment, At: now.Add(-time.Minute)})
			w.enrolled[enrolID{0, unit}] = n
			if arm == rules.Control {
				continue
			}
			e := &events.Event{Source: "drill", Kind: events.Track, Name: rules.TwinEvent, Visitor: unit.ID, Time: now, Received: now}
			ahead := outcomes.NewTally()
			ahead.Add(t.tally)
			one := n.Enrolment
			outcomes.Observe(ahead, &one, t.rule, e)
			if outcomes.Judge(ahead, t.rule).Guardrail == outcomes.Breached {
				return e, nil
			}
			outcomes.Observe(t.tally, &n.Enrolment, t.rule, e)
		}
	}
	return nil, fmt.Errorf("%d harmed units don't breach the guardrail", maxDrillUnits)
}

// haltTwin is what halt does of a twin's stop in place of putting it on record.
func (w *writer) haltTwin() error {
	if err := w.g.batch.Set(drillKey(), nil, nil); err != nil {
		return err
	}
	return w.g.batch.Delete(drillKey(), nil)
}
