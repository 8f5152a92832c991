package console

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

// Explanation says why a visitor gets what on a page. It is the answer of GET
// /api/explain.
type Explanation struct {
	At       time.Time          `json:"at"`
	Revision string             `json:"revision"`
	Visitor  string             `json:"visitor"` // that the id stands for
	Account  string             `json:"account,omitempty"`
	Traits   map[string]any     `json:"traits,omitempty"`
	Segments []ExplainedSegment `json:"segments"`
	Path     string             `json:"path,omitempty"`
	Rules    []ExplainedRule    `json:"rules,omitempty"`
}

// ExplainedSegment is a segment, for the visitor or their account.
type ExplainedSegment struct {
	Name    string       `json:"name"`
	Who     segments.Who `json:"who"`
	Holds   bool         `json:"holds"` // now
	Warming bool         `json:"warming,omitempty"`
	// Unknown says that it would hold, but that no event or cohort has told of
	// the unit yet: then it is in no segment.
	Unknown    bool                 `json:"unknown,omitempty"`
	Conditions []ExplainedCondition `json:"conditions"`
}

// ExplainedCondition says when a condition holds, from now on, if nothing
// further happens.
type ExplainedCondition struct {
	Depth     int      `json:"depth"`
	Condition string   `json:"condition"`
	Holds     []Span   `json:"holds"`
	Because   []Reason `json:"because,omitempty"`
}

// Reason is an event, or the telling of a trait, that a condition follows
// from.
type Reason struct {
	Event string    `json:"event,omitempty"`
	Trait string    `json:"trait,omitempty"`
	At    time.Time `json:"at"`
	More  int       `json:"more,omitempty"` // events that are counted as one with it
}

// Span is a half-open span of time; nil is without a beginning or an end.
type Span struct {
	From  *time.Time `json:"from"`
	Until *time.Time `json:"until"`
}

// ExplainedRule says what a rule does for the visitor on the path.
type ExplainedRule struct {
	Name    string    `json:"name"`
	Surface string    `json:"surface"`
	Applies bool      `json:"applies"`
	Arm     rules.Arm `json:"arm,omitempty"`
	Why     string    `json:"why"`
}

func (c *Console) explain(w http.ResponseWriter, r *http.Request) {
	visitor, page := r.FormValue("visitor"), r.FormValue("url")
	if visitor == "" {
		fail(w, http.StatusBadRequest, errors.New("visitor is missing"))
		return
	}
	path := ""
	if page != "" {
		u, err := url.Parse(page)
		if err != nil || !strings.HasPrefix(u.EscapedPath(), "/") {
			fail(w, http.StatusBadRequest, fmt.Errorf("url %q has no path", page))
			return
		}
		path = u.EscapedPath()
	}
	x, err := c.explanation(visitor, path)
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err)
		return
	}
	reply(w, x)
}

func (c *Console) explanation(visitor, path string) (*Explanation, error) {
	set, now := c.Loaded(), c.Now()
	var s rules.Subject
	unit, record := c.Store.Lookup(segments.Unit{Who: segments.Visitor, ID: visitor})
	s.Visitor, s.VisitorRecord = unit.ID, record
	states := map[segments.Who]*segments.State{}
	var err error
	if states[segments.Visitor], err = c.Store.State(unit); err != nil {
		return nil, err
	}
	states[segments.Account] = &segments.State{}
	if s.Account = record.Account; s.Account != "" {
		account := segments.Unit{Who: segments.Account, ID: s.Account}
		_, s.AccountRecord = c.Store.Lookup(account)
		if states[segments.Account], err = c.Store.State(account); err != nil {
			return nil, err
		}
	}
	x := &Explanation{
		At: now.UTC(), Revision: set.Revision, Visitor: s.Visitor, Account: s.Account,
		Traits: states[segments.Visitor].Traits(), Path: path, Segments: []ExplainedSegment{},
	}
	warming := c.Store.Warming()
	for _, seg := range set.Segments {
		es := ExplainedSegment{Name: seg.Name, Who: seg.Who}
		record := s.VisitorRecord
		if seg.Who == segments.Account {
			record = s.AccountRecord
		}
		es.Holds = record.Holds(seg.Key(), now.UnixMilli())
		es.Warming = slices.Contains(warming, seg.Name)
		for _, line := range set.Program.Explain(seg.Name, states[seg.Who], now.UnixMilli()) {
			if line.Depth == 0 && !es.Holds && !es.Warming {
				es.Unknown = slices.ContainsFunc(line.Holds, func(v segments.Interval) bool {
					return v.From <= now.UnixMilli() && now.UnixMilli() < v.Until
				})
			}
			es.Conditions = append(es.Conditions, ExplainedCondition{line.Depth, line.Condition, spans(line.Holds), reasons(line.Because)})
		}
		x.Segments = append(x.Segments, es)
	}
	if path != "" {
		x.Rules = c.explainRules(set, path, s, now)
	}
	return x, nil
}

