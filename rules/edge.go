package rules

import (
	"net/netip"
	"time"

	"github.com/seed14307185/refract/events"
)

// Edge is refract.yaml: how the edge is wired. Load fills in every default.
type Edge struct {
	Listen string // "host:port"; DefaultListen
	Admin  string // "host:port" or "unix:/path"; DefaultAdmin
	Token  string // bearer token for writes, resolved; required if Admin is neither loopback nor a unix socket
	// TrustedProxies are the peers whose X-Forwarded-* and Forwarded headers are
	// believed and handed on; everyone else's are replaced.
	TrustedProxies []netip.Prefix
	Data           string            // DefaultData, relative to the working directory
	Off            bool              // every page as the app made it: no rule is live
	Approvals      Policy            // the least that any surface asks for
	Holdout        float64           // share of all units that no rule ever takes in: [0, 1)
	Attribute      string            // what marks regions; DefaultAttribute
	Sources        map[string]Source // by the vendor's name
	Identity       Identity
	Events         []events.Observation
	Exposures      []Destination // who is told of first exposures; no two of one name
	Notices        []Destination // who is told what was done to rules; no two of one name
	Cohorts        Cohorts
	Stops          []Monitor     // who may stop rules from outside; no two of one name
	Late           time.Duration // how late an event may come in and still count; DefaultLate
	Retain         Retention
	TLS            *TLS
	Origins        []Origin       // at least one
	ProxyProtocol  []netip.Prefix // peers that must begin with a PROXY header, version 1 or 2
	Limits         Limits
	PageCache      int64 // bytes of the origin's pages that are kept, 0: none; DefaultPageCache
	AccessLog      AccessLog
	Serving        Serving
	Tracing        Tracing
	ServerTiming   bool // Server-Timing with the edge's own share is added
	Shutdown       Shutdown
	Watch          bool // the site directory is reloaded when it changes
}

// Source is an analytics vendor whose SDKs may send events to its mount.
type Source struct {
	Key     string // what they must present, resolved; never empty
	Account string // the type of group that is a visitor's account, where the vendor has several; empty: none is
	// Tee is where every request that the mount takes is sent on to, nil: nowhere.
	// Its kind and its name are Tee and the vendor's name.
	Tee     *Destination
	Consent *Consent // what a browser must say for its requests to be kept; nil: nothing
}

// Consent is the cookie by which a browser says that its visitor agreed to be
// followed: one of that value, or with that text in it.
type Consent struct {
	Cookie string
	Value  string // the whole value; empty: Contains is set
	// Contains is a part of the value, for a cookie that says several things.
	Contains string
}

// Identity lists, in order, where a request's ids are read from. By default a
// visitor is known by the first-party id alone, an account and traits by
// nothing.
type Identity struct {
	Visitor []IdentitySource // cookie, header, first-party or a vendor
	Account []IdentitySource // cookie or header
	Traits  []IdentitySource // header, of the origin's responses
}

// IdentitySource is one of "cookie:NAME", "header:NAME", "first-party" and an
// analytics vendor's name, which stands for the cookies of its browser SDK.
type IdentitySource struct {
	Kind string // "cookie", "header", "first-party" or one of IdentityVendors
	// Name is of a header in canonical form, and of a vendor the key in its
	// cookies' names: empty is any.
	Name string
	// Proof is what a cookie or header must show for its id to be believed; nil:
	// it is believed as it comes.
	Proof *Proof
}

// Proof is how an id is told from one that is made up: by a JSON Web Token (RFC
// 7519), or by the signature that a web framework puts on a cookie. Two that are
// equal prove the same.
type Proof struct {
	Format string // JWT or one of SignedFormats
	// Claim has the id, of a JWT and of Flask's session: a claim of that name, or
	// else the path to one, its parts joined by dots.
	Claim    string
	Keys     string // of a JWT: URL or path of a JWK Set (RFC 7517); empty: Secret
	Secret   string // resolved
	Issuer   string // of a JWT: its iss; empty: any
	Audience string // of a JWT: one of its aud; empty: any
	// Leeway is by how much the clocks of who makes JWTs and of this machine may
	// differ; DefaultLeeway.
	Leeway time.Duration
	MaxAge time.Duration // of Django's and Flask's signatures, which have a time; 0: any age
}

// IdentityVendors are the vendors whose cookies tell who a visitor is.
var IdentityVendors = []string{"segment", "rudderstack", "posthog", "mixpanel", "amplitude", "braze"}

// Retention bounds the event log. It is never shorter than Edge.Late.
type Retention struct {
	Age   time.Duration // DefaultAge
	Bytes int64         // DefaultBytes
}

