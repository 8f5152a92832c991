package main

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// addresses are those of the connection's peer, and of the visitor: the peer
// too, unless it is trusted to speak for others. Then it is the last address in
// X-Forwarded-For, or in Forwarded if there is none, that isn't, or the first of all.
func addresses(r *http.Request, trusted []netip.Prefix) (remote, client string) {
	remote = withoutPort(r.RemoteAddr)
	client = remote
	if len(trusted) == 0 || !trusts(trusted, remote) {
		return remote, client
	}
	lines, node := r.Header["X-Forwarded-For"], strings.TrimSpace
	if len(lines) == 0 {
		lines, node = r.Header["Forwarded"], forwardedNode
	}
	for i := len(lines) - 1; i >= 0; i-- {
		for rest, more := lines[i], true; more; {
			at := strings.LastIndexByte(rest, ',')
			hop := node(rest[at+1:])
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

// forwardedNode is the address in an element of Forwarded (RFC 7239 section 6),
// or whatever else stands there.
func forwardedNode(element string) string {
	for pair := range strings.SplitSeq(element, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if !strings.EqualFold(name, "for") {
			continue
		}
		value = strings.Trim(value, `"`)
		if v6, ok := strings.CutPrefix(value, "["); ok {
			value, _, _ = strings.Cut(v6, "]")
		} else if strings.Count(value, ":") == 1 {
			value = withoutPort(value)
		}
		return value
	}
	return ""
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
