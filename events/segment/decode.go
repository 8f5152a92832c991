package segment

import (
	"fmt"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/ingest"
)

// Call says what a path calls: the type of its message, or "batch".
func Call(path string) (name string, ok bool) {
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

// Decode turns the body of a call into events: all of them or none. source is
// their Source: RudderStack's API is this one too.
func Decode(source, call string, body ingest.Fields, c ingest.Clock) ([]*events.Event, error) {
	if call != "batch" {
		e, err := event(&message{body, body, source, c}, call)
		if err != nil {
			return nil, err
		}
		return []*events.Event{e}, nil
	}
	items, err := body.List("batch")
	if err == nil && body["batch"] == nil {
		err = events.Refuse(events.RefusedType, "batch must be an array")
	}
	if err != nil {
		return nil, err
	}
	batch := make([]*events.Event, len(items))
	for i, item := range items {
		e, err := batched(item, body, source, c)
		if err != nil {
			return nil, fmt.Errorf("batch[%d]: %w", i, err)
		}
		batch[i] = e
	}
	return batch, nil
}

func batched(item any, body ingest.Fields, source string, c ingest.Clock) (*events.Event, error) {
	fields, err := ingest.Object(item)
	if err != nil {
		return nil, err
	}
	call, _ := fields["type"].(string)
	return event(&message{fields, body, source, c}, call)
}

// event maps one message.
//
// An event gets Anonymous only where Segment merges profiles: from an identify
// with both ids and from an alias. Any other message with both ids is the
// user's, and says nothing about the anonymous visitor.
func event(m *message, call string) (*events.Event, error) {
	e := &events.Event{Source: m.source}
	err := m.date(e)
	if err != nil {
		return nil, err
	}
	if e.ID, err = m.ID("messageId"); err != nil {
		return nil, err
	}
	user, err := m.ID("userId")
	if err != nil {
		return nil, err
	}
	anonymous, err := m.ID("anonymousId")
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
		e.Properties, err = m.properties("properties")
		if err == nil {
			e.Name, err = m.Name("event")
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
		e.Traits, err = m.traits()
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
	if err := ingest.Check(e, "userId or anonymousId"); err != nil {
		return nil, err
	}
	return e, nil
}

// message is one message and the body that it came in, whose context and
// sentAt stand in for those that the message lacks.
type message struct {
	ingest.Fields
	body   ingest.Fields
	source string
	clock  ingest.Clock
}

// view makes a page or screen view: a track with a fixed name, and what the
// page is called among its properties.
func (m *message) view(e *events.Event, name string) error {
	properties, err := m.properties("properties")
	if err != nil {
		return err
	}
	for _, field := range []string{"name", "category"} {
		text, err := m.Text(field)
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
	if e.Account, err = m.ID("groupId"); err != nil {
		return err
	}
	if e.Account == "" {
		return events.Refuse(events.RefusedID, "groupId is needed")
	}
	e.Traits, err = m.properties("traits")
	return err
}

// alias makes an alias of previousId to userId. The browser SDK also sends an
// alias of an id to itself: that is an identify without traits.
func (m *message) alias(e *events.Event, user string) error {
	previous, err := m.ID("previousId")
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

// traits are an identify's, which RudderStack's SDKs put into its context.
func (m *message) traits() (events.Properties, error) {
	traits, err := m.properties("traits")
	if traits != nil || err != nil {
		return traits, err
	}
	context, err := m.Object("context")
	if err != nil {
		return nil, err
	}
	return properties(context, "traits")
}

// account returns context.groupId.
func (m *message) account() (string, error) {
	for _, fields := range []ingest.Fields{m.Fields, m.body} {
		context, err := fields.Object("context")
		if err != nil {
			return "", err
		}
		if id, err := ingest.ID("context.groupId", context["groupId"]); id != "" || err != nil {
			return id, err
		}
	}
	return "", nil
}

// date sets when the event happened. originalTimestamp is the sender's own
// reading; timestamp may be one that a forwarder has corrected already.
func (m *message) date(e *events.Event) error {
	client, err := either("originalTimestamp", m.Fields, "timestamp", m.Fields)
	if err != nil {
		return err
	}
	sent, err := either("sentAt", m.Fields, "sentAt", m.body)
	if err != nil {
		return err
	}
	m.clock.Date(e, client, sent)
	return nil
}

// either reads a time from the first of two fields that has one.
func either(name string, fields ingest.Fields, other string, otherFields ingest.Fields) (time.Time, error) {
	t, err := fields.Instant(name)
	if err == nil && t.IsZero() {
		t, err = otherFields.Instant(other)
	}
	return t, err
}

func (m *message) properties(field string) (events.Properties, error) {
	return properties(m.Fields, field)
}

func properties(f ingest.Fields, field string) (events.Properties, error) {
	v, err := f.Object(field)
	return events.Properties(v), err
}
