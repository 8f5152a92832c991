package rules

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/segments"
)

// Who is in which arm must never drift: a release that changes one of these
// would move people from one arm to the other in every running test. They were
// computed by another program; the first is the beginning of
//
//	{ printf invite-teammate; printf '\0'; printf 0123456789ab; printf '\0'; printf visitor-1; } | sha256sum
func TestFrozenAssignment(t *testing.T) {
	for _, v := range []struct {
		rule, version, unit string
		share, treatment    float64 // the unit's two fractions
	}{
		{"invite-teammate", "0123456789ab", "visitor-1", 0.0290113731607351, 0.7765595996035501},
		{"invite-teammate", "0123456789ab", "visitor-2", 0.09523611654064146, 0.21351837525409967},
		{"invite-teammate", "0123456789ac", "visitor-1", 0.863580689431695, 0.1001631410255368},
		{"invite-teammates", "0123456789ab", "visitor-1", 0.9212088960387332, 0.20554127325603022},
		{"a", "000000000000", "0", 0.36521717722214786, 0.5349906502385801},
		{"a", "000000000000", "00", 0.40641528279971206, 0.4811472961754487},
		{"a", "ffffffffffff", "01926f3a-7c00-7000-8000-0123456789ab", 0.5376318620636568, 0.8083672803464012},
		{"stuck.users_2", "c0ffeec0ffee", "user@example.com", 0.8768530377568691, 0.26971393940638855},
		{"a", "000000000000", "Zoë", 0.3047971734906012, 0.8537996712201603},
		{"a", "000000000000", strings.Repeat("x", 300), 0.26811417624347533, 0.7480113164697871},
	} {
		share, treatment := fractions(v.rule, v.version, v.unit)
		if share != v.share || treatment != v.treatment {
			t.Errorf("{%q, %q, %q, %v, %v}", v.rule, v.version, v.unit, share, treatment)
		}
		// An arm begins exactly at its fraction.
		for _, up := range []bool{false, true} {
			r := Rule{Name: v.rule, Version: v.version, Rollout: Rollout{Share: v.share, Treatment: v.treatment}}
			if up {
				r.Rollout = Rollout{Share: math.Nextafter(v.share, 2), Treatment: math.Nextafter(v.treatment, 2)}
			}
			arm, in := r.Assign(v.unit)
			if in != up || up && arm != Treatment {
				t.Errorf("%s at its own fractions (%v): %q, %v", v.unit, up, arm, in)
			}
		}
	}
}

// The fractions are uniform, independent of each other and of neighbouring
// rules, versions and units: chi-square over fixed inputs.
func TestAssignmentIsUniform(t *testing.T) {
	const bins, n = 16, 200_000
	// The 0.9999 quantile of chi-square with 255 degrees of freedom is 346.7.
	const most = 346.7
	check := func(name string, pair func(i int) (float64, float64)) {
		var counts [bins][bins]int
		for i := range n {
			a, b := pair(i)
			counts[int(a*bins)][int(b*bins)]++
		}
		expected := float64(n) / (bins * bins)
		chi := 0.0
		for _, row := range counts {
			for _, c := range row {
				chi += (float64(c) - expected) * (float64(c) - expected) / expected
			}
		}
		if chi > most {
			t.Errorf("%s: chi-square %.1f, want at most %.1f", name, chi, most)
		}
	}
	unit := func(i int) string { return fmt.Sprintf("user-%d", i) }
	check("share and treatment", func(i int) (float64, float64) { return fractions("a", "000000000000", unit(i)) })
	check("two rules", func(i int) (float64, float64) {
		_, a := fractions("a", "000000000000", unit(i))
		_, b := fractions("b", "000000000000", unit(i))
		return a, b
	})
	check("two versions", func(i int) (float64, float64) {
		_, a := fractions("a", "000000000000", unit(i))
		_, b := fractions("a", "000000000001", unit(i))
		return a, b
	})
	check("successive units", func(i int) (float64, float64) {
		_, a := fractions("a", "000000000000", unit(2*i))
		_, b := fractions("a", "000000000000", unit(2*i+1))
		return a, b
	})
}

// A ramp only adds: whoever takes part at a smaller share, or has treatment at
// a smaller one, still does at a larger.
func TestRampKeepsArms(t *testing.T) {
	small := Rule{Name: "a", Version: "000000000000", Rollout: Rollout{Share: 0.1, Treatment: 0.2}}
	large := small
	large.Rollout = Rollout{Share: 0.6, Treatment: 0.7}
	for i := range 10_000 {
		unit := fmt.Sprint(i)
		before, in := small.Assign(unit)
		after, still := large.Assign(unit)
		if in && !still || in && before == Treatment && after != Treatment {
			t.Fatalf("%s: %v %v, then %v %v", unit, before, in, after, still)
		}
	}
}

