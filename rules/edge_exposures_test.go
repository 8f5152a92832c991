package rules

import (
	"slices"
	"testing"
	"time"
)

func TestExposures(t *testing.T) {
	t.Setenv("REFRACT_TEST_KEY", "a-key")
	dir, _ := unpack(t, "testdata/good/exposures.txtar")
	want := []Destination{
		{Name: "segment", Kind: "segment", URL: "https://events.eu1.segmentapis.com", Key: "a-key", MaxBytes: DefaultQueueBytes},
		{Name: "rudderstack", Kind: "segment", URL: "https://dataplane.example.com", Key: "a-key", MaxBytes: DefaultQueueBytes},
		{Name: "posthog", Kind: "posthog", URL: "https://us.i.posthog.com", Key: "a-key", Group: "company", MaxBytes: 64 << 20},
		{Name: "mixpanel", Kind: "mixpanel", URL: "https://api-in.mixpanel.com", Key: "a-key", Group: "company_id", MaxBytes: DefaultQueueBytes},
		{Name: "amplitude", Kind: "amplitude", URL: "https://api2.amplitude.com", Key: "a-key", MaxBytes: DefaultQueueBytes},
		{Name: "braze", Kind: "braze", URL: "https://rest.iad-01.braze.com", Key: "a-key", MaxBytes: DefaultQueueBytes},
		{Name: "webhook", Kind: "webhook", URL: "http://hooks.example.com/exposures?a=b", Key: "a-key", MaxBytes: DefaultQueueBytes},
		{Name: "file", Kind: "file", Dir: "./exposures", Format: "parquet", Every: 6 * time.Hour, MaxBytes: DefaultQueueBytes},
	}
	if got := load(t, dir).Edge.Exposures; !slices.Equal(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}
