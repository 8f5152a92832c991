package posthog_test

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
	"github.com/seed14307185/refract/events/posthog"
)

func serve() *ingesttest.Edge {
	return ingesttest.New(func(m ingest.Mount) http.Handler { return &posthog.Handler{Mount: m} })
}

const key = `"api_key":"` + ingesttest.Key + `"`

// one is a body with one event.
func one(fields string) string { return `{` + key + `,` + fields + `}` }

func TestMapping(t *testing.T) {
	e := serve()
	for _, c := range []struct {
		name, fields string
		want         []events.Event
	}{
		{"track", `"event":"Project Created","uuid":"m","distinct_id":"u-1","properties":{"plan":"pro","$browser":"Chrome","$current_url":"https://a/b","$lib":"web","token":"x","$groups":{"company":"acme","project":"p"}}`,
			[]events.Event{{ID: "m", Kind: events.Track, Name: "Project Created", Visitor: "u-1", Account: "acme", Properties: events.Properties{"plan": "pro", "$current_url": "https://a/b"}}}},
		{"distinct_id among the properties", `"event":"E","properties":{"distinct_id":"u-1"}`, []events.Event{{Kind: events.Track, Name: "E", Visitor: "u-1"}}},
		{"the outer distinct_id goes first", `"event":"E","distinct_id":7,"properties":{"distinct_id":"u-1"}`, []events.Event{{Kind: events.Track, Name: "E", Visitor: "7"}}},
		{"an empty uuid is none", `"event":"E","uuid":"","distinct_id":"u"`, []events.Event{{Kind: events.Track, Name: "E", Visitor: "u"}}},
		{"$insert_id is one", `"event":"E","distinct_id":"u","properties":{"$insert_id":"i"}`, []events.Event{{ID: "i", Kind: events.Track, Name: "E", Visitor: "u"}}},
		{"a page view", `"event":"$pageview","distinct_id":"u","properties":{"$pathname":"/a"}`, []events.Event{{Kind: events.Track, Name: "Page Viewed", Visitor: "u", Properties: events.Properties{"$pathname": "/a"}}}},
		{"a screen view", `"event":"$screen","distinct_id":"u"`, []events.Event{{Kind: events.Track, Name: "Screen Viewed", Visitor: "u"}}},
		{"identify merges", `"event":"$identify","distinct_id":"u-1","properties":{"$anon_distinct_id":"a-1"},"$set":{"plan":"pro","$browser":"x"},"$set_once":{"first":1}`,
			[]events.Event{{Kind: events.Identify, Visitor: "u-1", Anonymous: "a-1", Traits: events.Properties{"plan": "pro"}}}},
		{"identify on a server", `"event":"$identify","distinct_id":"u-1","properties":{"$set":{"plan":"pro"}}`,
			[]events.Event{{Kind: events.Identify, Visitor: "u-1", Traits: events.Properties{"plan": "pro"}}}},
		{"identify of oneself", `"event":"$identify","distinct_id":"u","properties":{"$anon_distinct_id":"u"}`, []events.Event{{Kind: events.Identify, Visitor: "u"}}},
		{"$set and $unset", `"event":"$set","distinct_id":"u","$set":{"a":1},"$unset":["b"]`, []events.Event{{Kind: events.Identify, Visitor: "u", Traits: events.Properties{"a": 1.0, "b": nil}}}},
		{"traits on a track", `"event":"E","uuid":"m","distinct_id":"u","properties":{"$set":{"a":1}}`, []events.Event{
			{ID: ingest.JoinID("m", "$set"), Kind: events.Identify, Visitor: "u", Traits: events.Properties{"a": 1.0}},
			{ID: "m", Kind: events.Track, Name: "E", Visitor: "u"}}},
		{"alias", `"event":"$create_alias","distinct_id":"u-1","properties":{"alias":"a-1"}`, []events.Event{{Kind: events.Alias, Visitor: "u-1", Anonymous: "a-1"}}},
		{"alias of oneself", `"event":"$create_alias","distinct_id":"u","properties":{"alias":"u"}`, []events.Event{{Kind: events.Identify, Visitor: "u"}}},
		{"merge", `"event":"$merge_dangerously","distinct_id":"u-1","properties":{"alias":"u-2"}`, []events.Event{{Kind: events.Alias, Visitor: "u-1", Anonymous: "u-2"}}},
		{"group", `"event":"$groupidentify","distinct_id":"u-1","properties":{"$group_type":"company","$group_key":"acme","$group_set":{"seats":5},"$groups":{"company":"old"}}`,
			[]events.Event{{Kind: events.Group, Visitor: "u-1", Account: "acme", Traits: events.Properties{"seats": 5.0}}}},
		{"a group of another type", `"event":"$groupidentify","distinct_id":"u-1","properties":{"$group_type":"project","$group_key":"p"}`, nil},
		{"a heatmap", `"event":"$$heatmap","distinct_id":"u"`, nil},
		{"a recording", `"event":"$snapshot","distinct_id":"u"`, nil},
		{"its time", `"event":"E","distinct_id":"u","timestamp":"2026-11-23T20:26:00Z"`, []events.Event{{Kind: events.Track, Name: "E", Visitor: "u", Time: time.Date(2026, 11, 23, 20, 26, 0, 0, time.UTC)}}},
		{"its age", `"event":"E","distinct_id":"u","offset":60000`, []events.Event{{Kind: events.Track, Name: "E", Visitor: "u", Time: ingesttest.Now.Add(-time.Minute)}}},
		{"a clock that is years off", `"event":"E","distinct_id":"u","timestamp":"2016-01-01T00:00:00Z"`, []events.Event{{Kind: events.Track, Name: "E", Visitor: "u", Misdated: true}}},
	} {
		e.Takes(t, c.name, "posthog", e.Do("POST", "/e/", one(c.fields)), c.want...)
	}
}

