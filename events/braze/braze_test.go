package braze_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/braze"
	"github.com/seed14307185/refract/events/ingest"
	"github.com/seed14307185/refract/events/ingest/ingesttest"
)

func serve() *ingesttest.Edge {
	return ingesttest.New(func(m ingest.Mount) http.Handler { return &braze.Handler{Mount: m} })
}

const (
	source = "braze"
	path   = "/users/track"
)

var authorization = []string{"Authorization", "Bearer " + ingesttest.Key}

func TestMapping(t *testing.T) {
	e := serve()
	for _, c := range []struct {
		name, body string
		want       []events.Event
	}{
		{"attributes", `{"attributes":[{"external_id":"u-1","plan":"pro","email":"a@b.c","_update_existing_only":true,"old":null}]}`,
			[]events.Event{{Kind: events.Identify, Visitor: "u-1", Traits: events.Properties{"plan": "pro", "email": "a@b.c", "old": nil}}}},
		{"an event", `{"events":[{"external_id":"u-1","app_id":"x","name":"E","time":"2026-11-23T20:27:00.123Z","properties":{"n":1}}]}`,
			[]events.Event{{Kind: events.Track, Name: "E", Visitor: "u-1", Time: ingesttest.Now.Add(-time.Minute), Properties: events.Properties{"n": 1.0}}}},
		{"an event by alias", `{"events":[{"user_alias":{"alias_name":"7","alias_label":"crm"},"name":"E"}]}`, []events.Event{{Kind: events.Track, Name: "E", Visitor: "crm:7"}}},
		{"by braze_id", `{"events":[{"braze_id":"b","email":"a@b.c","name":"E"}]}`, []events.Event{{Kind: events.Track, Name: "E", Visitor: "b"}}},
		{"by address", `{"events":[{"email":"a@b.c","name":"E"},{"phone":"+1","name":"E"}]}`,
			[]events.Event{{Kind: events.Track, Name: "E", Visitor: "a@b.c"}, {Kind: events.Track, Name: "E", Visitor: "+1"}}},
		{"a purchase", `{"purchases":[{"external_id":"u","product_id":"p","currency":"EUR","price":9.5,"quantity":2,"time":"2026-11-23T21:27:00+01:00","properties":{"color":"red"}}]}`,
			[]events.Event{{Kind: events.Track, Name: "Purchase", Visitor: "u", Time: time.Date(2026, 11, 23, 20, 27, 0, 0, time.UTC), Properties: events.Properties{"product_id": "p", "currency": "EUR", "price": 9.5, "quantity": 2.0, "color": "red"}}}},
		{"attributes go first", `{"events":[{"external_id":"u","name":"E"}],"attributes":[{"external_id":"u","a":1}]}`,
			[]events.Event{{Kind: events.Identify, Visitor: "u", Traits: events.Properties{"a": 1.0}}, {Kind: events.Track, Name: "E", Visitor: "u"}}},
	} {
		r := e.Do("POST", path, c.body, authorization...)
		if r.Status != 201 || r.JSON(t)["message"] != "success" {
			t.Errorf("%s: %d %s", c.name, r.Status, r.Body)
		}
		e.Takes(t, c.name, source, r, c.want...)
	}
	r := e.Do("POST", path, `{"attributes":[{"external_id":"u"}],"events":[{"external_id":"u","name":"E"},{"external_id":"u","name":"E"}]}`, authorization...)
	if v := r.JSON(t); v["attributes_processed"] != 1.0 || v["events_processed"] != 2.0 || v["purchases_processed"] != nil {
		t.Errorf("%s", r.Body)
	}
}

func TestRefusals(t *testing.T) {
	e := serve()
	e.Hostile(t, path, `{"events":[{"external_id":"u","name":"E"}]}`, authorization, func(name string, r ingesttest.Response, status int) {
		if v := r.JSON(t); v["message"] == "" || (v["errors"] != nil) != (status < 500) {
			t.Errorf("%s: %s", name, r.Body)
		}
	})
	long := strings.Repeat("x", 300)
	for _, c := range []struct{ name, body, reason string }{
		{"nothing", `{}`, "type"},
		{"empty arrays", `{"events":[],"attributes":[]}`, "type"},
		{"events is an object", `{"events":{}}`, "type"},
		{"no object", `{"events":[1]}`, "type"},
		{"nobody", `{"events":[{"name":"E"}]}`, "id"},
		{"no name", `{"events":[{"external_id":"u"}]}`, "type"},
		{"a long name", `{"events":[{"external_id":"u","name":"` + long + `"}]}`, "limit"},
		{"a long id", `{"attributes":[{"external_id":"` + long + `"}]}`, "id"},
		{"half an alias", `{"events":[{"user_alias":{"alias_name":"a"},"name":"E"}]}`, "id"},
		{"a bad time", `{"events":[{"external_id":"u","name":"E","time":"then"}]}`, "time"},
		{"properties are a list", `{"events":[{"external_id":"u","name":"E","properties":[1]}]}`, "type"},
		{"a purchase of nothing", `{"purchases":[{"external_id":"u"}]}`, "type"},
		{"one of two", `{"events":[{"external_id":"u","name":"E"},{"name":"E"}]}`, "id"},
		{"too much", `{"attributes":[{"external_id":"u","p":"` + strings.Repeat("x", events.MaxEvent) + `"}]}`, "limit"},
		{"a list", `[]`, "type"},
	} {
		e.Refuses(t, c.name, e.Do("POST", path, c.body, authorization...), 400, c.reason)
	}
	for _, value := range []string{"", "Bearer x", "Bearer ", "Basic " + ingesttest.Key} {
		r := e.Do("POST", path, `{"events":[{"external_id":"u","name":"E"}]}`, "Authorization", value)
		if r.JSON(t)["message"] != "Invalid API key" {
			t.Errorf("%q: %s", value, r.Body)
		}
		e.Refuses(t, value, r, 401, "auth")
	}
	e.Refuses(t, "the browser SDK's path", e.Do("POST", "/api/v3/data/", "{}", authorization...), 404, "path")
	e.Refuses(t, "GET", e.Do("GET", path, ""), 405, "method")
}

func FuzzDecode(f *testing.F) {
	for _, body := range []string{
		`{"attributes":[{"external_id":"u","a":[1],"b":null}],"events":[{"braze_id":"b","name":"E","time":"2026-11-23T20:27:00Z","properties":{"a":1}}]}`,
		`{"events":[{"user_alias":{"alias_name":1,"alias_label":"l"},"name":"E"}],"purchases":[{"email":"a@b.c","product_id":"p","price":1,"properties":{"price":2}}]}`,
	} {
		f.Add([]byte(body))
		f.Add([]byte(ingesttest.Gzip(f, body)))
	}
	e := serve()
	f.Fuzz(func(t *testing.T, body []byte) { e.Fuzz(t, source, path, body, authorization...) })
}
