package simulate

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// person hands on the visitor's traits that a vendor repeats with an event, if
// a segment asks for any.
func (f *former) person(of *statement, traits []byte) error {
	if len(f.plan.traits) == 0 || !present(traits) {
		return nil
	}
	return f.hand(&statement{kind: identify, visitor: of.visitor, at: of.at, payload: traits})
}

// amplitude is an event as Amplitude's Export API writes it. Times are UTC
// without a zone, event_time being the one that charts go by. A device that a
// user has is the user's from then on.
func (f *former) amplitude() error {
	s := f.begin(fEventProperties)
	user, err := f.ident("user_id", f.values[fUserID])
	if err != nil {
		return err
	}
	device, err := f.ident("device_id", f.values[fDeviceID])
	if err != nil {
		return err
	}
	if s.visitor = user; len(user) == 0 {
		s.visitor = device
	} else {
		s.other = device
	}
	id := fInsertID
	if !f.has(fInsertID) {
		id = fUUID
	}
	if s.id, err = f.ident("the event's id", f.values[id]); err != nil {
		return err
	}
	if len(s.id) > 0 { // a device's, which need not be unique among all
		if len(device) == 0 {
			device = user
		}
		s.id = fmt.Appendf(nil, "%s %s", s.id, device)
	}
	if s.at, err = f.time("event_time", f.values[fEventTime]); err != nil {
		return err
	}
	if f.plan.accounts && f.has(fGroups) {
		if err := f.object("groups", f.values[fGroups], f.plan.group); err != nil {
			return err
		}
		if s.accounts, err = f.first("groups", f.inner[f.plan.group]); err != nil {
			return err
		}
	}
	if s.name, err = f.text("event_type", f.values[fEventType]); err != nil {
		return err
	}
	if len(s.visitor) > 0 {
		if err := f.person(s, f.values[fUserProperties]); err != nil {
			return err
		}
	}
	switch string(s.name) {
	case "$identify", "$groupidentify":
		s.kind, s.payload = alias, nil // says who it is, and nothing that was done
	case "[Amplitude] Page Viewed":
		s.name = []byte("Page Viewed")
	case "[Amplitude] Screen Viewed":
		s.name = []byte("Screen Viewed")
	}
	return f.fill(s, fields, fields, fields, fields, fields, fields)
}

// mixpanel is an event as Mixpanel's raw export writes it: all but the name is
// among the properties. It means what package events/mixpanel takes it for.
func (f *former) mixpanel() error {
	s := f.begin(fProperties)
	names := []string{"distinct_id", "time", "$insert_id", "$user_id", "$device_id", "$identified_id", "$anon_id", "$anon_distinct_id", "alias", "$distinct_ids"}
	if f.plan.accounts {
		names = append(names, f.plan.group)
	}
	if err := f.object("properties", f.values[fProperties], names...); err != nil {
		return err
	}
	var err error
	first := func(names ...string) (id []byte) {
		for _, name := range names {
			if err == nil && len(id) == 0 {
				id, err = f.ident(name, f.inner[name])
			}
		}
		return id
	}
	if s.name, err = f.text("event", f.values[fEvent]); err != nil {
		return err
	}
	device := unmarked(first("$device_id"))
	if s.visitor = first("$user_id"); len(s.visitor) > 0 {
		s.other = device
	} else if s.visitor = unmarked(first("distinct_id")); len(s.visitor) == 0 {
		s.visitor = device
	}
	s.id = first("$insert_id")
	if err == nil {
		s.at, err = f.time("properties.time", f.inner["time"])
	}
	if len(s.id) > 0 { // by itself it need not be unique
		s.id = fmt.Appendf(nil, "%s %s %s %d", s.id, s.name, s.visitor, s.at)
	}
	switch string(s.name) {
	case "$identify":
		s.kind, s.payload = alias, nil
		if user := first("$identified_id"); len(user) > 0 {
			s.visitor = user
		}
		if other := unmarked(first("$anon_distinct_id", "$anon_id")); len(other) > 0 {
			s.other = other
		}
	case "$create_alias":
		s.kind, s.payload = alias, nil
		s.other, s.visitor = s.visitor, first("alias")
	case "$merge":
		s.kind, s.payload = alias, nil
		var a, b []byte
		if err == nil {
			a, b, err = f.pair(f.inner["$distinct_ids"])
		}
		s.visitor, s.other = unmarked(a), unmarked(b)
	case "$mp_web_page_view":
		s.name = []byte("Page Viewed")
	}
	if err == nil && f.plan.accounts {
		s.accounts, err = f.first(f.plan.group, f.inner[f.plan.group])
	}
	if err != nil {
		return err
	}
	return f.hand(s)
}

// unmarked is an id without the mark of those that Mixpanel's SDK made itself,
// which not everything that has the id has.
func unmarked(id []byte) []byte { return bytes.TrimPrefix(id, []byte("$device:")) }

// pair reads the two ids of a list.
func (f *former) pair(v []byte) (a, b []byte, err error) {
	var ids [][]byte
	dec := newReader()
	dec.buf.Write(v)
	if tok, err := dec.dec.ReadToken(); err == nil && tok.Kind() == '[' {
		for dec.dec.PeekKind() == '"' {
			v, err := dec.dec.ReadValue()
			if err != nil {
				break
			}
			id, _ := jsontext.AppendUnquote(nil, v) // ReadValue has checked it
			ids = append(ids, id)
		}
	}
	if len(ids) != 2 {
		return nil, nil, faultf(f.offset(v), "$distinct_ids must be a list of two ids")
	}
	return ids[0], ids[1], nil
}

