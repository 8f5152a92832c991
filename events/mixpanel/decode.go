package mixpanel

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/ingest"
)

// token returns the token of a message: of an event, or of a profile's update.
func token(item any) string {
	f, _ := item.(map[string]any)
	properties, _ := f["properties"].(map[string]any)
	for _, v := range []any{f["$token"], properties["token"]} {
		if s, ok := v.(string); ok && s != "" {
			return s
		}
	}
	return ""
}

// decoder maps the messages of one request.
type decoder struct {
	path    string
	clock   ingest.Clock
	account string // the group key that is the account
	sent    time.Time
}

// decode turns messages into events: all of them or none.
func (d *decoder) decode(items []any) ([]*events.Event, error) {
	var batch []*events.Event
	for i, item := range items {
		f, err := ingest.Object(item)
		var e *events.Event
		if err == nil {
			switch d.path {
			case "/engage":
				e, err = d.person(f)
			case "/groups":
				e, err = d.group(f)
			default:
				e, err = d.event(f)
			}
		}
		if err != nil {
			if len(items) > 1 {
				err = fmt.Errorf("message %d: %w", i, err)
			}
			return nil, err
		}
		if e != nil {
			batch = append(batch, e)
		}
	}
	return batch, nil
}

var (
	// marks begin the names of what the SDK adds.
	marks = []string{"$", "mp_"}
	// keptProperties say what was done and where, keptTraits who it is.
	keptProperties = []string{"$current_url", "$referrer"}
	keptTraits     = []string{"$email", "$name", "$first_name", "$last_name", "$phone", "$created"}
	// said are properties that an event has by itself.
	said = []string{"token", "distinct_id", "time"}
)

// views are the events that every vendor has by another name.
var views = map[string]string{"$mp_web_page_view": "Page Viewed"}

// event maps an event. Mixpanel makes one person of a device and the user that
// are first seen together: such an event has Anonymous.
func (d *decoder) event(f ingest.Fields) (*events.Event, error) {
	name, err := f.Name("event")
	if err != nil {
		return nil, err
	}
	properties, err := f.Object("properties")
	if err != nil {
		return nil, err
	}
	at, err := properties.Epoch("time")
	if err != nil {
		return nil, err
	}
	e := &events.Event{Source: Source, Kind: events.Track, Name: name}
	d.clock.Date(e, at, d.sent)
	if err := identify(e, properties, "distinct_id"); err != nil {
		return nil, err
	}
	insert, err := properties.ID("$insert_id")
	if err != nil {
		return nil, err
	}
	if name == "$identify" { // of HTTP's own, which has no distinct_id
		user, err := properties.ID("$identified_id")
		if err != nil {
			return nil, err
		}
		if user != "" {
			e.Visitor = user
		}
	}
	e.ID = ingest.JoinID(insert, name, e.Visitor, strconv.FormatInt(at.UnixMilli(), 10))
	e.Account = d.accountIn(properties)
	switch name {
	case "$identify":
		err = d.identity(e, properties)
	case "$create_alias":
		// The alias is the new id: what the person was called before is distinct_id.
		before := e.Visitor
		if e.Visitor, err = properties.ID("alias"); err == nil && e.Visitor == "" {
			err = events.Refuse(events.RefusedID, "alias is needed")
		}
		pair(e, events.Alias, before)
	case "$merge":
		err = merge(e, properties)
	default:
		if view, ok := views[name]; ok {
			e.Name = view
		}
		e.Properties = properties.Own(marks, keptProperties, said)
	}
	if err != nil {
		return nil, err
	}
	return e, ingest.Check(e, "distinct_id")
}

// identity makes an identify of what the SDKs send, or by HTTP a server.
func (d *decoder) identity(e *events.Event, properties ingest.Fields) error {
	other := e.Anonymous
	for _, field := range []string{"$anon_id", "$anon_distinct_id"} {
		id, err := properties.ID(field)
		if err != nil {
			return err
		}
		if id != "" {
			other = id
		}
	}
	pair(e, events.Identify, device(other))
	return nil
}

