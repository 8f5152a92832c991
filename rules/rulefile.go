package rules

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rewrite"
	"github.com/seed14307185/refract/segments"
)

// What surfaces and rules need not say.
const (
	// DefaultMaxBytes is the longest response of a surface whose file sets no
	// max_bytes: it is written into every page that shows it.
	DefaultMaxBytes = 16 << 10
	DefaultTolerate = 0.10
	DefaultAlpha    = 0.05
)

// readSurface reads a file of surfaces/.
func readSurface(name string, v value, least Policy) *Surface {
	s := &Surface{Name: name, MaxBytes: DefaultMaxBytes, Policy: least}
	f, ok := v.fields("a mapping", "pages", "allow", "max_bytes", "select", "approvals")
	if !ok {
		return s
	}
	set(&s.Select)(readSelector(f.get("select")))
	set(&s.Policy)(readPolicy(f.get("approvals"), least))
	pages, _ := f.get("pages").some("path patterns such as /projects/*")
	for _, entry := range pages {
		if p, ok := parsed(entry, "a path pattern", "", events.ParsePattern); ok {
			s.Pages = append(s.Pages, p)
		}
	}
	allow, _ := f.get("allow").some("operations")
	for _, entry := range allow {
		if op, ok := entry.oneOf(operations...); ok {
			s.Allow = append(s.Allow, rewrite.Operation(op))
		}
	}
	limit := f.get("max_bytes")
	if n, ok := parsed(limit, "a size such as 4096", "", parseSize); ok && (n < 1 || n > maxFile) {
		limit.refuse("", "max_bytes must be from 1 to %d", maxFile)
	} else if ok {
		s.MaxBytes = int(n)
	}
	return s
}

// parts are what rules are made of, by name.
type parts struct {
	segments  map[string]*segments.Segment
	surfaces  map[string]*Surface
	responses map[string][]byte // fragments, by the file's name
	shown     map[string]bool   // the responses that rules name
	mark      string            // the attribute that marks regions
	policy    Policy            // of surfaces without a file
}

// readRule reads a file of rules/.
func readRule(name string, v value, known *parts) *Rule {
	r := &Rule{
		Name: name, Unit: segments.Visitor, State: Draft,
		Surface: &Surface{MaxBytes: DefaultMaxBytes},
		Rollout: Rollout{Share: 1, Treatment: 0.5},
	}
	f, ok := v.fields("a mapping with segment, surface, response, metric and guardrail", "owner", "segment", "surface",
		"response", "metric", "guardrail", "unit", "rollout", "priority", "expires", "state")
	if !ok {
		return r
	}
	set(&r.Owner)(f.get("owner").word(200))
	r.Segment = readSegmentName(f.part("segment", "nobody is meant",
		"name a file of segments/"), known)
	set(&r.Surface)(readSurfaceName(f.part("surface", "the segment is still too abstract",
		"name the region of the page that may change"), known))
	r.readResponse(f.part("response", "this is still analysis",
		"say what the visitor gets to see: response: {inner: FILE}"), known)
	r.readMetric(f.part("metric", "this would be guessing",
		"name the event that shows that it helped: metric: {event: NAME, within: 7d}"))
	r.readGuardrail(f.part("guardrail", "this cannot be rolled back by itself",
		"name the event that must not happen more often: guardrail: {event: NAME, within: 7d}"))
	if g := r.Guardrail; g.Event != "" && g.Event == r.Metric.Event && r.Metric.Expect == "increase" && canonical(g.Where) == canonical(r.Metric.Where) {
		f.get("guardrail").refuse("the guardrail is an event that shows harm", "metric and guardrail are the same event: it can't be both wanted and not tolerated")
	}
	if unit, ok := f.get("unit").oneOf(string(segments.Visitor), string(segments.Account)); ok {
		r.Unit = segments.Who(unit)
	}
	r.readRollout(f.get("rollout"))
	set(&r.Priority)(parsed(f.get("priority"), "a whole number", "", parseWhole))
	set(&r.Expires)(parsed(f.get("expires"), "a date such as 2027-03-01", "", parseDate))
	state := f.get("state")
	if s, ok := state.oneOf(string(Draft), string(Live), string(RolledBack)); ok {
		r.State = State(s)
	}
	if !state.present() {
		state.warn("write state: live to start it", "the rule says no state, so it is a draft and nobody gets it")
	}
	return r
}

// part returns one of the five parts of a rule, or reports what it means that
// it is not there.
func (f fields) part(key, meaning, hint string) value {
	v := f.get(key)
	if !v.present() && !slices.Contains(f.meant, key) {
		f.refuse(hint, "no %s: %s", key, meaning)
	}
	return v
}

// keys returns the names of parts, sorted.
func keys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

func readSegmentName(v value, known *parts) *segments.Segment {
	name, ok := v.word(100)
	if !ok {
		return nil
	}
	s := known.segments[name]
	if s == nil {
		v.refuse(didYouMean(name, keys(known.segments), "write it to segments/"+name+".yaml"), "there is no segment %q", name)
	}
	return s
}

func readSurfaceName(v value, known *parts) (*Surface, bool) {
	name, ok := v.word(100)
	if !ok {
		return nil, false
	}
	if !nameSyntax().MatchString(name) {
		v.refuse(nameHint, "%q can't be the name of a surface", name)
		return nil, false
	}
	if s := known.surfaces[name]; s != nil {
		return s, true
	}
	if near := nearest(name, keys(known.surfaces)); near != "" {
		v.warn(fmt.Sprintf("did you mean %q?", near), "there is no surfaces/%s.yaml: every page may show it", name)
	}
	return &Surface{Name: name, MaxBytes: DefaultMaxBytes, Policy: known.policy}, true
}

func (r *Rule) readGuardrail(v value) {
	f, ok := v.fields("a mapping with event and within", "event", "where", "within", "tolerate", "baseline", "alpha")
	if !ok {
		return
	}
	g := &r.Guardrail
	g.Event, _ = eventName(f.need("event", "the event that must not happen more often"))
	g.Where = matches(f.get("where"))
	g.Within, _ = window(f.need("within", "how long after the exposure it counts: within: 7d"))
	g.Tolerate, g.Alpha = DefaultTolerate, DefaultAlpha
	set(&g.Tolerate)(share(f.get("tolerate"), func(f float64) bool { return 0 <= f && f <= 1 },
		"the increase that is tolerated is from 0% to 100%"))
	set(&g.Baseline)(share(f.get("baseline"), func(f float64) bool { return 0 < f && f < 1 },
		"the rate of harm without the rule lies between 0% and 100%"))
	set(&g.Alpha)(share(f.get("alpha"), func(f float64) bool { return 1e-6 <= f && f <= 0.5 },
		"the rate of false rollbacks is from 0.0001% to 50%"))
}

// share returns a percentage or fraction for which ok is true.
func share(v value, ok func(float64) bool, hint string) (float64, bool) {
	f, read := parsed(v, "a percentage such as 10%", "10% and 0.1 are the same", parseFraction)
	if read && !ok(f) {
		v.refuse(hint+"; 10% and 0.1 are the same", "%s is %s%%", v.name, formatPercent(f))
		return 0, false
	}
	return f, read
}

func parseWhole(s string) (int, error) {
	f, err := parseNumber(s)
	if err != nil || f != float64(int32(f)) {
		return 0, fmt.Errorf("%q is not a whole number", s)
	}
	return int(f), nil
}

// parseDate parses a day, which begins at midnight UTC, or an RFC 3339 time.
func parseDate(s string) (time.Time, error) {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a date such as 2027-03-01 or a time such as 2027-03-01T09:00:00Z", s)
}
