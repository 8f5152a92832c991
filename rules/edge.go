package rules

import (
	"net/netip"
	"time"

	"github.com/seed14307185/refract/events"
)

// Edge is refract.yaml: how the edge is wired. Load fills in every default.
type Edge struct {
	Listen string // "host:port"; DefaultListen
	Origin string // the app: scheme, host and port, without a slash at the end; required
	Admin  string // "host:port" or "unix:/path"; DefaultAdmin
	Token  string // bearer token for writes, resolved; required if Admin is neither loopback nor a unix socket
	// TrustedProxies are the peers whose X-Forwarded-* and Forwarded headers are
	// believed and handed on; everyone else's are replaced.
	TrustedProxies []netip.Prefix
	Data           string // DefaultData, relative to the working directory
	Off            bool   // every page as the app made it: no rule is live
	Attribute      string // what marks regions; DefaultAttribute
	Sources        Sources
	Identity       Identity
	Events         []events.Observation
	Late           time.Duration // how late an event may come in and still count; DefaultLate
	Retain         Retention
}

// Sources are the analytics SDKs that may send events. An empty key means that
// the mount does not exist.
type Sources struct {
	Segment struct{ WriteKey string } // resolved
}

// Identity lists, in order, where a request's ids are read from. By default a
// visitor is known by the first-party id alone, an account and traits by
// nothing.
type Identity struct {
	Visitor []IdentitySource // cookie, header or first-party
	Account []IdentitySource // cookie or header
	Traits  []IdentitySource // header, of the origin's responses
}

// IdentitySource is one of "cookie:NAME", "header:NAME" and "first-party".
type IdentitySource struct {
	Kind string // "cookie", "header" or "first-party"
	Name string // of a header, in canonical form
}

// Retention bounds the event log. It is never shorter than Edge.Late.
type Retention struct {
	Age   time.Duration // DefaultAge
	Bytes int64         // DefaultBytes
}