// deciding is a site with rules on one surface and on two, for everyone who is
// in the segment.
const deciding = `
-- refract.yaml --
origin: http://127.0.0.1:3000
identity: {account: [header:X-Account-Id]}
-- segments/a.yaml --
did: A
-- segments/b.yaml --
did: B
-- segments/team.yaml --
who: account
did: A
-- surfaces/home.yaml --
pages: [/home, /home/**]
-- rules/invite-teammate.yaml --
segment: a
surface: home
response: {text: invite}
metric: {event: M, within: 7d}
guardrail: {event: G, within: 7d}
state: live
-- rules/first.yaml --
segment: b
surface: home
response: {text: first}
metric: {event: M, within: 7d}
guardrail: {event: G, within: 7d}
priority: 10
state: live
-- rules/team.yaml --
segment: team
surface: anywhere
response: {text: team}
metric: {event: M, within: 7d}
guardrail: {event: G, within: 7d}
unit: account
expires: 2027-03-01
state: live
-- rules/stopped.yaml --
segment: a
surface: other
response: {text: stopped}
metric: {event: M, within: 7d}
guardrail: {event: G, within: 7d}
state: rolled_back
`

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// in is the record of a unit for which these segments hold at noon.
func in(s *Set, names ...string) segments.Record {
	var r segments.Record
	for _, segment := range s.Segments {
		if slices.Contains(names, segment.Name) {
			r.Open = append(r.Open, segments.Open{Segment: segment.Key(), Interval: segments.Interval{From: noon.UnixMilli(), Until: noon.UnixMilli() + 1000}})
		}
	}
	return r
}

// shown is a decision in words.
func shown(d Decision) string {
	var all []string
	for _, p := range d {
		all = append(all, fmt.Sprintf("%s: %s to %s %s", p.Rule.Surface.Name, p.Rule.Name, p.Unit.Who, p.Unit.ID))
	}
	return strings.Join(all, "; ")
}

