package certs

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

// acmeTLS is the protocol of the challenge tls-alpn-01: RFC 8737.
const acmeTLS = "acme-tls/1"

const (
	http01    = acme.ChallengeTypeHTTP01
	tlsALPN01 = acme.ChallengeTypeTLSALPN01
	dns01     = acme.ChallengeTypeDNS01
)

// maxCertificates is how many certificates are kept in memory; what else is
// stored is loaded when a handshake asks for it.
const maxCertificates = 10_000

// setUp makes the configurations: one for names that http-01 or tls-alpn-01
// can prove, one for those that need dns-01, and one for names on demand. They
// share a cache and an account.
func (m *Manager) setUp() error {
	o := &m.opts
	challenges := o.Challenges
	if len(challenges) == 0 {
		challenges = []string{http01, tlsALPN01}
	}
	for _, c := range challenges {
		if c != http01 && c != tlsALPN01 && c != dns01 {
			return fmt.Errorf("%q is no challenge\nhint: http-01, tls-alpn-01 or dns-01", c)
		}
	}
	if has := slices.Contains(challenges, dns01); has && o.DNS == nil {
		return errors.New("the challenge dns-01 has no DNS provider\nhint: `dns:` says which, and how to log in to it")
	} else if !has && o.DNS != nil {
		return errors.New("there is a DNS provider, and the challenge dns-01 is not used\nhint: add dns-01 to `challenges:`, or take `dns:` out")
	}
	if o.DNS != nil && o.DNS.Logger == nil {
		o.DNS.Logger = m.zap
	}
	template, err := m.issuer()
	if err != nil {
		return err
	}
	if m.storage, err = m.openStorage(); err != nil {
		return err
	}
	if m.taken, err = listenForNobody(); err != nil {
		return err
	}
	port := m.taken.Addr().(*net.TCPAddr).Port
	template.ListenHost, template.AltHTTPPort, template.AltTLSALPNPort = "127.0.0.1", port, port

	m.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(cert certmagic.Certificate) (*certmagic.Config, error) { return m.configOf(cert), nil },
		RenewCheckInterval: m.pace.check, Capacity: maxCertificates, Logger: m.zap,
	})
	byDNS := template
	byDNS.DNS01Solver = o.DNS
	if others := slices.DeleteFunc(slices.Clone(challenges), func(c string) bool { return c == dns01 }); len(others) > 0 {
		template.DisableHTTPChallenge = !slices.Contains(others, http01)
		template.DisableTLSALPNChallenge = !slices.Contains(others, tlsALPN01)
		m.plain = m.newConfig(template, nil)
		if o.DNS != nil {
			m.dns = m.newConfig(byDNS, nil)
		}
		if m.alpn01 = !template.DisableTLSALPNChallenge; !template.DisableHTTPChallenge {
			m.http01 = m.plain.Issuers[0].(quiet).ACMEIssuer
		}
	} else {
		template = byDNS
		m.plain = m.newConfig(byDNS, nil)
		m.dns = m.plain
	}
	m.demand = m.newConfig(template, &certmagic.OnDemandConfig{DecisionFunc: m.decide})
	return nil
}

// newConfig is without what certmagic's package variables would add.
func (m *Manager) newConfig(issuer certmagic.ACMEIssuer, demand *certmagic.OnDemandConfig) *certmagic.Config {
	c := certmagic.New(m.cache, certmagic.Config{
		RenewalWindowRatio: certmagic.DefaultRenewalWindowRatio,
		KeySource:          certmagic.StandardKeyGenerator{KeyType: certmagic.P256},
		OCSP:               ocsp,
		Issuers:            []certmagic.Issuer{},
		OnDemand:           demand,
		Storage:            m.storage,
		OnEvent:            m.onEvent(demand != nil),
		ShouldEmitFunc:     func(string) bool { return false }, // handshakes are no event
		Logger:             m.zap,
	})
	c.Issuers = []certmagic.Issuer{quiet{certmagic.NewACMEIssuer(c, issuer)}}
	return c
}

