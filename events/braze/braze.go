// Package braze takes events as Braze's endpoint /users/track does, so that a
// server that tells Braze what users did can tell the edge.
//
// Answers are Braze's: an object with message and, where something is wrong,
// errors. What Braze's browser SDK sends is not taken: it is a private protocol,
// in whose answers Braze sends messages for the user.
package braze

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/ingest"
)

// Source is the Source of the events that come this way.
const Source = "braze"

// Handler serves POST /users/track. The mount's prefix must be stripped before.
// It is safe for concurrent use.
//
// A sender presents the REST API key as a bearer token.
type Handler struct{ ingest.Mount }

type object map[string]any

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	counts, err := h.take(w, r)
	if err == nil {
		counts["message"] = "success"
		ingest.WriteJSON(w, http.StatusCreated, counts)
		return
	}
	a := h.Refuse(w, err)
	switch a.Reason {
	case events.RefusedAuth:
		ingest.WriteJSON(w, a.Status, object{"message": "Invalid API key"})
	case events.RefusedUnavailable:
		ingest.WriteJSON(w, a.Status, object{"message": a.Text})
	default:
		ingest.WriteJSON(w, a.Status, object{"message": a.Text, "errors": []object{{"type": a.Text}}})
	}
}

// arrays are the arrays of a request, in the order in which they are applied.
var arrays = []string{"attributes", "events", "purchases"}

// take stores the request's events and returns how many there were in each
// array.
func (h *Handler) take(w http.ResponseWriter, r *http.Request) (object, error) {
	if strings.TrimSuffix(r.URL.Path, "/") != "/users/track" {
		return nil, ingest.NoPath()
	}
	if r.Method != http.MethodPost {
		return nil, ingest.NotPosted()
	}
	key, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !h.Allows(key) {
		return nil, ingest.BadKey("API key")
	}
	body, err := ingest.JSON(w, r)
	if err != nil {
		return nil, err
	}
	counts, clock := object{}, h.Clock()
	var batch []*events.Event
	for _, array := range arrays {
		items, err := body.List(array)
		if err != nil {
			return nil, err
		}
		for i, item := range items {
			f, err := ingest.Object(item)
			var e *events.Event
			if err == nil {
				e, err = decode(array, f, clock)
			}
			if err != nil {
				return nil, fmt.Errorf("%s[%d]: %w", array, i, err)
			}
			batch = append(batch, e)
		}
		if len(items) > 0 {
			counts[array+"_processed"] = len(items)
		}
	}
	if len(batch) == 0 {
		return nil, events.Refuse(events.RefusedType, "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields.")
	}
	if len(batch) > events.MaxBatch {
		return nil, events.Refuse(events.RefusedLimit, "more than %d messages", events.MaxBatch)
	}
	return counts, h.Store(r, batch)
}

// decode maps an element of an array. Braze knows no id of an event: each
// counts.
func decode(array string, f ingest.Fields, c ingest.Clock) (*events.Event, error) {
	e := &events.Event{Source: Source}
	var err error
	if e.Visitor, err = visitor(f); err != nil {
		return nil, err
	}
	var at time.Time
	switch array {
	case "attributes":
		e.Kind, e.Traits = events.Identify, f.Own([]string{"_"}, nil, ids)
	case "events":
		e.Kind = events.Track
		e.Name, err = f.Name("name")
	case "purchases":
		e.Kind, e.Name = events.Track, "Purchase"
		_, err = f.Name("product_id")
	}
	if err == nil && array != "attributes" {
		at, err = f.Instant("time")
	}
	if err == nil && array != "attributes" {
		var properties ingest.Fields
		properties, err = f.Object("properties")
		e.Properties = events.Properties(properties)
	}
	if err != nil {
		return nil, err
	}
	if array == "purchases" {
		e.Properties = purchase(f, e.Properties)
	}
	c.Date(e, at, time.Time{})
	return e, ingest.Check(e, "external_id")
}

// bought are the fields of a purchase that are its event's properties.
var bought = []string{"product_id", "currency", "price", "quantity"}

func purchase(f ingest.Fields, properties events.Properties) events.Properties {
	all := events.Properties{}
	for name, v := range properties {
		all[name] = v
	}
	for _, name := range bought {
		if v, ok := f[name]; ok {
			all[name] = v
		}
	}
	return all
}

// ids are the fields of attributes that are no trait.
var ids = []string{"external_id", "braze_id", "user_alias", "app_id", "push_token_import"}

// visitor returns who it is: external_id, braze_id, an alias as label:name, or
// an address.
func visitor(f ingest.Fields) (string, error) {
	for _, field := range []string{"external_id", "braze_id"} {
		if id, err := f.ID(field); id != "" || err != nil {
			return id, err
		}
	}
	alias, err := f.Object("user_alias")
	if err != nil {
		return "", err
	}
	if alias != nil {
		label, err := alias.Text("alias_label")
		if err != nil {
			return "", err
		}
		name, err := alias.ID("alias_name")
		if err == nil && (label == "" || name == "") {
			err = events.Refuse(events.RefusedID, "user_alias needs alias_label and alias_name")
		}
		if err != nil {
			return "", err
		}
		return ingest.ID("user_alias", label+":"+name)
	}
	for _, field := range []string{"email", "phone"} {
		if id, err := f.ID(field); id != "" || err != nil {
			return id, err
		}
	}
	return "", nil
}
