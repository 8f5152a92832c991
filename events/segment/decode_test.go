package segment_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/ingest/ingesttest"
)

var received = now.Truncate(time.Millisecond)

func TestMapping(t *testing.T) {
	e := serve(t)
	for _, c := range []struct {
		name, path, body string
		want             events.Event // Source, Time and Received aside
	}{
		{"track", "track", `{"event":"Project Created","userId":"u-1","messageId":"m","properties":{"plan":"trial","n":1,"tags":["a"]},"context":{"groupId":"acme","traits":{"x":1}}}`,
			events.Event{ID: "m", Kind: events.Track, Name: "Project Created", Visitor: "u-1", Account: "acme", Properties: events.Properties{"plan": "trial", "n": 1.0, "tags": []any{"a"}}}},
		{"track with both ids says nothing of the anonymous one", "track", `{"event":"E","userId":"u-1","anonymousId":"a-1"}`,
			events.Event{Kind: events.Track, Name: "E", Visitor: "u-1"}},
		{"anonymous track", "t", `{"event":"E","userId":null,"anonymousId":"a-1","messageId":"","properties":{}}`,
			events.Event{Kind: events.Track, Name: "E", Visitor: "a-1"}},
		{"a number as id", "track", `{"event":"E","userId":42,"context":{"groupId":-7.0}}`,
			events.Event{Kind: events.Track, Name: "E", Visitor: "42", Account: "-7"}},
		{"identify merges", "identify", `{"userId":"u-1","anonymousId":"a-1","traits":{"plan":"pro"}}`,
			events.Event{Kind: events.Identify, Visitor: "u-1", Anonymous: "a-1", Traits: events.Properties{"plan": "pro"}}},
		{"identify with one id", "i", `{"userId":"u-1"}`, events.Event{Kind: events.Identify, Visitor: "u-1"}},
		{"identify of an anonymous visitor", "i", `{"anonymousId":"a-1","traits":{"plan":"pro"}}`,
			events.Event{Kind: events.Identify, Visitor: "a-1", Traits: events.Properties{"plan": "pro"}}},
		{"identify with the same id twice", "i", `{"userId":"u-1","anonymousId":"u-1"}`, events.Event{Kind: events.Identify, Visitor: "u-1"}},
		{"group", "group", `{"userId":"u-1","anonymousId":"a-1","groupId":"acme","traits":{"seats":5},"context":{"groupId":"other"}}`,
			events.Event{Kind: events.Group, Visitor: "u-1", Account: "acme", Traits: events.Properties{"seats": 5.0}}},
		{"group, one letter", "g", `{"anonymousId":"a-1","groupId":7}`, events.Event{Kind: events.Group, Visitor: "a-1", Account: "7"}},
		{"page", "page", `{"userId":"u-1","name":"Pricing","category":"Docs","properties":{"path":"/pricing"}}`,
			events.Event{Kind: events.Track, Name: "Page Viewed", Visitor: "u-1", Properties: events.Properties{"path": "/pricing", "name": "Pricing", "category": "Docs"}}},
		{"page that names itself", "p", `{"userId":"u-1","name":"A","properties":{"name":"B"}}`,
			events.Event{Kind: events.Track, Name: "Page Viewed", Visitor: "u-1", Properties: events.Properties{"name": "B"}}},
		{"page without a word", "p", `{"userId":"u-1","name":null}`, events.Event{Kind: events.Track, Name: "Page Viewed", Visitor: "u-1"}},
		{"screen", "screen", `{"userId":"u-1","name":"Home"}`,
			events.Event{Kind: events.Track, Name: "Screen Viewed", Visitor: "u-1", Properties: events.Properties{"name": "Home"}}},
		{"what PHP sends of empty maps", "track", `{"event":"E","userId":"u","properties":[],"context":[]}`, events.Event{Kind: events.Track, Name: "E", Visitor: "u"}},
		{"screen, one letter", "s", `{"userId":"u-1"}`, events.Event{Kind: events.Track, Name: "Screen Viewed", Visitor: "u-1"}},
		{"alias", "alias", `{"userId":"u-1","previousId":"a-1","anonymousId":"a-2"}`, events.Event{Kind: events.Alias, Visitor: "u-1", Anonymous: "a-1"}},
		{"alias to itself", "a", `{"userId":"u-1","previousId":"u-1"}`, events.Event{Kind: events.Identify, Visitor: "u-1"}},
		{"the path decides the type", "track", `{"type":"identify","event":"E","userId":"u"}`, events.Event{Kind: events.Track, Name: "E", Visitor: "u"}},
		{"names of fields are case-sensitive", "track", `{"event":"E","userId":"u","UserId":"v","MessageID":"x"}`, events.Event{Kind: events.Track, Name: "E", Visitor: "u"}},
	} {
		got := e.taken(t, "/v1/"+c.path, c.body)
		c.want.Source, c.want.Time, c.want.Received = "segment", received, received
		if len(got) != 1 || !reflect.DeepEqual(*got[0], c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, *got[0], c.want)
		}
	}
}

