package rules

import (
	"net/url"
	"strings"
	"time"
)

// What a destination need not say.
const (
	DefaultQueueBytes = 256 << 20
	DefaultFileEvery  = time.Hour
)

// Tee begins the kind and the name of a destination that is sent a source's
// requests; the vendor's name follows. No other destination's name has a colon.
const Tee = "tee:"

// Destination is who is told of first exposures, or sent a source's requests.
type Destination struct {
	// Name tells destinations apart, in metrics and on disk: what waits for one
	// waits for its name. The kind, if the site gives none.
	Name string
	Kind string // "segment", "posthog", "mixpanel", "amplitude", "braze", "webhook", "file", or Tee and a source's name
	// URL is where the vendor's API begins, without a slash at its end, or the
	// whole address of a webhook. Empty for files.
	URL string
	// Key is the vendor's key, or what a webhook is signed with, resolved; empty: not
	// signed. Requests of a tee carry theirs.
	Key string
	// Group is the vendor's name for the kind of group that accounts are: where
	// it needs one and there is none, exposures of accounts are left out.
	Group    string
	MaxBytes int64         // of what waits; DefaultQueueBytes
	Dir      string        // of files, relative to the working directory
	Format   string        // of files: "jsonl" (default) or "parquet"
	Every    time.Duration // a file is written so long after the oldest line in it; DefaultFileEvery
}

// receivers are the kinds of destination that there are. A vendor has a key by
// its own name for it, and an address in each of its regions.
var receivers = []struct {
	kind, key string
	regions   []region
	groups    bool
}{
	{"segment", "write_key", []region{{"us", "https://api.segment.io"}, {"eu", "https://events.eu1.segmentapis.com"}}, false},
	{"posthog", "api_key", []region{{"us", "https://us.i.posthog.com"}, {"eu", "https://eu.i.posthog.com"}}, true},
	{"mixpanel", "token", []region{{"us", "https://api.mixpanel.com"}, {"eu", "https://api-eu.mixpanel.com"}, {"in", "https://api-in.mixpanel.com"}}, true},
	{"amplitude", "api_key", []region{{"us", "https://api2.amplitude.com"}, {"eu", "https://api.eu.amplitude.com"}}, true},
	{"braze", "api_key", nil, false},
	{"webhook", "", nil, false},
	{"file", "", nil, false},
}

type region struct{ name, url string }

// readExposures reads the list of destinations.
func (e *Edge) readExposures(v value) {
	list, ok := v.list("destinations such as segment: {write_key: env:NAME}")
	if !ok {
		return
	}
	kinds := make([]string, len(receivers))
	for i, r := range receivers {
		kinds[i] = r.kind
	}
	for _, entry := range list {
		f, ok := entry.fields("a mapping with one destination, such as segment: {write_key: env:NAME}", kinds...)
		if !ok || len(f.pairs) == 0 && len(f.meant) > 0 {
			continue
		}
		if len(f.pairs) != 1 {
			entry.refuse("begin each destination with \"- \"", "an entry of exposures is one destination, found %d", len(f.pairs))
			continue
		}
		d := readDestination(f.pairs[0].value)
		for _, other := range e.Exposures {
			if d.Name == other.Name {
				f.pairs[0].key.refuse("give one of them another name: …", "two destinations are called %q", d.Name)
			}
		}
		e.Exposures = append(e.Exposures, d)
	}
}

// readDestination reads a destination, whose kind is the value's name.
func readDestination(v value) Destination {
	d := Destination{Name: v.name, Kind: v.name, MaxBytes: DefaultQueueBytes}
	known := []string{"name", "max_bytes"}
	i := 0
	for receivers[i].kind != d.Kind {
		i++
	}
	r := receivers[i]
	switch {
	case d.Kind == "webhook":
		known = append(known, "url", "secret")
	case d.Kind == "file":
		known = append(known, "dir", "format", "every")
		d.Format, d.Every = "jsonl", DefaultFileEvery
	default:
		known = append(known, r.key, "host")
		if r.regions != nil {
			known = append(known, "region")
		}
		if r.groups {
			known = append(known, "group")
		}
	}
	f, ok := v.fields("a mapping with "+strings.Join(known[2:], ", "), known...)
	if !ok {
		return d
	}
	name := f.get("name")
	if s, ok := name.word(100); ok {
		if !nameSyntax().MatchString(s) {
			name.refuse(nameHint, "%q can't be a name", s)
		}
		d.Name = s
	}
	set(&d.MaxBytes)(queueBytes(f.get("max_bytes")))
	switch d.Kind {
	case "webhook":
		set(&d.URL)(postAddress(f.need("url", "where exposures are posted to: url: https://service.example.com/exposures")))
		set(&d.Key)(secret(f.get("secret")))
	case "file":
		set(&d.Dir)(f.need("dir", "the directory that files are written to: dir: ./exposures").text())
		set(&d.Format)(f.get("format").oneOf("jsonl", "parquet"))
		every := f.get("every")
		set(&d.Every)(window(every))
		if d.Every > 24*time.Hour {
			every.refuse("", "every must be at most 24h: a file is of one day")
		}
	default:
		set(&d.Key)(secret(f.need(r.key, r.key+": env:NAME")))
		set(&d.Group)(f.get("group").word(200))
		d.URL = vendorAddress(f, r.kind, r.regions)
	}
	return d
}

// queueBytes returns how much may wait for a destination.
func queueBytes(v value) (int64, bool) {
	n, ok := parsed(v, "a size", "", parseSize)
	if ok && n < 1<<20 {
		v.refuse("", "max_bytes must be at least 1MiB")
	}
	return n, ok
}

// postAddress returns a URL that visitors' ids are sent to.
func postAddress(v value) (string, bool) {
	s, ok := webAddress(v, false)
	if u, err := url.Parse(s); ok && err == nil && u.Scheme == "http" && !isLocal(u.Hostname()) {
		v.warn("use https://, unless the network is yours", "%s: visitors' ids, and the key, can be read on the way", v.name)
	}
	return s, ok
}

// ownHost are the hints for vendors that have an address for each customer.
var ownHost = map[string]string{
	"braze":       "the address of your instance's REST API: host: https://rest.iad-01.braze.com",
	"rudderstack": "the address of your data plane: host: https://dataplane.example.com",
}

// baseAddress returns a URL that paths are put behind.
func baseAddress(v value) string {
	s, _ := postAddress(v)
	if strings.Contains(s, "?") {
		v.refuse("", "%s must be a URL without a query", v.name)
	}
	return strings.TrimRight(s, "/")
}

// vendorAddress returns where a vendor's API begins: at host, or in a region,
// the first if none is named.
func vendorAddress(f fields, kind string, regions []region) string {
	host, named := f.get("host"), f.get("region")
	if regions == nil && !host.present() {
		f.need("host", ownHost[kind])
		return ""
	}
	if host.present() {
		if named.present() {
			named.refuse("leave one of them out", "%s has a host and a region", kind)
		}
		return baseAddress(host)
	}
	names := make([]string, len(regions))
	for i, r := range regions {
		names[i] = r.name
	}
	at := regions[0].url
	if s, ok := named.oneOf(names...); ok {
		for _, r := range regions {
			if r.name == s {
				at = r.url
			}
		}
	}
	return at
}
