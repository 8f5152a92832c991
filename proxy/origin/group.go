package origin

import (
	"net"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/seed14307185/refract/events"
)

// group is the servers that take the same requests.
type group struct {
	hosts   []string // in small letters; empty: every host
	paths   []events.Pattern
	servers []*server
	least   bool
	turn    atomic.Uint32
}

// match returns the first group that takes the host and path, or nil.
func (t *Transport) match(host, path string) *group {
	name := ""
	for _, g := range t.groups {
		if len(g.hosts) > 0 && name == "" {
			name = hostName(host)
		}
		if (len(g.hosts) == 0 || slices.ContainsFunc(g.hosts, func(pattern string) bool { return hostMatches(pattern, name) })) &&
			(len(g.paths) == 0 || slices.ContainsFunc(g.paths, func(p events.Pattern) bool { return p.Match(path) })) {
			return g
		}
	}
	return nil
}

// hostName is a Host header without its port, in small letters, and without
// the dot that may stand at the end of a name.
func hostName(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// hostMatches: "*.example.com" is every name one level below example.com, as in
// a certificate, and not example.com itself.
func hostMatches(pattern, name string) bool {
	if parent, ok := strings.CutPrefix(pattern, "*."); ok {
		label, rest, _ := strings.Cut(name, ".")
		return label != "" && rest == parent
	}
	return pattern == name
}

// pick returns the server whose turn it is: of those that are in and were not
// tried yet, else of those that were not tried, else of all. With every
// server out, trying one is better than refusing.
func (g *group) pick(tried []*server) *server {
	if len(g.servers) == 1 {
		return g.servers[0]
	}
	turn := int(g.turn.Add(1) - 1)
	for _, fits := range [...]func(*server) bool{
		func(s *server) bool { return s.healthy() && !slices.Contains(tried, s) },
		func(s *server) bool { return !slices.Contains(tried, s) },
		(*server).healthy,
	} {
		if s := g.choose(turn, fits); s != nil {
			return s
		}
	}
	return g.servers[turn%len(g.servers)]
}

// choose is the balance among the servers that fit; nil: none does.
func (g *group) choose(turn int, fits func(*server) bool) *server {
	fit := 0
	for _, s := range g.servers {
		if fits(s) {
			fit++
		}
	}
	if fit == 0 {
		return nil
	}
	// The turn is taken among those that fit: the neighbour of a server that
	// is out would have its share otherwise.
	turn %= fit
	var best, first *server
	i := 0
	for _, s := range g.servers {
		if !fits(s) {
			continue
		}
		if i >= turn && (best == nil || g.least && s.inFlight.Load() < best.inFlight.Load()) {
			best = s
		}
		if i < turn && (first == nil || s.inFlight.Load() < first.inFlight.Load()) {
			first = s
		}
		i++
	}
	if best == nil || g.least && first != nil && first.inFlight.Load() < best.inFlight.Load() {
		return first // nil only if health changed while we looked
	}
	return best
}