func TestDecide(t *testing.T) {
	s := load(t, site(t, deciding))
	visitor := func(names ...string) Subject { return Subject{Visitor: "v", VisitorRecord: in(s, names...)} }
	member := Subject{Visitor: "v", Account: "t", VisitorRecord: in(s, "a"), AccountRecord: in(s, "team")}
	for _, test := range []struct {
		name, path string
		who        Subject
		at         time.Time
		want       string
	}{
		{"nobody", "/home", Subject{}, noon, ""},
		{"not in the segment", "/home", visitor(), noon, ""},
		{"in the segment", "/home", visitor("a"), noon, "home: invite-teammate to visitor v"},
		{"below the page", "/home/x", visitor("a"), noon, "home: invite-teammate to visitor v"},
		{"another page", "/else", visitor("a"), noon, ""},
		{"before the interval", "/home", visitor("a"), noon.Add(-time.Millisecond), ""},
		{"after the interval", "/home", visitor("a"), noon.Add(time.Second), ""},
		{"priority", "/home", visitor("a", "b"), noon, "home: first to visitor v"},
		{"two surfaces", "/home", member, noon, "home: invite-teammate to visitor v; anywhere: team to account t"},
		{"every page", "/", member, noon, "anywhere: team to account t"},
		{"a visitor's record does not hold for the account", "/", Subject{Visitor: "v", Account: "t", VisitorRecord: in(s, "a", "team")}, noon, ""},
		{"an account without id", "/", Subject{Visitor: "v", AccountRecord: in(s, "team")}, noon, ""},
		{"a visitor without id", "/home", Subject{VisitorRecord: in(s, "a")}, noon, ""},
	} {
		if got := shown(s.Decide(test.path, test.who, test.at)); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// A rule ends at its expiry to the millisecond, and what is below it applies.
func TestExpiry(t *testing.T) {
	s := load(t, site(t, deciding))
	end := time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)
	who := Subject{Visitor: "v", Account: "t"}
	who.AccountRecord.Open = []segments.Open{{Segment: s.Rule("team").Segment.Key(), Interval: segments.Interval{Until: segments.Forever}}}
	if d := s.Decide("/", who, end.Add(-time.Millisecond)); len(d) != 1 {
		t.Errorf("a millisecond before: %s", shown(d))
	}
	if d := s.Decide("/", who, end); len(d) != 0 {
		t.Errorf("at the end: %s", shown(d))
	}
}

// A unit that a rule's share leaves out gets the next rule, in both arms of
// the first.
func TestShareLeavesTheSurfaceToOthers(t *testing.T) {
	dir := site(t, deciding)
	name := filepath.Join(dir, "rules/first.yaml")
	old, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, append(old, "rollout: {share: 50%}\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	s := load(t, dir)
	got := map[string]int{}
	for i := range 1000 {
		who := Subject{Visitor: fmt.Sprint(i), VisitorRecord: in(s, "a", "b")}
		d := s.Decide("/home", who, noon)
		if len(d) != 1 {
			t.Fatalf("%d: %s", i, shown(d))
		}
		got[d[0].Rule.Name+" "+string(d[0].Arm)]++
	}
	for _, k := range []string{"first treatment", "first control", "invite-teammate treatment", "invite-teammate control"} {
		if got[k] < 200 || got[k] > 300 {
			t.Errorf("%d have %s, want about 250", got[k], k)
		}
	}
}

// Both arms take one path: what is decided, for whom and on which surface does
// not depend on the arm, only the arm does.
func TestArmsAreTreatedAlike(t *testing.T) {
	s := load(t, site(t, deciding))
	mostly := func(treatment float64) *Set {
		u := *s
		u.live = nil
		for _, r := range s.live {
			c := *r
			c.Rollout.Treatment = treatment
			u.live = append(u.live, &c)
		}
		return &u
	}
	treated, controlled := mostly(math.Nextafter(1, 0)), mostly(1e-300)
	arms := map[Arm]int{}
	for i := range 2000 {
		names := []string{"a", "b", "team"}[:i%4%3+1]
		who := Subject{Visitor: fmt.Sprint("v", i), Account: fmt.Sprint("t", i), VisitorRecord: in(s, names...), AccountRecord: in(s, names...)}
		path := []string{"/home", "/home/x", "/else"}[i%3]
		a, b := treated.Decide(path, who, noon), controlled.Decide(path, who, noon)
		if shown(a) != shown(b) {
			t.Fatalf("treatment: %s\ncontrol: %s", shown(a), shown(b))
		}
		for i := range a {
			if a[i].Arm != Treatment || b[i].Arm != Control {
				t.Fatalf("arms %s and %s", a[i].Arm, b[i].Arm)
			}
		}
		for _, p := range s.Decide(path, who, noon) {
			arms[p.Arm]++
		}
	}
	if arms[Treatment] == 0 || arms[Control] == 0 {
		t.Errorf("arms: %v", arms)
	}
}

func TestLive(t *testing.T) {
	dir := site(t, deciding)
	s := load(t, dir)
	names := func(s *Set) string {
		var all []string
		for _, r := range s.Live() {
			all = append(all, r.Name)
		}
		return strings.Join(all, " ")
	}
	if got := names(s); got != "first invite-teammate team" {
		t.Errorf("live: %s", got)
	}
	if len(s.Rules) != 4 || s.Rule("stopped").State != RolledBack || s.Rule("nobody") != nil {
		t.Errorf("rules: %v", s.Rules)
	}
	less := s.Without(func(r *Rule) bool { return r.Name == "first" })
	if names(less) != "invite-teammate team" || names(s) != "first invite-teammate team" {
		t.Errorf("without first: %s, and the set itself: %s", names(less), names(s))
	}
	if !s.Touches("/else") || s.Without(func(r *Rule) bool { return r.Name == "team" }).Touches("/else") {
		t.Error("Touches does not tell what live rules could apply")
	}
	if err := os.WriteFile(filepath.Join(dir, edgeFile), []byte("origin: http://127.0.0.1:3000\noff: true\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	off := load(t, dir)
	if names(off) != "" || off.Touches("/home") || len(off.Rules) != 4 {
		t.Errorf("off: live %q", names(off))
	}
}

func BenchmarkDecide(b *testing.B) {
	dir := b.TempDir()
	if err := Init(dir); err != nil {
		b.Fatal(err)
	}
	unpackTo(b, dir, deciding)
	s, err := Load(dir)
	if err != nil {
		b.Fatal(err)
	}
	for _, bench := range []struct {
		name, path string
		who        Subject
	}{
		{"no-page", "/else/where", Subject{Visitor: "01926f3a-7c00-7000-8000-0123456789ab", VisitorRecord: in(s, "a")}},
		{"no-segment", "/home", Subject{Visitor: "01926f3a-7c00-7000-8000-0123456789ab", VisitorRecord: in(s)}},
		{"one-surface", "/home", Subject{Visitor: "01926f3a-7c00-7000-8000-0123456789ab", VisitorRecord: in(s, "a")}},
		{"two-surfaces", "/home", Subject{Visitor: "01926f3a-7c00-7000-8000-0123456789ab", Account: "acme", VisitorRecord: in(s, "a"), AccountRecord: in(s, "team")}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Decide(bench.path, bench.who, noon)
			}
		})
	}
}

func BenchmarkAssign(b *testing.B) {
	r := Rule{Name: "invite-teammate", Version: "0123456789ab", Rollout: Rollout{Share: 1, Treatment: 0.5}}
	b.ReportAllocs()
	for b.Loop() {
		r.Assign("01926f3a-7c00-7000-8000-0123456789ab")
	}
}
