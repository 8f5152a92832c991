package rules

import (
	"cmp"
	"net"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/seed14307185/refract/events"
)

// What an origin need not say.
const (
	DefaultFailures = 3
	DefaultCooldown = 10 * time.Second
	DefaultConnect  = 5 * time.Second
	DefaultResponse = time.Minute
)

// Servers returns the servers of all origins, each once.
func (e *Edge) Servers() []string {
	var all []string
	for _, o := range e.Origins {
		for _, to := range o.To {
			if !slices.Contains(all, to) {
				all = append(all, to)
			}
		}
	}
	return all
}

// readOrigins reads a URL, a mapping or a list of mappings, after the
// addresses.
func (e *Edge) readOrigins(v value) {
	if !v.present() {
		return
	}
	list := []value{v}
	if v.isList() {
		list, _ = v.some("origins")
	}
	var lines []int // of e.Origins
	for i, entry := range list {
		if !v.isList() {
			entry.name = "origin"
		}
		o, ok := e.readOrigin(entry)
		if !ok {
			continue
		}
		for j, before := range e.Origins {
			if covers(&before, &o) {
				entry.refuse("the first that matches a request gets it: put this one before it", "no request comes to this origin: that of line %d takes them all", lines[j])
				break
			}
		}
		e.Origins, lines = append(e.Origins, o), append(lines, entry.node.Line)
		if i == len(list)-1 && (len(o.Hosts) > 0 || len(o.Paths) > 0) {
			entry.warn("let the last origin be without hosts and paths", "requests that match no origin are refused")
		}
	}
}

func (e *Edge) readOrigin(v value) (Origin, bool) {
	o := Origin{
		Balance: "round-robin", Failures: DefaultFailures, Cooldown: DefaultCooldown,
		Connect: DefaultConnect, Response: DefaultResponse,
	}
	if !v.isMapping() { // the short form
		to, ok := e.readServer(v)
		o.To = []string{to}
		return o, ok
	}
	before := len(*v.doc.problems)
	f, ok := v.fields("the URL of the app, or a mapping with to", "hosts", "paths", "to", "balance", "health", "failures", "cooldown", "connect", "response", "idle", "tls")
	if !ok {
		return o, false
	}
	hosts, _ := f.get("hosts").some("names of hosts")
	for _, entry := range hosts {
		if name, ok := host(entry); ok {
			o.Hosts = append(o.Hosts, name)
		}
	}
	paths, _ := f.get("paths").some("path patterns such as /api/**")
	for _, entry := range paths {
		if p, ok := parsed(entry, "a path pattern such as /api/**", "", events.ParsePattern); ok {
			o.Paths = append(o.Paths, p)
		}
	}
	to := []value{f.need("to", "the servers: to: [http://10.0.0.1:3000]")}
	if to[0].isList() {
		to, _ = to[0].some("URLs")
	}
	for _, entry := range to {
		server, ok := e.readServer(entry)
		if ok && slices.Contains(o.To, server) {
			entry.refuse("", "%q is there twice", server)
		} else if ok {
			o.To = append(o.To, server)
		}
	}
	set(&o.Balance)(f.get("balance").oneOf("round-robin", "least-connections"))
	o.readHealth(f.get("health"))
	set(&o.Failures)(count(f.get("failures"), 0))
	set(&o.Cooldown)(window(f.get("cooldown")))
	set(&o.Connect)(window(f.get("connect")))
	set(&o.Response)(window(f.get("response")))
	set(&o.Idle)(wait(f.get("idle")))
	o.readTLS(f.get("tls"))
	return o, len(*v.doc.problems) == before
}

// readServer reads a server: scheme, host and port, or "unix:" and a path.
func (e *Edge) readServer(v value) (string, bool) {
	s, ok := v.word(1000)
	if !ok {
		return "", false
	}
	if socket, ok := strings.CutPrefix(s, "unix:"); ok {
		if !path.IsAbs(socket) || path.Clean(socket) != socket {
			v.refuse("for example unix:/run/app.sock", "%s: the path of a socket is written in full, found %q", v.name, s)
			return "", false
		}
		return s, true
	}
	const hint = "for example http://127.0.0.1:3000"
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		v.refuse(hint, "%s must be the URL of the app with http:// or https:// and a host, found %q", v.name, s)
	case u.User != nil, u.RawQuery != "", u.ForceQuery, u.Fragment != "", strings.Trim(u.Path, "/") != "":
		v.refuse(hint, "%s must be a scheme, a host and a port only: paths are handed on as they come", v.name)
	case u.Port() != "" && !validPort(u.Port()):
		v.refuse(hint, "%s has the port %q", v.name, u.Port())
	case e.listens(u):
		v.refuse("one of them needs another port", "%s is the address that this edge listens on", v.name)
	default:
		return u.Scheme + "://" + u.Host, true
	}
	return "", false
}

