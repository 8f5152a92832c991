package cohorts

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

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
	if err := posted(r); err != nil {
		return err
	}
	raw, err := payload(w, r)
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

// message is what of a message can be about an audience.
type message struct {
	Type       word           `json:"type"`
	Event      word           `json:"event"`
	ID         word           `json:"messageId"`
	User       word           `json:"userId"`
	Anonymous  word           `json:"anonymousId"`
	Group      word           `json:"groupId"`
	Properties jsontext.Value `json:"properties"`
	Traits     jsontext.Value `json:"traits"`
	Context    struct {
		Group    word `json:"groupId"`
		Personas struct {
			Class word `json:"computation_class"`
			Key   word `json:"computation_key"`
		} `json:"personas"`
	} `json:"context"`
}

// read reads one message: who entered or left which audience, if it says that.
func (h *segment) read(raw []byte, all *moves) error {
	var m message
	if err := decode(raw, &m); err != nil {
		return err
	}
	key, enters, known, err := m.audience()
	if err != nil || !known {
		return err
	}
	name, err := cohortName("segment", "the audience's key", key)
	if err != nil {
		return err
	}
	all.add(name, m.unit(), enters, string(m.ID))
	return nil
}

// audience returns which audience somebody has entered or left; known is false
// of a message that doesn't say that.
func (m *message) audience() (key string, enters, known bool, err error) {
	personas := &m.Context.Personas
	if personas.Class != "" && personas.Class != "audience" {
		return "", false, false, nil
	}
	switch m.Type {
	case "track":
		if m.Event != "Audience Entered" && m.Event != "Audience Exited" {
			return "", false, false, nil
		}
		var said struct {
			Key word `json:"audience_key"`
		}
		if m.Properties != nil {
			err = decode(m.Properties, &said)
		}
		return string(cmp.Or(said.Key, personas.Key)), m.Event == "Audience Entered", true, err
	case "identify", "group":
		if personas.Key == "" || m.Traits == nil {
			return "", false, false, nil
		}
		var traits map[string]jsontext.Value
		if err := decode(m.Traits, &traits); err != nil {
			return "", false, false, err
		}
		var is flag
		if v, ok := traits[string(personas.Key)]; ok && json.Unmarshal(v, &is) != nil {
			return "", false, false, nil // a trait of another kind
		}
		return string(personas.Key), is.is, is.told, nil
	}
	return "", false, false, nil
}

// unit is whom a message is about: a visitor, or in an audience of accounts the
// account. Its id is empty if it is about nobody who could be known here.
func (m *message) unit() segments.Unit {
	if id := cmp.Or(m.User, m.Anonymous); id != "" && m.Type != "group" { // which says what an account is
		return segments.Unit{Who: segments.Visitor, ID: string(id)}
	}
	return segments.Unit{Who: segments.Account, ID: string(cmp.Or(m.Group, m.Context.Group))}
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
	c.messages = append(c.messages, message)
	c.unnamed = c.unnamed || message == ""
	if u.ID == "" {
		return
	}
	if _, seen := c.enters[u]; !seen {
		c.units = append(c.units, u)
	}
	c.enters[u] = enters
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
