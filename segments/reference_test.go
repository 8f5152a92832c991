package segments_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/segments"
)

const (
	day  = 24 * time.Hour
	late = day
)

func is(key string, value any) segments.Match {
	return segments.Match{Key: key, Test: segments.Test{Op: segments.Is, Values: []any{value}}}
}

// reference are the segments that the product's documents show.
func reference() []segments.Segment {
	trial := segments.Trait{Match: []segments.Match{is("plan", "trial")}}
	return []segments.Segment{
		{Name: "trial-admins-without-teammate", Who: segments.Visitor, Condition: segments.All{
			segments.Trait{Match: []segments.Match{is("role", "admin"), is("plan", "trial")}},
			segments.Without{Event: "Project Created", Without: "Teammate Invited", Within: 48 * time.Hour},
		}},
		{Name: "power-users", Who: segments.Visitor, Condition: segments.All{
			segments.Days{Event: "Report Viewed", Is: segments.AtLeast(8), InLast: 14 * day},
		}},
		{Name: "stuck-users", Who: segments.Visitor, Condition: segments.All{
			segments.Repeats{Event: "Error Shown", Same: "code", Times: segments.AtLeast(3), InLast: 24 * time.Hour},
		}},
		{Name: "expansion-ready-accounts", Who: segments.Account, Condition: segments.All{
			segments.Did{Event: "Report Exported", Times: segments.AtLeast(20), InLast: 30 * day},
			segments.Did{Event: "Teammate Invited", Times: segments.Exactly(0)},
		}},
		{Name: "sleepy-trials", Who: segments.Visitor, Condition: segments.All{
			trial,
			segments.Stopped{Event: "Session Started", Active: 30 * day, Quiet: 7 * day},
		}},
		{Name: "teams-stuck-in-setup", Who: segments.Account, Condition: segments.All{
			segments.Repeats{Event: "Setup Error", Same: "step", Times: segments.AtLeast(4), InLast: 7 * day, Visitors: segments.AtLeast(2)},
		}},
		{Name: "early-price-lookers", Who: segments.Visitor, Condition: segments.All{
			trial,
			segments.Before{Event: "Pricing Viewed", Before: "Report Created"},
		}},
	}
}

