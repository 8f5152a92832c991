// Package certs makes the tls.Config that visitors are served with:
// certificates from files, and certificates that it obtains and renews by ACME
// (RFC 8555), with certmagic.
//
// The order of calls is New, then the listeners with TLSConfig, then Reload,
// which begins to obtain what is missing: a CA asks back on the listeners
// while it decides. Close ends it.
//
// # Who gets which certificate
//
// A handshake's server name (SNI) is looked up in the certificates from files,
// then in Hosts, then with OnDemand; in each an exact name goes before a
// wildcard. A name that is in none of them gets the alert unrecognized_name
// (RFC 6066, section 3), and a client that sends none gets the first file's
// certificate, or else that of the first host.
//
// # What a CA's absence does
//
// Nothing to what is stored. New loads it, and the handshakes go on. What is
// missing or due is asked for again, first after a minute, then ever more
// rarely, at least every hour. Reload asks at once.
package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// Options say which certificates there are and where they come from. Reload
// takes a change of Hosts, Certificates and OnDemand; the rest is for the life
// of a Manager.
type Options struct {
	Hosts        []string // names that certificates are obtained for; "*.example.com" needs dns-01
	Certificates []Pair   // they go before those of ACME for every name that they have
	OnDemand     *OnDemand

	CA         string                 // ACME directory URL; empty: Let's Encrypt
	Root       string                 // PEM file of the roots that CA's own API is trusted by; empty: the system's
	Email      string                 // contact of the account; may be empty
	Challenges []string               // of http-01, tls-alpn-01 and dns-01; empty: the first two
	DNS        *certmagic.DNS01Solver // of dns-01; DNS makes one
	EAB        *EAB
	Dir        string            // where certificates, keys and accounts are kept, if Storage is nil
	Storage    certmagic.Storage // instead of Dir, such as one that several machines share

	Log   *slog.Logger
	Event func(Event) // called after each try, by several goroutines at once; it must not wait. Nil: nobody is told
}

// Pair is a certificate chain and its key, each a PEM file.
type Pair struct{ File, Key string }

// EAB is an account at the CA that the ACME account is bound to: RFC 8555,
// section 7.3.4.
type EAB struct {
	ID  string
	Key string // base64url, as CAs hand it out
}

// Event is a try to obtain a certificate that has ended.
type Event struct {
	Name    string
	Renewal bool
	Err     error  // nil: there is a new certificate
	Hint    string // what to do about Err, or empty
}

// pace is how often things are done.
type pace struct {
	retry, most time.Duration // the wait after a failed try, doubled each time, up to most
	check       time.Duration // between two looks at which certificates are due
	files       time.Duration // between two looks at whether files have changed
	handshake   time.Duration // that a handshake waits for a certificate that is obtained on demand
	load        time.Duration // that New waits for OCSP responders
}

// Manager holds the certificates. Its methods are safe for concurrent use.
type Manager struct {
	opts    Options
	pace    pace
	log     *slog.Logger
	zap     *zap.Logger
	storage certmagic.Storage
	cache   *certmagic.Cache // of ACME's certificates
	plain   *certmagic.Config
	dns     *certmagic.Config // nil without dns-01; the same as plain if that is the only challenge
	demand  *certmagic.Config
	http01  *certmagic.ACMEIssuer // nil if the challenge is not used
	alpn01  bool
	taken   net.Listener // see listenForNobody
	tries   *failures
	serving atomic.Pointer[serving]

	ctx  context.Context // ends with Close
	stop context.CancelFunc
	wg   sync.WaitGroup // everything that ctx ends

	mu    sync.Mutex       // guards what follows, and the order of changes to serving
	hosts map[string]*host // that certificates are obtained for; nil before the first Reload
	turns map[string]chan struct{}
}

// serving is what handshakes go by. It is replaced, never changed.
type serving struct {
	names    []string        // Hosts
	hosts    map[string]bool // the same
	files    *files
	guard    *guard // nil: nothing on demand
	fallback string // for clients that send no name; may be empty
}

// New reads the certificates from files and loads what is stored for Hosts. It
// asks no CA. A broken file, or options that can't work, are an error with a
// hint; a certificate that has expired is a warning.
func New(ctx context.Context, o Options) (*Manager, error) {
	return open(ctx, o, pace{retry: time.Minute, most: time.Hour, check: certmagic.DefaultRenewCheckInterval,
		files: time.Minute, handshake: time.Minute, load: 5 * time.Second})
}