// merge makes an alias of the two ids of $distinct_ids.
func merge(e *events.Event, properties ingest.Fields) error {
	ids, err := properties.List("$distinct_ids")
	if err != nil {
		return err
	}
	if len(ids) != 2 {
		return events.Refuse(events.RefusedID, "$distinct_ids must be two ids")
	}
	if e.Visitor, err = ingest.ID("$distinct_ids", ids[0]); err != nil {
		return err
	}
	other, err := ingest.ID("$distinct_ids", ids[1])
	e.Visitor = device(e.Visitor)
	pair(e, events.Alias, device(other))
	return err
}

// pair makes of an event one about the ids of a person. Without a second id it
// is an identify that says nothing.
func pair(e *events.Event, kind events.Kind, other string) {
	if e.Kind, e.Name, e.Anonymous = kind, "", other; other == e.Visitor {
		e.Anonymous = ""
	}
	if e.Anonymous == "" {
		e.Kind = events.Identify
	}
}

// identify says who an event is by.
func identify(e *events.Event, f ingest.Fields, distinctID string) error {
	user, err := f.ID("$user_id")
	if err != nil {
		return err
	}
	browser, err := f.ID("$device_id")
	if err != nil {
		return err
	}
	distinct, err := f.ID(distinctID)
	if err != nil {
		return err
	}
	browser = device(browser)
	switch e.Visitor = user; {
	case user != "" && user != browser:
		e.Anonymous = browser
	case user == "" && distinct != "":
		e.Visitor = device(distinct)
	case user == "":
		e.Visitor = browser
	}
	return nil
}

// device is an id without the mark of those that Mixpanel's SDK made itself,
// which their cookie doesn't have.
func device(id string) string { return strings.TrimPrefix(id, "$device:") }

// accountIn returns the account that a property of the group key's name tells:
// the first, if it has a list. What can't be an id is a property like any other.
func (d *decoder) accountIn(f ingest.Fields) string {
	if d.account == "" {
		return ""
	}
	v := f[d.account]
	if all, ok := v.([]any); ok && len(all) > 0 {
		v = all[0]
	}
	id, _ := ingest.ID(d.account, v)
	return id
}

// told returns what $set and $unset of a profile's update tell: nil if nothing.
// The other operations would have to know what was there.
func told(f ingest.Fields) (events.Properties, error) {
	set, err := f.Object("$set")
	if err != nil {
		return nil, err
	}
	names, err := f.List("$unset")
	if err != nil {
		return nil, err
	}
	traits := set.Own(marks, keptTraits, nil)
	for _, name := range names {
		if s, ok := name.(string); ok && len(s) <= events.MaxName {
			if traits == nil {
				traits = events.Properties{}
			}
			traits[s] = nil
		}
	}
	return traits, nil
}

// person maps a profile's update.
func (d *decoder) person(f ingest.Fields) (*events.Event, error) {
	e, err := d.update(f, events.Identify)
	if err != nil {
		return nil, err
	}
	if err := identify(e, f, "$distinct_id"); err != nil {
		return nil, err
	}
	e.Account = d.accountIn(ingest.Fields(e.Traits))
	if err := ingest.Check(e, "$distinct_id"); err != nil || e.Traits == nil && e.Anonymous == "" {
		return nil, err
	}
	return e, nil
}

// group maps an update of a group's profile. Groups of other keys than the
// account's say nothing.
func (d *decoder) group(f ingest.Fields) (*events.Event, error) {
	e, err := d.update(f, events.Group)
	if err != nil {
		return nil, err
	}
	key, err := f.Text("$group_key")
	if err != nil {
		return nil, err
	}
	if e.Account, err = f.ID("$group_id"); err != nil {
		return nil, err
	}
	if key == "" || e.Account == "" {
		return nil, events.Refuse(events.RefusedID, "$group_key and $group_id are needed")
	}
	if key != d.account || e.Traits == nil {
		return nil, nil
	}
	if e.Visitor, err = ingest.GroupVisitor(key, e.Account); err != nil {
		return nil, err
	}
	return e, ingest.Check(e, "$group_id")
}

// update begins the event of a profile's update.
func (d *decoder) update(f ingest.Fields, kind events.Kind) (*events.Event, error) {
	traits, err := told(f)
	if err != nil {
		return nil, err
	}
	at, err := f.Epoch("$time")
	if err != nil {
		return nil, err
	}
	e := &events.Event{Source: Source, Kind: kind, Traits: traits}
	d.clock.Date(e, at, d.sent)
	return e, nil
}
