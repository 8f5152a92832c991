package posthog

import (
	"fmt"
	"strings"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/ingest"
)

// messages are the events of a body and what stands beside them.
type messages struct {
	items []any
	body  ingest.Fields // nil if the body is an array
	sent  string        // the field of body that says when it was sent
}

// messages reads the three forms of a body: one event, an array of events, and
// an object with a batch.
func (h *Handler) messages(body any) (*messages, error) {
	m := &messages{sent: "sent_at"}
	var err error
	switch v := body.(type) {
	case []any:
		m.items, err = ingest.Fields{"batch": v}.List("batch")
	case map[string]any:
		m.body = v
		if _, ok := v["batch"]; !ok {
			m.items = []any{v}
		} else if m.items, err = m.body.List("batch"); err == nil && h.Allows(keys(m.body)...) {
			return m, nil
		}
	default:
		err = events.Refuse(events.RefusedType, "the body is neither an object nor an array")
	}
	if err != nil {
		return nil, err
	}
	// Without a key of its own, each event must have it.
	for _, item := range m.items {
		f, _ := item.(map[string]any)
		if !h.Allows(keys(f)...) {
			return nil, ingest.BadKey("project API key")
		}
	}
	if len(m.items) == 0 {
		return nil, ingest.BadKey("project API key")
	}
	return m, nil
}

// keys returns what may be the project's API key.
func keys(f ingest.Fields) []string {
	properties, _ := f["properties"].(map[string]any)
	var all []string
	for _, v := range []any{f["api_key"], f["token"], f["$token"], properties["token"]} {
		if s, ok := v.(string); ok {
			all = append(all, s)
		}
	}
	return all
}

// decode turns the messages into events: all of them or none.
func (m *messages) decode(c ingest.Clock, account string) ([]*events.Event, error) {
	sent, err := m.body.Instant(m.sent)
	if err != nil {
		return nil, err
	}
	var batch []*events.Event
	for i, item := range m.items {
		f, err := ingest.Object(item)
		if err == nil {
			d := decoder{f: f, clock: c, account: account, sent: sent}
			if err = d.event(); err == nil {
				batch = append(batch, d.made...)
				continue
			}
		}
		if len(m.items) > 1 {
			err = fmt.Errorf("batch[%d]: %w", i, err)
		}
		return nil, err
	}
	return batch, nil
}

// decoder maps one message.
type decoder struct {
	f, properties ingest.Fields
	clock         ingest.Clock
	account       string // the group type that is the account
	sent          time.Time
	made          []*events.Event
}

// kept are the properties of PostHog's own that say what was done and where.
// All others that begin with $ say what browser it was.
var kept = []string{
	"$current_url", "$host", "$pathname", "$referrer", "$title", "$screen_name", "$event_type", "$el_text", "$external_click_url",
	"$feature_flag", "$feature_flag_response", "$exception_type", "$exception_message", "$survey_id", "$survey_response",
}

// views are the events that every vendor has by another name.
var views = map[string]string{"$pageview": "Page Viewed", "$screen": "Screen Viewed"}

// event maps the message. What PostHog merges persons by, has Anonymous.
func (d *decoder) event() error {
	name, err := d.f.Name("event")
	if err != nil {
		return err
	}
	if d.properties, err = d.f.Object("properties"); err != nil {
		return err
	}
	switch name {
	case "$identify":
		return d.identify()
	case "$set", "$unset":
		return d.add(events.Event{Kind: events.Identify})
	case "$create_alias", "$merge_dangerously":
		return d.alias()
	case "$groupidentify":
		return d.group()
	}
	if strings.HasPrefix(name, "$$") || strings.HasPrefix(name, "$snapshot") {
		return nil // heatmaps and recordings
	}
	if view, ok := views[name]; ok {
		name = view
	}
	return d.add(events.Event{
		Kind: events.Track, Name: name,
		Properties: d.properties.Own([]string{"$"}, kept, []string{"token", "distinct_id"}),
	})
}

func (d *decoder) identify() error {
	anonymous, err := d.properties.ID("$anon_distinct_id")
	if err != nil {
		return err
	}
	return d.add(events.Event{Kind: events.Identify, Anonymous: anonymous})
}

