package rules

import (
	"slices"
	"strings"

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
		keys := []string{vendor.key, "tee", "consent"}
		if vendor.groups {
			keys = append(keys, "account")
		}
		s, ok := f.get(vendor.name).fields("a mapping with "+vendor.key, keys...)
		if !ok {
			continue
		}
		var source Source
		set(&source.Account)(s.get("account").word(events.MaxName))
		source.Tee, source.Consent = readTee(s.get("tee"), vendor.name), readConsent(s.get("consent"))
		if key, ok := secret(s.get(vendor.key)); ok {
			source.Key = key
			if source.Tee != nil {
				source.Tee.Key = key
			}
			if e.Sources == nil {
				e.Sources = map[string]Source{}
			}
			e.Sources[vendor.name] = source
			continue
		}
		for _, other := range keys[1:] {
			if v := s.get(other); !s.get(vendor.key).present() && v.present() {
				v.refuse("set "+vendor.key+" to env:NAME too", "%s says nothing without %s", other, vendor.key)
			}
		}
	}
}

// readTee reads where a source's requests are sent on to: true is the vendor's
// public address, a text another, and a mapping says how much may wait too.
func readTee(v value, vendor string) *Destination {
	if !v.present() {
		return nil
	}
	d := &Destination{Name: Tee + vendor, Kind: Tee + vendor, MaxBytes: DefaultQueueBytes}
	var regions []region
	for _, r := range receivers {
		if r.kind == vendor {
			regions = r.regions
		}
	}
	switch {
	case v.isMapping():
		known := []string{"host", "max_bytes"}
		if regions != nil {
			known = append(known, "region")
		}
		f, ok := v.fields("", known...)
		if !ok {
			return nil
		}
		set(&d.MaxBytes)(queueBytes(f.get("max_bytes")))
		d.URL = vendorAddress(f, vendor, regions)
	case v.node.ShortTag() == "!!bool":
		yes, _ := v.boolean()
		switch {
		case !yes:
			return nil
		case regions == nil:
			v.refuse("write "+strings.Replace(ownHost[vendor], "host:", "tee:", 1), "%s has no address that is everyone's", vendor)
			return nil
		}
		d.URL = regions[0].url
	case v.node.ShortTag() == "!!str":
		d.URL = baseAddress(v)
	default:
		v.expect("true, an address such as https://events.example.com, or a mapping with host and max_bytes", "")
	}
	if strings.Contains(d.URL, "/_refract/") {
		v.warn("name the vendor's own address", "%s's tee goes to a mount of Refract: if it is this one, each request comes back until it is refused", vendor)
	}
	return d
}

// readConsent reads the cookie that a visitor's consent is in.
func readConsent(v value) *Consent {
	f, ok := v.fields("a mapping with cookie and value", "cookie", "value", "contains")
	if !ok {
		return nil
	}
	c := &Consent{}
	cookie := f.need("cookie", "the cookie in which your consent banner keeps the answer: cookie: analytics_consent")
	if name, ok := cookie.word(200); ok {
		if !tokenSyntax().MatchString(name) {
			cookie.refuse("", "%q can't be a cookie's name", name)
		}
		c.Cookie = name
	}
	value, part := f.get("value"), f.get("contains")
	switch {
	case value.present() && part.present():
		part.refuse("leave one of them out", "consent has a value and a part of it")
	case part.present():
		set(&c.Contains)(part.word(1000))
	default:
		set(&c.Value)(f.need("value", "what the cookie says where the visitor agreed: value: granted").word(1000))
	}
	return c
}

// Destinations are all that a letter can wait for: those of exposures, of notices,
// and of sources with a tee, in an order of their own.
func (e *Edge) Destinations() []Destination {
	list := slices.Concat(e.Exposures, e.Notices)
	for _, vendor := range vendors {
		if s := e.Sources[vendor.name]; s.Tee != nil {
			list = append(list, *s.Tee)
		}
	}
	return list
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
