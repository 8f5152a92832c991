package console

import (
	"net/http"
	"slices"
	"time"

	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

// Interactions says of pairs of rules whether one changes what the other does.
// It is the answer of GET /api/interactions, and with ?rule=RULE of the pairs that
// the rule is in.
type Interactions struct {
	// Alpha is the probability that any of Pairs is said to interact, at any look,
	// while none does. Each has an equal part of it (Bonferroni).
	Alpha float64       `json:"alpha"`
	Pairs []Interaction `json:"pairs"`
}

// Interaction is a rule with another that ran at the same time on the same units.
// The metric is Rule's.
type Interaction struct {
	Rule  string           `json:"rule"`
	With  string           `json:"with"`
	State InteractionState `json:"state"`
	outcomes.Interaction
	outcomes.Crossed
}

// InteractionState is what is known of a pair.
type InteractionState string

// The states.
const (
	Interacts        InteractionState = "interact"
	NoInteraction    InteractionState = "none found"
	NotEnough        InteractionState = "collecting" // a cell has fewer than 20 successes
	ArmsIncomparable InteractionState = "invalid"    // the sample ratio of one of the two
)

// interactions reads what every unit did in the present runs, side by side.
func (c *Console) interactions(w http.ResponseWriter, r *http.Request) {
	set, rule := c.Loaded(), r.FormValue("rule")
	if rule != "" && set.Rule(rule) == nil {
		fail(w, http.StatusNotFound, store.ErrNoRule)
		return
	}
	standings := c.Store.Standings()
	var list []*rules.Rule
	var runs []uint64
	for _, r := range set.Rules {
		if s := standings[r.Name]; s.Run.Version == r.Version && s.Tally.Exposed() > 0 {
			list, runs = append(list, r), append(runs, s.Run.ID)
		}
	}
	type pair struct{ rule, with int }
	var pairs []pair
	for i, a := range list {
		for j, b := range list {
			if i != j && (rule == "" || a.Name == rule || b.Name == rule) && a.Unit == b.Unit &&
				overlap(standings[a.Name].Run, standings[b.Name].Run, c.Now()) {
				pairs = append(pairs, pair{i, j})
			}
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { // what becomes of the rule that is asked for comes first
		first := func(p pair) int {
			if list[p.rule].Name == rule {
				return 0
			}
			return 1
		}
		return first(a) - first(b)
	})
	crossed := make([]outcomes.Crossed, len(pairs))
	err := c.Store.Shared(r.Context(), runs, func(of []*outcomes.Enrolment) error {
		for i, p := range pairs {
			if of[p.rule] != nil && of[p.with] != nil {
				crossed[i].Add(of[p.rule], of[p.with], list[p.rule])
			}
		}
		return nil
	})
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err)
		return
	}
	found := Interactions{Alpha: outcomes.DefaultAlpha, Pairs: []Interaction{}}
	for i, p := range pairs {
		if crossed[i].Units > 0 {
			found.Pairs = append(found.Pairs, Interaction{Rule: list[p.rule].Name, With: list[p.with].Name, Crossed: crossed[i]})
		}
	}
	for i := range found.Pairs {
		p := &found.Pairs[i]
		test := outcomes.LiftTest{Alpha: found.Alpha / float64(len(found.Pairs))}
		p.Interaction = test.Interaction(&p.Crossed, &set.Rule(p.Rule).Metric)
		p.State = p.state(standings)
	}
	reply(w, found)
}

func (p *Interaction) state(standings map[string]store.Standing) InteractionState {
	invalid := func(rule string) bool { return standings[rule].Verdict.SRM.State == outcomes.SRMInvalid }
	switch {
	case invalid(p.Rule) || invalid(p.With):
		return ArmsIncomparable
	case p.Ratio.Collecting:
		return NotEnough
	case p.Interacts:
		return Interacts
	}
	return NoInteraction
}

// overlap says whether there was a time at which both runs went on.
func overlap(a, b store.Run, now time.Time) bool {
	end := func(r store.Run) time.Time {
		if r.Stop != nil {
			return r.Stop.Decided
		}
		return now
	}
	return !a.Started.After(end(b)) && !b.Started.After(end(a))
}