// TLS is how visitors are served over TLS. Nil in Edge: not at all.
type TLS struct {
	Listen       string        // "host:port"; DefaultListenTLS
	Hosts        []string      // names that certificates are obtained for, by ACME
	Certificates []Certificate // from files, before those of ACME
	ACME         ACME
	OnDemand     *OnDemand     // certificates for names that are not in Hosts; nil: none
	Redirect     bool          // Edge.Listen redirects to TLS; true by default
	HSTS         time.Duration // max-age of Strict-Transport-Security where the app sends none; 0: not sent
	HTTP3        bool          // QUIC on Listen's port; true by default
}

// Certificate is a pair of PEM files, read anew when they change. A relative
// path is relative to the site directory.
type Certificate struct{ File, Key string }

// ACME says how certificates are obtained: RFC 8555.
type ACME struct {
	CA         string // directory URL; DefaultCA
	Root       string // PEM file of a root by which the CA's own API is trusted; empty: the system's
	Email      string
	Challenges []string                  // of http-01, tls-alpn-01 and dns-01; by default the first two
	DNS        *DNS                      // of dns-01
	Storage    string                    // directory; empty: DATA/certs
	EAB        *struct{ ID, Key string } // external account binding, resolved
}

// DNS is a DNS provider of libdns.
type DNS struct {
	Provider string            // a name that package certs knows
	Options  map[string]string // resolved
}

// OnDemand guards issuance at the first handshake: a name must be allowed by
// one of the two.
type OnDemand struct {
	Allow []string // names, or "*.example.com"
	Ask   string   // URL that is asked with ?domain=NAME: 200 allows
}

// Origin is a group of servers of the app. A request goes to the first Origin
// that matches it.
type Origin struct {
	Hosts   []string         // "shop.example.com", "*.example.com"; empty: every host
	Paths   []events.Pattern // empty: every path
	To      []string         // "http://host:port", "https://host:port" or "unix:/path"
	Balance string           // "round-robin" (default) or "least-connections"
	Health  *Health          // active checks; nil: none
	// Failures within Cooldown, of connecting, take a server out for Cooldown.
	Failures int           // DefaultFailures; 0: never
	Cooldown time.Duration // DefaultCooldown
	Connect  time.Duration // time-out of connecting, TLS included; DefaultConnect
	Response time.Duration // of the response's head, once the request is sent; DefaultResponse
	Idle     time.Duration // between two reads of the response's body; 0: no limit
	TLS      OriginTLS
}

// Health is an active health check.
type Health struct {
	Path       string // "/healthz"
	Host       string // the Host header; empty: the server's
	Status     events.StatusRange
	Every      time.Duration
	Timeout    time.Duration
	Fall, Rise int // how many checks in a row change the mind
}

// OriginTLS is for servers with https. Paths are relative to the site directory.
type OriginTLS struct {
	Name      string // that the certificate must have; empty: the URL's host
	CA        string // PEM file of the roots; empty: the system's
	Cert, Key string // PEM files of a client certificate; empty: none
	Insecure  bool   // any certificate will do
}

// Limits harden the visitors' listeners. Zero means no limit only where it is
// said.
type Limits struct {
	HeaderBytes int           // of a request, and of a response of the origin; DefaultHeaderBytes
	Headers     int           // fields of either; DefaultHeaders
	ReadHeader  time.Duration // from the first byte to the head's end; DefaultReadHeader
	Idle        time.Duration // between two requests; DefaultIdle
	Progress    time.Duration // a client that takes or sends nothing for so long is dropped; DefaultProgress
	Tunnel      time.Duration // an upgraded connection without a byte either way; 0: no limit; DefaultTunnel
	Connections int           // at once; 0: no limit; DefaultConnections
	PerIP       int           // connections of one address at once (of an IPv6 /64); 0: no limit; DefaultPerIP
}

// AccessLog is the line of each request.
type AccessLog struct {
	Format  string   // "json" (default), "combined" or "off"
	Query   bool     // query strings are logged
	Omit    []string // fields of the JSON form that are left out
	Headers []string // request headers that are added; never Cookie or Authorization
	Sample  float64  // share of the lines that is kept, of those with a status below 500; 1
}

// Tracing exports spans by OTLP over HTTP. The W3C trace context of requests is
// handed on in any case.
type Tracing struct {
	OTLP   string  // URL of the collector; empty: no spans
	Sample float64 // share of traces that begin here; DefaultTraceSample
}

// Shutdown is how the process ends.
type Shutdown struct {
	Delay    time.Duration // /readyz fails, and everything is served, before listeners close; 0
	Deadline time.Duration // then requests in flight have so long; DefaultDeadline
}
