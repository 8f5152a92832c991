package simulate

import (
	"math"
	"slices"
	"time"

	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

// FlipLimit is the share of a segment's members that may flip within a day: a
// segment with more is too unsteady to drive a page.
const FlipLimit = 0.1

// Report is what a history says.
type Report struct {
	Revision string    `json:"revision"` // of the site
	From     time.Time `json:"from"`     // the first event
	Until    time.Time `json:"until"`    // the last event

	Files    []string         `json:"files"`
	Events   int64            `json:"events"` // lines that were read
	Forms    map[string]int64 `json:"forms"`  // they, by their form
	Repeated int64            `json:"repeated"`
	Bad      int64            `json:"bad"`
	BadLines []BadLine        `json:"bad_lines"` // the first of them

	Visitors int64 `json:"visitors"` // persons: an id that was merged is none
	Merged   int64 `json:"merged"`   // ids
	Accounts int64 `json:"accounts"` // 0 if no segment and no rule is about accounts

	Segments []Segment `json:"segments"`
	Overlaps []Overlap `json:"overlaps"`
	Rules    []Rule    `json:"rules"`
}

// Segment is what became of one segment.
type Segment struct {
	Name     string       `json:"name"`
	Describe string       `json:"describe,omitempty"`
	Who      segments.Who `json:"who"`
	Ever     int64        `json:"ever"`    // units that were ever members
	Share    float64      `json:"share"`   // they, of all units seen
	Members  int64        `json:"members"` // at the end of the history
	Entries  int64        `json:"entries"`
	Exits    int64        `json:"exits"`
	// Flippers are units that entered or left again less than 24 hours after
	// they last had; FlipRate is their share of Ever.
	Flippers int64   `json:"flippers"`
	FlipRate float64 `json:"flip_rate"`
	// MedianStay is how long a stay lasts, in seconds: half of them are longer.
	// Nil if more than half outlast the history, or there are none. Exact to 3 %.
	MedianStay *float64 `json:"median_stay_seconds"`
	Days       []Day    `json:"days"`
}

// Day is one UTC day of a segment.
type Day struct {
	Day     string `json:"day"`
	Members int64  `json:"members"` // at its end
	Entries int64  `json:"entries"`
	Exits   int64  `json:"exits"`
}

// Overlap says how many units were members of two segments at one time.
type Overlap struct {
	Who      segments.Who `json:"who"`
	Segments []string     `json:"segments"`
	// Units has, in the order of Segments, a row and a column for each; on its
	// diagonal is who was ever a member.
	Units [][]int64 `json:"units"`
}

// Rule is how long the test of a rule would take.
type Rule struct {
	Name     string       `json:"name"`
	State    rules.State  `json:"state"`
	Segment  string       `json:"segment"`
	Sentence string       `json:"sentence"`
	Unit     segments.Who `json:"unit"`
	// Reached are the units that did something while they were members: each
	// is taken to have seen the surface then.
	Reached  int64   `json:"reached"`
	PerDay   float64 `json:"reached_per_day"` // for the first time, in the second half of the history
	Metric   Base    `json:"metric"`
	Harm     Base    `json:"guardrail"`
	Share    float64 `json:"share"`     // of the units, that take part
	Treated  float64 `json:"treatment"` // of those, that get the response
	Expect   string  `json:"expect"`
	Tests    []Test  `json:"tests"`
	ReachDay []int64 `json:"reached_by_day"`
}

// Base is how often an event followed, within its window, of the units whose
// window ended before the history did.
type Base struct {
	Event  string  `json:"event"`
	Seen   bool    `json:"seen"` // whether the history has an event of that name
	Within string  `json:"within"`
	Hits   int64   `json:"hits"`
	Of     int64   `json:"of"`
	Rate   float64 `json:"rate"`
}

// Test is how long it takes to tell a change of the metric, with a power of
// 80 % by the interval that verdicts are given by.
type Test struct {
	Change float64 `json:"change"` // relative: 0.1 is 10 % more
	// Units that it takes, in both arms; nil if none would do, or the metric is
	// no rate: how its values scatter is not looked at.
	Units *int64 `json:"units"`
	// Days until they have all reached the surface, and the last one's window
	// is over; nil if that would take more than ten years.
	Days *float64 `json:"days"`
}

// changes are the relative changes that a rule's tests are told for.
var changes = [...]float64{.05, .10, .20, .50}

func newReport(set *rules.Set, in *intake, names []string, t *tallies) *Report {
	r := &Report{
		Revision: set.Revision, From: time.UnixMilli(in.from).UTC(), Until: time.UnixMilli(in.until).UTC(),
		Files: names, Events: in.events, Forms: in.forms, Repeated: t.repeated, Bad: in.bad, BadLines: in.first,
		Visitors: t.visitors, Merged: t.merged, Accounts: int64(len(in.accounts)),
		Segments: []Segment{}, Overlaps: []Overlap{}, Rules: []Rule{},
	}
	if r.BadLines == nil {
		r.BadLines = []BadLine{}
	}
	for i, s := range set.Segments {
		of := r.Visitors
		if s.Who == segments.Account {
			of = r.Accounts
		}
		r.Segments = append(r.Segments, newSegment(s, &t.segments[i], t.first, of))
	}
	for _, who := range []segments.Who{segments.Visitor, segments.Account} {
		if o := newOverlap(set, who, t); len(o.Segments) > 1 {
			r.Overlaps = append(r.Overlaps, o)
		}
	}
	for i, rule := range set.Rules {
		r.Rules = append(r.Rules, newRule(rule, &t.rules[i], in))
	}
	return r
}

func newSegment(s segments.Segment, t *segmentTally, first, units int64) Segment {
	out := Segment{Name: s.Name, Describe: s.Describe, Who: s.Who, Ever: t.ever, Flippers: t.flippers, Share: ratio(t.ever, units), FlipRate: ratio(t.flippers, t.ever)}
	for i := range t.entries {
		out.Entries += t.entries[i]
		out.Exits += t.exits[i]
		out.Members += t.entries[i] - t.exits[i] - t.merged[i]
		at := time.UnixMilli((first + int64(i)) * day).UTC().Format(time.DateOnly)
		out.Days = append(out.Days, Day{at, out.Members, t.entries[i], t.exits[i]})
	}
	if ms, ok := t.stays.median(); ok {
		seconds := float64(ms) / 1000
		out.MedianStay = &seconds
	}
	return out
}

func newOverlap(set *rules.Set, who segments.Who, t *tallies) Overlap {
	o := Overlap{Who: who}
	var of []int
	for i, s := range set.Segments {
		if s.Who == who {
			of = append(of, i)
			o.Segments = append(o.Segments, s.Name)
		}
	}
	for _, a := range of {
		row := make([]int64, 0, len(of))
		for _, b := range of {
			if a == b {
				row = append(row, t.segments[a].ever)
			} else {
				row = append(row, t.overlap[uint32(min(a, b))<<16|uint32(max(a, b))])
			}
		}
		o.Units = append(o.Units, row)
	}
	return o
}

func newRule(r *rules.Rule, t *ruleTally, in *intake) Rule {
	out := Rule{
		Name: r.Name, State: r.State, Segment: r.Segment.Name, Sentence: r.Sentence(), Unit: r.Unit,
		Metric: newBase(r.Metric.Event, in.seen(r.Metric.Event), r.Metric.Within, t.converted, t.matured),
		Harm:   newBase(r.Guardrail.Event, in.seen(r.Guardrail.Event), r.Guardrail.Within, t.harmed, t.closed),
		Share:  r.Rollout.Share, Treated: r.Rollout.Treatment, Expect: r.Metric.Expect, ReachDay: t.reached,
	}
	c := newCurve(t.reached, in.from, in.until)
	out.Reached, out.PerDay = int64(c.reached[len(c.reached)-1]), c.rate
	for _, change := range changes {
		if r.Metric.Expect == "decrease" {
			change = -change
		}
		test := Test{Change: change}
		if n := (outcomes.LiftTest{}).Units(out.Metric.Rate, change, out.Treated, outcomes.DefaultPower); r.Metric.IsRate() && !math.IsInf(n, 1) {
			units := int64(n)
			test.Units = &units
			if days, ok := c.until(n / out.Share); ok {
				days += r.Metric.Within.Hours() / 24
				test.Days = &days
			}
		}
		out.Tests = append(out.Tests, test)
	}
	return out
}

func newBase(event string, seen bool, within time.Duration, hits, of int64) Base {
	return Base{event, seen, rules.FormatDuration(within), hits, of, ratio(hits, of)}
}

func ratio(a, b int64) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// curve is how many units have reached a surface after how many days: as the
// history has it, and from its end on at the rate of its second half, for at
// its beginning everybody comes for the first time.
type curve struct {
	days, reached []float64
	rate          float64 // a day
}

func newCurve(daily []int64, from, until int64) curve {
	c := curve{days: []float64{0}, reached: []float64{0}}
	sum, first := 0.0, from/day
	for i, n := range daily {
		sum += float64(n)
		end := min((first+int64(i)+1)*day, until+1)
		c.days = append(c.days, float64(end-from)/day)
		c.reached = append(c.reached, sum)
	}
	total := c.days[len(c.days)-1]
	half := c.at(total / 2)
	if total > 0 {
		c.rate = (sum - half) / (total / 2)
	}
	return c
}

// at is how many had reached it after some days, within the history.
func (c curve) at(days float64) float64 {
	i, _ := slices.BinarySearch(c.days, days)
	if i == 0 || i == len(c.days) {
		return c.reached[min(i, len(c.days)-1)]
	}
	part := (days - c.days[i-1]) / (c.days[i] - c.days[i-1])
	return c.reached[i-1] + part*(c.reached[i]-c.reached[i-1])
}

// until is after how many days that many have reached it. It is false if that
// takes more than ten years.
func (c curve) until(n float64) (days float64, ok bool) {
	for i := 1; i < len(c.days); i++ {
		if c.reached[i] >= n {
			part := (n - c.reached[i-1]) / (c.reached[i] - c.reached[i-1])
			return c.days[i-1] + part*(c.days[i]-c.days[i-1]), true
		}
	}
	last := len(c.days) - 1
	days = c.days[last] + (n-c.reached[last])/c.rate
	return days, days < 3653
}
