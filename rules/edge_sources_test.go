package rules

import (
	"os"
	"path/filepath"
	"reflect"
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
		"{mixpanel: {token: env:REFRACT_TEST_KEY, account: company}}":                        {"mixpanel": {"a-key", "company"}},
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