// Everything that an SDK wraps a body in, on every path.
func TestForms(t *testing.T) {
	e := serve()
	const inner = `"event":"E","distinct_id":"u","uuid":"m"`
	body := one(inner)
	encoded := base64.StdEncoding.EncodeToString([]byte(body))
	want := events.Event{ID: "m", Kind: events.Track, Name: "E", Visitor: "u"}
	for name, wrapped := range map[string]string{
		"one":               body,
		"an array":          `[` + body + `]`,
		"tokens of events":  `[{"token":"` + ingesttest.Key + `",` + inner + `}]`,
		"$token":            `{"$token":"` + ingesttest.Key + `",` + inner + `}`,
		"among properties":  `{` + inner + `,"properties":{"token":"` + ingesttest.Key + `"}}`,
		"a batch":           `{` + key + `,"batch":[{` + inner + `}]}`,
		"gzip":              ingesttest.Gzip(t, body),
		"base64":            encoded,
		"a form":            "data=" + url.QueryEscape(encoded),
		"a form of JSON":    "data=" + url.QueryEscape(body),
		"an unescaped form": "data=" + encoded,
		"gzip of a form":    ingesttest.Gzip(t, "data="+url.QueryEscape(encoded)),
	} {
		for _, path := range []string{"/e", "/e/?compression=x&_=1", "/i/v0/e/", "/track", "/engage/", "/capture/", "/batch/"} {
			e.Takes(t, name+" to "+path, "posthog", e.Do("POST", path, wrapped), want)
		}
	}
	e.Takes(t, "GET", "posthog", e.Do("GET", "/e/?data="+url.QueryEscape(encoded), ""), want)
	if r := e.Do("POST", "/batch", one(`"batch":[]`)); r.Status != 200 {
		t.Errorf("an empty batch: %d %s", r.Status, r.Body)
	}
	sent := `{` + key + `,"sent_at":"2026-11-23T21:28:00.123Z","batch":[{"event":"A","distinct_id":"u","timestamp":"2026-11-23T21:27:00.123Z"},{"event":"B","distinct_id":"u"}]}`
	e.Takes(t, "a clock an hour fast", "posthog", e.Do("POST", "/batch", sent),
		events.Event{Kind: events.Track, Name: "A", Visitor: "u", Time: ingesttest.Now.Add(-time.Minute)}, events.Event{Kind: events.Track, Name: "B", Visitor: "u"})
}

