package proxy

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
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

// outgoing makes the request that the origin sees: the visitor's, byte for
// byte where HTTP lets us. The hop-by-hop fields are off it already, so that
// what is set here can't be named in Connection to be taken off again.
func (p *Proxy) outgoing(pr *httputil.ProxyRequest) {
	in, out := pr.In, pr.Out
	x := exchangeOf(in)
	if p.Origin != nil {
		out.URL.Scheme, out.URL.Host = p.Origin.Scheme, p.Origin.Host
	} else {
		out.URL.Scheme, out.URL.Host = "http", cmp.Or(in.Host, "origin")
	}
	out.URL.RawQuery = in.URL.RawQuery // ReverseProxy drops what it can't parse
	if x.path != in.URL.EscapedPath() {
		out.URL.Opaque = x.path // a URL escapes more than browsers do
	}
	out.Host = in.Host
	p.forwarded(pr, &x.set.Edge)
	out.Header["Via"] = append(slices.Clip(in.Header["Via"]), via(in.ProtoMajor, in.ProtoMinor))
	out.Header["Cdn-Loop"] = append(slices.Clip(in.Header["Cdn-Loop"]), pseudonym)
	stripCookie(out.Header, FirstPartyCookie)
	if u := out.Header.Get("Upgrade"); u != "" && !strings.EqualFold(u, "websocket") {
		out.Header.Del("Upgrade") // h2c would be a tunnel past everything here
		out.Header.Del("Connection")
	}
	p.conditions(x, out.Header)
	if len(x.Decision) > 0 {
		// The page may be changed on its way: the origin must send all of it,
		// in a coding that can be undone.
		for _, h := range [...]string{"If-Range", "Range", "Available-Dictionary"} {
			delete(out.Header, h)
		}
		if ask := coding.Accept(in.Header["Accept-Encoding"]).Ask(); ask != nil {
			out.Header["Accept-Encoding"] = ask
		}
	}
	if x.set.Edge.ServerTiming {
		x.asked = time.Now()
	}
}

// forwarded tells the origin who asks and how: what a trusted peer said, and
// the peer itself; from anyone else the peer alone.
func (p *Proxy) forwarded(pr *httputil.ProxyRequest, edge *rules.Edge) {
	in, out := pr.In.Header, pr.Out.Header
	peer, err := netip.ParseAddrPort(pr.In.RemoteAddr)
	trusted := err == nil && slices.ContainsFunc(edge.TrustedProxies, func(net netip.Prefix) bool { return net.Contains(peer.Addr().Unmap()) })
	for name := range out {
		if !trusted && strings.HasPrefix(name, "X-Forwarded-") || aliases(name, &edge.Identity) {
			delete(out, name)
		}
	}
	if !trusted {
		pr.SetXForwarded()
		return
	}
	out["X-Forwarded-For"] = in["X-Forwarded-For"]
	pr.SetXForwarded() // adds the peer
	for _, name := range [...]string{"X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded"} {
		if v := in[name]; len(v) > 0 {
			out[name] = v
		}
	}
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
