package mixpanel_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/ingest"
	"github.com/seed14307185/refract/events/ingest/ingesttest"
	"github.com/seed14307185/refract/events/mixpanel"
)

func serve() *ingesttest.Edge {
	return ingesttest.New(func(m ingest.Mount) http.Handler { return &mixpanel.Handler{Mount: m} })
}

const source = "mixpanel"

// track is an event with these properties.
func track(name, properties string) string {
	return `{"event":"` + name + `","properties":{"token":"` + ingesttest.Key + `",` + properties + `}}`
}

// update is a profile's update.
func update(fields string) string { return `{"$token":"` + ingesttest.Key + `",` + fields + `}` }

func TestMapping(t *testing.T) {
	e := serve()
	at := time.Date(2026, 11, 23, 20, 27, 27, 799_000_000, time.UTC)
	for _, c := range []struct {
		name, path, body string
		want             []events.Event
	}{
		{"an anonymous event", "/track", track("E", `"distinct_id":"$device:a-1","$device_id":"a-1","time":1795465647.799,"$insert_id":"i","plan":"pro","$browser":"x","mp_lib":"web","$current_url":"https://a/b"`),
			[]events.Event{{ID: ingest.JoinID("i", "E", "a-1", "1795465647799"), Kind: events.Track, Name: "E", Visitor: "a-1", Time: at, Properties: events.Properties{"plan": "pro", "$current_url": "https://a/b"}}}},
		{"an event in milliseconds", "/track", track("E", `"distinct_id":"u-1","time":1795465647799`), []events.Event{{Kind: events.Track, Name: "E", Visitor: "u-1", Time: at}}},
		{"a user's first event on a device", "/track", track("E", `"distinct_id":"u-1","$device_id":"a-1","$user_id":"u-1","company":["acme","b"]`),
			[]events.Event{{Kind: events.Track, Name: "E", Visitor: "u-1", Anonymous: "a-1", Account: "acme", Properties: events.Properties{"company": []any{"acme", "b"}}}}},
		{"a company that is none", "/track", track("E", `"distinct_id":"u","company":true`), []events.Event{{Kind: events.Track, Name: "E", Visitor: "u", Properties: events.Properties{"company": true}}}},
		{"an empty $insert_id is none", "/track", track("E", `"distinct_id":"u","$insert_id":""`), []events.Event{{Kind: events.Track, Name: "E", Visitor: "u"}}},
		{"a page view", "/track", track("$mp_web_page_view", `"distinct_id":"u","current_url_path":"/a"`), []events.Event{{Kind: events.Track, Name: "Page Viewed", Visitor: "u", Properties: events.Properties{"current_url_path": "/a"}}}},
		{"$identify", "/track", track("$identify", `"distinct_id":"u-1","$anon_distinct_id":"$device:a-1"`), []events.Event{{Kind: events.Identify, Visitor: "u-1", Anonymous: "a-1"}}},
		{"$identify of a server", "/track", track("$identify", `"$identified_id":"u-1","$anon_id":"a-1"`), []events.Event{{Kind: events.Identify, Visitor: "u-1", Anonymous: "a-1"}}},
		{"$create_alias", "/track", track("$create_alias", `"distinct_id":"a-1","alias":"u-1"`), []events.Event{{Kind: events.Alias, Visitor: "u-1", Anonymous: "a-1"}}},
		{"an alias of oneself", "/track", track("$create_alias", `"distinct_id":"u","alias":"u"`), []events.Event{{Kind: events.Identify, Visitor: "u"}}},
		{"$merge", "/import", track("$merge", `"$distinct_ids":["u-1","$device:a-1"]`), []events.Event{{Kind: events.Alias, Visitor: "u-1", Anonymous: "a-1"}}},
		{"a person", "/engage", update(`"$distinct_id":"u-1","$set":{"plan":"pro","$email":"a@b.c","$os":"x","company":"acme"},"$unset":["old"]`),
			[]events.Event{{Kind: events.Identify, Visitor: "u-1", Account: "acme", Traits: events.Properties{"plan": "pro", "$email": "a@b.c", "company": "acme", "old": nil}}}},
		{"a person who was anonymous", "/engage", update(`"$distinct_id":"u-1","$device_id":"a-1","$user_id":"u-1","$set_once":{"first":1}`), []events.Event{{Kind: events.Identify, Visitor: "u-1", Anonymous: "a-1"}}},
		{"what would need the value before", "/engage", update(`"$distinct_id":"u-1","$add":{"n":1}`), nil},
		{"a group", "/groups", update(`"$group_key":"company","$group_id":"acme","$set":{"seats":5}`),
			[]events.Event{{Kind: events.Group, Visitor: "$company_acme", Account: "acme", Traits: events.Properties{"seats": 5.0}}}},
		{"a group of another key", "/groups", update(`"$group_key":"team","$group_id":"t","$set":{"seats":5}`), nil},
		{"several", "/track", `[` + track("A", `"distinct_id":"u"`) + `,` + track("B", `"distinct_id":"u"`) + `]`,
			[]events.Event{{Kind: events.Track, Name: "A", Visitor: "u"}, {Kind: events.Track, Name: "B", Visitor: "u"}}},
	} {
		encoded := base64.StdEncoding.EncodeToString([]byte(c.body))
		for form, body := range map[string]string{"JSON": c.body, "a form": "data=" + url.QueryEscape(encoded), "a form of JSON": "data=" + url.QueryEscape(c.body), "gzip": ingesttest.Gzip(t, c.body)} {
			e.Takes(t, c.name+" as "+form, source, e.Do("POST", c.path+"/?verbose=1&ip=1", body), c.want...)
		}
		e.Takes(t, c.name+" by GET", source, e.Do("GET", c.path+"?ip=0&verbose=0&data="+url.QueryEscape(encoded), ""), c.want...)
	}
	e.Takes(t, "a clock an hour fast", source, e.Do("POST", "/track?_=1795469280123", track("E", `"distinct_id":"u","time":1795469220123`)),
		events.Event{Kind: events.Track, Name: "E", Visitor: "u", Time: ingesttest.Now.Add(-time.Minute)})
	e.Takes(t, "lines", source, e.Do("POST", "/import?strict=1", track("A", `"distinct_id":"u"`)+"\n\n"+track("B", `"distinct_id":"u"`)+"\n", "Content-Type", "application/x-ndjson"),
		events.Event{Kind: events.Track, Name: "A", Visitor: "u"}, events.Event{Kind: events.Track, Name: "B", Visitor: "u"})
}

