// Package origin carries requests to a site's origins: it picks a group by
// host and path, a server of the group by load and health, and a connection
// of the server, and speaks HTTP/1.1 over it.
//
// The HTTP client is its own, and a lean one: a request is written, and its
// response read, on the caller's goroutine, from a connection that has no
// goroutines of its own. What comes from an origin is parsed strictly: where
// the framing of a response is in doubt, it is an error and the connection is
// closed. Nothing is decoded, followed, kept or added, so that a proxy can
// hand on what the origin sent.
package origin

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/seed14307185/refract/rules"
)

// Config says what the origins are.
type Config struct {
	Origins []rules.Origin // at least one, with every default filled in
	// Limits bound the head of a response: HeaderBytes of it (0: 1 MiB), in so
	// many fields as Headers (0: 1000).
	Limits rules.Limits
	Dir    string       // what relative paths of OriginTLS are relative to
	Log    *slog.Logger // is told when a server goes out or comes back; required

	dial dialFunc // of tests; nil: a net.Dialer
}

// Transport is an http.RoundTripper over a site's origins. It is safe for
// concurrent use, and stays as it was made: a new configuration makes a new
// one, with Next.
type Transport struct {
	groups []*group
	shared *shared
}

// New returns a transport with connections and checks of its own. It fails on
// addresses and certificates that can't be used; no server is contacted before
// it returns.
func New(cfg Config) (*Transport, error) {
	return build(cfg, &shared{servers: map[string]*server{}})
}

// Next returns a transport for another configuration. A server that is the
// same in both, with all that concerns it, keeps its connections and what is
// known of its health. Neither transport minds the other's use or Close, so a
// reload is: make the next, send requests to it, close this one.
func (t *Transport) Next(cfg Config) (*Transport, error) { return build(cfg, t.shared) }

// Close ends the health checks and closes the idle connections of servers that
// no other transport has. Requests in flight go on, and later ones are served
// too, on connections that are closed after them.
func (t *Transport) Close() {
	t.shared.mu.Lock()
	defer t.shared.mu.Unlock()
	for _, s := range t.servers() {
		t.shared.release(s)
	}
}

// State is what a server is doing.
type State struct {
	Server      string // as it is written in the configuration
	Healthy     bool   // neither its checks nor its failures have taken it out
	InFlight    int    // requests, and upgraded connections
	Connections int    // open ones, idle ones included
	Failures    uint64 // of connecting, or of answering at all, since it was first configured
}

// State returns every server's state, in the order of the configuration. A
// server that is configured twice in different ways is one, and healthy if it
// is in both.
func (t *Transport) State() []State {
	var all []State
	for _, s := range t.servers() {
		one := s.state()
		i := slices.IndexFunc(all, func(have State) bool { return have.Server == one.Server })
		if i < 0 {
			all = append(all, one)
			continue
		}
		have := &all[i]
		have.Healthy = have.Healthy && one.Healthy
		have.InFlight += one.InFlight
		have.Connections += one.Connections
		have.Failures += one.Failures
	}
	return all
}

// servers returns each server of the transport once.
func (t *Transport) servers() []*server {
	var all []*server
	for _, g := range t.groups {
		for _, s := range g.servers {
			if !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	return all
}

// maxRetries is how many times a request is sent again.
const maxRetries = 2

// RoundTrip implements http.RoundTripper. The group is chosen by req.Host and
// by the path as it will be sent: URL.Opaque if there is one, which then
// begins with a slash, else the escaped path. Scheme and host of the URL play
// no part.
//
// The response's Request is a shallow copy of req whose URL.Host is the server
// that answered, less its scheme. Where its body says Ready, a Read of it does
// not wait.
//
// It fails with ErrNoOrigin, with the error of the request's context, with an
// *Error, or with what of the request can't be sent. A request is sent again,
// to another server if there is one, only where that can't have it carried out
// twice or cut short.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	g := t.match(req.Host, requestPath(req.URL))
	if g == nil {
		closeBody(req)
		return nil, fmt.Errorf("%w for %s%s", ErrNoOrigin, req.Host, requestPath(req.URL))
	}
	var tried [maxRetries + 1]*server
	s := g.pick(nil)
	out, err := t.shared.pools.prepare(req, s.host)
	if err != nil {
		return nil, err
	}
	defer out.release(&t.shared.pools)
	fresh := false
	for n := 0; ; n++ {
		tried[n] = s
		resp, fail := s.do(req, out, fresh)
		if fail == nil {
			return resp, nil
		}
		if again, elsewhere := fail.again(req, out); again && n < maxRetries {
			s, fresh = g.pick(tried[:n+1]), true
			if !elsewhere || !slices.Contains(tried[:n+1], s) {
				continue
			}
		}
		if out.stream && !out.taken {
			closeBody(req)
		}
		return nil, fail.err
	}
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close() // nobody wants what is left of it
	}
}

// requestPath is the path as it will be sent, without the query.
func requestPath(u *url.URL) string {
	if u.Opaque != "" {
		return u.Opaque
	}
	if p := u.EscapedPath(); p != "" {
		return p
	}
	return "/"
}

// build makes the groups, of servers that are there already where it can.
func build(cfg Config, sh *shared) (*Transport, error) {
	if len(cfg.Origins) == 0 {
		return nil, errors.New("no origin is configured")
	}
	t := &Transport{shared: sh}
	for i := range cfg.Origins {
		o := &cfg.Origins[i]
		if len(o.To) == 0 {
			return nil, errors.New("an origin has no server\nhint: name at least one address under `to`")
		}
		g := &group{paths: o.Paths, least: o.Balance == "least-connections"}
		for _, h := range o.Hosts {
			g.hosts = append(g.hosts, strings.ToLower(h))
		}
		creds, err := loadTLS(cfg.Dir, o.TLS)
		if err != nil {
			return nil, err
		}
		for _, to := range o.To {
			s, err := newServer(to, o, creds, &cfg, sh)
			if err != nil {
				return nil, err
			}
			g.servers = append(g.servers, s)
		}
		t.groups = append(t.groups, g)
	}
	// Nothing can fail from here on.
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, g := range t.groups {
		for i, s := range g.servers {
			g.servers[i] = sh.known(s)
		}
	}
	for _, s := range t.servers() {
		sh.acquire(s)
	}
	return t, nil
}
