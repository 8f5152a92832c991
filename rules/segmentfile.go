package rules

import (
	"slices"
	"strings"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/segments"
)

// The keys of conditions. One of the heads says which condition it is; the
// others stand beside it.
var (
	heads   = words(`all any not trait did did_not repeats days stopped first regularly resumed sum average minimum maximum distinct cohort segment`)
	besides = words(`where times in_last visitors without within before then same is active quiet on of every`)

	conditionKeys = slices.Concat(heads, besides)
	conditionHint = "a condition is one of " + strings.Join(heads, ", ")
)

// readSegment reads a file of segments/. It adds to refs what the file says of
// other segments.
func readSegment(name string, v value, refs *[]reference) segments.Segment {
	s := segments.Segment{Name: name, Who: segments.Visitor}
	own := []string{"describe", "who", "stable_for", "sticky_for"}
	f, ok := v.fields("a mapping with a condition", slices.Concat(own, conditionKeys)...)
	if !ok {
		return s
	}
	set(&s.Describe)(f.get("describe").text())
	if who, ok := f.get("who").oneOf(string(segments.Visitor), string(segments.Account)); ok {
		s.Who = segments.Who(who)
	}
	stable, _ := window(f.get("stable_for"))
	sticky, _ := window(f.get("sticky_for"))
	f.pairs = slices.DeleteFunc(f.pairs, func(p pair) bool { return slices.Contains(own, p.value.name) })
	condition := condition{f, s.Who, name, refs}.read()
	if condition == nil {
		return s
	}
	s.Condition = condition
	if stable > 0 || sticky > 0 {
		s.Condition = segments.Held{Condition: condition, StableFor: stable, StickyFor: sticky}
	}
	return s
}

// condition is a mapping that is a condition and nothing else.
type condition struct {
	fields
	who  segments.Who
	in   string // the segment
	refs *[]reference
}

// part is a condition that this one is made of.
func (c condition) part(f fields) segments.Condition {
	return condition{f, c.who, c.in, c.refs}.read()
}

// read returns the condition, or nil if something is wrong with it.
func (c condition) read() segments.Condition {
	head, ok := c.head()
	if !ok {
		return nil
	}
	before := len(*c.doc.problems)
	var read segments.Condition
	switch head.name {
	case "all":
		read = segments.All(c.each(head))
	case "any":
		read = segments.Any(c.each(head))
	case "not":
		read = c.not(head)
	case "trait":
		c.only("trait")
		read = segments.Trait{Match: matches(head)}
	case "did":
		read = c.did(head)
	case "did_not":
		read = c.didNot(head)
	case "repeats":
		read = c.repeats(head)
	case "days":
		read = c.days(head)
	case "stopped":
		read = c.stopped(head)
	case "first":
		read = c.first(head)
	case "regularly":
		read = c.regularly(head)
	case "resumed":
		read = c.resumed(head)
	case "distinct":
		read = c.distinct(head)
	case "sum", "average", "minimum", "maximum":
		read = c.aggregate(head)
	case "cohort":
		read = c.cohort(head)
	case "segment":
		read = c.segment(head)
	}
	if len(*c.doc.problems) > before {
		return nil
	}
	if !slices.Contains([]string{"all", "any", "not", "segment"}, head.name) {
		c.compile(head, read)
	}
	return read
}

// compile reports what the engine has against a leaf, such as a limit.
func (c condition) compile(head value, leaf segments.Condition) {
	s := segments.Segment{Name: "it", Who: c.who, Condition: leaf}
	_, err := segments.Compile([]segments.Segment{s}, DefaultLate)
	if err == nil {
		return
	}
	message := strings.TrimPrefix(err.Error(), "segment it: ")
	message = strings.TrimPrefix(message, leaf.String()+": ")
	head.refuse("", "%s: %s", head.name, strings.ReplaceAll(message, "\n", "; "))
}