// Without a group key that is the account, no property is.
func TestNoAccount(t *testing.T) {
	e := ingesttest.New(func(m ingest.Mount) http.Handler { m.Account = ""; return &mixpanel.Handler{Mount: m} })
	e.Takes(t, "an event", source, e.Do("POST", "/track", track("E", `"distinct_id":"u","":"acme"`)),
		events.Event{Kind: events.Track, Name: "E", Visitor: "u", Properties: events.Properties{"": "acme"}})
	e.Takes(t, "a group", source, e.Do("POST", "/groups", update(`"$group_key":"company","$group_id":"acme","$set":{"seats":5}`)))
}

func TestAnswers(t *testing.T) {
	e := serve()
	body := track("E", `"distinct_id":"u"`)
	for _, c := range []struct {
		target, body string
		status       int
		want         string
	}{
		{"/track", body, 200, "1"},
		{"/track/?verbose=0", body, 200, "1"},
		{"/track?verbose=1", body, 200, `{"error":null,"status":1}`},
		{"/import?strict=1", `[` + body + `,` + body + `]`, 200, `{"code":200,"num_records_imported":2,"status":"OK"}`},
		{"/track", "data=" + url.QueryEscape(body) + "&verbose=1&ip=0", 200, `{"error":null,"status":1}`}, // Python's
		{"/engage", "data=%7B&verbose=1&ip=0", 400, `{"error":"not one JSON value: at byte 1: unexpected end of JSON input","status":0}`},
		{"/track", "{", 400, "0"},
		{"/track", `{"event":"E","properties":{"token":"x","distinct_id":"u"}}`, 401, "0"},
		{"/track?verbose=1", `{"event":"E","properties":{"token":"x","distinct_id":"u"}}`, 401, `{"error":"the token is missing or wrong","status":0}`},
		{"/import", `{"event":"E","properties":{"token":"x","distinct_id":"u"}}`, 401, `{"code":401,"error":"the token is missing or wrong","status":"Unauthorized"}`},
		{"/nothing", body, 404, "0"},
	} {
		if r := e.Do("POST", c.target, c.body); r.Status != c.status || strings.TrimSpace(r.Body) != c.want {
			t.Errorf("%s %s: %d %s, want %d %s", c.target, c.body, r.Status, r.Body, c.status, c.want)
		}
	}
	authorization := "Basic " + base64.StdEncoding.EncodeToString([]byte(ingesttest.Key+":"))
	e.Reset()
	e.Takes(t, "an import with the token as user name", source, e.Do("POST", "/import", `[{"event":"E","properties":{"distinct_id":"u"}}]`, "Authorization", authorization),
		events.Event{Kind: events.Track, Name: "E", Visitor: "u"})
	r := e.Do("GET", "/settings/?sdk_config=1", "", "Authorization", authorization)
	if config, _ := r.JSON(t)["sdk_config"].(map[string]any); r.Status != 200 || config["config"] == nil {
		t.Errorf("settings: %d %s", r.Status, r.Body)
	}
	if r := e.Do("GET", "/flags/", "", "Authorization", authorization); r.Status != 200 || r.JSON(t)["flags"] == nil {
		t.Errorf("flags: %d %s", r.Status, r.Body)
	}
	e.Reset()
	for _, path := range []string{"/settings/", "/flags/"} {
		e.Refuses(t, path, e.Do("GET", path, ""), 401, "auth")
	}
	for _, path := range []string{"/decide/?v=3", "/record/"} {
		if r := e.Do("POST", path, ""); r.Status != 200 {
			t.Errorf("%s: %d %s", path, r.Status, r.Body)
		}
	}
}