func compile(t testing.TB, list ...segments.Segment) *segments.Program {
	t.Helper()
	p, err := segments.Compile(list, late)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// start is a Tuesday noon; the tables count from it.
var start = time.Date(2026, 3, 3, 12, 0, 0, 0, time.UTC)

// done is one line of a unit's history: what happened how long after start.
type done struct {
	after time.Duration
	by    string
	name  string
	props events.Properties
}

func (d done) event() *events.Event {
	at := start.Add(d.after)
	return &events.Event{Source: "test", Kind: events.Track, Name: d.name, Visitor: d.by, Time: at, Received: at, Properties: d.props}
}

func repeat(n int, every time.Duration, d done) (list []done) {
	for range n {
		list = append(list, d)
		d.after += every
	}
	return list
}

// Each reference segment opens and closes when its file says. The spans count
// from start; a negative end is none.
func TestReferenceSegments(t *testing.T) {
	type span struct{ from, until time.Duration }
	code := func(v any) events.Properties { return events.Properties{"code": v} }
	step := events.Properties{"step": "domain"}
	for _, tt := range []struct {
		segment string
		history []done
		traits  events.Properties
		want    []span
	}{
		{"trial-admins-without-teammate", []done{{0, "v", "Project Created", nil}}, events.Properties{"role": "admin", "plan": "trial"}, []span{{48 * time.Hour, -1}}},
		{"trial-admins-without-teammate", []done{{0, "v", "Project Created", nil}}, events.Properties{"role": "admin", "plan": "paid"}, nil},
		{"trial-admins-without-teammate", []done{{0, "v", "Project Created", nil}, {time.Hour, "v", "Project Created", nil}}, events.Properties{"role": "admin", "plan": "trial"}, []span{{48 * time.Hour, -1}}},
		{"trial-admins-without-teammate", []done{{0, "v", "Project Created", nil}, {time.Hour, "v", "Teammate Invited", nil}}, events.Properties{"role": "admin", "plan": "trial"}, nil},
		{"power-users", repeat(8, day, done{0, "v", "Report Viewed", nil}), nil, []span{{7 * day, 14 * day}}},
		{"power-users", repeat(8, 2*time.Hour, done{0, "v", "Report Viewed", nil}), nil, nil},
		{"stuck-users", repeat(3, time.Hour, done{0, "v", "Error Shown", code("E7")}), nil, []span{{2 * time.Hour, day}}},
		{"stuck-users", []done{{0, "v", "Error Shown", code("7")}, {1, "v", "Error Shown", code(7.0)}, {2, "v", "Error Shown", code("7")}}, nil, nil},
		{"expansion-ready-accounts", repeat(20, day, done{0, "v", "Report Exported", nil}), nil, []span{{19 * day, 30 * day}}},
		{"expansion-ready-accounts", append(repeat(20, day, done{0, "v", "Report Exported", nil}), done{20 * day, "w", "Teammate Invited", nil}), nil, nil},
		{"sleepy-trials", []done{{0, "v", "Session Started", nil}}, events.Properties{"plan": "trial"}, []span{{7 * day, 30 * day}}},
		{"teams-stuck-in-setup", append(repeat(3, time.Hour, done{0, "v", "Setup Error", step}), done{3 * time.Hour, "w", "Setup Error", step}), nil, []span{{3 * time.Hour, 7 * day}}},
		{"teams-stuck-in-setup", repeat(4, time.Hour, done{0, "v", "Setup Error", step}), nil, nil},
		{"early-price-lookers", []done{{0, "v", "Pricing Viewed", nil}, {time.Hour, "v", "Report Created", nil}}, events.Properties{"plan": "trial"}, []span{{0, -1}}},
		{"early-price-lookers", []done{{0, "v", "Report Created", nil}, {time.Hour, "v", "Pricing Viewed", nil}}, events.Properties{"plan": "trial"}, nil},
	} {
		list := reference()
		seg := list[slices.IndexFunc(list, func(s segments.Segment) bool { return s.Name == tt.segment })]
		p := compile(t, list...)
		s := &segments.State{}
		p.Fold(seg.Who, s, &events.Event{Kind: events.Identify, Traits: tt.traits, Time: start.Add(-day), Received: start.Add(-day)})
		var now int64
		for _, d := range tt.history {
			e := d.event()
			p.Fold(seg.Who, s, e)
			now = e.Received.UnixMilli()
		}
		var want []segments.Open
		for _, w := range tt.want {
			o := segments.Open{Segment: seg.Key(), Interval: segments.Interval{From: start.Add(w.from).UnixMilli(), Until: start.Add(w.until).UnixMilli()}}
			if w.until < 0 {
				o.Until = segments.Forever
			}
			want = append(want, o)
		}
		got := slices.DeleteFunc(p.Record(seg.Who, s, now).Open, func(o segments.Open) bool { return o.Segment != seg.Key() })
		if !slices.Equal(got, want) {
			t.Errorf("%s after %v of %v: %v, want %v", tt.segment, tt.history, tt.traits, got, want)
		}
	}
}

// A content key is written into every store: it must never change for a
// condition that means what it meant.
func TestKeysAreFrozen(t *testing.T) {
	keys := map[string]string{}
	for _, s := range reference() {
		keys[s.Name] = fmt.Sprintf("%016x %v", uint64(s.Key()), s.Condition)
	}
	for name, want := range map[string]string{
		"trial-admins-without-teammate": `3558fcc8608ce91f {all: [{did: "Project Created", without: "Teammate Invited", within: 2d}, {trait: {"plan": "trial", "role": "admin"}}]}`,
		"power-users":                   `4b44b31c967cd0ef {all: [{days: "Report Viewed", is: ">= 8", in_last: 14d}]}`,
		"stuck-users":                   `92190a7e039e063d {all: [{repeats: "Error Shown", same: "code", times: ">= 3", in_last: 1d}]}`,
		"expansion-ready-accounts":      `c8f26db88550d488 {all: [{did: "Report Exported", times: ">= 20", in_last: 30d}, {did_not: "Teammate Invited"}]}`,
		"sleepy-trials":                 `31ce85956fc3681a {all: [{stopped: "Session Started", active: 30d, quiet: 7d}, {trait: {"plan": "trial"}}]}`,
		"teams-stuck-in-setup":          `4f20f2277d42e709 {all: [{repeats: "Setup Error", same: "step", times: ">= 4", in_last: 7d, visitors: ">= 2"}]}`,
		"early-price-lookers":           `e10b39448346a432 {all: [{did: "Pricing Viewed", before: "Report Created"}, {trait: {"plan": "trial"}}]}`,
	} {
		if keys[name] != want {
			t.Errorf("%s: %s, want %s", name, keys[name], want)
		}
	}
}

// busy is a year of a visitor and their account, as the reference segments
// hear it.
func busy(r *rand.Rand, n int) []*events.Event {
	var list []*events.Event
	at := start
	for range n {
		at = at.Add(time.Duration(r.IntN(int(8 * time.Hour))))
		e := &events.Event{Source: "test", Kind: events.Track, Visitor: fmt.Sprint("visitor-", r.IntN(8)), Account: "acme", Received: at, Time: at.Add(-time.Duration(r.IntN(int(time.Hour)))).Truncate(time.Millisecond)}
		switch names := []string{"Report Viewed", "Error Shown", "Session Started", "Pricing Viewed", "Report Created", "Project Created", "Teammate Invited", "Report Exported", "Report Exported", "Setup Error"}; r.IntN(20) {
		case 0:
			e.Kind, e.Traits = events.Identify, events.Properties{"role": "admin", "plan": "trial", "seats": 5.0}
		default:
			e.Name = names[r.IntN(len(names))]
			e.Properties = events.Properties{"code": fmt.Sprint("E", r.IntN(5)), "step": fmt.Sprint(r.IntN(3))}
		}
		list = append(list, e)
	}
	return list
}

// BenchmarkFold is what a store does for one event of a visitor: read the
// state, fold, write it, make the record.
func BenchmarkFold(b *testing.B) {
	for _, who := range []segments.Who{segments.Visitor, segments.Account} {
		b.Run(string(who), func(b *testing.B) {
			p := compile(b, reference()...)
			list := busy(rand.New(rand.NewPCG(1, 0)), 2000)
			s := &segments.State{}
			var states [][]byte
			for _, e := range list {
				states = append(states, p.AppendState(nil, s))
				p.Fold(who, s, e)
			}
			buf := make([]byte, 0, 4096)
			bytes, folds, opens := 0, 0, 0
			b.ReportAllocs()
			for b.Loop() {
				i := 1000 + folds%1000
				s, err := segments.DecodeState(states[i])
				if err != nil {
					b.Fatal(err)
				}
				p.Fold(who, s, list[i])
				buf = p.AppendState(buf[:0], s)
				opens += len(p.Record(who, s, list[i].Received.UnixMilli()).Open)
				bytes += len(buf)
				folds++
			}
			b.ReportMetric(float64(bytes)/float64(folds), "state-B")
			b.ReportMetric(float64(opens)/float64(folds), "open")
		})
	}
}