func TestTimes(t *testing.T) {
	e := serve(t)
	at := func(s string) time.Time {
		at, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for name, c := range map[string]struct {
		fields string
		want   time.Time
	}{
		"timestamp":                      {`"timestamp":"2026-11-23T20:27:58.777Z"`, at("2026-11-23T20:27:58.777Z")},
		"in a zone":                      {`"timestamp":"2026-11-23T21:27:58+01:00"`, at("2026-11-23T20:27:58Z")},
		"without a zone":                 {`"timestamp":"2026-11-23T20:27:58.777888"`, at("2026-11-23T20:27:58.777Z")},
		"with a plain offset":            {`"timestamp":"2026-11-23T21:27:58.777+0100"`, at("2026-11-23T20:27:58.777Z")},
		"as Python prints it":            {`"timestamp":"2026-11-23 20:27:58.777888+00:00"`, at("2026-11-23T20:27:58.777Z")},
		"without seconds":                {`"timestamp":"2026-11-23T20:27Z"`, at("2026-11-23T20:27:00Z")},
		"null":                           {`"timestamp":null`, received},
		"empty":                          {`"timestamp":"","sentAt":""`, received},
		"an hour fast":                   {`"timestamp":"2026-11-23T21:27:00Z","sentAt":"2026-11-23T21:28:00Z"`, received.Add(-time.Minute)},
		"original time goes first":       {`"originalTimestamp":"2026-11-23T21:27:00Z","timestamp":"2026-11-23T01:00:00Z","sentAt":"2026-11-23T21:28:00Z"`, received.Add(-time.Minute)},
		"in the future":                  {`"timestamp":"2027-01-01T00:00:00Z"`, received},
		"older than events may be":       {`"timestamp":"2026-11-22T20:27:00Z"`, received},
		"the end of time":                {`"timestamp":"9999-12-31T23:59:59Z","sentAt":"0000-01-01T00:00:00Z"`, received},
		"a dispatch without a timestamp": {`"sentAt":"2026-11-23T20:27:58Z"`, received},
	} {
		got := e.taken(t, "/v1/track", `{"event":"E","userId":"u",`+c.fields+`}`)[0]
		if !got.Time.Equal(c.want) || got.Time.Location() != time.UTC || !got.Received.Equal(received) {
			t.Errorf("%s: %v, received %v, want %v", name, got.Time, got.Received, c.want)
		}
	}
}

// The batch's context and sentAt stand in for a message's own.
func TestBatchStandsIn(t *testing.T) {
	e := serve(t)
	got := e.taken(t, "/v1/b", `{"context":{"groupId":"acme"},"sentAt":"2026-11-23T21:28:00Z","batch":[
		{"type":"track","event":"A","userId":"u","timestamp":"2026-11-23T21:27:00Z"},
		{"type":"track","event":"B","userId":"u","timestamp":"2026-11-23T21:27:00Z","sentAt":"2026-11-23T21:27:30Z","context":{"groupId":"umbrella"}},
		{"type":"page","userId":"u","context":{"page":{}}}]}`)
	for i, want := range []events.Event{
		{Name: "A", Account: "acme", Time: received.Add(-time.Minute)},
		{Name: "B", Account: "umbrella", Time: received.Add(-30 * time.Second)},
		{Name: "Page Viewed", Account: "acme", Time: received},
	} {
		if g := got[i]; g.Name != want.Name || g.Account != want.Account || !g.Time.Equal(want.Time) {
			t.Errorf("%d: %+v, want %+v", i, g, want)
		}
	}
}

// What the SDKs sent when they were watched.
func TestObservedRequests(t *testing.T) {
	e := serve(t)
	node := e.taken(t, "/v1/batch", `{"batch":[{"timestamp":"2026-11-23T20:27:58.777Z","integrations":{},"event":"Experiment Viewed","type":"track","properties":{"experiment_id":"hero","variation_id":"b"},"context":{"library":{"name":"@segment/analytics-node","version":"3.1.0"}},"userId":"u-1","anonymousId":"anon-9","messageId":"node-next-1795465678777-8d0f"}],"writeKey":"SEGWK","sentAt":"2026-11-23T20:27:59.123Z"}`,
		"Content-Type", "application/json")
	browser := e.taken(t, "/v1/t", `{"timestamp":"2026-11-23T20:27:58.777Z","integrations":{},"userId":"u-1","anonymousId":"13c75dc9-c5ef-473e-aca2-90ec4b76c02f","event":"Experiment Viewed","type":"track","properties":{"experiment_id":"hero","variation_id":"b"},"context":{"page":{"path":"/","referrer":"","search":"","title":"","url":"http://shop.example.com/"},"locale":"en-US","library":{"name":"analytics.js","version":"npm:next-1.84.3"}},"messageId":"ajs-next-1795465678777-13c7","writeKey":"SEGWK","sentAt":"2026-11-23T20:27:59.123Z","_metadata":{"bundled":["Segment.io"],"unbundled":[],"bundledIds":[]}}`,
		"Content-Type", "text/plain")
	zipped := e.taken(t, "/v1/batch", ingesttest.Gzip(t, `{"batch":[{"type":"track","event":"Experiment Viewed","userId":"u-1","messageId":"m","timestamp":"2026-11-23T20:27:58.777Z","properties":{"experiment_id":"hero","variation_id":"b"}}],"sentAt":"2026-11-23T20:27:59.123Z"}`),
		"Content-Type", "application/x-www-form-urlencoded", "Content-Encoding", "gzip")
	for id, got := range map[string][]*events.Event{"node-next-1795465678777-8d0f": node, "ajs-next-1795465678777-13c7": browser, "m": zipped} {
		want := events.Event{
			ID: id, Source: "segment", Kind: events.Track, Name: "Experiment Viewed", Visitor: "u-1",
			Time: received.Add(-346 * time.Millisecond), Received: received,
			Properties: events.Properties{"experiment_id": "hero", "variation_id": "b"},
		}
		if len(got) != 1 || !reflect.DeepEqual(*got[0], want) {
			t.Errorf(" got %+v\nwant %+v", got[0], want)
		}
	}
}
