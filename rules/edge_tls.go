package rules

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// What tls need not say.
const (
	DefaultListenTLS = ":443"
	DefaultCA        = "https://acme-v02.api.letsencrypt.org/directory"
)

// The challenges of RFC 8555 and RFC 8737 that can be answered.
const (
	HTTP01    = "http-01"
	TLSALPN01 = "tls-alpn-01"
	DNS01     = "dns-01"
)

// readTLS reads how visitors are served over TLS, after the addresses.
func (e *Edge) readTLS(v value) {
	f, ok := v.fields("a mapping with hosts or certificates", "listen", "hosts", "certificates", "acme", "on_demand", "redirect", "hsts", "http3")
	if !ok {
		return
	}
	t := &TLS{Listen: DefaultListenTLS, Redirect: true, HTTP3: true, ACME: ACME{CA: DefaultCA, Challenges: []string{HTTP01, TLSALPN01}}}
	e.TLS = t
	set(&t.Listen)(address(f.get("listen")))
	switch listen := f.get("listen"); {
	case clash(t.Listen, e.Listen):
		listen.refuse("one is for HTTP, the other for TLS: listen: :80 and tls: {listen: :443}", "tls.listen and listen are the same address")
	case clash(t.Listen, e.Admin):
		listen.refuse("", "tls.listen and admin are the same address")
	}
	t.readHosts(f.get("hosts"))
	list, _ := f.get("certificates").list("mappings with file and key")
	for _, entry := range list {
		if c, ok := entry.fields("a mapping with file and key", "file", "key"); ok {
			file, key, ok := keyPair(c, "file", "key")
			if pair, err := tls.LoadX509KeyPair(file, key); ok && err == nil && len(pair.Leaf.DNSNames) == 0 {
				at := c.get("file")
				at.refuse("have it issued with DNS names as subject alternative names: browsers look at no others", "the certificate in %s is for no host name", at.node.Value)
			} else if ok {
				t.Certificates = append(t.Certificates, Certificate{file, key})
			}
		}
	}
	t.ACME.read(f.get("acme"))
	t.readOnDemand(f.get("on_demand"))
	set(&t.Redirect)(f.get("redirect").boolean())
	set(&t.HTTP3)(f.get("http3").boolean())
	set(&t.HSTS)(wait(f.get("hsts")))
	if !f.get("hosts").present() && !f.get("certificates").present() && !f.get("on_demand").present() {
		v.refuse("name what certificates are for, hosts: [shop.example.com], or give files", "tls has neither hosts nor certificates nor on_demand")
	}
	if t.HSTS > 0 && !t.Redirect {
		f.get("hsts").warn("", "browsers that have seen hsts come by TLS alone, also where redirect is false")
	}
	t.checkChallenges(f, e.Listen)
}

