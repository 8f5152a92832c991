package main

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/seed14307185/refract/certs"
	"github.com/seed14307185/refract/rules"
)

// certificateOptions are what t says, for package certs. data is where the
// certificates are kept if t doesn't say.
func certificateOptions(t *rules.TLS, data string, log *slog.Logger) (certs.Options, error) {
	o := certs.Options{
		Hosts: t.Hosts, CA: t.ACME.CA, Root: t.ACME.Root, Email: t.ACME.Email, Challenges: t.ACME.Challenges,
		Dir: t.ACME.Storage, Log: log,
	}
	for _, c := range t.Certificates {
		o.Certificates = append(o.Certificates, certs.Pair{File: c.File, Key: c.Key})
	}
	if t.OnDemand != nil {
		o.OnDemand = &certs.OnDemand{Allow: t.OnDemand.Allow, Ask: t.OnDemand.Ask}
	}
	if eab := t.ACME.EAB; eab != nil {
		o.EAB = &certs.EAB{ID: eab.ID, Key: eab.Key}
	}
	if o.Dir == "" {
		o.Dir = filepath.Join(data, "certs")
	}
	if d := t.ACME.DNS; d != nil {
		solver, err := certs.DNS(d.Provider, d.Options)
		if err != nil {
			return certs.Options{}, fmt.Errorf("refract.yaml: tls: acme: dns: %w", err)
		}
		o.DNS = solver
	}
	return o, nil
}

// openCertificates reads the certificates that there are, if the set wants
// TLS. None is obtained before obtainCertificates.
func (e *edge) openCertificates(ctx context.Context, set *rules.Set) error {
	if set.Edge.TLS == nil {
		return nil
	}
	o, err := certificateOptions(set.Edge.TLS, e.data, e.log)
	if err != nil {
		return err
	}
	o.Event = e.meter.issued
	e.certs, err = certs.New(ctx, o)
	return err
}

// obtainCertificates has what is missing obtained: a CA asks back, so the
// listeners must be open.
func (e *edge) obtainCertificates() error { return e.useCertificates(e.set()) }

// useCertificates takes a set's hosts and files.
func (e *edge) useCertificates(set *rules.Set) error {
	if e.certs == nil || set.Edge.TLS == nil {
		return nil
	}
	o, err := certificateOptions(set.Edge.TLS, e.data, e.log)
	if err != nil {
		return err
	}
	return e.certs.Reload(o)
}

// reread takes anew what a set has in files that are no part of its revision:
// certificates, whom to trust the origins by, and the keys of tokens.
func (e *edge) reread(set *rules.Set) error {
	proofs, err := e.tokens.Prepare(&set.Edge.Identity)
	if err != nil {
		return err
	}
	carrier, err := e.origins.next(e.originConfig(set))
	if err != nil {
		return err
	}
	if err := e.useCertificates(set); err != nil {
		carrier.Close()
		return err
	}
	e.origins.use(carrier)
	e.tokens.Use(proofs)
	return nil
}

// expiries lists when the certificates that are served expire.
func (e *edge) expiries() iter.Seq2[string, time.Time] {
	return func(yield func(string, time.Time) bool) {
		if e.certs == nil {
			return
		}
		for name, at := range e.certs.NotAfter() {
			if !yield(name, at) {
				return
			}
		}
	}
}
