package rules

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
)

func TestSources(t *testing.T) {
	t.Setenv("REFRACT_TEST_KEY", "a-key")
	dir := t.TempDir()
	for text, want := range map[string]map[string]Source{
		"{}":            nil,
		"{segment: {}}": nil,
		"{posthog: {}}": nil,
		"{segment: {write_key: env:REFRACT_TEST_KEY}}":                                       {"segment": {Key: "a-key"}},
		"{mixpanel: {token: env:REFRACT_TEST_KEY, account: company}}":                        {"mixpanel": {Key: "a-key", Account: "company"}},
		"{posthog: {api_key: env:REFRACT_TEST_KEY}, braze: {api_key: env:REFRACT_TEST_KEY}}": {"posthog": {Key: "a-key"}, "braze": {Key: "a-key"}},
	} {
		if err := os.WriteFile(filepath.Join(dir, "refract.yaml"), []byte("origin: http://127.0.0.1:3000\nsources: "+text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Load(dir)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if !reflect.DeepEqual(s.Edge.Sources, want) {
			t.Errorf("%s: %+v, want %+v", text, s.Edge.Sources, want)
		}
	}
}

func TestTee(t *testing.T) {
	t.Setenv("REFRACT_TEST_KEY", "a-key")
	dir, _ := unpack(t, "testdata/good/tee.txtar")
	edge := load(t, dir).Edge
	to := func(vendor, url string, bytes int64) Destination {
		return Destination{Name: "tee:" + vendor, Kind: "tee:" + vendor, URL: url, Key: "a-key", MaxBytes: bytes}
	}
	want := []Destination{
		{Name: "segment", Kind: "segment", URL: "https://api.segment.io", Key: "a-key", MaxBytes: DefaultQueueBytes},
		to("segment", "https://api.segment.io", DefaultQueueBytes),
		to("rudderstack", "https://dataplane.example.com", DefaultQueueBytes),
		to("posthog", "https://eu.i.posthog.com", 1<<30),
		to("amplitude", "http://events.example.com/_refract/ingest/amplitude", DefaultQueueBytes),
		to("braze", "https://rest.iad-01.braze.com", DefaultQueueBytes),
	}
	if got := edge.Destinations(); !slices.Equal(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	consents := map[string]*Consent{}
	for name, s := range edge.Sources {
		if s.Consent != nil {
			consents[name] = s.Consent
		}
	}
	if want := map[string]*Consent{
		"segment": {Cookie: "analytics", Value: "granted"}, "posthog": {Cookie: "OptanonConsent", Contains: "C0002:1"},
	}; !reflect.DeepEqual(consents, want) {
		t.Errorf("%+v\nwant %+v", consents, want)
	}
}