// head returns the value whose key says which condition it is.
func (c condition) head() (value, bool) {
	var found []pair
	for _, p := range c.pairs {
		if slices.Contains(heads, p.value.name) {
			found = append(found, p)
		}
	}
	switch {
	case len(found) == 0 && slices.ContainsFunc(c.meant, func(key string) bool { return key != "" }):
		// The unknown key is reported, with what it was meant to be.
	case len(c.pairs) == 0:
		c.refuse(conditionHint, "there is no condition")
	case len(found) == 0:
		c.pairs[0].key.refuse(conditionHint, "%q alone is not a condition", c.pairs[0].value.name)
	case len(found) > 1:
		found[1].key.refuse("say how they go together: all: [ … ] is true if each of a list is, any: [ … ] if one is",
			"%q and %q are two conditions", found[0].value.name, found[1].value.name)
	default:
		return found[0].value, true
	}
	return value{}, false
}

// only reports the keys that do not belong beside the head of a form.
func (c condition) only(form string, keys ...string) {
	head, _, _ := strings.Cut(form, " ")
	for _, p := range c.pairs {
		name := p.value.name
		if name == head || slices.Contains(keys, name) {
			continue
		}
		p.key.refuse(besideHint(form, name, keys), "%q does not go with %s", name, form)
	}
}

func besideHint(form, key string, keys []string) string {
	switch {
	case key == "within" && slices.Contains(keys, "in_last"):
		return "for a window that ends now write in_last; within goes with without"
	case key == "in_last" && slices.Contains(keys, "within"):
		return "the waiting time after the event is within"
	case form == "did_not" && key == "times":
		return "did_not is the count zero; for another count write did and times"
	case len(keys) == 0:
		return "make it a condition of its own: all: [{" + form + ": …}, …]"
	}
	return "beside it go " + strings.Join(keys, ", ")
}

// each reads the conditions of all and any.
func (c condition) each(head value) []segments.Condition {
	c.only(head.name)
	list, _ := head.some("conditions")
	var all []segments.Condition
	for _, entry := range list {
		if f, ok := entry.fields("a condition", conditionKeys...); ok {
			all = append(all, c.part(f))
		}
	}
	return all
}

func (c condition) not(head value) segments.Condition {
	c.only("not")
	if head.isList() {
		head.refuse("write not: {any: [ … ]}, or not: {all: [ … ]}", "not takes one condition, found a list")
		return nil
	}
	f, ok := head.fields("a condition", conditionKeys...)
	if !ok {
		return nil
	}
	return segments.Not{Condition: c.part(f)}
}

func (c condition) did(head value) segments.Condition {
	event, _ := eventName(head)
	where := matches(c.get("where"))
	switch without, before := c.get("without"), c.get("before"); {
	case without.present() && before.present():
		before.refuse("make two conditions of them", "without and before do not go together")
		return nil
	case without.present():
		c.only("did … without", "without", "within", "where")
		then, _ := eventName(without)
		if then == event && len(where) == 0 {
			without.refuse("it would begin again with each event", "did and without have the same event")
		}
		within, _ := window(c.need("within", "how long the visitor has for it: within: 48h"))
		return segments.Without{Event: event, Where: where, Without: then, Within: within}
	case before.present():
		c.only("did … before", "before", "where")
		other, _ := eventName(before)
		if other == event && len(where) == 0 {
			before.refuse("nothing comes before itself", "did and before have the same event")
		}
		return segments.Before{Event: event, Where: where, Before: other}
	case c.get("then").present():
		return c.sequence(event, where)
	}
	c.only("did", "times", "in_last", "where", "visitors")
	did := segments.Did{Event: event, Where: where, Times: c.count("times"), Visitors: c.visitors()}
	did.InLast, _ = window(c.get("in_last"))
	return did
}

