package amplitude_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/amplitude"
	"github.com/seed14307185/refract/events/ingest"
	"github.com/seed14307185/refract/events/ingest/ingesttest"
)

func serve() *ingesttest.Edge {
	return ingesttest.New(func(m ingest.Mount) http.Handler { return &amplitude.Handler{Mount: m} })
}

const source = "amplitude"

// body is a request with these events.
func body(messages ...string) string {
	return `{"api_key":"` + ingesttest.Key + `","events":[` + strings.Join(messages, ",") + `],"options":{},"client_upload_time":"2026-11-23T20:28:00.123Z"}`
}

func TestMapping(t *testing.T) {
	e := serve()
	at := ingesttest.Now.Add(-time.Minute)
	for _, c := range []struct {
		name, message string
		want          []events.Event
	}{
		{"an anonymous event", `{"event_type":"E","device_id":"a-1","time":1795465620123,"insert_id":"i","event_properties":{"plan":"pro"},"platform":"Web","ip":"$remote","session_id":5}`,
			[]events.Event{{ID: ingest.JoinID("i", "a-1"), Kind: events.Track, Name: "E", Visitor: "a-1", Time: at, Properties: events.Properties{"plan": "pro"}}}},
		{"a user's event on a device", `{"event_type":"E","user_id":"u-1","device_id":"a-1","groups":{"company":["acme"],"team":"t"}}`,
			[]events.Event{{Kind: events.Track, Name: "E", Visitor: "u-1", Anonymous: "a-1", Account: "acme"}}},
		{"a user's event on a server", `{"event_type":"E","user_id":7,"insert_id":"i","groups":{"company":8}}`,
			[]events.Event{{ID: ingest.JoinID("i", "7"), Kind: events.Track, Name: "E", Visitor: "7", Account: "8"}}},
		{"an empty insert_id is none", `{"event_type":"E","user_id":"u","device_id":null,"insert_id":""}`, []events.Event{{Kind: events.Track, Name: "E", Visitor: "u"}}},
		{"a page view", `{"event_type":"[Amplitude] Page Viewed","user_id":"u","event_properties":{"[Amplitude] Page Path":"/a"}}`,
			[]events.Event{{Kind: events.Track, Name: "Page Viewed", Visitor: "u", Properties: events.Properties{"[Amplitude] Page Path": "/a"}}}},
		{"identify", `{"event_type":"$identify","user_id":"u-1","device_id":"a-1","user_properties":{"$set":{"plan":"pro"},"$unset":{"old":"-"},"$setOnce":{"x":1},"$add":{"n":1}}}`,
			[]events.Event{{Kind: events.Identify, Visitor: "u-1", Anonymous: "a-1", Traits: events.Properties{"plan": "pro", "old": nil}}}},
		{"setGroup", `{"event_type":"$identify","user_id":"u-1","groups":{"company":"acme"},"user_properties":{"$set":{"company":"acme"}}}`,
			[]events.Event{{Kind: events.Identify, Visitor: "u-1", Account: "acme", Traits: events.Properties{"company": "acme"}}}},
		{"user properties of an event", `{"event_type":"E","user_id":"u","insert_id":"i","user_properties":{"plan":"pro"}}`, []events.Event{
			{ID: ingest.JoinID(ingest.JoinID("i", "u"), "user_properties"), Kind: events.Identify, Visitor: "u", Traits: events.Properties{"plan": "pro"}},
			{ID: ingest.JoinID("i", "u"), Kind: events.Track, Name: "E", Visitor: "u"}}},
		{"a group", `{"event_type":"$groupidentify","groups":{"company":"acme"},"group_properties":{"$set":{"seats":5}}}`,
			[]events.Event{{Kind: events.Group, Visitor: "$company_acme", Account: "acme", Traits: events.Properties{"seats": 5.0}}}},
		{"a group by its member", `{"event_type":"$groupidentify","user_id":"u","groups":{"company":"acme"},"group_properties":{"$set":{"seats":5}}}`,
			[]events.Event{{Kind: events.Group, Visitor: "u", Account: "acme", Traits: events.Properties{"seats": 5.0}}}},
		{"a group of another type", `{"event_type":"$groupidentify","groups":{"team":"t"},"group_properties":{"$set":{"seats":5}}}`, nil},
		{"a clock that is years off", `{"event_type":"E","user_id":"u","time":1}`, []events.Event{{Kind: events.Track, Name: "E", Visitor: "u", Misdated: true}}},
	} {
		for _, path := range []string{"/2/httpapi", "/batch"} {
			e.Takes(t, c.name, source, e.Do("POST", path, body(c.message), "Content-Type", "text/plain"), c.want...)
			e.Takes(t, c.name+", compressed", source, e.Do("POST", path, ingesttest.Gzip(t, body(c.message)), "Content-Encoding", "gzip"), c.want...)
		}
	}
}