func (c *Console) explainRules(set *rules.Set, path string, s rules.Subject, now time.Time) []ExplainedRule {
	decision := c.Live().Decide(path, s, now)
	standings, warming := c.Store.Standings(), c.Store.Warming()
	var list []ExplainedRule
	for _, r := range set.Rules {
		er := ExplainedRule{Name: r.Name, Surface: r.Surface.Name}
		for _, d := range decision {
			if d.Rule.Name == r.Name {
				er.Applies, er.Arm = true, d.Arm
				er.Why = fmt.Sprintf("the segment holds, and %s %q is in %s", d.Unit.Who, d.Unit.ID, d.Arm)
			}
		}
		if !er.Applies {
			status, cause := RuleState(r, set, standings[r.Name], warming, now)
			status, cause = switched(r.Name, c.Switches(), status, cause)
			er.Why = whyNot(set, staged(c.Live(), r), status, cause, path, s, now)
		}
		list = append(list, er)
	}
	return list
}

// staged is the rule at the present step of its ramp.
func staged(live *rules.Set, r *rules.Rule) *rules.Rule {
	if now := live.Rule(r.Name); now != nil && now.Version == r.Version {
		return now
	}
	return r
}

func whyNot(set *rules.Set, r *rules.Rule, status, cause, path string, s rules.Subject, now time.Time) string {
	record, unit := s.VisitorRecord, segments.Unit{Who: segments.Visitor, ID: s.Visitor}
	if r.Segment.Who == segments.Account {
		record = s.AccountRecord
	}
	if r.Unit == segments.Account {
		unit = segments.Unit{Who: segments.Account, ID: s.Account}
	}
	switch {
	case status == "unapproved":
		return "the rule is " + r.ApprovalsInWords(now)
	case status != "live":
		return strings.TrimSpace("the rule is " + status + " " + cause)
	case !r.Surface.On(path):
		return "its surface is not on this path"
	case !record.Holds(r.Segment.Key(), now.UnixMilli()):
		return "the segment does not hold"
	case unit.ID == "":
		return "the visitor has no account, by which this rule assigns"
	case set.HeldOut(unit):
		return fmt.Sprintf("%s %q is in the site's holdout, which no rule takes in", unit.Who, unit.ID)
	}
	if _, in := r.Arm(unit, s.VisitorRecord); !in {
		return "not in the rollout's share"
	}
	return "a rule with a higher priority applies to this surface"
}

func spans(list []segments.Interval) []Span {
	out := []Span{}
	for _, v := range list {
		var s Span
		if v.From != segments.Beginning {
			s.From = instant(v.From)
		}
		if v.Until != segments.Forever {
			s.Until = instant(v.Until)
		}
		out = append(out, s)
	}
	return out
}

func reasons(list []segments.Because) []Reason {
	var out []Reason
	for _, b := range list {
		out = append(out, Reason{b.Event, b.Trait, *instant(b.At), b.More})
	}
	return out
}

func instant(ms int64) *time.Time {
	t := time.UnixMilli(ms).UTC()
	return &t
}

// seen tells the names of events, traits and cohorts that came in so far.
func (c *Console) seen(w http.ResponseWriter, _ *http.Request) {
	names, err := c.Store.Seen()
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err)
		return
	}
	reply(w, names)
}
