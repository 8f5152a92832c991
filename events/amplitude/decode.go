package amplitude

import (
	"fmt"
	"strings"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/ingest"
)

// fault is the error of a request in which some events can't be taken.
type fault struct {
	err   error // of the first of them
	field string
	items []int
}

func (f *fault) Error() string {
	return fmt.Sprintf("events[%d]: %v", f.items[0], f.err)
}

func (f *fault) Unwrap() error { return f.err }

// decode turns messages into events: all of them or none. The error names every
// message that can't be taken.
func decode(items []any, body ingest.Fields, c ingest.Clock, account string) ([]*events.Event, error) {
	sent, err := body.Instant("client_upload_time")
	if err != nil {
		return nil, err
	}
	var batch []*events.Event
	var bad *fault
	for i, item := range items {
		d := decoder{clock: c, sent: sent, account: account}
		f, err := ingest.Object(item)
		if err == nil {
			err = d.event(f)
		}
		switch {
		case err == nil:
			batch = append(batch, d.made...)
		case bad == nil:
			field, _, _ := strings.Cut(err.Error(), " ")
			if field != "time" && !strings.Contains(field, "_") {
				field = "event" // none of its fields alone
			}
			bad = &fault{err, field, []int{i}}
		default:
			bad.items = append(bad.items, i)
		}
	}
	if bad != nil {
		return nil, bad
	}
	return batch, nil
}

// decoder maps one message.
type decoder struct {
	clock   ingest.Clock
	sent    time.Time
	account string // the group type that is the account
	made    []*events.Event
}

// views are the events that every vendor has by another name.
var views = map[string]string{"[Amplitude] Page Viewed": "Page Viewed", "[Amplitude] Screen Viewed": "Screen Viewed"}

// event maps the message. Amplitude makes one person of a device and the user
// that are first seen together: such an event has Anonymous.
func (d *decoder) event(f ingest.Fields) error {
	name, err := f.Name("event_type")
	if err != nil {
		return err
	}
	e := &events.Event{Source: Source, Kind: events.Track, Name: name}
	device, err := f.ID("device_id")
	if err != nil {
		return err
	}
	if e.Visitor, err = f.ID("user_id"); err != nil {
		return err
	}
	switch {
	case e.Visitor == "":
		e.Visitor = device
	case e.Visitor != device:
		e.Anonymous = device
	}
	at, err := f.Epoch("time")
	if err != nil {
		return err
	}
	d.clock.Date(e, at, d.sent)
	insert, err := f.ID("insert_id")
	if err != nil {
		return err
	}
	if device == "" {
		device = e.Visitor
	}
	e.ID = ingest.JoinID(insert, device)
	if e.Account, err = d.accountIn(f); err != nil {
		return err
	}
	switch name {
	case "$identify":
		e.Kind, e.Name = events.Identify, ""
		e.Traits, err = told(f, "user_properties")
	case "$groupidentify":
		return d.group(e, f)
	default:
		if view, ok := views[name]; ok {
			e.Name = view
		}
		var properties ingest.Fields
		if properties, err = f.Object("event_properties"); err == nil {
			e.Properties = events.Properties(properties)
			err = d.traits(e, f)
		}
	}
	if err == nil {
		err = ingest.Check(e, "user_id or device_id")
	}
	if err != nil {
		return err
	}
	d.made = append(d.made, e)
	return nil
}

// accountIn returns the account that the groups tell: the first, if a user is
// in several.
func (d *decoder) accountIn(f ingest.Fields) (string, error) {
	groups, err := f.Object("groups")
	if err != nil || d.account == "" {
		return "", err
	}
	v := groups[d.account]
	if all, ok := v.([]any); ok {
		if len(all) == 0 {
			return "", nil
		}
		v = all[0]
	}
	return ingest.ID("groups."+d.account, v)
}

// group makes a group event of the account. Groups of other types say nothing.
func (d *decoder) group(e *events.Event, f ingest.Fields) error {
	traits, err := told(f, "group_properties")
	if err != nil || e.Account == "" || traits == nil {
		return err
	}
	if e.Visitor == "" {
		if e.Visitor, err = ingest.GroupVisitor(d.account, e.Account); err != nil {
			return err
		}
	}
	e.Kind, e.Name, e.Traits = events.Group, "", traits
	if err := ingest.Check(e, "groups"); err != nil {
		return err
	}
	d.made = append(d.made, e)
	return nil
}

// traits makes a second event of what a track tells of its user.
func (d *decoder) traits(e *events.Event, f ingest.Fields) error {
	traits, err := told(f, "user_properties")
	if err != nil || traits == nil {
		return err
	}
	identify := *e
	identify.ID, identify.Kind, identify.Name = ingest.JoinID(e.ID, "user_properties"), events.Identify, ""
	identify.Properties, identify.Traits = nil, traits
	d.made = append(d.made, &identify)
	return ingest.Check(&identify, "user_id or device_id")
}

// told returns what the operations $set and $unset of an object tell, and its
// properties if it has no operations: nil if nothing. The other operations would
// have to know what was there.
func told(f ingest.Fields, field string) (events.Properties, error) {
	all, err := f.Object(field)
	if err != nil {
		return nil, err
	}
	set, err := all.Object("$set")
	if err != nil {
		return nil, err
	}
	unset, err := all.Object("$unset")
	if err != nil {
		return nil, err
	}
	traits := events.Properties{}
	for name, v := range all {
		if !strings.HasPrefix(name, "$") {
			traits[name] = v
		}
	}
	for name, v := range set {
		traits[name] = v
	}
	for name := range unset {
		traits[name] = nil
	}
	if len(traits) == 0 {
		return nil, nil
	}
	return traits, nil
}