// listens says whether a URL leads back to a listener of this edge.
func (e *Edge) listens(u *url.URL) bool {
	if !isLocal(u.Hostname()) && !everyInterface(u.Hostname()) {
		return false
	}
	port := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	at := net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port))
	own := []string{e.Listen, e.Admin}
	if e.TLS != nil {
		own = append(own, e.TLS.Listen)
	}
	return slices.ContainsFunc(own, func(listen string) bool { return sameListener(listen, at) })
}

func (o *Origin) readHealth(v value) {
	f, ok := v.fields("a mapping with a path", "path", "host", "status", "every", "timeout", "fall", "rise")
	if !ok {
		return
	}
	h := &Health{Status: events.StatusRange{Min: 200, Max: 299}, Every: 5 * time.Second, Timeout: 2 * time.Second, Fall: 2, Rise: 2}
	o.Health = h
	at := f.need("path", "for example path: /healthz")
	if s, ok := at.word(2000); ok {
		if u, err := url.ParseRequestURI(s); err != nil || !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") || u.Fragment != "" || strings.Contains(s, " ") {
			at.refuse("for example /healthz", "path must be a path of the app, found %q", s)
		}
		h.Path = s
	}
	set(&h.Host)(host(f.get("host")))
	set(&h.Status)(parsed(f.get("status"), "a status such as 200 or 2xx", "", events.ParseStatus))
	set(&h.Every)(window(f.get("every")))
	set(&h.Timeout)(window(f.get("timeout")))
	set(&h.Fall)(count(f.get("fall"), 1))
	set(&h.Rise)(count(f.get("rise"), 1))
	if h.Timeout > h.Every {
		f.get("timeout").refuse("", "a check may take %s, but the next begins after %s", FormatDuration(h.Timeout), FormatDuration(h.Every))
	}
}

func (o *Origin) readTLS(v value) {
	f, ok := v.fields("a mapping with name, ca, cert, key or insecure", "name", "ca", "cert", "key", "insecure")
	if !ok {
		return
	}
	t := &o.TLS
	set(&t.Name)(host(f.get("name")))
	set(&t.CA)(roots(f.get("ca")))
	if f.get("cert").present() || f.get("key").present() {
		t.Cert, t.Key, _ = keyPair(f, "cert", "key")
	}
	set(&t.Insecure)(f.get("insecure").boolean())
	if t.Insecure {
		f.get("insecure").warn("name the CA that signed it: ca: FILE", "any certificate of the origin will do: whoever stands between can read and change everything")
	}
	if len(o.To) > 0 && !slices.ContainsFunc(o.To, func(to string) bool { return strings.HasPrefix(to, "https://") }) {
		v.refuse("write https://, or leave tls out", "tls is for servers with https://, and none of to has that")
	}
}

// covers says whether every request that matches b matches a.
func covers(a, b *Origin) bool {
	hosts := len(a.Hosts) == 0 || len(b.Hosts) > 0 && !slices.ContainsFunc(b.Hosts, func(h string) bool {
		_, parent, below := strings.Cut(h, ".")
		return !slices.Contains(a.Hosts, h) && !(below && !strings.HasPrefix(h, "*.") && slices.Contains(a.Hosts, "*."+parent))
	})
	paths := len(a.Paths) == 0 || len(b.Paths) > 0 && !slices.ContainsFunc(b.Paths, func(p events.Pattern) bool {
		return !slices.ContainsFunc(a.Paths, func(q events.Pattern) bool { return includes(q.String(), p.String()) })
	})
	return hosts && paths
}

// includes says whether every path that matches the pattern b matches a.
func includes(a, b string) bool {
	have, want := strings.Split(a, "/"), strings.Split(b, "/")
	for i, h := range have {
		switch {
		case h == "**":
			return true
		case i == len(want), want[i] == "**":
			return false
		case h != want[i] && (h != "*" || want[i] == ""):
			return false
		}
	}
	return len(have) == len(want)
}
