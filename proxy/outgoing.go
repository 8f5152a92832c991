package proxy

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/seed14307185/refract/rewrite/coding"
	"github.com/seed14307185/refract/rules"
)

// pseudonym is this proxy's name in Via (RFC 9110, section 7.6.3) and in
// CDN-Loop (RFC 8586).
const pseudonym = "refract"

// maxLoops is how often a request may have passed through proxies of this name
// before it is taken for one that goes round in a loop.
const maxLoops = 4

// NewTransport returns a transport made for one origin nearby.
func NewTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	t.DialContext = (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	t.DisableCompression = true // or it would decode behind our back
	t.MaxIdleConns = 0
	t.MaxIdleConnsPerHost = 256
	t.ResponseHeaderTimeout = 60 * time.Second
	t.MaxResponseHeaderBytes = 1 << 20
	return t
}

// via is this proxy's entry for a message that came in a version of HTTP.
func via(major, minor int) string {
	if major == 1 && minor == 1 {
		return "1.1 " + pseudonym
	}
	return fmt.Sprintf("%d.%d %s", major, minor, pseudonym)
}

// loops says whether a request has been here too often. Either header may have
// been lost on the way, so both count.
func loops(h http.Header) bool {
	if h["Via"] == nil && h["Cdn-Loop"] == nil {
		return false
	}
	passes := func(lines []string, name func(entry string) string) (n int) {
		for _, line := range lines {
			for entry := range strings.SplitSeq(line, ",") {
				if strings.EqualFold(name(strings.TrimSpace(entry)), pseudonym) {
					n++
				}
			}
		}
		return n
	}
	return passes(h["Via"], func(entry string) string {
		_, by, _ := strings.Cut(entry, " ")
		by, _, _ = strings.Cut(strings.TrimSpace(by), " ") // less a comment
		return by
	}) >= maxLoops || passes(h["Cdn-Loop"], func(entry string) string {
		id, _, _ := strings.Cut(entry, ";")
		return strings.TrimSpace(id)
	}) >= maxLoops
}

// hops are the fields of one connection alone: RFC 9110, section 7.6.1, and
// those that RFC 2616 named, for who does not list them in Connection.
var hops = [...]string{"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// withoutHops takes the hop-by-hop fields off a header.
func withoutHops(h http.Header) {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			h.Del(strings.Trim(name, " \t"))
		}
	}
	for _, name := range hops {
		delete(h, name)
	}
}

// outgoing makes the request that the origin sees: the visitor's, byte for
// byte where HTTP lets us. out is a shallow copy of that, which outgoing fills
// in; the header gets a map of its own, whose lines stay the visitor's.
func (p *Proxy) outgoing(x *Exchange, out *http.Request) *http.Request {
	in := x.Request
	to := *in.URL
	out.URL = &to
	if p.Origin != nil {
		to.Scheme, to.Host = p.Origin.Scheme, p.Origin.Host
	} else {
		to.Scheme, to.Host = "http", cmp.Or(in.Host, "origin")
	}
	if x.path != in.URL.EscapedPath() {
		to.Opaque = x.path // a URL escapes more than browsers do
	}
	out.Close = false
	h := make(http.Header, len(in.Header)+6)
	out.Header = h
	maps.Copy(h, in.Header)
	withoutHops(h)
	// What is set from here on can't be named in Connection to be taken off.
	if hasToken(in.Header["Te"], "trailers") {
		h["Te"] = []string{"trailers"}
	}
	if u := in.Header.Get("Upgrade"); strings.EqualFold(u, "websocket") && hasToken(in.Header["Connection"], "upgrade") {
		h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{u} // any other, as h2c, would be a tunnel past everything here
	}
	if _, said := h["User-Agent"]; !said {
		h["User-Agent"] = []string{""} // or http.Transport makes one up
	}
	p.forwarded(in, h, &x.set.Edge)
	h["Via"] = append(slices.Clip(in.Header["Via"]), via(in.ProtoMajor, in.ProtoMinor))
	h["Cdn-Loop"] = append(slices.Clip(in.Header["Cdn-Loop"]), pseudonym)
	stripCookie(h, FirstPartyCookie)
	p.conditions(x, h)
	if len(x.Decision) > 0 {
		// The page may be changed on its way: the origin must send all of it,
		// in a coding that can be undone.
		for _, name := range [...]string{"If-Range", "Range", "Available-Dictionary"} {
			delete(h, name)
		}
		if ask := coding.Accept(in.Header["Accept-Encoding"]).Ask(); ask != nil {
			h["Accept-Encoding"] = ask
		}
	}
	if x.set.Edge.ServerTiming {
		x.asked = time.Now()
	}
	return out
}

// forwarded tells the origin who asks and how: what a trusted peer said, and
// the peer itself; from anyone else the peer alone.
func (p *Proxy) forwarded(in *http.Request, h http.Header, edge *rules.Edge) {
	trusted := false
	if len(edge.TrustedProxies) > 0 {
		peer, err := netip.ParseAddrPort(in.RemoteAddr)
		trusted = err == nil && slices.ContainsFunc(edge.TrustedProxies, func(net netip.Prefix) bool { return net.Contains(peer.Addr().Unmap()) })
	}
	for name := range h {
		if !trusted && (strings.HasPrefix(name, "X-Forwarded-") || name == "Forwarded") || aliases(name, &edge.Identity) {
			delete(h, name)
		}
	}
	scheme := "http"
	if in.TLS != nil {
		scheme = "https"
	}
	client, _, err := net.SplitHostPort(in.RemoteAddr)
	said := [...]string{client, in.Host, scheme}
	for i, name := range [...]string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		h[name] = said[i : i+1 : i+1]
	}
	switch {
	case err != nil:
		delete(h, "X-Forwarded-For")
	case trusted && len(in.Header["X-Forwarded-For"]) > 0:
		h["X-Forwarded-For"] = []string{strings.Join(in.Header["X-Forwarded-For"], ", ") + ", " + client}
	}
	if trusted {
		for _, name := range [...]string{"X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded"} {
			if v := in.Header[name]; len(v) > 0 {
				h[name] = v // also if Connection lists it
			}
		}
		if v := h["Forwarded"]; len(v) > 0 && err == nil {
			h["Forwarded"] = append(slices.Clip(v), forwardedElement(client, scheme))
		}
	}
}

// forwardedElement is what a proxy adds to Forwarded: RFC 7239 section 4.
func forwardedElement(client, scheme string) string {
	if strings.IndexByte(client, ':') >= 0 {
		client = `"[` + client + `]"`
	}
	return "for=" + client + ";proto=" + scheme
}

// aliases says whether a field is one that this proxy, or who stands before it,
// vouches for, spelt with underscores: many servers make the same variable of
// X_Forwarded_For and X-Forwarded-For.
func aliases(name string, identity *rules.Identity) bool {
	if strings.IndexByte(name, '_') < 0 {
		return false
	}
	name = http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
	if strings.HasPrefix(name, "X-Forwarded-") || name == "Forwarded" || name == "Via" || name == "Cdn-Loop" {
		return true
	}
	named := func(s rules.IdentitySource) bool { return s.Kind == "header" && s.Name == name }
	return slices.ContainsFunc(identity.Visitor, named) || slices.ContainsFunc(identity.Account, named)
}
