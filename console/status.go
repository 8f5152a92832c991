package console

import (
	"time"

	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

// Status is what is live. It is the answer of GET /api/status.
type Status struct {
	Revision string        `json:"revision"`
	Off      bool          `json:"off"`
	Ready    string        `json:"ready"` // "ok", or why not
	Warming  []string      `json:"warming,omitempty"`
	Rules    []RuleStatus  `json:"rules"`
	Store    StoreCounters `json:"store"`
}

// StoreCounters are the store's counters since the process started.
type StoreCounters struct {
	Events    uint64 `json:"events"`
	Repeated  uint64 `json:"repeated"`
	Exposures uint64 `json:"exposures"`
	Refused   uint64 `json:"refused"`
	Dropped   uint64 `json:"dropped"`
}

// RuleStatus is one rule: what it promises, how it stands, what it did.
type RuleStatus struct {
	Name     string           `json:"name"`
	Sentence string           `json:"sentence"`
	State    string           `json:"state"` // live, draft, rolled_back, expired, warming or off
	Cause    string           `json:"cause,omitempty"`
	Version  string           `json:"version"`
	Owner    string           `json:"owner,omitempty"`
	Started  time.Time        `json:"started"`
	Verdict  outcomes.Verdict `json:"verdict"`
	Summary  string           `json:"summary"`
	Tally    outcomes.Tally   `json:"tally"`
	// Treatment and Control are the tally's arms over all epochs: to be looked
	// at, not to be compared, where there are several epochs.
	Treatment outcomes.Counts `json:"treatment"`
	Control   outcomes.Counts `json:"control"`
	Receipt   *store.Stop     `json:"receipt,omitempty"`
}

// status makes the status of the set as it was loaded, whatever is stopped.
func (c *Console) status() Status {
	set := c.Loaded()
	st := Status{Revision: set.Revision, Off: set.Edge.Off, Ready: "ok", Warming: c.Store.Warming(), Rules: []RuleStatus{}}
	if err := c.Ready(); err != nil {
		st.Ready = err.Error()
	}
	n := c.Store.Counters()
	st.Store = StoreCounters(n)
	standings := c.Store.Standings()
	for _, r := range set.Rules {
		st.Rules = append(st.Rules, ruleStatus(r, set, standings[r.Name], st.Warming, c.Now()))
	}
	return st
}

func ruleStatus(r *rules.Rule, set *rules.Set, s store.Standing, warming []string, now time.Time) RuleStatus {
	rs := RuleStatus{
		Name: r.Name, Sentence: r.Sentence(), Version: r.Version, Owner: r.Owner, Started: s.Run.Started,
		Verdict: s.Verdict, Summary: s.Verdict.Sentence(r), Tally: s.Tally, Receipt: s.Run.Stop,
	}
	for _, e := range s.Tally.Epochs {
		add(&rs.Treatment, e.TreatmentArm)
		add(&rs.Control, e.ControlArm)
	}
	rs.State, rs.Cause = state(r, set, s, warming, now)
	return rs
}

// state says whether the rule is served, and why not.
func state(r *rules.Rule, set *rules.Set, s store.Standing, warming []string, now time.Time) (state, cause string) {
	switch {
	case r.State == rules.Draft:
		return "draft", ""
	case s.Run.Stop != nil:
		return "rolled_back", string(s.Run.Stop.Cause)
	case r.State == rules.RolledBack:
		return "rolled_back", string(store.ByFile)
	case set.Edge.Off:
		return "off", string(store.ByFile)
	case !r.Expires.IsZero() && !now.Before(r.Expires):
		return "expired", ""
	}
	for _, name := range warming {
		if name == r.Segment.Name {
			return "warming", ""
		}
	}
	return "live", ""
}

func add(to *outcomes.Counts, c outcomes.Counts) {
	to.Exposed += c.Exposed
	to.Converted += c.Converted
	to.Harmed += c.Harmed
	to.Settled += c.Settled
	to.Matured += c.Matured
	to.MaturedConverted += c.MaturedConverted
}