func TestV1(t *testing.T) {
	e := serve()
	const body = `{"created_at":"2026-11-23T20:28:00.123Z","batch":[{"event":"E","uuid":"m-1","distinct_id":"u","timestamp":"2026-11-23T20:27:00.123Z","options":{},"properties":{"a":1}},{"event":"$identify","uuid":"m-2","distinct_id":"u"}]}`
	r := e.Do("POST", "/i/v1/analytics/events", ingesttest.Gzip(t, body), "Authorization", "Bearer "+ingesttest.Key, "Content-Encoding", "gzip")
	results := r.JSON(t)["results"].(map[string]any)
	if len(results) != 2 || results["m-1"].(map[string]any)["result"] != "ok" || results["m-2"].(map[string]any)["result"] != "ok" {
		t.Errorf("%s", r.Body)
	}
	e.Takes(t, "v1", "posthog", r,
		events.Event{ID: "m-1", Kind: events.Track, Name: "E", Visitor: "u", Properties: events.Properties{"a": 1.0}, Time: ingesttest.Now.Add(-time.Minute)},
		events.Event{ID: "m-2", Kind: events.Identify, Visitor: "u"})
	for _, authorization := range []string{"", "Bearer x", ingesttest.Key[1:]} {
		e.Refuses(t, "v1 with "+authorization, e.Do("POST", "/i/v1/analytics/events", body, "Authorization", authorization), 401, "auth")
	}
	e.Hostile(t, "/i/v1/analytics/events", `{"batch":[{"event":"E","distinct_id":"u"}]}`, []string{"Authorization", "Bearer " + ingesttest.Key}, shape(t))
}

// shape checks PostHog's shape of a refusal.
func shape(t *testing.T) func(string, ingesttest.Response, int) {
	return func(name string, r ingesttest.Response, _ int) {
		t.Helper()
		v := r.JSON(t)
		if attr, ok := v["attr"]; v["type"] == "" || v["code"] == "" || v["detail"] == "" || attr != nil || !ok {
			t.Errorf("%s: %s", name, r.Body)
		}
	}
}

func TestHostile(t *testing.T) {
	e := serve()
	e.Hostile(t, "/e/", one(`"event":"E","distinct_id":"u"`), nil, shape(t))
	long := strings.Repeat("x", 300)
	for _, c := range []struct{ name, fields, reason string }{
		{"no event", `"distinct_id":"u"`, "type"},
		{"event is a number", `"event":1,"distinct_id":"u"`, "type"},
		{"a long event", `"event":"` + long + `","distinct_id":"u"`, "limit"},
		{"nobody", `"event":"E"`, "id"},
		{"a long id", `"event":"E","distinct_id":"` + long + `"`, "id"},
		{"a list as id", `"event":"E","distinct_id":["u"]`, "type"},
		{"a fraction as id", `"event":"E","distinct_id":1.5`, "type"},
		{"a long uuid", `"event":"E","distinct_id":"u","uuid":"` + long + `"`, "id"},
		{"properties are a list", `"event":"E","distinct_id":"u","properties":[1]`, "type"},
		{"a bad time", `"event":"E","distinct_id":"u","timestamp":"yesterday"`, "time"},
		{"a number as time", `"event":"E","distinct_id":"u","timestamp":1`, "time"},
		{"$set is a list", `"event":"$identify","distinct_id":"u","$set":[1]`, "type"},
		{"an alias of nobody", `"event":"$create_alias","distinct_id":"u"`, "id"},
		{"a group without a key", `"event":"$groupidentify","distinct_id":"u","properties":{"$group_type":"company"}`, "id"},
		{"$groups is text", `"event":"E","distinct_id":"u","properties":{"$groups":"acme"}`, "type"},
		{"too many properties", `"event":"E","distinct_id":"u","properties":{"p":"` + strings.Repeat("x", events.MaxEvent) + `"}`, "limit"},
		{"a batch that is none", `"batch":{}`, "type"},
		{"no objects", `"batch":[1]`, "type"},
		{"one of two", `"batch":[{"event":"E","distinct_id":"u"},{"event":"E"}]`, "id"},
		{"too many", `"batch":[` + strings.TrimSuffix(strings.Repeat("0,", events.MaxBatch+1), ",") + `]`, "limit"},
	} {
		r := e.Do("POST", "/batch", one(c.fields))
		shape(t)(c.name, r, r.Status)
		e.Refuses(t, c.name, r, 400, c.reason)
	}
	e.Refuses(t, "a number", e.Do("POST", "/e", "7"), 400, "body")
	e.Refuses(t, "lz64", e.Do("POST", "/e?compression=lz64", "data=N4Ig"), 400, "body")
	e.Refuses(t, "nothing", e.Do("POST", "/e", ""), 400, "json")
}