func TestRefusals(t *testing.T) {
	e := serve()
	e.Hostile(t, "/track?verbose=1", track("E", `"distinct_id":"u"`), nil, func(name string, r ingesttest.Response, _ int) {
		if v := r.JSON(t); v["status"] != 0.0 || v["error"] == "" {
			t.Errorf("%s: %s", name, r.Body)
		}
	})
	long := strings.Repeat("x", 300)
	for _, c := range []struct{ name, path, body, reason string }{
		{"no event", "/track", `{"properties":{"token":"` + ingesttest.Key + `","distinct_id":"u"}}`, "type"},
		{"a long event", "/track", track(long, `"distinct_id":"u"`), "limit"},
		{"nobody", "/track", track("E", `"a":1`), "id"},
		{"a long id", "/track", track("E", `"distinct_id":"`+long+`"`), "id"},
		{"a list as id", "/track", track("E", `"distinct_id":[]`), "type"},
		{"a bad time", "/track", track("E", `"distinct_id":"u","time":"then"`), "time"},
		{"a time before time", "/track", track("E", `"distinct_id":"u","time":-5`), "time"},
		{"the end of time", "/track", track("E", `"distinct_id":"u","time":1e300`), "time"},
		{"an object as time", "/track", track("E", `"distinct_id":"u","time":{}`), "time"},
		{"too much", "/track", track("E", `"distinct_id":"u","p":"`+strings.Repeat("x", events.MaxEvent)+`"`), "limit"},
		{"an alias of nobody", "/track", track("$create_alias", `"distinct_id":"u"`), "id"},
		{"a merge of one", "/track", track("$merge", `"$distinct_ids":["u"]`), "id"},
		{"$set is a list", "/engage", update(`"$distinct_id":"u","$set":[1]`), "type"},
		{"nobody's profile", "/engage", update(`"$set":{"a":1}`), "id"},
		{"a group without an id", "/groups", update(`"$group_key":"company","$set":{"a":1}`), "id"},
		{"a group with a long id", "/groups", update(`"$group_key":"company","$group_id":"` + long[:195] + `","$set":{"a":1}`), "id"},
		{"one of two", "/track", `[` + track("A", `"distinct_id":"u"`) + `,` + track("B", `"a":1`) + `]`, "id"},
		{"text", "/track", `data=` + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(`"x"`))), "type"},
		{"neither JSON nor base64", "/track", "data=%7E%7E", "body"},
		{"nothing", "/track", "", "json"},
	} {
		e.Refuses(t, c.name, e.Do("POST", c.path, c.body), 400, c.reason)
	}
	for name, body := range map[string]string{
		"no token": `{"event":"E","properties":{"distinct_id":"u"}}`, "nothing": `[]`, "a number": `{"event":"E","properties":{"token":5}}`,
		"one of two": `[` + track("A", `"distinct_id":"u"`) + `,{"event":"E","properties":{"distinct_id":"u"}}]`,
	} {
		e.Refuses(t, name, e.Do("POST", "/track", body), 401, "auth")
	}
	e.Refuses(t, "PUT", e.Do("PUT", "/track", ""), 405, "method")
	e.CrossOrigin(t, "/track/")
}

func FuzzDecode(f *testing.F) {
	for i, body := range []string{
		`[` + track("E", `"distinct_id":"$device:a","$device_id":"a","$user_id":"u","time":1795465647.7,"$insert_id":"i","company":["g"],"p":[1]`) + `]`,
		update(`"$distinct_id":"u","$set":{"a":1,"company":"g"},"$unset":["b"]`),
		`[` + update(`"$group_key":"company","$group_id":7,"$set":{"a":null}`) + `]`,
		track("$merge", `"$distinct_ids":["a","$device:b"]`),
		track("$create_alias", `"distinct_id":"$device:b","alias":"u"`),
		"data=" + base64.StdEncoding.EncodeToString([]byte(track("$identify", `"distinct_id":"u","$anon_distinct_id":"$device:a"`))),
	} {
		f.Add(uint8(i), []byte(body))
		f.Add(uint8(0), []byte(body))
	}
	e := serve()
	f.Fuzz(func(t *testing.T, path uint8, body []byte) {
		e.Fuzz(t, source, []string{"/track", "/engage", "/groups", "/import"}[path%4], body)
	})
}