// posthog is an event as PostHog's batch exports and events API write it.
func (f *former) posthog() error {
	s := f.begin(fProperties)
	id := fUUID
	if !f.has(fUUID) {
		id = fID
	}
	var err error
	if s.name, err = f.text("event", f.values[fEvent]); err != nil {
		return err
	}
	if s.visitor, err = f.ident("distinct_id", f.values[fDistinctID]); err != nil {
		return err
	}
	if s.at, err = f.time("timestamp", f.values[fTimestamp]); err != nil {
		return err
	}
	// Only these have something of their own among the properties.
	special := len(s.name) > 0 && s.name[0] == '$'
	if special || f.plan.accounts || len(f.plan.traits) > 0 {
		if err := f.object("properties", f.values[fProperties], "$anon_distinct_id", "alias", "$groups", "$group_type", "$group_key", "$group_set", "$set"); err != nil {
			return err
		}
	}
	var traits []byte
	if set := f.inner["$set"]; present(set) {
		traits = set
	}
	inner := f.inner
	switch string(s.name) {
	case "$identify":
		s.kind, s.payload = identify, traits
		traits = nil
		s.other, err = f.ident("$anon_distinct_id", inner["$anon_distinct_id"])
	case "$set":
		s.kind, s.payload, traits = identify, traits, nil
	case "$create_alias", "$merge_dangerously":
		s.kind, s.payload = alias, nil
		s.other, err = f.ident("alias", inner["alias"])
	case "$groupidentify":
		kind, _ := f.text("$group_type", inner["$group_type"])
		if !f.plan.accounts || string(kind) != f.plan.group {
			s.kind, s.payload = alias, nil
			break
		}
		s.kind, s.payload = group, inner["$group_set"]
		s.accounts, err = f.ident("$group_key", inner["$group_key"])
	case "$pageview":
		s.name = []byte("Page Viewed")
	case "$screen":
		s.name = []byte("Screen Viewed")
	}
	if err != nil {
		return err
	}
	if groups := inner["$groups"]; f.plan.accounts && len(s.accounts) == 0 && present(groups) {
		if err := f.object("$groups", groups, f.plan.group); err != nil {
			return err
		}
		if s.accounts, err = f.first("$groups", f.inner[f.plan.group]); err != nil {
			return err
		}
	}
	if traits == nil {
		traits = f.values[fPersonProperties]
	}
	if len(s.visitor) > 0 {
		if err := f.person(s, traits); err != nil {
			return err
		}
	}
	return f.fill(s, fields, id, fields, fields, fields, fields)
}

// segment is a message as Segment and RudderStack store it. It means what
// package events/segment takes it for.
func (f *former) segment() error {
	s := f.begin(fProperties)
	user, err := f.ident("userId", f.values[fSegmentUser])
	if err != nil {
		return err
	}
	anonymous, err := f.ident("anonymousId", f.values[fSegmentAnonymous])
	if err != nil {
		return err
	}
	if s.visitor = user; len(user) == 0 {
		s.visitor = anonymous
	}
	call, err := f.text("type", f.values[fType])
	if err != nil {
		return err
	}
	if f.has(fContext) && (f.plan.accounts || len(f.plan.traits) > 0) {
		if err := f.object("context", f.values[fContext], "groupId", "traits"); err != nil {
			return err
		}
	}
	account, name := fields, fields
	switch string(call) {
	case "track":
		name = fEvent
	case "page":
		s.name, s.payload = []byte("Page Viewed"), f.called(s.payload)
	case "screen":
		s.name, s.payload = []byte("Screen Viewed"), f.called(s.payload)
	case "identify":
		s.kind, s.payload = identify, f.values[fTraits]
		if !present(s.payload) {
			s.payload = f.inner["traits"] // where RudderStack's SDKs put them
		}
		if len(user) > 0 {
			s.other = anonymous
		}
	case "group":
		s.kind, s.payload = group, f.values[fTraits]
		account = fGroupID
	case "alias":
		s.kind, s.payload = alias, nil
		if s.other, err = f.ident("previousId", f.values[fPreviousID]); err != nil {
			return err
		}
	default:
		return faultf(f.offset(f.values[fType]), "type is %q, but must be track, identify, group, page, screen or alias", cut(call))
	}
	if f.plan.accounts && account == fields {
		if s.accounts, err = f.ident("context.groupId", f.inner["groupId"]); err != nil {
			return err
		}
	}
	// timestamp is what Segment has corrected the sender's clock to.
	at := fTimestamp
	for _, next := range []field{fReceivedAt, fOriginalTimestamp} {
		if !f.has(at) {
			at = next
		}
	}
	return f.fill(s, name, fMessageID, fields, fields, account, at)
}

// called returns the properties of a view with what the page is called, where
// they don't say that themselves: of two members of one name the last counts.
func (f *former) called(properties []byte) []byte {
	if present(properties) && properties[0] != '{' {
		return properties
	}
	all := []byte{'{'}
	for _, member := range []struct {
		name string
		from field
	}{{`"name":`, fName}, {`"category":`, fCategory}} {
		if v := f.values[member.from]; present(v) && string(v) != `""` {
			all = append(append(append(all, member.name...), v...), ',')
		}
	}
	if len(all) == 1 {
		return properties
	}
	if present(properties) {
		if rest := bytes.TrimLeft(properties[1:], " \t"); rest[0] != '}' {
			return append(all, rest...)
		}
	}
	all[len(all)-1] = '}'
	return all
}