// ocsp has a proxy function for what it brings along: with one, certmagic asks
// responders with a time-out.
var ocsp = certmagic.OCSPConfig{HTTPProxy: http.ProxyFromEnvironment}

// quiet is an issuer that never asks a person on the standard input for an
// e-mail address.
type quiet struct{ *certmagic.ACMEIssuer }

func (q quiet) PreCheck(ctx context.Context, names []string, _ bool) error {
	return q.ACMEIssuer.PreCheck(ctx, names, false)
}

func (m *Manager) issuer() (certmagic.ACMEIssuer, error) {
	o := &m.opts
	i := certmagic.ACMEIssuer{CA: o.CA, Email: o.Email, Agreed: true, Logger: m.zap, HTTPProxy: http.ProxyFromEnvironment}
	if i.CA == "" {
		i.CA, i.TestCA = certmagic.LetsEncryptProductionCA, certmagic.LetsEncryptStagingCA
	}
	if u, err := url.Parse(i.CA); err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && certmagic.SubjectIsInternal(u.Host)) {
		return i, fmt.Errorf("the CA %q is no https URL\nhint: the address of its ACME directory, such as %s", i.CA, certmagic.LetsEncryptProductionCA)
	}
	if o.Root != "" {
		pem, err := os.ReadFile(o.Root)
		if err != nil {
			return i, fmt.Errorf("the CA's root: %w", err)
		}
		if i.TrustedRoots = x509.NewCertPool(); !i.TrustedRoots.AppendCertsFromPEM(pem) {
			return i, fmt.Errorf("the CA's root: %s has no certificate\nhint: it must be PEM: -----BEGIN CERTIFICATE-----", o.Root)
		}
	}
	if o.EAB != nil {
		if _, err := base64.RawURLEncoding.DecodeString(o.EAB.Key); o.EAB.ID == "" || o.EAB.Key == "" || err != nil {
			return i, errors.New("the external account binding is incomplete, or its key is not in base64url\nhint: copy both, the id and the HMAC key, from your account at the CA")
		}
		i.ExternalAccount = &acme.EAB{KeyID: o.EAB.ID, MACKey: o.EAB.Key}
	}
	return i, nil
}

func (m *Manager) openStorage() (certmagic.Storage, error) {
	if m.opts.Storage != nil {
		return m.opts.Storage, nil
	}
	dir := m.opts.Dir
	if dir == "" {
		return nil, errors.New("certificates have no directory to be stored in")
	}
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		var f *os.File
		if f, err = os.CreateTemp(dir, "writable"); err == nil {
			err = errors.Join(f.Close(), os.Remove(f.Name()))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: certificates can't be stored: %w\nhint: it must be a directory that the user that runs refract can write to", dir, err)
	}
	return &certmagic.FileStorage{Path: dir}, nil
}

// listenForNobody opens a port on the loopback interface and answers nothing.
// For each challenge certmagic listens on the port that the CA will come to,
// unless somebody has it already. Our listeners do, but which port they have
// is not always known: a supervisor may have opened them, or a NAT stands
// before them. And if they are not up yet, certmagic would take the port away
// from them. So it is told of a port that is taken.
func listenForNobody() (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("challenges: %w", err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // by Close, or out of descriptors: the port stays taken
			}
			_ = c.Close()
		}
	}()
	return l, nil
}

// config returns how the certificate of a host is obtained.
func (m *Manager) config(host string) *certmagic.Config {
	if strings.HasPrefix(host, "*.") {
		return m.dns
	}
	return m.plain
}

// configOf returns how a certificate of the cache is renewed: that of a host by
// the clock, any other by the handshakes that use it.
func (m *Manager) configOf(cert certmagic.Certificate) *certmagic.Config {
	if s := m.serving.Load(); s == nil || len(cert.Names) == 0 || !s.hosts[cert.Names[0]] {
		return m.demand
	}
	return m.config(cert.Names[0])
}