func open(ctx context.Context, o Options, p pace) (*Manager, error) {
	m := &Manager{opts: o, pace: p, log: o.Log, zap: zap.New(core{handler: o.Log.Handler()}), tries: newFailures(p.retry, p.most), turns: map[string]chan struct{}{}}
	m.ctx, m.stop = context.WithCancel(context.WithoutCancel(ctx))
	if err := m.setUp(); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	s, err := m.prepare(o)
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	m.serving.Store(s)
	m.loadStored(s)
	m.wg.Go(m.housekeep)
	return m, nil
}

// loadStored puts the stored certificates of s into the cache. The storage is
// asked for all at once, and what takes too long (an OCSP responder may) is not
// waited for.
func (m *Manager) loadStored(s *serving) {
	var loading sync.WaitGroup
	for _, name := range s.names {
		if s.files.has(name) {
			continue
		}
		loading.Go(func() {
			if _, err := m.config(name).CacheManagedCertificate(m.ctx, name); err != nil {
				m.log.Debug("no stored certificate is used", slog.String("host", name), slog.String("error", err.Error()))
			}
		})
	}
	done := make(chan struct{})
	go func() { loading.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(m.pace.load):
		m.log.Warn("stored certificates are still being loaded", slog.String("hint", "is the storage, or an OCSP responder, slow?"))
	}
}

// Close ends everything that the Manager does by itself; handshakes can be
// answered no more. It waits for tries that are under way to be taken back, for
// five seconds at most. It is to be called once.
func (m *Manager) Close() error {
	m.mu.Lock()
	m.stop()
	m.mu.Unlock()
	done := make(chan struct{})
	go func() { m.wg.Wait(); close(done) }()
	var err error
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		err = errors.New("certificates: a try that is under way can't be taken back in time")
	}
	if s := m.serving.Swap(nil); s != nil {
		s.files.close()
	}
	if m.cache != nil {
		m.cache.Stop()
	}
	if m.taken != nil {
		err = errors.Join(err, m.taken.Close())
	}
	return err
}

// TLSConfig returns a new tls.Config. The caller may add to it, but must leave
// GetCertificate as it is, and "acme-tls/1" in NextProtos: RFC 8737.
func (m *Manager) TLSConfig() *tls.Config {
	c := &tls.Config{GetCertificate: m.certificate, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if m.alpn01 {
		c.NextProtos = append(c.NextProtos, acmeTLS)
	}
	return c
}

// HTTPChallenge answers a CA that asks for a token of this Manager, or of
// another with the same storage: RFC 8555, section 8.3. Every other request is
// next's, also such as look like one.
func (m *Manager) HTTPChallenge(next http.Handler) http.Handler {
	if m.http01 == nil {
		return next
	}
	return m.http01.HTTPChallengeHandler(next)
}

// NotAfter returns when the certificate of each host, and of each name of the
// certificates from files, expires. A host that has none is not in it.
func (m *Manager) NotAfter() map[string]time.Time {
	ends := map[string]time.Time{}
	s := m.serving.Load()
	if s == nil {
		return ends
	}
	for _, name := range s.names {
		for _, cert := range m.cache.AllMatchingCertificates(name) {
			if slices.Contains(cert.Names, name) && cert.Leaf != nil && cert.Leaf.NotAfter.After(ends[name]) {
				ends[name] = cert.Leaf.NotAfter
			}
		}
	}
	for _, p := range s.files.pairs {
		for _, name := range p.names {
			ends[name] = p.notAfter
		}
	}
	return ends
}

// ascii returns a host's name as it is looked up and stored.
func ascii(host string) string {
	return strings.ToLower(strings.TrimSuffix(strings.TrimSpace(host), "."))
}

// wildcard returns the name with its first label replaced by an asterisk.
func wildcard(name string) string {
	if i := strings.IndexByte(name, '.'); i >= 0 {
		return "*" + name[i:]
	}
	return "*"
}

// checkName is about a name that a certificate can be asked for: RFC 1123,
// section 2.1, with an asterisk as its first label or not.
func checkName(name string) error {
	rest := strings.TrimPrefix(name, "*.")
	if len(name) > 250 || rest == "" {
		return fmt.Errorf("%q is no host name", name)
	}
	for label := range strings.SplitSeq(rest, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return fmt.Errorf("%q is no host name", name)
		}
		for i := range len(label) {
			if c := label[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return fmt.Errorf("%q is no host name\nhint: without a scheme and a port; one that is not ASCII in its xn-- form", name)
			}
		}
	}
	return nil
}
