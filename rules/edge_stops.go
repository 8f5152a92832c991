package rules

import "slices"

// minStopSecret is the shortest secret of a monitor, in bytes.
const minStopSecret = 16

// Monitor is a monitoring system that may stop rules, by its mount.
type Monitor struct {
	Name   string
	Secret string   // what it presents or signs with, resolved
	Rules  []string // that it may stop; nil: every rule
}

// readStops reads who may stop rules.
func (e *Edge) readStops(v value) {
	list, ok := v.list("monitors such as {name: alertmanager, secret: env:NAME, rules: all}")
	if !ok {
		return
	}
	for _, entry := range list {
		f, ok := entry.fields("a mapping with name, secret and rules", "name", "secret", "rules")
		if !ok {
			continue
		}
		var m Monitor
		name := f.need("name", "the last part of its address: name: alertmanager")
		if s, ok := name.word(100); ok {
			if !nameSyntax().MatchString(s) {
				name.refuse(nameHint, "%q can't be a name", s)
			}
			if slices.ContainsFunc(e.Stops, func(o Monitor) bool { return o.Name == s }) {
				name.refuse("", "two monitors are called %q", s)
			}
			m.Name = s
		}
		of := f.need("secret", "secret: env:NAME")
		if s, ok := secret(of); ok {
			if len(s) < minStopSecret {
				of.refuse("openssl rand -hex 32 makes one", "the secret has fewer than %d characters", minStopSecret)
			}
			m.Secret = s
		}
		which := f.need("rules", "the rules that it may stop: rules: [checkout], or rules: all")
		if which.isList() {
			names, _ := which.some("names of rules")
			for _, n := range names {
				if s, ok := n.word(100); ok {
					m.Rules = append(m.Rules, s)
				}
			}
		} else if which.present() {
			which.oneOf("all")
		}
		e.Stops = append(e.Stops, m)
	}
}

// warnStops warns of rules that a monitor may stop and that there aren't.
func (d *directory) warnStops(s *Set) {
	for _, m := range s.Edge.Stops {
		for _, name := range m.Rules {
			if s.Rule(name) == nil {
				d.warn(edgeFile, "", "stops: the monitor %q may stop %q, which is no rule", m.Name, name)
			}
		}
	}
}

// May says whether the monitor may stop the rule.
func (m *Monitor) May(rule string) bool { return m.Rules == nil || slices.Contains(m.Rules, rule) }
