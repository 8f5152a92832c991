package cohorts

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/ingest"
	"github.com/seed14307185/refract/segments"
	"github.com/seed14307185/refract/store"
)

// segment takes what Segment's Webhooks (Actions) destination sends of Engage
// audiences: the events Audience Entered and Audience Exited, or identify calls
// whose trait of the audience's name is true or false; one, or an array of
// them. Other events are none of ours, and taken all the same.
type segment struct{ Feed }

func (h *segment) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.answer(w, h.take(w, r)) }

func (h *segment) take(w http.ResponseWriter, r *http.Request) error {
	if strings.Trim(r.URL.Path, "/") != "" {
		return ingest.NoPath()
	}
	if h.Token != "" && !h.allows(r, h.Token) {
		return ingest.BadKey("token")
	}
	raw, err := h.body(w, r)
	if err != nil {
		return err
	}
	list, err := elements(raw)
	if err != nil {
		return err
	}
	if len(list) > 0 {
		raw = list[0]
	}
	if h.Secret != "" && !h.signed(raw, r.Header.Get("X-Signature")) {
		return ingest.BadKey("signature")
	}
	moves := moves{of: map[string]*moved{}}
	for _, raw := range list {
		if err := h.read(raw, &moves); err != nil {
			return err
		}
	}
	for _, name := range moves.names {
		if err := h.change(r.Context(), name, moves.of[name].change()); err != nil {
			return err
		}
	}
	return nil
}

// signed says whether the signature is the message's: of an array, Segment
// signs the first.
func (h *segment) signed(message []byte, signature string) bool {
	mac := hmac.New(sha1.New, []byte(h.Secret))
	mac.Write(message)
	is, err := hex.DecodeString(strings.TrimSpace(signature))
	return err == nil && hmac.Equal(is, mac.Sum(nil))
}

// read reads one message: who entered or left which audience, if it says that.
func (h *segment) read(raw json.RawMessage, m *moves) error {
	f, err := ingest.Decode(raw)
	if err != nil {
		return err
	}
	context, err := f.Object("context")
	if err != nil {
		return err
	}
	personas, err := context.Object("personas")
	if err != nil {
		return err
	}
	key, err := personas.Text("computation_key")
	if err != nil {
		return err
	}
	audience := personas["computation_class"] == nil || personas["computation_class"] == "audience"
	var enters, known bool
	switch kind, _ := f.Text("type"); kind {
	case "track":
		properties, err := f.Object("properties")
		if err != nil {
			return err
		}
		said, err := properties.Text("audience_key")
		if err != nil {
			return err
		}
		key = cmp.Or(said, key)
		enters, known = f["event"] == "Audience Entered", f["event"] == "Audience Entered" || f["event"] == "Audience Exited"
	case "identify", "group":
		traits, err := f.Object("traits")
		if err != nil {
			return err
		}
		if key != "" {
			enters, known = truth(traits[key])
		}
	}
	if !known || !audience {
		return nil
	}
	name, err := cohortName("segment", "the audience's key", key)
	if err != nil {
		return err
	}
	unit, err := segmentUnit(f, context)
	if err != nil {
		return err
	}
	message, err := f.ID("messageId")
	if err != nil {
		return err
	}
	m.add(name, unit, enters, message)
	return nil
}

// segmentUnit is whom a message is about: a visitor, or in an audience of
// accounts the account.
func segmentUnit(f, context ingest.Fields) (segments.Unit, error) {
	for _, id := range []struct {
		in    ingest.Fields
		field string
		who   segments.Who
	}{{f, "userId", segments.Visitor}, {f, "anonymousId", segments.Visitor}, {f, "groupId", segments.Account}, {context, "groupId", segments.Account}} {
		if f["type"] == "group" && id.who == segments.Visitor {
			continue // a group call says what an account is
		}
		s, err := id.in.ID(id.field)
		if err != nil {
			return segments.Unit{}, err
		}
		if s != "" {
			return segments.Unit{Who: id.who, ID: s}, nil
		}
	}
	return segments.Unit{}, events.Refuse(events.RefusedID, "userId or anonymousId is needed")
}

// moves are who entered and left which cohorts, as the last of several messages
// has it.
type moves struct {
	names []string // in the order in which they came up
	of    map[string]*moved
}

type moved struct {
	units    []segments.Unit
	enters   map[segments.Unit]bool
	messages []string
	unnamed  bool // a message had no id
}

func (m *moves) add(name string, u segments.Unit, enters bool, message string) {
	c := m.of[name]
	if c == nil {
		c = &moved{enters: map[segments.Unit]bool{}}
		m.of[name] = c
		m.names = append(m.names, name)
	}
	if _, seen := c.enters[u]; !seen {
		c.units = append(c.units, u)
	}
	c.enters[u] = enters
	c.messages = append(c.messages, message)
	c.unnamed = c.unnamed || message == ""
}

func (m *moved) change() store.Change {
	var c store.Change
	for _, u := range m.units {
		if m.enters[u] {
			c.Add = append(c.Add, store.Member{Unit: u})
		} else {
			c.Remove = append(c.Remove, u)
		}
	}
	if !m.unnamed {
		c.Message = strings.Join(m.messages, "\n") // which are grouped anew when they are sent again
	}
	return c
}