func TestAnswers(t *testing.T) {
	e := serve()
	sent := body(`{"event_type":"A","user_id":"u"}`, `{"event_type":"B","user_id":"u"}`)
	v := e.Do("POST", "/2/httpapi", sent).JSON(t)
	if v["code"] != 200.0 || v["events_ingested"] != 2.0 || v["payload_size_bytes"] != float64(len(sent)) || v["server_upload_time"] != float64(ingesttest.Now.UnixMilli()) {
		t.Errorf("%v", v)
	}
	if r := e.Do("GET", "/config/"+ingesttest.Key+"?config_group=browser", ""); r.Status != 200 || r.JSON(t)["configs"] == nil {
		t.Errorf("%d %s", r.Status, r.Body)
	}
	e.Reset()
	e.Refuses(t, "another key's configuration", e.Do("GET", "/config/x", ""), 401, "auth")

	// The SDKs drop the events that are named, and send the others again.
	r := e.Do("POST", "/2/httpapi", body(`{"event_type":"A","user_id":"u"}`, `{"event_type":"B"}`, `{"event_type":"C","user_id":[]}`, `{"event_type":"D","user_id":"u"}`))
	bad, _ := r.JSON(t)["events_with_invalid_fields"].(map[string]any)
	if len(bad) != 1 || !reflect.DeepEqual(bad["user_id"], []any{1.0, 2.0}) || r.JSON(t)["missing_field"] != nil {
		t.Errorf("%s", r.Body)
	}
	e.Refuses(t, "two of four", r, 400, "id")
	r = e.Do("POST", "/2/httpapi", body(`{"event_type":"A","user_id":"u","time":"soon"}`))
	if bad, _ := r.JSON(t)["events_with_invalid_fields"].(map[string]any); !reflect.DeepEqual(bad, map[string]any{"time": []any{0.0}}) {
		t.Errorf("%s", r.Body)
	}
	e.Refuses(t, "a time that is none", r, 400, "time")
}

func TestRefusals(t *testing.T) {
	e := serve()
	e.Hostile(t, "/2/httpapi", body(`{"event_type":"E","user_id":"u"}`), nil, func(name string, r ingesttest.Response, status int) {
		v := r.JSON(t)
		if v["code"] != float64(status) || v["error"] == "" || (v["missing_field"] == "events") != (status == 400) {
			t.Errorf("%s: %s", name, r.Body)
		}
	})
	long := strings.Repeat("x", 300)
	for _, c := range []struct{ name, message, reason string }{
		{"no type", `{"user_id":"u"}`, "type"},
		{"a long type", `{"event_type":"` + long + `","user_id":"u"}`, "limit"},
		{"nobody", `{"event_type":"E"}`, "id"},
		{"a long user", `{"event_type":"E","user_id":"` + long + `"}`, "id"},
		{"a list as device", `{"event_type":"E","device_id":[]}`, "type"},
		{"a bad time", `{"event_type":"E","user_id":"u","time":[]}`, "time"},
		{"text as properties", `{"event_type":"E","user_id":"u","event_properties":"x"}`, "type"},
		{"text as user properties", `{"event_type":"$identify","user_id":"u","user_properties":{"$set":"x"}}`, "type"},
		{"text as groups", `{"event_type":"E","user_id":"u","groups":"x"}`, "type"},
		{"an object as group", `{"event_type":"E","user_id":"u","groups":{"company":{}}}`, "type"},
		{"nobody identified", `{"event_type":"$identify","user_properties":{"$set":{"a":1}}}`, "id"},
		{"too much", `{"event_type":"E","user_id":"u","event_properties":{"p":"` + strings.Repeat("x", events.MaxEvent) + `"}}`, "limit"},
		{"no object", `7`, "type"},
	} {
		r := e.Do("POST", "/batch", body(c.message))
		if bad, _ := r.JSON(t)["events_with_invalid_fields"].(map[string]any); len(bad) != 1 {
			t.Errorf("%s: %s", c.name, r.Body)
		}
		e.Refuses(t, c.name, r, 400, c.reason)
	}
	for name, sent := range map[string]string{
		"no events": `{"api_key":"` + ingesttest.Key + `"}`, "none": body(), "a bad upload time": strings.Replace(body(`{}`), "2026-", "x", 1),
		"a list": `[]`,
	} {
		r := e.Do("POST", "/batch", sent)
		if r.Status != 400 || r.JSON(t)["missing_field"] != "events" {
			t.Errorf("%s: %d %s", name, r.Status, r.Body)
		}
	}
	e.Reset()
	for name, key := range map[string]string{"another key": `"x"`, "an empty key": `""`, "a number": `5`, "no key": `null`} {
		r := e.Do("POST", "/2/httpapi", `{"api_key":`+key+`,"events":[{"event_type":"E","user_id":"u"}]}`)
		if v := r.JSON(t); v["code"] != 401.0 || !strings.HasPrefix(v["error"].(string), "Invalid API key") {
			t.Errorf("%s: %s", name, r.Body)
		}
		e.Refuses(t, name, r, 401, "auth")
	}
	e.Refuses(t, "another path", e.Do("POST", "/httpapi", "{}"), 404, "path")
	e.Refuses(t, "GET", e.Do("GET", "/batch", ""), 405, "method")
	e.CrossOrigin(t, "/2/httpapi")
}

func FuzzDecode(f *testing.F) {
	for _, message := range []string{
		`{"event_type":"E","user_id":"u","device_id":"a","time":1795465620123,"insert_id":"i","event_properties":{"a":[1]},"user_properties":{"b":1},"groups":{"company":["g"]}}`,
		`{"event_type":"$identify","device_id":"a","user_properties":{"$set":{"a":1},"$unset":{"b":"-"}}}`,
		`{"event_type":"$groupidentify","groups":{"company":"g"},"group_properties":{"$set":{"a":null}}}`,
	} {
		f.Add([]byte(body(message, message)))
		f.Add([]byte(ingesttest.Gzip(f, body(message))))
	}
	e := serve()
	f.Fuzz(func(t *testing.T, raw []byte) { e.Fuzz(t, source, "/2/httpapi", raw) })
}
