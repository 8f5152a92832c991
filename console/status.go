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
	Off      bool          `json:"off"` // every rule, by refract.yaml or a switch
	Switches []Switch      `json:"switches,omitempty"`
	KillFile string        `json:"kill_file"` // whose being there keeps every rule off, FILE.RULE one of them
	Ready    string        `json:"ready"`     // "ok", or why not
	Warming  []string      `json:"warming,omitempty"`
	Rules    []RuleStatus  `json:"rules"`
	Store    StoreCounters `json:"store"`
}

// Switch keeps rules from being served without being a rollback on record.
// Whatever By names turns them on again.
type Switch struct {
	By    string    `json:"by"`             // kill-file, signal or api
	Rule  string    `json:"rule,omitempty"` // empty: every rule
	File  string    `json:"file,omitempty"` // of a kill file
	Since time.Time `json:"since"`
	Who   string    `json:"who,omitempty"`
	Why   string    `json:"why,omitempty"`
}

// StoreCounters are the store's counters since the process started.
type StoreCounters struct {
	Events    uint64 `json:"events"`
	Repeated  uint64 `json:"repeated"`
	Exposures uint64 `json:"exposures"`
	Refused   uint64 `json:"refused"`
	Clamped   uint64 `json:"clamped"`
	Dropped   uint64 `json:"dropped"`
}

// RuleStatus is one rule: what it promises, how it stands, what it did.
type RuleStatus struct {
	Name     string           `json:"name"`
	Sentence string           `json:"sentence"`
	State    string           `json:"state"` // live, draft, rolled_back, expired, unapproved, warming or off
	Cause    string           `json:"cause,omitempty"`
	Unseen   bool             `json:"unseen,omitempty"` // live for a minute, and its surface was on no page of its visitors
	Version  string           `json:"version"`
	Owner    string           `json:"owner,omitempty"`
	Started  time.Time        `json:"started"`        // the present run, as a draft maybe
	Since    time.Time        `json:"since,omitzero"` // when State began; zero: not known
	Verdict  outcomes.Verdict `json:"verdict"`
	Summary  string           `json:"summary"`
	Answer   outcomes.Answer  `json:"answer"` // whether it helped: Summary in a word
	// Few is what is known of the metric's change while its lift is collecting;
	// nil: nothing, or the lift isn't.
	Few *outcomes.EventShare `json:"few,omitempty"`
	// Discovery says that the metric's change stands also among those of all
	// rules, at a false discovery rate of 5 %: see outcomes.Discoveries. Of many
	// rules without any effect, some would show one by themselves.
	Discovery bool           `json:"discovery"`
	Tally     outcomes.Tally `json:"tally"`
	// Treatment and Control are the tally's arms over all epochs: to be looked
	// at, not to be compared, where there are several epochs.
	Treatment outcomes.Counts `json:"treatment"`
	Control   outcomes.Counts `json:"control"`
	// Recompute are the commands by which the counts give the verdict's figures.
	Recompute []string `json:"recompute,omitempty"`
	// Untouched are the pages of the whole site, since the process started, that
	// a rule could have touched and that went through as they were, by reason.
	Untouched map[string]uint64 `json:"untouched,omitempty"`
	// Pace is how long it takes still, of a live rule that is asked for alone and
	// of which it is not known yet whether it helps.
	Pace      *Pace          `json:"pace,omitempty"`
	Receipt   *store.Stop    `json:"receipt,omitempty"`
	Approvals ApprovalStatus `json:"approvals"`
	Ramp      *Ramp          `json:"ramp,omitempty"` // nil: the rule has one step
	// Holds are why nothing may be concluded from a live rule's counts now, since
	// when.
	Holds []store.Hold `json:"holds,omitempty"`
	// Launches is how often the rule was made live, in any version, and
	// AlphaSpent the sum of its guardrail's alpha over these.
	Launches   int     `json:"launches"`
	AlphaSpent float64 `json:"alpha_spent"`
}

