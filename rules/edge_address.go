package rules

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// readAddresses reads where the edge listens.
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
	if e.Admin == e.Listen && !anyPort(e.Admin) {
		admin.refuse("", "admin and listen are the same address")
	}
}

// readPrefixes reads addresses and networks.
func readPrefixes(v value) []netip.Prefix {
	var prefixes []netip.Prefix
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
		switch {
		case err != nil:
			entry.refuse("for example 127.0.0.1 or 10.0.0.0/8", "%s are addresses and networks, found %q", v.name, s)
			continue
		case prefix.Bits() == 0:
			entry.warn("name the networks of what stands before refract", "%s: whoever connects can say who the visitor is", v.name)
		}
		prefixes = append(prefixes, prefix.Masked())
	}
	return prefixes
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
	return everyInterface(host) || isLocal(host)
}

// anyPort says whether the system chooses the address's port.
func anyPort(address string) bool { return strings.HasSuffix(address, ":0") }

// clash says whether two "host:port" can't be listened on by one process.
func clash(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	return hostA == hostB || everyInterface(hostA) || everyInterface(hostB)
}

func everyInterface(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}
