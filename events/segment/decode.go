package segment

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/seed14307185/refract/events"
)

// call says what a path calls: the type of its message, or "batch".
func call(path string) (name string, ok bool) {
	switch path {
	case "/v1/track", "/v1/t":
		return "track", true
	case "/v1/identify", "/v1/i":
		return "identify", true
	case "/v1/group", "/v1/g":
		return "group", true
	case "/v1/page", "/v1/p":
		return "page", true
	case "/v1/screen", "/v1/s":
		return "screen", true
	case "/v1/alias", "/v1/a":
		return "alias", true
	case "/v1/batch", "/v1/b":
		return "batch", true
	}
	return "", false
}

// clock is what dates the events of one request.
type clock struct {
	received time.Time
	late     time.Duration
}

// object reads a body that is one JSON object.
func object(raw []byte) (map[string]any, error) {
	v, err := events.DecodeJSON(raw)
	if err != nil {
		return nil, err
	}
	body, ok := v.(map[string]any)
	if !ok {
		return nil, events.Refuse(events.RefusedType, "the body is not an object")
	}
	return body, nil
}

// decode turns the body of a call into events: all of them or none.
func decode(call string, body map[string]any, c clock) ([]*events.Event, error) {
	if call != "batch" {
		e, err := event(&message{body, body, c}, call)
		if err != nil {
			return nil, err
		}
		return []*events.Event{e}, nil
	}
	items, ok := body["batch"].([]any)
	if !ok {
		return nil, events.Refuse(events.RefusedType, "batch must be an array")
	}
	if len(items) > events.MaxBatch {
		return nil, events.Refuse(events.RefusedLimit, "batch has more than %d messages", events.MaxBatch)
	}
	batch := make([]*events.Event, len(items))
	for i, item := range items {
		e, err := batched(item, body, c)
		if err != nil {
			return nil, fmt.Errorf("batch[%d]: %w", i, err)
		}
		batch[i] = e
	}
	return batch, nil
}

func batched(item any, body map[string]any, c clock) (*events.Event, error) {
	fields, ok := item.(map[string]any)
	if !ok {
		return nil, events.Refuse(events.RefusedType, "not an object")
	}
	call, _ := fields["type"].(string)
	return event(&message{fields, body, c}, call)
}

// event maps one message.
//
// An event gets Anonymous only where Segment merges profiles: from an identify
// with both ids and from an alias. Any other message with both ids is the
// user's, and says nothing about the anonymous visitor.
func event(m *message, call string) (*events.Event, error) {
	e := &events.Event{Source: Source, Received: m.clock.received}
	var err error
	if e.Time, err = m.time(); err != nil {
		return nil, err
	}
	if e.ID, err = m.id("messageId"); err != nil {
		return nil, err
	}
	user, err := m.id("userId")
	if err != nil {
		return nil, err
	}
	anonymous, err := m.id("anonymousId")
	if err != nil {
		return nil, err
	}
	if e.Visitor = user; user == "" {
		e.Visitor = anonymous
	}
	if e.Account, err = m.account(); err != nil {
		return nil, err
	}
	switch call {
	case "track":
		e.Kind = events.Track
		e.Properties, err = m.object("properties")
		if err == nil {
			e.Name, err = m.name("event")
		}
	case "page":
		err = m.view(e, "Page Viewed")
	case "screen":
		err = m.view(e, "Screen Viewed")
	case "identify":
		e.Kind = events.Identify
		if user != "" && user != anonymous {
			e.Anonymous = anonymous
		}
		e.Traits, err = m.object("traits")
	case "group":
		err = m.group(e)
	case "alias":
		err = m.alias(e, user)
	default:
		err = events.Refuse(events.RefusedType, "type must be track, identify, group, page, screen or alias")
	}
	if err != nil {
		return nil, err
	}
	if e.Visitor == "" {
		return nil, events.Refuse(events.RefusedID, "userId or anonymousId is needed")
	}
	if e.Properties.Size()+e.Traits.Size() > events.MaxEvent {
		return nil, events.Refuse(events.RefusedLimit, "the message is longer than %d bytes", events.MaxEvent)
	}
	return e, nil
}

// message is one message and the body that it came in, whose context and
// sentAt stand in for those that the message lacks. A field that is null or an
// empty string is absent, as the SDKs mean it.
type message struct {
	fields, body map[string]any
	clock        clock
}