func (c condition) didNot(head value) segments.Condition {
	c.only("did_not", "in_last", "where")
	did := segments.Did{Where: matches(c.get("where")), Times: segments.Exactly(0)}
	did.Event, _ = eventName(head)
	did.InLast, _ = window(c.get("in_last"))
	return did
}

func (c condition) first(head value) segments.Condition {
	c.only("first", "in_last", "where")
	f := segments.First{Where: matches(c.get("where"))}
	f.Event, _ = eventName(head)
	f.InLast, _ = window(c.need("in_last", "how long ago the first one may be: in_last: 7d"))
	return f
}

func (c condition) regularly(head value) segments.Condition {
	c.only("regularly", "on", "of", "every", "where")
	r := segments.Regularly{Where: matches(c.get("where"))}
	r.Event, _ = eventName(head)
	r.On, _ = parsed(c.need("on", "in how many of the periods: on: 3"), "a whole number", "", parseWhole)
	r.Of, _ = parsed(c.need("of", "how many periods are looked at: of: 4"), "a whole number", "", parseWhole)
	r.Every, _ = window(c.need("every", "how long a period is: every: 7d"))
	return r
}

func (c condition) resumed(head value) segments.Condition {
	c.only("resumed", "quiet", "in_last", "where")
	r := segments.Resumed{Where: matches(c.get("where"))}
	r.Event, _ = eventName(head)
	r.Quiet, _ = window(c.need("quiet", "how long nothing happened before: quiet: 14d"))
	r.InLast, _ = window(c.need("in_last", "how long ago it may have begun again: in_last: 7d"))
	return r
}

func (c condition) repeats(head value) segments.Condition {
	c.only("repeats", "same", "times", "in_last", "where", "visitors")
	r := segments.Repeats{Where: matches(c.get("where")), Visitors: c.visitors()}
	r.Event, _ = eventName(head)
	r.Same, _ = c.need("same", "the property whose value must be the same: same: step").word(events.MaxName)
	c.need("times", `how many of them make it true: times: ">= 3"`)
	r.Times = c.count("times")
	if c.get("times").present() && r.Times.Below != 0 {
		c.get("times").refuse(`for example ">= 3"`, "times of repeats must be a least number")
	}
	r.InLast, _ = window(c.need("in_last", "in which time they must lie: in_last: 7d"))
	return r
}

func (c condition) days(head value) segments.Condition {
	c.only("days", "is", "in_last", "where")
	d := segments.Days{Where: matches(c.get("where"))}
	d.Event, _ = eventName(head)
	c.need("is", `on how many days: is: ">= 8"`)
	d.Is = c.count("is")
	d.InLast, _ = window(c.need("in_last", "in which time they must lie: in_last: 14d"))
	return d
}

func (c condition) stopped(head value) segments.Condition {
	c.only("stopped", "active", "quiet", "where")
	s := segments.Stopped{Where: matches(c.get("where"))}
	s.Event, _ = eventName(head)
	active := c.need("active", "since when it must have happened: active: 30d")
	s.Active, _ = window(active)
	s.Quiet, _ = window(c.need("quiet", "for how long it must not have happened since: quiet: 14d"))
	if s.Active > 0 && s.Active <= s.Quiet {
		active.refuse("it counts the events that are older than quiet and younger than active", "active must be longer than quiet")
	}
	return s
}

// visitors reads the number of different visitors of an account that is asked.
func (c condition) visitors() segments.Comparison {
	v := c.get("visitors")
	if v.present() && c.who != segments.Account {
		v.refuse("write who: account at the top of the file, or leave it out", "visitors counts the visitors of an account, and this segment is of visitors")
	}
	return c.count("visitors")
}

// count reads a comparison of a count.
func (c condition) count(key string) segments.Comparison {
	v, _ := parsed(c.get(key), `a comparison such as ">= 3"`, `write for example ">= 3", "< 5", "= 1" or "between 2 and 5"`, segments.ParseComparison)
	return v
}