func TestKey(t *testing.T) {
	e := serve()
	for name, body := range map[string]string{
		"none":               `{"event":"E","distinct_id":"u"}`,
		"another":            `{"api_key":"x","event":"E","distinct_id":"u"}`,
		"empty":              `{"api_key":"","event":"E","distinct_id":"u"}`,
		"a number":           `{"api_key":1,"event":"E","distinct_id":"u"}`,
		"another of a batch": `{"api_key":"x","batch":[{"event":"E","distinct_id":"u"}]}`,
		"one of two":         `[` + one(`"event":"E","distinct_id":"u"`) + `,{"event":"E","distinct_id":"u"}]`,
		"nothing":            `[]`,
	} {
		r := e.Do("POST", "/e/", body)
		if v := r.JSON(t); v["type"] != "authentication_error" || v["code"] != "invalid_api_key" {
			t.Errorf("%s: %s", name, r.Body)
		}
		e.Refuses(t, name, r, 401, "auth")
	}
	unset := &posthog.Handler{}
	if unset.Allows("") {
		t.Error("without a key the empty key is right")
	}
}

// What the SDKs ask before and beside their events.
func TestConfig(t *testing.T) {
	e := serve()
	r := e.Do("GET", "/array/"+ingesttest.Key+"/config", "")
	if v := r.JSON(t); r.Status != 200 || v["hasFeatureFlags"] != false || v["sessionRecording"] != false {
		t.Errorf("config: %d %s", r.Status, r.Body)
	}
	r = e.Do("GET", "/array/"+ingesttest.Key+"/config.js", "")
	if r.Status != 200 || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/javascript") || !strings.Contains(r.Body, "_POSTHOG_REMOTE_CONFIG") {
		t.Errorf("config.js: %d %s", r.Status, r.Body)
	}
	for _, path := range []string{"/flags/?v=2", "/decide/?v=3"} {
		r = e.Do("POST", path, `{"token":"`+ingesttest.Key+`","distinct_id":"u"}`)
		if v := r.JSON(t); r.Status != 200 || v["errorsWhileComputingFlags"] != false {
			t.Errorf("%s: %d %s", path, r.Status, r.Body)
		}
		e.Refuses(t, path, e.Do("POST", path, `{"token":"x","distinct_id":"u"}`), 401, "auth")
	}
	if r = e.Do("POST", "/s/", "x"); r.Status != 200 {
		t.Errorf("recordings: %d %s", r.Status, r.Body)
	}
	e.Reset()
	e.Refuses(t, "another key", e.Do("GET", "/array/x/config", ""), 401, "auth")
	for _, path := range []string{"/", "/array/x/y", "/static/array.js", "/v1/track", "/e/e"} {
		r := e.Do("GET", path, "")
		shape(t)(path, r, 404)
		e.Refuses(t, path, r, 404, "path")
	}
	e.Refuses(t, "PUT", e.Do("PUT", "/e", ""), 405, "method")
	e.CrossOrigin(t, "/e/")
}

func FuzzDecode(f *testing.F) {
	for _, body := range []string{
		one(`"event":"$identify","distinct_id":"u","properties":{"$anon_distinct_id":"a","$groups":{"company":1}},"$set":{"a":[1]},"$unset":["b"]`),
		`[` + one(`"event":"$groupidentify","properties":{"distinct_id":"u","$group_type":"company","$group_key":"g","$group_set":{"x":null}},"offset":5`) + `]`,
		`{` + key + `,"sent_at":"2026-11-23T21:28:00Z","batch":[{"event":"$create_alias","distinct_id":"u","properties":{"alias":"a"}},{"event":"E","uuid":"m","distinct_id":"u","properties":{"$set":{"a":1},"b":"c"},"timestamp":"2026-11-23T21:27:00Z"}]}`,
		ingesttest.Gzip(f, one(`"event":"E","distinct_id":"u"`)),
		"data=" + base64.StdEncoding.EncodeToString([]byte(one(`"event":"$pageview","distinct_id":"u"`))),
	} {
		f.Add(true, []byte(body))
		f.Add(false, []byte(body))
	}
	e := serve()
	f.Fuzz(func(t *testing.T, older bool, body []byte) {
		if older {
			e.Fuzz(t, "posthog", "/e/", body)
		} else {
			e.Fuzz(t, "posthog", "/i/v1/analytics/events", body, "Authorization", "Bearer "+ingesttest.Key)
		}
	})
}