func (d *decoder) alias() error {
	other, err := d.properties.ID("alias")
	if err == nil && other == "" {
		err = events.Refuse(events.RefusedID, "alias is needed")
	}
	if err != nil {
		return err
	}
	return d.add(events.Event{Kind: events.Alias, Anonymous: other})
}

// group makes a group event of the account. Groups of other types say nothing.
func (d *decoder) group() error {
	kind, err := d.properties.Text("$group_type")
	if err != nil || kind == "" || kind != d.account {
		return err
	}
	e := events.Event{Kind: events.Group}
	if e.Account, err = d.properties.ID("$group_key"); err != nil {
		return err
	}
	if e.Account == "" {
		return events.Refuse(events.RefusedID, "$group_key is needed")
	}
	traits, err := d.properties.Object("$group_set")
	if err != nil {
		return err
	}
	e.Traits = events.Properties(traits)
	return d.add(e)
}

// add completes an event, and makes a second one if the message tells traits
// beside it.
func (d *decoder) add(e events.Event) error {
	e.Source = Source
	if err := d.identity(&e); err != nil {
		return err
	}
	if err := d.date(&e); err != nil {
		return err
	}
	if e.Kind != events.Group {
		traits, err := d.traits()
		if err != nil {
			return err
		}
		if e.Kind == events.Identify || e.Kind == events.Alias && traits == nil {
			e.Traits = traits
		} else if traits != nil {
			told := events.Event{
				ID: ingest.JoinID(e.ID, "$set"), Source: Source, Kind: events.Identify, Visitor: e.Visitor, Account: e.Account,
				Time: e.Time, Received: e.Received, Traits: traits,
			}
			if err := ingest.Check(&told, "distinct_id"); err != nil {
				return err
			}
			d.made = append(d.made, &told)
		}
	}
	if err := ingest.Check(&e, "distinct_id"); err != nil {
		return err
	}
	d.made = append(d.made, &e)
	return nil
}

// identity says who it was, and by which id the event is known.
func (d *decoder) identity(e *events.Event) (err error) {
	first := func(a ingest.Fields, nameA string, b ingest.Fields, nameB string) string {
		var id string
		if err == nil {
			id, err = a.ID(nameA)
		}
		if err == nil && id == "" {
			id, err = b.ID(nameB)
		}
		return id
	}
	e.ID = first(d.f, "uuid", d.properties, "$insert_id")
	if e.Visitor = first(d.f, "distinct_id", d.f, "$distinct_id"); e.Visitor == "" {
		e.Visitor = first(d.properties, "distinct_id", nil, "")
	}
	if err != nil {
		return err
	}
	if e.Anonymous == e.Visitor {
		if e.Anonymous = ""; e.Kind == events.Alias {
			e.Kind = events.Identify
		}
	}
	if e.Account == "" && d.account != "" {
		groups, err := d.properties.Object("$groups")
		if err != nil {
			return err
		}
		e.Account, err = ingest.ID("$groups."+d.account, groups[d.account])
		return err
	}
	return nil
}

// date sets when it happened. Old SDKs say how many milliseconds before it was
// sent.
func (d *decoder) date(e *events.Event) error {
	client, err := d.f.Instant("timestamp")
	if err != nil {
		return err
	}
	sent := d.sent
	if ms, ok := d.f["offset"].(float64); ok && client.IsZero() && ms >= 0 && ms < 1e12 {
		client, sent = d.clock.Received.Add(-time.Duration(ms)*time.Millisecond), time.Time{}
	}
	d.clock.Date(e, client, sent)
	return nil
}

// traits are what $set tells of the person, and null for what $unset takes
// away. $set_once is not kept: it would have to know what was there.
func (d *decoder) traits() (events.Properties, error) {
	var traits events.Properties
	for _, f := range []ingest.Fields{d.properties, d.f} {
		names, err := f.List("$unset")
		if err != nil {
			return nil, err
		}
		set, err := f.Object("$set")
		if err != nil {
			return nil, err
		}
		if traits == nil && len(names)+len(set) > 0 {
			traits = events.Properties{}
		}
		for _, name := range names {
			if s, ok := name.(string); ok && len(s) <= events.MaxName {
				traits[s] = nil
			}
		}
		for name, v := range set {
			if !strings.HasPrefix(name, "$") {
				traits[name] = v
			}
		}
	}
	if len(traits) == 0 {
		return nil, nil
	}
	return traits, nil
}