// status makes the status of the set as it was loaded, whatever is stopped.
func (c *Console) status() Status {
	set := c.Loaded()
	st := Status{Revision: set.Revision, Off: set.Edge.Off, Switches: c.Switches(), KillFile: c.KillFile,
		Ready: "ok", Warming: c.Store.Warming(), Rules: []RuleStatus{}}
	for _, s := range st.Switches {
		st.Off = st.Off || s.Rule == ""
	}
	if err := c.ready(); err != nil {
		st.Ready = err.Error()
	}
	n := c.Store.Counters()
	st.Store = StoreCounters(n)
	standings := c.Store.Standings()
	var untouched map[string]uint64
	if c.Untouched != nil {
		untouched = c.Untouched()
	}
	for _, r := range set.Rules {
		rs := ruleStatus(r, set, standings[r.Name], st.Warming, c.Now())
		rs.Untouched = untouched
		if rs.State, rs.Cause = switched(r.Name, st.Switches, rs.State, rs.Cause); rs.State == "off" {
			rs.Since = time.Time{}
		}
		rs.Unseen = rs.State == "live" && c.Unseen(r.Name)
		st.Rules = append(st.Rules, rs)
	}
	discover(st.Rules)
	return st
}

// discover finds the discoveries among all rules. Those whose metric's change is
// not known have no evidence of it, and are looked at all the same.
func discover(list []RuleStatus) {
	logE := make([]float64, len(list))
	for i := range list {
		if v := &list[i].Verdict; !v.Lift.Collecting && v.Lift.Alpha > 0 && v.SRM.State != outcomes.SRMInvalid {
			logE[i] = v.Lift.LogE
		}
	}
	for i, is := range outcomes.Discoveries(logE, outcomes.DefaultAlpha) {
		list[i].Discovery = is
	}
}

func ruleStatus(r *rules.Rule, set *rules.Set, s store.Standing, warming []string, now time.Time) RuleStatus {
	rs := RuleStatus{
		Name: r.Name, Sentence: r.Sentence(), Version: r.Version, Owner: r.Owner, Started: s.Run.Started,
		Verdict: s.Verdict, Summary: s.Verdict.Sentence(r), Tally: s.Tally, Receipt: s.Run.Stop,
		Approvals: ApprovalsOf(r, now),
		Launches:  s.Run.Launches, AlphaSpent: s.Run.AlphaSpent, Holds: s.Run.Holds,
	}
	rs.Recompute = Recompute(&s.Tally, r)
	if srm := &s.Verdict.SRM; srm.Browser != "" && srm.State != outcomes.SRMFine {
		rs.Recompute = append(rs.Recompute, browserCommand(&s.Tally, srm.Browser))
	}
	rs.Answer = s.Verdict.Answer(r)
	if few, ok := s.Tally.Few(r); ok && s.Verdict.Lift.Collecting && s.Verdict.SRM.State != outcomes.SRMInvalid {
		rs.Few = &few
	}
	for _, e := range s.Tally.Epochs {
		rs.Treatment = rs.Treatment.Plus(e.TreatmentArm)
		rs.Control = rs.Control.Plus(e.ControlArm)
	}
	switch stop := s.Run.Stop; {
	case stop != nil && stop.Cause == store.ByServing:
		rs.Summary = "Rolled back by the serving guardrails, " + stop.Why + ". " + rs.Summary
	case stop != nil && stop.Cause == store.ByDeadline:
		rs.Summary = "Rolled back, for " + stop.Why + ". " + rs.Summary
	}
	rs.State, rs.Cause = RuleState(r, set, s, warming, now)
	switch {
	case rs.State == "rolled_back" && s.Run.Stop != nil:
		rs.Since = s.Run.Stop.Decided
	case rs.State == "live":
		rs.Since = s.Run.Live
	case rs.State == "expired":
		rs.Since = r.Expires
	}
	rs.Ramp = newRamp(r, &s, now)
	return rs
}

// States lists what RuleState says.
var States = [...]string{"live", "draft", "rolled_back", "expired", "unapproved", "warming", "off"}

// RuleState says whether a rule of the set is served, and what keeps it from
// that: one of States, and of a rolled back rule the cause. warming are the
// segments that are.
func RuleState(r *rules.Rule, set *rules.Set, s store.Standing, warming []string, now time.Time) (state, cause string) {
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
	case !r.Approved(now):
		return "unapproved", ""
	}
	for _, name := range warming {
		if name == r.Segment.Name {
			return "warming", ""
		}
	}
	return "live", ""
}

// switched is the state of a rule that would be served, with the switches.
func switched(rule string, switches []Switch, state, cause string) (string, string) {
	for _, s := range switches {
		if state == "live" && (s.Rule == "" || s.Rule == rule) {
			return "off", s.By
		}
	}
	return state, cause
}
