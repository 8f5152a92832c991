package posthog_test

import (
	"net/http/httptest"
	"testing"

	sdk "github.com/posthog/posthog-go"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/ingest/ingesttest"
)

// PostHog's own Go client, pointed at the mount, by either kind of endpoint.
func TestGoSDK(t *testing.T) {
	for name, mode := range map[string]sdk.CaptureMode{"older": sdk.CaptureModeLegacy, "newer": sdk.CaptureModeAnalyticsV1} {
		e := serve()
		s := httptest.NewServer(e)
		client, err := sdk.NewWithConfig(ingesttest.Key, sdk.Config{Endpoint: s.URL + "/mount", CaptureMode: mode})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range []sdk.Message{
			sdk.Alias{DistinctId: "u-1", Alias: "a-1"},
			sdk.Identify{DistinctId: "u-1", Properties: sdk.NewProperties().Set("plan", "trial")},
			sdk.GroupIdentify{Type: "company", Key: "acme", Properties: sdk.NewProperties().Set("seats", 5)},
			sdk.Capture{DistinctId: "u-1", Event: "Project Created", Groups: sdk.NewGroups().Set("company", "acme"), Properties: sdk.NewProperties().Set("seats", 3)},
		} {
			if err := client.Enqueue(m); err != nil {
				t.Fatal(err)
			}
		}
		if err := client.Close(); err != nil { // waits for the answers
			t.Error(err)
		}
		s.Close()
		batches, refused := e.Reset()
		if len(batches) != 1 || len(batches[0]) != 4 || len(refused) != 0 {
			t.Fatalf("%s: %d batches, refused %v", name, len(batches), refused)
		}
		alias, identify, group, track := batches[0][0], batches[0][1], batches[0][2], batches[0][3]
		if alias.Kind != events.Alias || alias.Visitor != "u-1" || alias.Anonymous != "a-1" {
			t.Errorf("%s: %+v", name, alias)
		}
		if identify.Kind != events.Identify || identify.Visitor != "u-1" || identify.Traits["plan"] != "trial" {
			t.Errorf("%s: %+v", name, identify)
		}
		if group.Kind != events.Group || group.Visitor != "$company_acme" || group.Account != "acme" || group.Traits["seats"] != 5.0 {
			t.Errorf("%s: %+v", name, group)
		}
		if track.Name != "Project Created" || track.Visitor != "u-1" || track.Account != "acme" || track.Properties["seats"] != 3.0 || track.ID == "" {
			t.Errorf("%s: %+v", name, track)
		}
	}
}
