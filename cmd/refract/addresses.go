package main

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// addresses are those of the connection's peer, and of the visitor: the peer
// too, unless it is trusted to speak for others. Then it is the last address in
// X-Forwarded-For that isn't, or the first of all.
func addresses(r *http.Request, trusted []netip.Prefix) (remote, client string) {
	remote = withoutPort(r.RemoteAddr)
	client = remote
	if len(trusted) == 0 || !trusts(trusted, remote) {
		return remote, client
	}
	lines := r.Header["X-Forwarded-For"]
	for i := len(lines) - 1; i >= 0; i-- {
		for rest, more := lines[i], true; more; {
			at := strings.LastIndexByte(rest, ',')
			hop := strings.Trim(rest[at+1:], " \t")
			if more = at >= 0; more {
				rest = rest[:at]
			}
			if _, err := netip.ParseAddr(hop); err != nil {
				return remote, client // from here on nobody knows what was meant
			}
			if client = hop; !trusts(trusted, hop) {
				return remote, client
			}
		}
	}
	return remote, client
}

// withoutPort is the IP address of what net/http's server gives.
func withoutPort(address string) string {
	if at := strings.LastIndexByte(address, ':'); at >= 0 {
		address = strings.Trim(address[:at], "[]")
	}
	return address
}

func trusts(trusted []netip.Prefix, address string) bool {
	ip, err := netip.ParseAddr(address)
	return err == nil && slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(ip.Unmap().WithZone("")) })
}
