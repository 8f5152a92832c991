package certs

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

// try is one try of one name, carried by its context.
type try struct {
	told atomic.Bool // that it failed
	end  func()      // nil, or called when it has failed
}

type tryKey struct{}

func withTry(ctx context.Context, t *try) context.Context { return context.WithValue(ctx, tryKey{}, t) }

// onEvent returns certmagic.Config.OnEvent. demand is for names on demand,
// whose renewals are paced here: certmagic would try at every handshake.
func (m *Manager) onEvent(demand bool) func(context.Context, string, map[string]any) error {
	return func(ctx context.Context, event string, data map[string]any) error {
		name, _ := data["identifier"].(string)
		renewal, _ := data["renewal"].(bool)
		switch event {
		case "cert_obtaining":
			if until, err := m.tries.get(name); demand && renewal && time.Now().Before(until) {
				return certmagic.ErrNoRetry{Err: err}
			}
		case "cert_obtained":
			m.tries.clear(name)
			m.log.Info("certificate obtained", slog.String("host", name), slog.Bool("renewal", renewal))
			m.event(Event{Name: name, Renewal: renewal})
		case "cert_failed":
			err, _ := data["error"].(error)
			if ctx.Err() != nil && errors.Is(err, context.Canceled) {
				return nil // taken back
			}
			m.failed(name, renewal, err)
			if t, _ := ctx.Value(tryKey{}).(*try); t != nil {
				t.told.Store(true)
				if t.end != nil {
					t.end()
				}
			}
		}
		return nil
	}
}

func (m *Manager) failed(name string, renewal bool, err error) {
	wait := m.tries.add(name, err)
	h := hint(err)
	attrs := []any{slog.String("host", name), slog.Bool("renewal", renewal), slog.String("error", err.Error())}
	if h != "" {
		attrs = append(attrs, slog.String("hint", h))
	}
	if !renewal {
		attrs = append(attrs, slog.String("retry_in", wait.String()))
	}
	m.log.Error("certificate not obtained", attrs...)
	m.event(Event{Name: name, Renewal: renewal, Err: err, Hint: h})
}

func (m *Manager) event(e Event) {
	if m.opts.Event != nil {
		m.opts.Event(e)
	}
}

// hint says what to do about an error of obtaining a certificate: RFC 8555,
// section 6.7, for those of the CA.
func hint(err error) string {
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		return "if the CA is your own, `root:` must name its root certificate"
	}
	var p acme.Problem
	if !errors.As(err, &p) {
		var n net.Error
		if errors.As(err, &n) {
			return "the CA can't be reached: it is tried again by itself; check that this machine can connect to it, and that `ca:` is right"
		}
		return ""
	}
	switch p.Type {
	case acme.ProblemTypeConnection, acme.ProblemTypeTLS, acme.ProblemTypeUnauthorized, acme.ProblemTypeIncorrectResponse:
		return "the CA must reach this machine by that name: check where its A and AAAA records lead, and port 80 for http-01, 443 for tls-alpn-01"
	case acme.ProblemTypeDNS:
		return "the name must have a public A or AAAA record; for dns-01, its TXT record must be seen from outside"
	case acme.ProblemTypeCAA:
		return "the name's CAA records do not allow this CA"
	case acme.ProblemTypeRateLimited:
		return "the CA has a limit on certificates, or on failed tries, for this name or account: wait, and mend the cause first"
	case acme.ProblemTypeExternalAccountRequired:
		return "this CA wants an account of its own: put its id and key into `eab:`"
	case acme.ProblemTypeRejectedIdentifier, acme.ProblemTypeUnsupportedIdentifier:
		return "the CA gives no certificate for such a name"
	case acme.ProblemTypeInvalidContact, acme.ProblemTypeUnsupportedContact:
		return "the CA refuses `email:`"
	}
	return ""
}

// maxFailures is how many names' failures are remembered. One of more takes the
// place of another, whichever.
const maxFailures = 1000

// failures paces tries.
type failures struct {
	retry, most time.Duration
	mu          sync.Mutex
	of          map[string]failure
}

type failure struct {
	err   error
	wait  time.Duration
	until time.Time // there is no new try before
}

func newFailures(retry, most time.Duration) *failures {
	return &failures{retry: retry, most: most, of: map[string]failure{}}
}

// add returns how long the next try has to wait.
func (f *failures) add(name string, err error) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	wait := f.retry
	if last, again := f.of[name]; again {
		wait = min(2*last.wait, f.most)
	} else if len(f.of) >= maxFailures {
		for other := range f.of {
			delete(f.of, other)
			break
		}
	}
	f.of[name] = failure{err, wait, time.Now().Add(wait)}
	return wait
}

// get returns why the last try failed, and when the next may be; or zero values.
func (f *failures) get(name string) (until time.Time, why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.of[name].until, f.of[name].err
}

func (f *failures) clear(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.of, name)
}
