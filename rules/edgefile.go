package rules

import (
	"fmt"
	"net"
	"net/netip"
	"net/textproto"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed14307185/refract/events"
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
)

var attributeSyntax = regexp.MustCompile(`^data-[a-z0-9]+(-[a-z0-9]+)*$`)

// readEdge reads refract.yaml.
func readEdge(v value) Edge {
	e := Edge{
		Listen: DefaultListen, Admin: DefaultAdmin, Data: DefaultData, Attribute: DefaultAttribute, Late: DefaultLate,
		Identity: Identity{Visitor: []IdentitySource{{Kind: "first-party"}}},
		Retain:   Retention{Age: DefaultAge, Bytes: DefaultBytes},
	}
	f, ok := v.fields("a mapping with at least an origin", "listen", "origin", "admin", "token", "trusted_proxies", "data", "off",
		"attribute", "sources", "identity", "events", "late", "retain")
	if !ok {
		return e
	}
	set(&e.Data)(f.get("data").text())
	set(&e.Off)(f.get("off").boolean())
	set(&e.Token)(secret(f.get("token")))
	set(&e.Late)(window(f.get("late")))
	e.readAddresses(f)
	e.readTrusted(f.get("trusted_proxies"))
	if a := f.get("attribute"); a.present() {
		name, ok := a.word(100)
		if ok && !attributeSyntax.MatchString(name) {
			a.refuse("for example "+DefaultAttribute, "attribute must be a data attribute in small letters, found %q", name)
		}
		set(&e.Attribute)(name, ok)
	}
	if s, ok := f.get("sources").fields("a mapping of sources", "segment"); ok {
		if s, ok := s.get("segment").fields("a mapping with a write_key", "write_key"); ok {
			set(&e.Sources.Segment.WriteKey)(secret(s.get("write_key")))
		}
	}
	e.Identity.read(f.get("identity"))
	if list, ok := f.get("events").list("observations"); ok {
		for _, o := range list {
			e.Events = append(e.Events, readObservation(o))
		}
	}
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

// secret returns a text, or what the environment variable NAME holds if the
// text is "env:NAME".
func secret(v value) (string, bool) {
	s, ok := v.word(1000)
	if !ok {
		return "", false
	}
	name, env := strings.CutPrefix(s, "env:")
	if !env {
		v.warn("write env:NAME and set the environment variable NAME", "%s is a secret that everyone who reads this file knows", v.name)
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

// readAddresses reads where the edge listens and what it stands in front of.
func (e *Edge) readAddresses(f fields) {
	listen, admin := f.get("listen"), f.get("admin")
	set(&e.Listen)(address(listen))
	if s, ok := admin.word(200); ok && strings.HasPrefix(s, "unix:") {
		if s == "unix:" {
			admin.refuse("for example unix:/run/refract.sock", "admin: the path of the socket is missing")
		}
		e.Admin = s
	} else if ok {
		set(&e.Admin)(address(admin))
	}
	if !private(e.Admin) && e.Token == "" && !f.get("token").present() {
		admin.refuse("set token: env:NAME, or listen on 127.0.0.1 or unix:/PATH", "admin %s can be reached from other machines and has no token", e.Admin)
	}
	if e.Admin == e.Listen && !strings.HasSuffix(e.Admin, ":0") {
		admin.refuse("", "admin and listen are the same address")
	}
	origin := f.need("origin", "the URL of the app: origin: http://127.0.0.1:3000")
	s, ok := origin.word(1000)
	if !ok {
		return
	}
	u, err := url.Parse(s)
	switch hint := "for example http://127.0.0.1:3000"; {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		origin.refuse(hint, "origin must be the URL of the app with http:// or https:// and a host, found %q", s)
	case u.User != nil, u.RawQuery != "", u.ForceQuery, u.Fragment != "", strings.Trim(u.Path, "/") != "":
		origin.refuse(hint, "origin must be a scheme, a host and a port only: paths are handed on as they come")
	case u.Port() != "" && !validPort(u.Port()):
		origin.refuse(hint, "origin has the port %q", u.Port())
	case isLocal(u.Hostname()) && sameListener(e.Listen, u.Host):
		origin.refuse("one of them needs another port", "origin is the address that this edge listens on")
	default:
		e.Origin = u.Scheme + "://" + u.Host
	}
}

// readTrusted reads addresses and networks.
func (e *Edge) readTrusted(v value) {
	list, _ := v.list("addresses and networks")
	for _, entry := range list {
		s, ok := entry.word(100)
		if !ok {
			continue
		}
		prefix, err := netip.ParsePrefix(s)
		if ip, ipErr := netip.ParseAddr(s); ipErr == nil {
			prefix, err = netip.PrefixFrom(ip, ip.BitLen()), nil
		}
		if err != nil {
			entry.refuse("for example 127.0.0.1 or 10.0.0.0/8", "trusted_proxies are addresses and networks, found %q", s)
			continue
		}
		e.TrustedProxies = append(e.TrustedProxies, prefix.Masked())
	}
}

// address returns a "host:port", or ":port" for every interface.
func address(v value) (string, bool) {
	s, ok := v.scalar("an address such as :8080")
	if !ok {
		return "", false
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || !validPort(port) || strings.ContainsAny(host, " /\t") {
		v.refuse("for example :8080 or 127.0.0.1:8080", "%s must be host:port, found %q", v.name, s)
		return "", false
	}
	return s, true
}

func validPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

// private says whether only this machine can reach an admin address.
func private(address string) bool {
	if strings.HasPrefix(address, "unix:") {
		return true
	}
	host, _, _ := net.SplitHostPort(address) // address has checked it
	return isLocal(host)
}

func isLocal(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// sameListener says whether a local "host:port" is where listen listens.
func sameListener(listen, local string) bool {
	host, port, _ := net.SplitHostPort(listen)
	_, want, err := net.SplitHostPort(local)
	if err != nil || port != want || port == "0" {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "" || isLocal(host) || err == nil && ip.IsUnspecified()
}

var tokenSyntax = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$") // RFC 9110, 5.6.2

// read reads the identity sources. Each list that is given replaces its
// default.
func (id *Identity) read(v value) {
	f, ok := v.fields("a mapping with visitor, account and traits", "visitor", "account", "traits")
	if !ok {
		return
	}
	read := func(key string, list []value, kinds ...string) []IdentitySource {
		var all []IdentitySource
		for _, entry := range list {
			s, ok := entry.word(200)
			if !ok {
				continue
			}
			kind, name, named := strings.Cut(s, ":")
			name = strings.TrimSpace(name)
			source := IdentitySource{kind, name}
			switch {
			case !slices.Contains(kinds, kind):
				entry.refuse(didYouMean(kind, kinds, ""), "%s can be read from %s, found %q", key, either(kinds), s)
				continue
			case kind == "first-party" && named:
				entry.refuse("write first-party alone: its cookie has a fixed name", "first-party takes no name")
				continue
			case kind != "first-party" && !tokenSyntax.MatchString(name):
				entry.refuse(fmt.Sprintf("write %s:NAME", kind), "%q names no %s", s, kind)
				continue
			case kind == "header":
				source.Name = textproto.CanonicalMIMEHeaderKey(name)
			}
			if slices.Contains(all, source) {
				entry.refuse("", "%q is there twice", s)
				continue
			}
			all = append(all, source)
		}
		return all
	}
	if list, ok := f.get("visitor").some("sources such as cookie:NAME"); ok {
		id.Visitor = read("visitor", list, "cookie", "header", "first-party")
	}
	list, _ := f.get("account").list("sources such as header:NAME")
	id.Account = read("account", list, "cookie", "header")
	list, _ = f.get("traits").list("sources such as header:NAME")
	id.Traits = read("traits", list, "header")
}

var methodSyntax = regexp.MustCompile(`^[A-Z]+$`)

// readObservation reads an entry of events.
func readObservation(v value) events.Observation {
	var o events.Observation
	f, ok := v.fields("a mapping with event and request", "event", "request", "status", "set")
	if !ok {
		return o
	}
	o.Event, _ = eventName(f.need("event", "the name that segments and rules use"))
	request := f.need("request", "for example request: POST /projects")
	if s, ok := request.word(2000); ok {
		method, path, _ := strings.Cut(s, " ")
		path = strings.TrimSpace(path)
		pattern, err := events.ParsePattern(path)
		switch {
		case path == "":
			request.refuse("for example POST /projects, or ANY /projects/*", "request must be a method and a path, found %q", s)
		case !methodSyntax.MatchString(method):
			request.refuse("for example POST, or ANY", "request: %q is not a method", method)
		case err != nil:
			request.refuse("", "request: %v", err)
		}
		o.Method, o.Path = method, pattern
	}
	list := []value{f.get("status")} // one may stand without a list
	if list[0].isList() {
		list, _ = list[0].some("statuses such as 2xx")
	}
	for _, entry := range list {
		if r, ok := parsed(entry, "a status such as 404 or 2xx", "", events.ParseStatus); ok {
			o.Status = append(o.Status, r)
		}
	}
	if sources, ok := f.get("set").open("a mapping of properties to sources such as path.2"); ok {
		o.Set = map[string]events.Source{}
		for _, p := range sources.pairs {
			p.key.word(events.MaxName)
			if s, ok := parsed(p.value, "a source such as path.2, query.step or status", "", events.ParseSource); ok {
				o.Set[p.value.name] = s
			}
		}
	}
	return o
}

// eventName returns the name of an event.
func eventName(v value) (string, bool) { return v.word(events.MaxName) }
