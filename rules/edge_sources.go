package rules

import (
	"github.com/seed14307185/refract/events"
)

// vendors are the sources that there are, with the key of each by the vendor's
// own name, and whether it has several types of group.
var vendors = []struct {
	name, key string
	groups    bool
}{
	{"segment", "write_key", false},
	{"rudderstack", "write_key", false},
	{"posthog", "api_key", true},
	{"mixpanel", "token", true},
	{"amplitude", "api_key", true},
	{"braze", "api_key", false},
}

// readSources reads the sources. Without a key there is none.
func (e *Edge) readSources(v value) {
	names := make([]string, len(vendors))
	for i, vendor := range vendors {
		names[i] = vendor.name
	}
	f, ok := v.fields("a mapping of sources", names...)
	if !ok {
		return
	}
	for _, vendor := range vendors {
		keys := []string{vendor.key}
		if vendor.groups {
			keys = append(keys, "account")
		}
		s, ok := f.get(vendor.name).fields("a mapping with "+vendor.key, keys...)
		if !ok {
			continue
		}
		var source Source
		set(&source.Account)(s.get("account").word(events.MaxName))
		if key, ok := secret(s.get(vendor.key)); ok {
			source.Key = key
			if e.Sources == nil {
				e.Sources = map[string]Source{}
			}
			e.Sources[vendor.name] = source
		} else if !s.get(vendor.key).present() && s.get("account").present() {
			s.get("account").refuse("set "+vendor.key+" to env:NAME too", "account says nothing without %s", vendor.key)
		}
	}
}

// tellsAccounts says whether a source can tell which account a visitor has.
func (e *Edge) tellsAccounts() bool {
	for _, vendor := range vendors {
		s, ok := e.Sources[vendor.name]
		if ok && vendor.name != "braze" && (!vendor.groups || s.Account != "") {
			return true
		}
	}
	return false
}
