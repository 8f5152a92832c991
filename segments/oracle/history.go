// Package oracle is the condition language once more, for tests to hold the
// engine against: it keeps every event of a unit and tests the definition of
// each condition, as docs/segments.md says it, at one time. It is written to be
// plainly right, and shares no code with the engine. It also generates
// conditions and events of every kind.
package oracle

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/segments"
)

// History is all events of a unit, in any order.
type History []*events.Event

// Holds says whether the condition is true at a time, in Unix milliseconds.
func (h History) Holds(c segments.Condition, who segments.Who, t int64) bool {
	switch c := c.(type) {
	case segments.All:
		for _, kid := range c {
			if !h.Holds(kid, who, t) {
				return false
			}
		}
		return true
	case segments.Any:
		for _, kid := range c {
			if h.Holds(kid, who, t) {
				return true
			}
		}
		return false
	case segments.Not:
		return !h.Holds(c.Condition, who, t)
	case segments.Trait:
		traits := h.traits(who, t)
		for _, m := range c.Match {
			if !passes(m.Test, find(traits, m.Key)) {
				return false
			}
		}
		return true
	case segments.Did:
		list := h.within(c.Event, c.Where, t, c.InLast)
		times := compares(c.Times, len(list))
		if c.Times == (segments.Comparison{}) {
			times = len(list) > 0
		}
		return times && compares(c.Visitors, visitors(list))
	case segments.Without:
		// Some A at least D ago, and no B since that A.
		for _, a := range h.within(c.Event, c.Where, t, 0) {
			if at(a) > t-ms(c.Within) {
				continue
			}
			since := false
			for _, b := range h.within(c.Without, nil, t, 0) {
				since = since || at(b) >= at(a)
			}
			if !since {
				return true
			}
		}
		return false
	case segments.Before:
		a, b := h.within(c.Event, c.Where, t, 0), h.within(c.Before, nil, t, 0)
		return len(a) > 0 && (len(b) == 0 || at(a[0]) < at(b[0]))
	case segments.Repeats:
		values := map[string]History{}
		for _, e := range h.within(c.Event, c.Where, t, c.InLast) {
			if v := find(e.Properties, c.Same); v != nil {
				text := fmt.Sprintf("%#v", v)
				values[text] = append(values[text], e)
			}
		}
		for _, list := range values {
			if compares(c.Times, len(list)) && compares(c.Visitors, visitors(list)) {
				return true
			}
		}
		return false
	case segments.Days:
		days := map[string]bool{}
		for _, e := range h.within(c.Event, c.Where, t, c.InLast) {
			days[e.Time.Format(time.DateOnly)] = true
		}
		return compares(c.Is, len(days))
	case segments.Stopped:
		active := h.within(c.Event, c.Where, t-ms(c.Quiet), c.Active-c.Quiet)
		return len(active) > 0 && len(h.within(c.Event, c.Where, t, c.Quiet)) == 0
	case segments.First:
		list := h.within(c.Event, c.Where, t, 0)
		return len(list) > 0 && at(list[0]) > t-ms(c.InLast)
	case segments.Regularly:
		on := 0
		for i := range c.Of {
			if len(h.within(c.Event, c.Where, t-int64(i)*ms(c.Every), c.Every)) > 0 {
				on++
			}
		}
		return on >= c.On
	case segments.Resumed:
		list := h.within(c.Event, c.Where, t, 0)
		for i, e := range list {
			if i > 0 && at(e)-at(list[i-1]) >= ms(c.Quiet) && at(e) > t-ms(c.InLast) {
				return true
			}
		}
		return false
	}
	return h.holdsMore(c, who, t)
}

func at(e *events.Event) int64 { return e.Time.UnixMilli() }
func ms(d time.Duration) int64 { return d.Milliseconds() }
func visitors(list History) int {
	ids := map[string]bool{}
	for _, e := range list {
		ids[e.Visitor] = true
	}
	return len(ids)
}

// within returns the matching events in (t − window, t], or up to t if the
// window is 0, by time.
func (h History) within(name string, where []segments.Match, t int64, window time.Duration) History {
	var list History
	for _, e := range h {
		if e.Kind != events.Track || e.Name != name || at(e) > t || window != 0 && at(e) <= t-ms(window) {
			continue
		}
		pass := true
		for _, m := range where {
			pass = pass && passes(m.Test, find(e.Properties, m.Key))
		}
		if pass {
			list = append(list, e)
		}
	}
	slices.SortStableFunc(list, func(a, b *events.Event) int { return a.Time.Compare(b.Time) })
	return list
}

// traits are the latest values up to t; in one millisecond the value with the
// greater JSON text is the latest.
func (h History) traits(who segments.Who, t int64) map[string]any {
	kind := map[segments.Who]events.Kind{segments.Visitor: events.Identify, segments.Account: events.Group}[who]
	latest := map[string]any{}
	when := map[string]int64{}
	for _, e := range h {
		if e.Kind != kind || at(e) > t {
			continue
		}
		for k, v := range e.Traits {
			old, ok := when[k]
			if !ok || at(e) > old || at(e) == old && jsonText(v) > jsonText(latest[k]) {
				latest[k], when[k] = v, at(e)
			}
		}
	}
	return latest
}

// Account is the latest account that an event told; of one millisecond the
// greater.
func (h History) Account() string {
	account, when := "", int64(0)
	for _, e := range h {
		if e.Account != "" && (account == "" || at(e) > when || at(e) == when && e.Account > account) {
			account, when = e.Account, at(e)
		}
	}
	return account
}

func jsonText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func compares(c segments.Comparison, n int) bool {
	return n >= c.Min && (c.Below == 0 || n < c.Below)
}

func find(p map[string]any, key string) any {
	if v := p[key]; v != nil {
		return v
	}
	parts := strings.Split(key, ".")
	for _, part := range parts[:len(parts)-1] {
		p, _ = p[part].(map[string]any)
	}
	return p[parts[len(parts)-1]]
}

func passes(t segments.Test, v any) bool {
	same := func(a, b any) bool { return fmt.Sprintf("%T %v", a, a) == fmt.Sprintf("%T %v", b, b) }
	any := func() bool {
		for _, want := range t.Values {
			if same(v, want) {
				return true
			}
		}
		return false
	}
	switch t.Op {
	case segments.Is:
		return any()
	case segments.IsNot:
		return !any()
	case segments.Exists:
		return (v != nil) == t.Values[0].(bool)
	case segments.Contains:
		switch v := v.(type) {
		case string:
			part, ok := t.Values[0].(string)
			return ok && strings.Contains(v, part)
		case []interface{}:
			for _, e := range v {
				if same(e, t.Values[0]) {
					return true
				}
			}
		}
		return false
	}
	n, ok := v.(float64)
	limit := t.Values[0].(float64)
	return ok && map[segments.Op]bool{segments.GT: n > limit, segments.GTE: n >= limit, segments.LT: n < limit, segments.LTE: n <= limit}[t.Op]
}
