package segment_test

import (
	"testing"
	"time"

	"github.com/segmentio/analytics-go/v3"

	"github.com/seed14307185/refract/events"
)

// Segment's own Go client, pointed at the mount.
func TestGoSDK(t *testing.T) {
	e := serve(t)
	e.handler.Now = nil // the client has the real clock
	client, err := analytics.NewWithConfig(writeKey, analytics.Config{Endpoint: e.URL + "/_refract/ingest/segment"})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []analytics.Message{
		analytics.Identify{UserId: "u-1", AnonymousId: "a-1", Traits: analytics.NewTraits().Set("plan", "trial")},
		analytics.Track{UserId: "u-1", Event: "Project Created", Properties: analytics.NewProperties().Set("seats", 3), Context: &analytics.Context{Extra: map[string]any{"groupId": "acme"}}},
	} {
		if err := client.Enqueue(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Close(); err != nil { // waits for the answers
		t.Fatal(err)
	}
	if len(e.batches) != 1 || len(e.batches[0]) != 2 || len(e.refused) != 0 {
		t.Fatalf("%d batches, refused %v", len(e.batches), e.refused)
	}
	identify, track := e.batches[0][0], e.batches[0][1]
	if identify.Kind != events.Identify || identify.Visitor != "u-1" || identify.Anonymous != "a-1" || identify.Traits["plan"] != "trial" {
		t.Errorf("%+v", identify)
	}
	if track.Kind != events.Track || track.Name != "Project Created" || track.Visitor != "u-1" || track.Account != "acme" || track.Properties["seats"] != 3.0 {
		t.Errorf("%+v", track)
	}
	if age := track.Received.Sub(track.Time); track.ID == "" || track.ID == identify.ID || age < 0 || age > time.Minute {
		t.Errorf("%+v", track)
	}
}
