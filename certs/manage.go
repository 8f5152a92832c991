package certs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
)

// host is a name that certificates are obtained for.
type host struct {
	stop context.CancelFunc
	wake chan struct{} // has room for one: try now, and don't wait
}

// Reload takes the Hosts, Certificates and OnDemand of o, reads all files anew,
// begins to obtain what is missing, and tries at once what has failed. Certificates
// of names that are gone stay in the storage. After an error everything is as
// it was.
func (m *Manager) Reload(o Options) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ctx.Err() != nil {
		return errors.New("certificates: closed")
	}
	s, err := m.prepare(o)
	if err != nil {
		return err
	}
	if m.hosts == nil {
		m.hosts = map[string]*host{}
	}
	for _, h := range m.hosts {
		select {
		case h.wake <- struct{}{}:
		default:
		}
	}
	m.publish(s)
	m.wg.Go(func() { _ = m.cache.RenewManagedCertificates(m.ctx) })
	return nil
}

// prepare makes what is to be served, and changes nothing.
func (m *Manager) prepare(o Options) (*serving, error) {
	s := &serving{hosts: map[string]bool{}}
	for _, name := range o.Hosts {
		name = ascii(name)
		if err := checkName(name); err != nil {
			return nil, err
		}
		if strings.HasPrefix(name, "*.") && m.dns == nil {
			return nil, fmt.Errorf("a certificate for %s can be had by dns-01 only\nhint: add dns-01 to `challenges:` and say in `dns:` who serves the zone", name)
		}
		if !s.hosts[name] {
			s.hosts[name] = true
			s.names = append(s.names, name)
		}
	}
	var err error
	if s.guard, err = newGuard(o.OnDemand); err != nil {
		return nil, err
	}
	if s.files, err = m.loadFiles(o.Certificates); err != nil {
		return nil, err
	}
	if len(s.files.pairs) > 0 {
		s.fallback = s.files.pairs[0].names[0]
	} else if len(s.names) > 0 {
		s.fallback = s.names[0]
	}
	return s, nil
}

// publish makes s what handshakes go by. m.mu is held.
func (m *Manager) publish(s *serving) {
	if old := m.serving.Swap(s); old != nil {
		old.files.close()
	}
	if m.hosts == nil {
		return // nothing is obtained before the first Reload
	}
	wanted := map[string]bool{}
	for _, name := range s.names {
		wanted[name] = !s.files.has(name)
	}
	for name, h := range m.hosts {
		if !wanted[name] {
			h.stop()
			delete(m.hosts, name)
			m.cache.RemoveManaged([]certmagic.SubjectIssuer{{Subject: name}})
		}
	}
	for _, name := range s.names {
		if wanted[name] && m.hosts[name] == nil {
			ctx, stop := context.WithCancel(m.ctx)
			h := &host{stop, make(chan struct{}, 1)}
			m.hosts[name] = h
			turn := m.turn(name)
			m.wg.Go(func() { m.obtain(ctx, name, turn, h.wake) })
		}
	}
}

// turn returns what lets one of a name and its wildcard be obtained at a time.
// To a CA both are the same name, by which certmagic knows what a challenge is
// to be answered with: of two, the later would be the answer to either.
func (m *Manager) turn(name string) chan struct{} {
	name = strings.TrimPrefix(name, "*.")
	if m.turns[name] == nil {
		m.turns[name] = make(chan struct{}, 1)
	}
	return m.turns[name]
}

// obtain returns when there is a certificate for the host, which the cache
// renews from then on.
func (m *Manager) obtain(ctx context.Context, name string, turn chan struct{}, wake <-chan struct{}) {
	for attempts := 0; ; attempts++ {
		t := &try{}
		// certmagic sends tries after the first to Let's Encrypt's staging server before.
		counted := context.WithValue(withTry(ctx, t), certmagic.AttemptsCtxKey, &attempts)
		select {
		case turn <- struct{}{}:
		case <-ctx.Done():
			return
		}
		err := m.config(name).ManageSync(counted, []string{name})
		<-turn
		if err == nil || ctx.Err() != nil {
			return
		}
		if !t.told.Load() {
			m.failed(name, false, err)
		}
		until, _ := m.tries.get(name)
		wait := time.NewTimer(time.Until(until))
		select {
		case <-ctx.Done():
		case <-wake:
		case <-wait.C:
		}
		if wait.Stop(); ctx.Err() != nil {
			return
		}
	}
}

// housekeep reads files that have changed, and once a day takes out of the
// storage what expired two weeks ago.
func (m *Manager) housekeep() {
	look := time.NewTicker(m.pace.files)
	defer look.Stop()
	day := time.NewTicker(24 * time.Hour)
	defer day.Stop()
	m.clean()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-day.C:
			m.clean()
		case <-look.C:
			m.rereadFiles()
		}
	}
}

func (m *Manager) clean() {
	err := certmagic.CleanStorage(m.ctx, m.storage, certmagic.CleanStorageOptions{
		Logger: m.zap, Interval: 24 * time.Hour, OCSPStaples: true, ExpiredCerts: true, ExpiredCertGracePeriod: 14 * 24 * time.Hour,
	})
	if err != nil && m.ctx.Err() == nil {
		m.log.Warn("the storage of certificates can't be cleaned", slog.String("error", err.Error()))
	}
}

func (m *Manager) rereadFiles() {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.serving.Load()
	if s == nil || m.ctx.Err() != nil || !s.files.changed() {
		return
	}
	pairs := make([]Pair, len(s.files.pairs))
	for i, p := range s.files.pairs {
		pairs[i] = p.Pair
	}
	next := *s
	var err error
	if next.files, err = m.loadFiles(pairs); err != nil {
		m.log.Warn("certificate files have changed and can't be used: what was served is served on", problem(err)...)
		return
	}
	if len(next.files.pairs) > 0 {
		next.fallback = next.files.pairs[0].names[0]
	}
	m.publish(&next)
	m.log.Info("certificate files have been read anew")
}

// problem returns an error and the hint in it for a log line.
func problem(err error) []any {
	text, hint, ok := strings.Cut(err.Error(), "\nhint: ")
	if !ok {
		return []any{slog.String("error", text)}
	}
	return []any{slog.String("error", text), slog.String("hint", hint)}
}
