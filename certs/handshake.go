package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
)

// OnDemand guards certificates for names that are in no list: they are obtained
// at the first handshake. A name must be allowed by one of the two.
type OnDemand struct {
	Allow []string // names, or "*.example.com" for one more label
	Ask   string   // URL that is asked with ?domain=NAME: 200 within 5 seconds allows, everything else doesn't
}

// certificate is tls.Config.GetCertificate. No certificate and no error make
// crypto/tls send unrecognized_name, an error internal_error.
func (m *Manager) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	s := m.serving.Load()
	if s == nil {
		return nil, errors.New("certificates: closed")
	}
	name := ascii(hello.ServerName)
	if name == "" {
		name = s.fallback
	}
	if name == "" {
		return nil, nil
	}
	if name != hello.ServerName {
		named := *hello
		named.ServerName = name
		hello = &named
	}
	if len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acmeTLS {
		if !m.alpn01 || !s.covers(name) && s.guard == nil {
			return nil, nil
		}
		return m.plain.GetCertificate(hello)
	}
	switch {
	case s.files.has(name):
		return s.files.config.GetCertificate(hello)
	case s.covers(name):
		cert, err := m.plain.GetCertificate(hello)
		if err == nil {
			return cert, nil
		}
		if _, last := m.tries.get(name); last != nil {
			err = last
		}
		return nil, fmt.Errorf("no certificate for %s yet: %w", name, err)
	case s.guard != nil && (s.guard.ask != nil || s.guard.lists(name)): // also if there is a certificate from before
		return m.onDemand(hello, name)
	}
	return nil, nil
}

// covers says whether a host, or the wildcard of one, has the name.
func (s *serving) covers(name string) bool { return s.hosts[name] || s.hosts[wildcard(name)] }

// onDemand waits for a certificate no longer than for one try: the next
// handshake may have the next one, but not before its time has come.
func (m *Manager) onDemand(hello *tls.ClientHelloInfo, name string) (*tls.Certificate, error) {
	if len(m.cache.AllMatchingCertificates(name)) == 0 {
		if until, err := m.tries.get(name); time.Now().Before(until) {
			return nil, fmt.Errorf("no certificate for %s, and no new try before %s: %w", name, until.Format(time.TimeOnly), err)
		}
	}
	ctx, cancel := context.WithTimeout(hello.Context(), m.pace.handshake)
	defer cancel()
	defer context.AfterFunc(m.ctx, cancel)()
	cert, err := m.demand.GetCertificateWithContext(withTry(ctx, &try{end: cancel}), hello)
	if err == nil {
		return cert, nil
	}
	if errors.Is(err, errRefused) {
		m.log.Debug("no certificate is obtained", slog.String("host", name), slog.String("error", err.Error()))
		return nil, nil
	}
	if _, last := m.tries.get(name); last != nil {
		err = last
	}
	return nil, fmt.Errorf("no certificate for %s: %w", name, err)
}

// decide is certmagic's DecisionFunc: for names that have no certificate in
// memory, and for renewals.
func (m *Manager) decide(ctx context.Context, name string) error {
	s := m.serving.Load()
	if s == nil || s.guard == nil {
		return errRefused
	}
	err := s.guard.check(ctx, name)
	if err == nil || errors.Is(err, errRefused) {
		return err
	}
	if s.guard.mayWarn() {
		m.log.Warn("whether a certificate may be obtained can't be asked", slog.String("host", name), slog.String("error", err.Error()),
			slog.String("hint", "`ask:` must answer within 5 seconds; until then only names that have a certificate get one"))
	}
	// It was allowed once: an outage of who is asked must not become one of the site.
	key := certmagic.StorageKeys.SiteCert(m.demand.Issuers[0].IssuerKey(), name)
	if _, stored := m.storage.Load(ctx, key); stored == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errRefused, err)
}

// errRefused is that a name is not allowed.
var errRefused = errors.New("not allowed")

// guard is an OnDemand in use.
type guard struct {
	allow  map[string]bool
	ask    *url.URL // nil: nobody is asked
	client *http.Client
	slots  chan struct{} // as many questions as are asked at once
	warned atomic.Int64  // when, in Unix seconds
}

func newGuard(o *OnDemand) (*guard, error) {
	if o == nil {
		return nil, nil
	}
	g := &guard{allow: map[string]bool{}, slots: make(chan struct{}, 16)}
	for _, name := range o.Allow {
		name = ascii(name)
		if err := checkName(name); err != nil {
			return nil, fmt.Errorf("on demand: %w", err)
		}
		g.allow[name] = true
	}
	if o.Ask != "" {
		var err error
		if g.ask, err = url.Parse(o.Ask); err != nil || g.ask.Host == "" || g.ask.Scheme != "http" && g.ask.Scheme != "https" {
			return nil, fmt.Errorf("on demand: %q is no http URL\nhint: such as http://127.0.0.1:3000/may-have-a-certificate", o.Ask)
		}
		g.client = &http.Client{
			Timeout:       5 * time.Second,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	if len(g.allow) == 0 && g.ask == nil {
		return nil, errors.New("on demand: nothing is allowed\nhint: list names in `allow:`, or an URL in `ask:`: otherwise anyone could make the edge obtain certificates for any name")
	}
	return g, nil
}

func (g *guard) lists(name string) bool { return g.allow[name] || g.allow[wildcard(name)] }

// check returns nil if the name is allowed, and errRefused if it is not; any
// other error is that nobody could say.
func (g *guard) check(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	if g.lists(name) {
		return nil
	}
	if g.ask == nil {
		return errRefused
	}
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	case <-ctx.Done():
		return fmt.Errorf("too many questions at once: %w", ctx.Err())
	}
	u := *g.ask
	q := u.Query()
	q.Set("domain", name)
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	resp, err := g.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // so that the connection can be used again
	switch {
	case resp.StatusCode == http.StatusOK:
		return nil
	case resp.StatusCode >= 500:
		return fmt.Errorf("%s answers %s", g.ask.Redacted(), resp.Status)
	}
	return fmt.Errorf("%w: %s answers %s", errRefused, g.ask.Redacted(), resp.Status)
}

// mayWarn is true once a minute.
func (g *guard) mayWarn() bool {
	now, last := time.Now().Unix(), g.warned.Load()
	return now-last >= 60 && g.warned.CompareAndSwap(last, now)
}
