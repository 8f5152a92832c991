package rules

import (
	"os"
	"strings"
	"time"
)

// What refract.yaml need not say.
const (
	DefaultListen    = ":8080"
	DefaultAdmin     = "127.0.0.1:9180"
	DefaultData      = "./data"
	DefaultAttribute = "data-surface"
	DefaultLate      = 24 * time.Hour
	DefaultAge       = 90 * 24 * time.Hour
	DefaultBytes     = 20 << 30
	DefaultDeadline  = 30 * time.Second
	DefaultPageCache = 64 << 20
)

var edgeKeys = []string{"listen", "origin", "admin", "token", "trusted_proxies", "proxy_protocol", "tls", "limits", "data", "off", "holdout", "watch",
	"attribute", "sources", "identity", "events", "exposures", "cohorts", "stops", "notices", "late", "retain", "access_log", "tracing", "server_timing", "shutdown", "page_cache", "serving", "approvals"}

var attributeSyntax = syntax(`^data-[a-z0-9]+(-[a-z0-9]+)*$`)

// readEdge reads refract.yaml.
func readEdge(v value) Edge {
	e := Edge{
		Listen: DefaultListen, Admin: DefaultAdmin, Data: DefaultData, Attribute: DefaultAttribute, Late: DefaultLate,
		Identity:  Identity{Visitor: []IdentitySource{{Kind: "first-party"}}},
		Retain:    Retention{Age: DefaultAge, Bytes: DefaultBytes},
		PageCache: DefaultPageCache, Cohorts: Cohorts{MaxAge: DefaultCohortAge},
		Limits: defaultLimits(), AccessLog: defaultAccessLog(), Tracing: Tracing{Sample: DefaultTraceSample},
		Shutdown: Shutdown{Deadline: DefaultDeadline}, Serving: Serving{Sample: DefaultServingSample},
	}
	f, ok := v.fields("a mapping with at least an origin", edgeKeys...)
	if !ok {
		return e
	}
	set(&e.Data)(f.get("data").text())
	set(&e.Off)(f.get("off").boolean())
	set(&e.Approvals)(readPolicy(f.get("approvals"), Policy{}))
	set(&e.Holdout)(readHoldout(f.get("holdout")))
	set(&e.Token)(secret(f.get("token")))
	set(&e.Late)(window(f.get("late")))
	e.readAddresses(f)
	e.readTLS(f.get("tls"))
	e.readOrigins(f.need("origin", "the URL of the app: origin: http://127.0.0.1:3000"))
	e.TrustedProxies = readPrefixes(f.get("trusted_proxies"))
	e.ProxyProtocol = readPrefixes(f.get("proxy_protocol"))
	e.Limits.read(f.get("limits"))
	cache := f.get("page_cache")
	n, ok := parsed(cache, "a size", "", parseSize)
	if ok && n != 0 && n < 1<<20 {
		cache.refuse("0 turns it off", "page_cache must be at least 1MiB")
	}
	set(&e.PageCache)(n, ok)
	e.AccessLog.read(f.get("access_log"))
	e.Tracing.read(f.get("tracing"))
	e.Shutdown.read(f.get("shutdown"))
	e.Serving.read(f.get("serving"))
	set(&e.ServerTiming)(f.get("server_timing").boolean())
	set(&e.Watch)(f.get("watch").boolean())
	if a := f.get("attribute"); a.present() {
		name, ok := a.word(100)
		if ok && !attributeSyntax().MatchString(name) {
			a.refuse("for example "+DefaultAttribute, "attribute must be a data attribute in small letters, found %q", name)
		}
		set(&e.Attribute)(name, ok)
	}
	e.readSources(f.get("sources"))
	e.Identity.read(f.get("identity"))
	e.keepTokensOutOfLogs(f.get("access_log"))
	if list, ok := f.get("events").list("observations"); ok {
		for _, o := range list {
			e.Events = append(e.Events, readObservation(o))
		}
	}
	e.readExposures(f.get("exposures"))
	e.readNotices(f.get("notices"))
	e.Cohorts.read(f.get("cohorts"))
	e.readStops(f.get("stops"))
	if r, ok := f.get("retain").fields("a mapping with age and bytes", "age", "bytes"); ok {
		set(&e.Retain.Age)(window(r.get("age")))
		bytes := r.get("bytes")
		n, ok := parsed(bytes, "a size", "", parseSize)
		if ok && n < 1<<20 {
			bytes.refuse("", "bytes must be at least 1MiB")
		}
		set(&e.Retain.Bytes)(n, ok)
		if e.Retain.Age < e.Late {
			r.refuse("retain events for longer, or accept them less late", "events are kept for %s, but accepted up to %s late",
				FormatDuration(e.Retain.Age), FormatDuration(e.Late))
		}
	}
	return e
}

// set returns a function that stores what a reading returns, if it succeeded.
func set[T any](to *T) func(T, bool) {
	return func(v T, ok bool) {
		if ok {
			*to = v
		}
	}
}

// window returns a duration that is longer than zero.
func window(v value) (time.Duration, bool) {
	d, ok := parsed(v, "a duration such as 7d", "write a whole number and one of the units s, m, h, d and w: 7d", ParseDuration)
	if ok && d == 0 {
		v.refuse("", "%s must be longer than zero", v.name)
		return 0, false
	}
	return d, ok
}

// wait returns a duration, which may be zero.
func wait(v value) (time.Duration, bool) {
	return parsed(v, "a duration such as 30s", "write a whole number and one of the units s, m, h, d and w: 30s", ParseDuration)
}

// count returns a whole number that is not below least.
func count(v value, least int) (int, bool) {
	n, ok := parsed(v, "a whole number", "", parseWhole)
	if ok && n < least {
		v.refuse("", "%s must be at least %d, found %d", v.name, least, n)
		return 0, false
	}
	return n, ok
}

// secret returns a text, or what the environment variable NAME holds if the
// text is "env:NAME".
func secret(v value) (string, bool) {
	s, ok := resolved(v)
	if ok && !strings.HasPrefix(v.node.Value, "env:") {
		v.warn("write env:NAME and set the environment variable NAME", "%s is a secret that everyone who reads this file knows", v.name)
	}
	return s, ok
}

// resolved is secret for what anybody may know.
func resolved(v value) (string, bool) {
	s, ok := v.word(1000)
	if !ok {
		return "", false
	}
	name, env := strings.CutPrefix(s, "env:")
	if !env {
		return s, true
	}
	got, found := os.LookupEnv(name)
	switch {
	case !found:
		v.refuse("set it where refract is started", "%s: the environment variable %q is not set", v.name, name)
	case strings.TrimSpace(got) == "":
		v.refuse("give it a value where refract is started", "%s: the environment variable %q is empty", v.name, name)
	default:
		return strings.TrimSpace(got), true
	}
	return "", false
}
