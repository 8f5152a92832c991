package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

// History is how one run of a rule came to where it is. It is the answer of GET
// /api/rules/RULE/history.
type History struct {
	Rule    string        `json:"rule"`
	Version string        `json:"version"`
	Run     uint64        `json:"run"`
	Started time.Time     `json:"started"`
	Stop    *store.Stop   `json:"stop,omitempty"` // nil: it goes on
	Points  []store.Point `json:"points"`         // oldest first; of the present run, the last is of now
	Marks   []Mark        `json:"marks"`          // oldest first
	Runs    []RunSpan     `json:"runs"`           // of the rule, this one too, oldest first
}

// Mark is something that was done to a rule in a run: an entry of the ledger.
type Mark struct {
	At   time.Time `json:"at"`
	Kind string    `json:"kind"` // store.Entry's
	Who  string    `json:"who,omitempty"`
	Why  string    `json:"why,omitempty"`
}

// RunSpan is when a run of a rule was.
type RunSpan struct {
	Run     uint64     `json:"run"`
	Version string     `json:"version"`
	Started time.Time  `json:"started"`
	Stopped *time.Time `json:"stopped,omitempty"` // nil: by no rollback
}

// maxMarks is how many marks a history has at most: the last ones.
const maxMarks = 100

var errNoRun = errors.New("no such run of the rule")

func (c *Console) runHistory(w http.ResponseWriter, r *http.Request) {
	h, ok := c.historyAsked(w, r)
	if ok {
		reply(w, h)
	}
}

// historyAsked is the history that a request is about. If it can't be had, it
// has answered.
func (c *Console) historyAsked(w http.ResponseWriter, r *http.Request) (*History, bool) {
	var run uint64
	if q := r.FormValue("run"); q != "" {
		var err error
		if run, err = strconv.ParseUint(q, 10, 64); err != nil || run == 0 {
			fail(w, http.StatusBadRequest, errors.New("run is the number of a run: the history without it lists them"))
			return nil, false
		}
	}
	rule := c.Loaded().Rule(r.PathValue("rule"))
	if rule == nil {
		fail(w, http.StatusNotFound, store.ErrNoRule)
		return nil, false
	}
	h, err := c.historyOf(r.Context(), rule, run)
	switch {
	case errors.Is(err, errNoRun):
		fail(w, http.StatusNotFound, err)
	case err != nil:
		fail(w, http.StatusServiceUnavailable, err)
	}
	return h, err == nil
}

// historyOf returns the history of a run, 0: the present one.
func (c *Console) historyOf(ctx context.Context, rule *rules.Rule, run uint64) (*History, error) {
	now := c.Now()
	present, _ := c.Store.Standing(rule.Name)
	if run == 0 {
		run = present.Run.ID
	}
	runs, err := c.Store.Runs(ctx, rule.Name)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(runs, func(r store.Run) bool { return r.ID == run })
	if at < 0 {
		return nil, fmt.Errorf("%w: %d of %q", errNoRun, run, rule.Name)
	}
	this := runs[at]
	h := &History{Rule: rule.Name, Version: this.Version, Run: run, Started: this.Started, Stop: this.Stop, Marks: []Mark{}}
	if h.Points, err = c.Store.History(ctx, run); err != nil {
		return nil, err
	}
	if run == present.Run.ID {
		h.Stop = present.Run.Stop
		h.Points = toNow(h.Points, store.NewPoint(now, &present), h.Stop != nil)
	}
	var until time.Time
	if at+1 < len(runs) {
		until = runs[at+1].Started.Add(-1)
	}
	entries, err := c.Store.Marks(ctx, rule.Name, this.Started, until, maxMarks)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		h.Marks = append(h.Marks, Mark{At: e.At, Kind: e.Kind, Who: e.Who, Why: e.Why})
	}
	for _, r := range runs {
		span := RunSpan{Run: r.ID, Version: r.Version, Started: r.Started}
		if r.Stop != nil {
			span.Stopped = &r.Stop.Decided
		}
		h.Runs = append(h.Runs, span)
	}
	return h, nil
}

// toNow adds the point of now. Of a run that is stopped it says nothing unless
// something has changed since.
func toNow(points []store.Point, now store.Point, stopped bool) []store.Point {
	if n := len(points); n > 0 {
		last := points[n-1]
		same := last
		same.At, same.Lift = now.At, now.Lift
		if !now.At.After(last.At) || stopped && same == now {
			return points
		}
	}
	return append(points, now)
}
