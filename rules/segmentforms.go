package rules

import (
	"slices"
	"strings"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/segments"
)

// sequence reads did … then.
func (c condition) sequence(event string, where []segments.Match) segments.Condition {
	c.only("did … then", "then", "within", "in_last", "where")
	q := segments.Sequence{Event: event, Where: where}
	then := c.get("then")
	if then.isList() {
		list, _ := then.some("events")
		for _, entry := range list {
			name, _ := eventName(entry)
			q.Then = append(q.Then, name)
		}
	} else {
		name, _ := eventName(then)
		q.Then = []string{name}
	}
	q.Within, _ = window(c.need("within", "how long the whole sequence may take: within: 7d"))
	q.InLast, _ = window(c.get("in_last"))
	return q
}

func (c condition) distinct(head value) segments.Condition {
	c.only("distinct", "of", "is", "in_last", "where")
	d := segments.Distinct{Where: matches(c.get("where"))}
	d.Event, _ = eventName(head)
	d.Of, _ = c.need("of", "the property whose values are counted: of: report").word(events.MaxName)
	c.need("is", `how many different ones: is: ">= 3"`)
	d.Is = c.count("is")
	d.InLast, _ = window(c.get("in_last"))
	return d
}

func (c condition) aggregate(head value) segments.Condition {
	c.only(head.name, "of", "is", "in_last", "where")
	a := segments.Aggregate{Function: segments.Function(head.name), Where: matches(c.get("where"))}
	a.Event, _ = eventName(head)
	a.Of, _ = c.need("of", "the property that is a number: of: price").word(events.MaxName)
	a.Is, _ = parsed(c.need("is", `what it is compared with: is: "> 100"`), `a comparison such as "> 100"`,
		`write for example "> 100", "<= 2.5" or "between 2 and 5"`, segments.ParseLimit)
	a.InLast, _ = window(c.get("in_last"))
	return a
}

func (c condition) cohort(head value) segments.Condition {
	c.only("cohort")
	name, ok := head.word(events.MaxName)
	if ok && !CohortName(name) {
		head.refuse("write who keeps it and its id there: cohort: amplitude/abc123", "%q is not the name of a cohort", name)
	}
	return segments.Cohort{Name: name}
}

// reference is what a segment says of another.
type reference struct {
	value
	from string
	who  segments.Who
	ref  *segments.Ref
}

func (c condition) segment(head value) segments.Condition {
	c.only("segment")
	name, _ := head.word(events.MaxName)
	ref := &segments.Ref{Name: name}
	*c.refs = append(*c.refs, reference{head, c.in, c.who, ref})
	return ref
}

// resolve gives references the conditions of the segments they name. What it
// refuses stays without.
func resolve(refs []reference, known map[string]*segments.Segment) {
	names := map[string][]string{} // of the segments that one is made of
	for _, r := range refs {
		names[r.from] = append(names[r.from], r.ref.Name)
	}
	for _, r := range refs {
		to := known[r.ref.Name]
		switch path := pathTo(names, r.ref.Name, r.from, nil); {
		case to == nil:
			r.refuse(didYouMean(r.ref.Name, keys(known), "write it to segments/"+r.ref.Name+".yaml"), "there is no segment %q", r.ref.Name)
		case path != nil:
			r.refuse("", "segment %s is made of itself: %s", r.from, strings.Join(append([]string{r.from}, path...), " → "))
		case to.Who != r.who:
			r.refuse("make a rule of each, or give both the same who", "segment %s is about the %s, this one about the %s", r.ref.Name, to.Who, r.who)
		default:
			r.ref.Condition = to.Condition
		}
	}
}

// pathTo returns the names from one segment to another that it is made of, or
// nil.
func pathTo(names map[string][]string, from, to string, seen []string) []string {
	if from == to {
		return []string{to}
	}
	if slices.Contains(seen, from) {
		return nil
	}
	for _, next := range names[from] {
		if path := pathTo(names, next, to, append(seen, from)); path != nil {
			return append([]string{from}, path...)
		}
	}
	return nil
}
