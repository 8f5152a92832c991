package main

import (
	"fmt"
	"log/slog"
	"path/filepath"

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
			return certs.Options{}, fmt.Errorf("tls: acme: dns: %w", err)
		}
		o.DNS = solver
	}
	return o, nil
}
