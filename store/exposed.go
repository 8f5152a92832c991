package store

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

// Exposed is the body of a letter about a first exposure, as JSON.
type Exposed struct {
	// ID is the same whenever this unit is exposed in this arm of this version of
	// the rule: a UUID (RFC 9562, version 5) by which receivers know repetitions.
	ID      string    `json:"id"`
	At      time.Time `json:"time"`
	Rule    string    `json:"rule"`
	Version string    `json:"version"`
	Segment string    `json:"segment"`
	Surface string    `json:"surface"`
	Arm     rules.Arm `json:"arm"`
	// Treatment is the probability of treatment when the unit was assigned.
	Treatment float64 `json:"treatment"`
	Unit      string  `json:"unit"` // visitor or account
	UnitID    string  `json:"unit_id"`
	// User and Anonymous are the visitor's ids: a person's and a browser's. One of
	// them may be empty, and both where an account's visitor is not known.
	User      string `json:"user_id,omitempty"`
	Anonymous string `json:"anonymous_id,omitempty"`
}

// exposureSpace is the namespace of exposures' ids. It must never change.
var exposureSpace = uuid.MustParse("5b1e6c0a-6a7f-5d52-9a37-2f1a8f0c4d11")

// tell writes a first exposure to every queue of exposures.
func (w *writer) tell(x *rules.Exposure, r *rules.Rule, unit segments.Unit) error {
	if len(w.set.Edge.Exposures) == 0 {
		return nil
	}
	e := Exposed{
		ID: exposureID(x, unit), At: x.At.UTC().Truncate(time.Millisecond), Rule: r.Name, Version: r.Version,
		Segment: r.Segment.Name, Surface: r.Surface.Name, Arm: x.Arm, Treatment: x.Treatment,
		Unit: string(unit.Who), UnitID: unit.ID, Anonymous: x.Anonymous,
	}
	if x.Visitor != "" {
		visitor, err := w.resolve(x.Visitor)
		if err != nil {
			return err
		}
		if visitor != x.Anonymous {
			e.User = visitor
		}
	}
	body, err := json.Marshal(&e)
	if err != nil {
		return w.broken(fmt.Errorf("exposure of %s %q: %w", unit.Who, unit.ID, err))
	}
	now := w.s.opts.Now()
	for _, d := range w.set.Edge.Exposures {
		if err := w.post(w.queues[d.Name], now, body); err != nil {
			return err
		}
	}
	return nil
}

func exposureID(x *rules.Exposure, unit segments.Unit) string {
	name := strings.Join([]string{x.Rule, x.Version, string(unit.Who), unit.ID, string(x.Arm)}, "\x00")
	return uuid.NewSHA1(exposureSpace, []byte(name)).String()
}
