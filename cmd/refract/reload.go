package main

import (
	"context"
	"log/slog"
	"reflect"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/seed14307185/refract/console"
	"github.com/seed14307185/refract/rules"
)

// refusal is a reload that failed, until one succeeds.
type refusal struct{ at time.Time }

// reload validates the site directory, then swaps it in, if expected says that
// it is to take the place of the revision that is loaded; nil: of any. A bad
// directory changes nothing; of one that is loaded already, the certificates that
// it names are read anew. What it returns is live when it returns.
func (e *edge) reload(ctx context.Context, expected func(revision string) bool) (r console.Reloaded, err error) {
	e.reloading.Lock()
	defer e.reloading.Unlock()
	before := e.set()
	if expected != nil && !expected(before.Revision) {
		return r, &console.OtherRevision{Revision: before.Revision}
	}
	e.notify(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
	defer func() {
		e.notify(daemon.SdNotifyReady)
		e.meter.reloaded(err, e.now())
		e.refused.Store(nil)
		if err != nil {
			e.refused.Store(&refusal{e.now()})
		}
	}()
	set, err := rules.Load(e.dir)
	if err != nil {
		return r, err
	}
	r = console.Reloaded{Revision: set.Revision, Before: before.Revision, Changed: set.Revision != before.Revision,
		Warnings: []string{}, Restart: restartKeys(&e.started, &set.Edge)}
	for _, w := range set.Warnings {
		r.Warnings = append(r.Warnings, w.String())
	}
	if !r.Changed {
		return r, e.reread(set)
	}
	if err := e.use(ctx, set); err != nil {
		return r, err
	}
	r.Warnings = append(r.Warnings, relaunched(set, e.store.Standings())...)
	for _, key := range r.Restart {
		e.log.Warn("refract.yaml: a change takes effect at the next start only", slog.String("key", key))
	}
	e.log.Info("reloaded", slog.String("revision", set.Revision), slog.String("before", before.Revision))
	return r, nil
}

// restartKeys lists the keys of refract.yaml that only a start reads, and that
// are not what the process was started with.
func restartKeys(started, now *rules.Edge) []string {
	keys := []string{}
	for _, k := range []struct {
		name          string
		started, live any
	}{
		{"listen", started.Listen, now.Listen},
		{"admin", started.Admin, now.Admin},
		{"data", started.Data, now.Data},
		{"retain", started.Retain, now.Retain},
		{"tls", fixed(started.TLS), fixed(now.TLS)},
		{"tracing", started.Tracing, now.Tracing},
	} {
		if !reflect.DeepEqual(k.started, k.live) {
			keys = append(keys, k.name)
		}
	}
	return keys
}

// fixed is what only a start reads of tls.
func fixed(t *rules.TLS) *rules.TLS {
	if t == nil {
		return nil
	}
	f := *t
	f.Hosts, f.Certificates, f.OnDemand, f.HSTS = nil, nil, nil, 0
	return &f
}