// hostSyntax is a name of DNS in small letters (RFC 1123, 2.1), and before it
// perhaps "*.".
var hostSyntax = syntax(`^(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// host returns the name of a host, or "*." and one for all names one level
// below it.
func host(v value) (string, bool) {
	s, ok := v.word(253)
	if !ok {
		return "", false
	}
	hint := "for example shop.example.com or *.example.com"
	if name, port, found := strings.Cut(s, ":"); found && validPort(port) {
		hint = "without a port: " + name
	} else if strings.Contains(s, "://") {
		hint = "only the name, without " + s[:strings.Index(s, "://")+3]
	} else if low := strings.ToLower(strings.TrimSuffix(s, ".")); low != s && hostSyntax().MatchString(low) {
		hint = "write " + low
	} else if strings.ContainsFunc(s, func(r rune) bool { return r > '~' }) {
		hint = "write it as browsers send it, with xn--"
	}
	if !hostSyntax().MatchString(s) {
		v.refuse(hint, "%s must be the name of a host, found %q", v.name, s)
		return "", false
	}
	return s, true
}

func (t *TLS) readHosts(v value) {
	list, _ := v.some("names of hosts")
	for _, entry := range list {
		name, ok := host(entry)
		_, err := netip.ParseAddr(name)
		switch {
		case !ok:
		case err == nil:
			entry.refuse("give a certificate for it in files: certificates", "certificates are obtained for names, and %s is an address", name)
		case slices.Contains(t.Hosts, name):
			entry.refuse("", "%q is there twice", name)
		default:
			t.Hosts = append(t.Hosts, name)
		}
	}
}

// read reads how certificates are obtained.
func (a *ACME) read(v value) {
	f, ok := v.fields("a mapping with email", "ca", "root", "email", "challenges", "dns", "storage", "eab")
	if !ok {
		return
	}
	set(&a.CA)(webAddress(f.get("ca"), true))
	set(&a.Root)(roots(f.get("root")))
	if email := f.get("email"); email.present() {
		s, ok := email.word(320)
		if ok && !strings.Contains(s, "@") {
			email.refuse("", "email must be an address, found %q", s)
		}
		set(&a.Email)(s, ok)
	}
	if list, ok := f.get("challenges").some("challenges"); ok {
		a.Challenges = nil
		for _, entry := range list {
			s, ok := entry.oneOf(HTTP01, TLSALPN01, DNS01)
			if ok && slices.Contains(a.Challenges, s) {
				entry.refuse("", "%q is there twice", s)
			} else if ok {
				a.Challenges = append(a.Challenges, s)
			}
		}
	}
	a.readDNS(f.get("dns"))
	set(&a.Storage)(f.get("storage").word(1000))
	if eab, ok := f.get("eab").fields("a mapping with id and key", "id", "key"); ok {
		a.EAB = &struct{ ID, Key string }{}
		set(&a.EAB.ID)(secret(eab.need("id", "the CA gave it to you, with the key")))
		set(&a.EAB.Key)(secret(eab.need("key", "the CA gave it to you, with the id")))
	}
}

// readDNS reads a provider's name and options. Which there are, and which
// options they need, is known to those who speak with them.
func (a *ACME) readDNS(v value) {
	f, ok := v.open("a mapping with a provider and its options")
	if !ok {
		return
	}
	a.DNS = &DNS{Options: map[string]string{}}
	set(&a.DNS.Provider)(f.need("provider", "for example provider: cloudflare").word(100))
	for _, p := range f.pairs {
		if p.value.name == "provider" {
			continue
		}
		// Not every option is a secret, so one that is written out is not warned of.
		read := func(v value) (string, bool) { return v.word(2000) }
		if s, ok := p.value.scalar("text"); ok && strings.HasPrefix(s, "env:") {
			read = secret
		}
		if s, ok := read(p.value); ok {
			a.DNS.Options[p.value.name] = s
		}
	}
}

func (t *TLS) readOnDemand(v value) {
	f, ok := v.fields("a mapping with allow or ask", "allow", "ask")
	if !ok {
		return
	}
	t.OnDemand = &OnDemand{}
	list, _ := f.get("allow").some("names of hosts")
	for _, entry := range list {
		if name, ok := host(entry); ok {
			t.OnDemand.Allow = append(t.OnDemand.Allow, name)
		}
	}
	set(&t.OnDemand.Ask)(webAddress(f.get("ask"), false))
	if !f.get("allow").present() && !f.get("ask").present() {
		v.refuse("allow: ['*.example.com'], or the URL of a service that knows: ask", "on_demand allows no name: without allow or ask, anyone could have certificates made")
	}
}

// checkChallenges checks that the challenges can succeed. A CA comes to the
// ports 80 and 443 and nowhere else (RFC 8555, 8.3; RFC 8737, 3).
func (t *TLS) checkChallenges(f fields, listen string) {
	a, has := t.ACME, func(c string) bool { return slices.Contains(t.ACME.Challenges, c) }
	acme, _ := f.get("acme").open("")
	dns := acme.get("dns")
	if dns.node == nil && dns.parent == nil { // without acme
		dns = f.get("hosts")
	}
	switch {
	case has(DNS01) && a.DNS == nil:
		dns.refuse("dns: {provider: NAME, …}", "challenge dns-01 needs dns: who may write into the zone")
	case !has(DNS01) && a.DNS != nil:
		dns.refuse("challenges: [dns-01]", "dns is for the challenge dns-01, which is not among the challenges")
	}
	hosts, _ := f.get("hosts").list("")
	for _, entry := range hosts {
		if strings.HasPrefix(entry.node.Value, "*.") && !has(DNS01) {
			entry.refuse("acme: {challenges: [dns-01], dns: {provider: NAME, …}}", "a certificate for %s is given by the challenge dns-01 only", entry.node.Value)
		}
	}
	if len(hosts) == 0 || has(DNS01) || has(HTTP01) && strings.HasSuffix(listen, ":80") || has(TLSALPN01) && strings.HasSuffix(t.Listen, ":443") {
		return
	}
	f.get("hosts").warn("have these ports forwarded here, or use the challenge dns-01",
		"the CA looks for hosts on port 80 (http-01) or 443 (tls-alpn-01), and refract listens on %s and %s", listen, t.Listen)
}

// webAddress returns the URL of a service. One that must be secure may be
// plain on this machine only.
func webAddress(v value, secure bool) (string, bool) {
	s, ok := v.word(2000)
	if !ok {
		return "", false
	}
	u, err := url.Parse(s)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.Port() != "" && !validPort(u.Port()):
		v.refuse("for example https://service.example.com/path", "%s must be a URL with http:// or https:// and a host, found %q", v.name, s)
	case u.Fragment != "", u.User != nil:
		v.refuse("", "%s must be a URL without a user and a fragment", v.name)
	case secure && u.Scheme != "https" && !isLocal(u.Hostname()):
		v.refuse("", "%s must be a URL with https://", v.name)
	default:
		return s, true
	}
	return "", false
}

// siteFile returns the path of a regular file that can be read; a relative one
// is relative to the site directory.
func siteFile(v value) (string, bool) {
	s, ok := v.word(4096)
	if !ok {
		return "", false
	}
	name := s
	if !filepath.IsAbs(name) {
		name = filepath.Join(v.doc.root, filepath.FromSlash(name))
	}
	if _, err := readRegular(name); err != nil {
		hint := hintFor(err)
		if os.IsNotExist(err) {
			hint = "a relative path begins in the site directory"
		}
		v.refuse(hint, "%s: %s can't be read: %v", v.name, s, plain(err))
		return "", false
	}
	return name, true
}

// roots returns the path of a PEM file with at least one certificate.
func roots(v value) (string, bool) {
	name, ok := siteFile(v)
	if !ok {
		return "", false
	}
	data, err := readRegular(name)
	if err != nil || !x509.NewCertPool().AppendCertsFromPEM(data) {
		v.refuse("it begins with -----BEGIN CERTIFICATE-----", "%s: there is no certificate in %s", v.name, v.node.Value)
		return "", false
	}
	return name, true
}

// keyPair returns the paths of a certificate and its key.
func keyPair(f fields, certificate, key string) (cert, private string, ok bool) {
	c, k := f.need(certificate, "the PEM file of the certificate and those that signed it"), f.need(key, "the PEM file of its private key")
	cert, ok = siteFile(c)
	private, ok2 := siteFile(k)
	if !ok || !ok2 {
		return "", "", false
	}
	if _, err := tls.LoadX509KeyPair(cert, private); err != nil {
		message, _ := strings.CutPrefix(err.Error(), "tls: ")
		c.refuse("the file has the certificate first, then those that signed it, in PEM; the key is its own, without a password", "%s and %s are no pair: %s",
			c.node.Value, k.node.Value, message)
		return "", "", false
	}
	return cert, private, true
}
