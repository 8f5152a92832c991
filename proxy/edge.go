package proxy

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// relocate makes a Location that names the origin by its own address, where no
// visitor can follow, one on the host that the visitor asked. It names no host
// then, so the visitor's own scheme and port stay. Any other is left alone.
func (p *Proxy) relocate(x *Exchange, h http.Header) {
	lines := h["Location"]
	if len(lines) != 1 {
		return
	}
	to := lines[0]
	if p.Origin != nil {
		to = relativeTo(to, p.Origin.Scheme+"://"+p.Origin.Host, x.Request.Host)
	}
	for i := range x.set.Edge.Origins {
		for _, origin := range x.set.Edge.Origins[i].To {
			to = relativeTo(to, origin, x.Request.Host)
		}
	}
	if to != lines[0] {
		h["Location"] = []string{to}
	}
}

// relativeTo is a location without the address, if that is what it begins with
// and if the visitor did not ask for that very host.
func relativeTo(location, address, host string) string {
	_, authority, ok := strings.Cut(address, "://")
	if n := len(address); !ok || strings.EqualFold(authority, host) || len(location) < n || !strings.EqualFold(location[:n], address) {
		return location
	} else if location = location[n:]; location == "" {
		return "/"
	}
	switch location[0] {
	case '?', '#':
		return "/" + location
	case '/':
		if len(location) > 1 && (location[1] == '/' || location[1] == '\\') {
			return "/." + location // or what follows would be taken for a host
		}
		return location
	}
	return address + location // a longer name or port
}

// serverTiming adds what this proxy alone took until the head was ready, in
// tenths of a millisecond (W3C, Server Timing). Both arms do the same for it.
func serverTiming(x *Exchange, h http.Header, answered time.Time) {
	own := x.asked.Sub(x.began) + time.Since(answered)
	h["Server-Timing"] = append(h["Server-Timing"], fmt.Sprintf("%s;dur=%.1f", pseudonym, float64(own.Microseconds())/1000))
}

// warnOfCaches tells, once each, of caches that see pages which a rule could
// touch: one before the origin keeps the app's pages and may give one visitor's
// to another, as it did before; one before this proxy must heed that they are
// private.
func (p *Proxy) warnOfCaches(x *Exchange, h http.Header) {
	if len(h["Age"]) > 0 {
		p.behind.Do(func() {
			p.Log.Warn("pages that a rule could touch come from a cache between this proxy and the app; hint: it must keep no page that is one visitor's own",
				slog.String("path", x.path), slog.String("age", h.Get("Age")), slog.String("via", h.Get("Via")))
		})
	}
	if in := x.Request.Header; len(in["Via"]) > 0 || len(in["Cdn-Loop"]) > 0 {
		p.before.Do(func() {
			p.Log.Warn("visitors come through a proxy or CDN; hint: it must heed Cache-Control: private, and set no lifetime of its own on pages that a rule could touch",
				slog.String("path", x.path), slog.String("via", in.Get("Via")), slog.String("cdn_loop", in.Get("Cdn-Loop")))
		})
	}
}
