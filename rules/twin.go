package rules

import (
	"fmt"
	"slices"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/segments"
)

// What a twin is about. Whoever asks for the path gets what they would without a
// twin: it is decided for a TwinSubject alone.
const (
	TwinPath  = "/_refract/drill"
	TwinEvent = "refract drill"
)

// Twin returns a rule to rehearse the rollback of r with, whatever r's state: it
// has r's name behind words that no rule's name can have, a version of its own,
// and r's alpha, and it stands on TwinPath alone.
func (r *Rule) Twin(now time.Time) *Rule {
	path, err := events.ParsePattern(TwinPath)
	if err != nil {
		panic(err)
	}
	t := *r
	t.Name, t.Version = "drill of "+r.Name, fmt.Sprintf("%x", now.UnixNano())
	t.Surface = &Surface{Name: "drill", Pages: []events.Pattern{path}, MaxBytes: maxFile}
	t.Metric = Metric{Event: TwinEvent, Within: time.Hour, Expect: "increase"}
	t.Guardrail = Guardrail{Event: TwinEvent, Within: time.Hour, Tolerate: 0.1, Alpha: r.Guardrail.Alpha}
	t.twin = true
	t.Approvals, t.Refused, t.approved = nil, nil, ending{} // there is nothing to approve
	t.Unit, t.Rollout, t.State, t.Expires = segments.Visitor, Rollout{Share: 1, Treatment: 0.5}, Live, time.Time{}
	return &t
}

// TwinSubject returns a subject for whom a twin's segment holds at any time, and
// who is not in the set's holdout.
func (s *Set) TwinSubject(twin *Rule) Subject {
	unit := segments.Unit{Who: segments.Visitor, ID: "drill"}
	for i := 1; s.HeldOut(unit); i++ { // at most half of all are
		unit.ID = fmt.Sprint("drill ", i)
	}
	record := segments.Record{Open: []segments.Open{{Segment: twin.segment, Interval: segments.Interval{From: segments.Beginning, Until: segments.Forever}}}}
	return Subject{Visitor: unit.ID, VisitorRecord: record, AccountRecord: record, rehearses: true}
}

// WithTwin returns the set with a twin considered after its live rules. Live
// doesn't list it: nothing but Decide, on TwinPath, tells the two sets apart.
func (s *Set) WithTwin(twin *Rule) *Set {
	t := *s
	t.live = append(slices.Clip(s.live), twin)
	t.twins = 1
	return &t
}
