package rudderstack_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/ingest"
	"github.com/seed14307185/refract/events/ingest/ingesttest"
	"github.com/seed14307185/refract/events/rudderstack"
)

func serve() *ingesttest.Edge {
	return ingesttest.New(func(m ingest.Mount) http.Handler { return &rudderstack.Handler{Mount: m} })
}

var authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(ingesttest.Key+":"))

const source = "rudderstack"

func TestMapping(t *testing.T) {
	e := serve()
	post := func(path, body string) ingesttest.Response {
		return e.Do("POST", path, body, "Authorization", authorization, "Content-Type", "application/x-www-form-urlencoded")
	}
	for _, c := range []struct {
		name, path, body string
		want             []events.Event
	}{
		{"track", "/v1/track", `{"event":"E","userId":"u-1","anonymousId":"a-1","messageId":"m","properties":{"n":1},"context":{"traits":{"x":1},"groupId":"acme"},"originalTimestamp":"2026-11-23T20:27:00.123Z","sentAt":"2026-11-23T20:28:00.123Z"}`,
			[]events.Event{{ID: "m", Kind: events.Track, Name: "E", Visitor: "u-1", Account: "acme", Properties: events.Properties{"n": 1.0}, Time: ingesttest.Now.Add(-time.Minute)}}},
		{"identify with the traits of its context", "/v1/identify", `{"userId":"u-1","anonymousId":"a-1","context":{"traits":{"plan":"pro"}}}`,
			[]events.Event{{Kind: events.Identify, Visitor: "u-1", Anonymous: "a-1", Traits: events.Properties{"plan": "pro"}}}},
		{"identify with its own traits", "/v1/identify", `{"userId":"u-1","traits":{"plan":"pro"},"context":{"traits":{"plan":"x"}}}`,
			[]events.Event{{Kind: events.Identify, Visitor: "u-1", Traits: events.Properties{"plan": "pro"}}}},
		{"group", "/v1/group", `{"userId":"u-1","groupId":"acme","traits":{"seats":5}}`,
			[]events.Event{{Kind: events.Group, Visitor: "u-1", Account: "acme", Traits: events.Properties{"seats": 5.0}}}},
		{"alias", "/v1/alias", `{"userId":"u-1","previousId":"a-1"}`, []events.Event{{Kind: events.Alias, Visitor: "u-1", Anonymous: "a-1"}}},
		{"page", "/v1/page", `{"anonymousId":"a-1","name":"Pricing"}`, []events.Event{{Kind: events.Track, Name: "Page Viewed", Visitor: "a-1", Properties: events.Properties{"name": "Pricing"}}}},
		{"a batch", "/v1/batch", `{"batch":[{"type":"track","event":"A","userId":"u"},{"type":"screen","userId":"u"}]}`,
			[]events.Event{{Kind: events.Track, Name: "A", Visitor: "u"}, {Kind: events.Track, Name: "Screen Viewed", Visitor: "u"}}},
		{"an import", "/v1/import", `{"batch":[{"type":"track","event":"A","userId":"u","messageId":""}]}`, []events.Event{{Kind: events.Track, Name: "A", Visitor: "u"}}},
	} {
		r := post(c.path, ingesttest.Gzip(t, c.body))
		e.Takes(t, c.name, source, r, c.want...)
		if r.Body != "OK" {
			t.Errorf("%s: %q", c.name, r.Body)
		}
	}
	e.Takes(t, "a beacon", source, e.Do("POST", "/beacon/v1/batch?writeKey="+ingesttest.Key, `{"batch":[{"type":"track","event":"A","userId":"u"}]}`),
		events.Event{Kind: events.Track, Name: "A", Visitor: "u"})
}

func TestRefusals(t *testing.T) {
	e := serve()
	const good = `{"event":"E","userId":"u"}`
	shape := func(name string, r ingesttest.Response, _ int) {
		if r.Body == "" || strings.HasPrefix(r.Body, "{") || r.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s: %q %v", name, r.Body, r.Header)
		}
	}
	e.Hostile(t, "/v1/track", good, []string{"Authorization", authorization}, shape)
	for _, headers := range [][]string{nil, {"Authorization", "Basic Og=="}, {"Authorization", "Basic !"}, {"Authorization", "Bearer " + ingesttest.Key}} {
		for _, path := range []string{"/v1/track", "/beacon/v1/batch", "/beacon/v1/batch?writeKey=x"} {
			r := e.Do("POST", path, `{"writeKey":"`+ingesttest.Key+`","event":"E","userId":"u"}`, headers...)
			shape(path, r, 401)
			e.Refuses(t, path, r, 401, "auth")
		}
	}
	for _, path := range []string{"/v1/t", "/v1/merge", "/pixel/v1/track", "/", "/v1/projects/" + ingesttest.Key + "/settings"} {
		e.Refuses(t, path, e.Do("POST", path, good, "Authorization", authorization), 404, "path")
	}
	e.Refuses(t, "GET", e.Do("GET", "/v1/track", ""), 405, "method")
	e.Refuses(t, "nobody", e.Do("POST", "/v1/track", `{"event":"E"}`, "Authorization", authorization), 400, "id")
	e.CrossOrigin(t, "/v1/track")
}

func TestConfig(t *testing.T) {
	e := serve()
	for _, r := range []ingesttest.Response{
		e.Do("GET", "/sourceConfig/?p=npm&v=3", "", "Authorization", authorization),
		e.Do("GET", "/sourceConfig?writeKey="+ingesttest.Key, ""),
	} {
		s, _ := r.JSON(t)["source"].(map[string]any)
		if r.Status != 200 || s["enabled"] != true || s["writeKey"] != ingesttest.Key || s["destinations"] == nil {
			t.Errorf("%d %s", r.Status, r.Body)
		}
	}
	e.Refuses(t, "another key", e.Do("GET", "/sourceConfig/?writeKey=x", ""), 401, "auth")
}

func FuzzDecode(f *testing.F) {
	for _, body := range []string{
		`{"batch":[{"type":"identify","userId":"u","anonymousId":"a","context":{"traits":{"a":[1]}}},{"type":"group","groupId":1,"userId":"u"}],"sentAt":"2026-11-23T20:28:00Z"}`,
		`{"batch":[{"type":"alias","userId":"u","previousId":"p"},{"type":"track","event":"E","anonymousId":"a","originalTimestamp":"2026-11-23T20:27:00Z"}]}`,
	} {
		f.Add([]byte(body))
		f.Add([]byte(ingesttest.Gzip(f, body)))
	}
	e := serve()
	f.Fuzz(func(t *testing.T, body []byte) {
		e.Fuzz(t, source, "/v1/batch", body, "Authorization", authorization)
	})
}