// view makes a page or screen view: a track with a fixed name, and what the
// page is called among its properties.
func (m *message) view(e *events.Event, name string) error {
	properties, err := m.object("properties")
	if err != nil {
		return err
	}
	for _, field := range []string{"name", "category"} {
		text, err := m.text(field)
		if err != nil {
			return err
		}
		if _, ok := properties[field]; ok || text == "" {
			continue
		}
		if properties == nil {
			properties = events.Properties{}
		}
		properties[field] = text
	}
	e.Kind, e.Name, e.Properties = events.Track, name, properties
	return nil
}

func (m *message) group(e *events.Event) error {
	e.Kind = events.Group
	var err error
	if e.Account, err = m.id("groupId"); err != nil {
		return err
	}
	if e.Account == "" {
		return events.Refuse(events.RefusedID, "groupId is needed")
	}
	e.Traits, err = m.object("traits")
	return err
}

// alias makes an alias of previousId to userId. The browser SDK also sends an
// alias of an id to itself: that is an identify without traits.
func (m *message) alias(e *events.Event, user string) error {
	previous, err := m.id("previousId")
	if err != nil {
		return err
	}
	if user == "" || previous == "" {
		return events.Refuse(events.RefusedID, "userId and previousId are needed")
	}
	if e.Kind = events.Identify; user != previous {
		e.Kind, e.Anonymous = events.Alias, previous
	}
	return nil
}

// account returns context.groupId.
func (m *message) account() (string, error) {
	for _, fields := range []map[string]any{m.fields, m.body} {
		switch context := fields["context"].(type) {
		case nil:
		case map[string]any:
			if id, err := id("context.groupId", context["groupId"]); id != "" || err != nil {
				return id, err
			}
		default:
			return "", events.Refuse(events.RefusedType, "context must be an object")
		}
	}
	return "", nil
}

// time returns when the event happened. originalTimestamp is the sender's own
// reading; timestamp may be one that a forwarder has corrected already.
func (m *message) time() (time.Time, error) {
	client, err := instant(m.fields, "originalTimestamp")
	if err == nil && client.IsZero() {
		client, err = instant(m.fields, "timestamp")
	}
	if err != nil {
		return time.Time{}, err
	}
	sent, err := instant(m.fields, "sentAt")
	if err == nil && sent.IsZero() {
		sent, err = instant(m.body, "sentAt")
	}
	if err != nil {
		return time.Time{}, err
	}
	return events.HappenedAt(client, sent, m.clock.received, m.clock.late), nil
}

// instant reads a time: RFC 3339, or without a zone (as Python's SDK dates its
// batches), which is UTC.
func instant(fields map[string]any, field string) (time.Time, error) {
	switch v := fields[field].(type) {
	case nil:
		return time.Time{}, nil
	case string:
		if v == "" {
			return time.Time{}, nil
		}
		for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05"} {
			if t, err := time.Parse(layout, v); err == nil {
				return t, nil
			}
		}
		return time.Time{}, events.Refuse(events.RefusedTime, "%s is not an ISO 8601 time", field)
	}
	return time.Time{}, events.Refuse(events.RefusedTime, "%s must be a string", field)
}

func (m *message) id(field string) (string, error) { return id(field, m.fields[field]) }

// id reads an id: a string, or a whole number that JSON carries exactly, since
// some apps number their users.
func id(field string, v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return strconv.FormatInt(int64(v), 10), nil
		}
		return "", events.Refuse(events.RefusedType, "%s is a number but not a whole one below 2^53", field)
	case string:
		if len(v) > events.MaxID {
			return "", events.Refuse(events.RefusedID, "%s is longer than %d bytes", field, events.MaxID)
		}
		return v, nil
	}
	return "", events.Refuse(events.RefusedType, "%s must be a string", field)
}

func (m *message) text(field string) (string, error) {
	switch v := m.fields[field].(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	}
	return "", events.Refuse(events.RefusedType, "%s must be a string", field)
}

func (m *message) name(field string) (string, error) {
	name, err := m.text(field)
	switch {
	case err != nil:
		return "", err
	case name == "":
		return "", events.Refuse(events.RefusedType, "%s is needed", field)
	case len(name) > events.MaxName:
		return "", events.Refuse(events.RefusedLimit, "%s is longer than %d bytes", field, events.MaxName)
	}
	return name, nil
}

func (m *message) object(field string) (events.Properties, error) {
	switch v := m.fields[field].(type) {
	case nil:
		return nil, nil
	case map[string]any:
		if len(v) == 0 {
			return nil, nil
		}
		return v, nil
	}
	return nil, events.Refuse(events.RefusedType, "%s must be an object", field)
}
