// Package rules reads and validates a site directory and compiles it to an
// immutable Set: which response a visitor gets on which surface of which page.
package rules

import (
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rewrite"
	"github.com/seed14307185/refract/segments"
)

// Set is one revision of a site: immutable, safe for concurrent use. Every
// request is served under exactly one.
type Set struct {
	// Revision is the hash of the site directory's content, 12 hex digits.
	Revision string
	// Dir is the directory that it was read from, Files what was read there, by
	// the path below it, with slashes. They must not be changed.
	Dir      string
	Files    map[string][]byte
	Edge     Edge
	Segments []segments.Segment // sorted by name
	Program  *segments.Program
	Surfaces []*Surface // sorted by name
	Rules    []*Rule    // all of them, sorted by name
	// Warnings are findings that do not stop a load.
	Warnings []Problem

	live  []*Rule // those that Decide considers: by priority, highest first, then name
	twins int     // how many at its end are twins
}

// Surface is a named region of pages, with the changes it allows.
type Surface struct {
	Name     string
	Select   string              // a CSS selector that finds the region; empty: it is marked with the name
	Pages    []events.Pattern    // empty: every page
	Allow    []rewrite.Operation // empty: every operation
	MaxBytes int                 // of a response; DefaultMaxBytes if the file has none
	Policy   Policy              // what approvals a rule needs to be served here
}

// Response is the approved change for a surface: what a rewrite.Surface needs
// besides its name, and whether it replaces.
type Response struct {
	Operation rewrite.Operation
	File      string // relative to responses/; empty for Text, Attr and Remove
	// HTML is the checked fragment of File. For Text it is the plain text, which
	// package rewrite escapes; for Attr and Remove it is nil.
	HTML       []byte
	Attributes []rewrite.Attribute // of Attr: names in small letters, in their order, each once
	Slot       bool                // of Shadow: the app's own content stays in sight
	Hash       string              // of all this but File, 12 hex digits
}

// Metric is the event that shows that the rule helped: how many units do it,
// or the mean per unit of the sum of one of its properties, or how often it
// comes per another event.
type Metric struct {
	Event  string
	Where  []segments.Match
	Within time.Duration
	Expect string  // "increase" or "decrease"
	Value  string  // the property that is summed up; empty: none is
	Cap    float64 // the most that a unit's sum of Value comes to; 0: MaxMetricValue
	Per    string  // the event that it is per; empty: none
}

// Guardrail is the event that must not happen more than tolerated.
type Guardrail struct {
	Event    string
	Where    []segments.Match
	Within   time.Duration
	Tolerate float64 // relative increase of the harm rate that is tolerated: 0.10
	Baseline float64 // declared harm rate in control, in (0, 1); 0: not declared
	Alpha    float64 // rate of false rollbacks accepted; 0.05 if the file has none
}

// State is what a rule's file says of it.
type State string

// The states.
const (
	Draft      State = "draft"
	Live       State = "live"
	RolledBack State = "rolled_back"
)

// Rule is one segment, one surface, one response, one success metric and one
// guardrail.
type Rule struct {
	Name      string
	Owner     string
	Segment   *segments.Segment
	Surface   *Surface
	Response  Response
	Metric    Metric
	Guardrail Guardrail
	Unit      segments.Who
	Rollout   Rollout
	Priority  int
	Expires   time.Time // zero: never
	State     State
	// Version is the hash of the rule's content (segment, surface, response,
	// metric, guardrail, unit): 12 hex digits. Neither its rollout nor its
	// state is part of it, so that a ramp or a restart keeps everyone's arm.
	Version string
	// Content is the hash of what approvals are of, "sha256:" and 64 hex digits:
	// the version's content, owner, rollout, priority and expires.
	Content string
	// Approvals are those that count, but for their end; no two by one approver.
	// Refused are all others.
	Approvals []Approval
	Refused   []Problem

	segment  segments.Key
	approved ending
	twin     bool // see Twin
}
