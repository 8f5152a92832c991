package rules

import (
	"strings"

	"github.com/seed14307185/refract/events"
)

var methodSyntax = syntax(`^[A-Z]+$`)

// readObservation reads an entry of events.
func readObservation(v value) events.Observation {
	var o events.Observation
	f, ok := v.fields("a mapping with event and request", "event", "request", "status", "set")
	if !ok {
		return o
	}
	o.Event, _ = eventName(f.need("event", "the name that segments and rules use"))
	request := f.need("request", "for example request: POST /projects")
	if s, ok := request.word(2000); ok {
		method, path, _ := strings.Cut(s, " ")
		path = strings.TrimSpace(path)
		pattern, err := events.ParsePattern(path)
		switch {
		case path == "":
			request.refuse("for example POST /projects, or ANY /projects/*", "request must be a method and a path, found %q", s)
		case !methodSyntax().MatchString(method):
			request.refuse("for example POST, or ANY", "request: %q is not a method", method)
		case err != nil:
			request.refuse("", "request: %v", err)
		}
		o.Method, o.Path = method, pattern
	}
	list := []value{f.get("status")} // one may stand without a list
	if list[0].isList() {
		list, _ = list[0].some("statuses such as 2xx")
	}
	for _, entry := range list {
		if r, ok := parsed(entry, "a status such as 404 or 2xx", "", events.ParseStatus); ok {
			o.Status = append(o.Status, r)
		}
	}
	if sources, ok := f.get("set").open("a mapping of properties to sources such as path.2"); ok {
		o.Set = map[string]events.Source{}
		for _, p := range sources.pairs {
			p.key.word(events.MaxName)
			if s, ok := parsed(p.value, "a source such as path.2, query.step or status", "", events.ParseSource); ok {
				o.Set[p.value.name] = s
			}
		}
	}
	return o
}

// eventName returns the name of an event.
func eventName(v value) (string, bool) { return v.word(events.MaxName) }
