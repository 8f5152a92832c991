package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
)

// files are the certificates from files as they were read once. They have a
// cache of their own, for SNI and OCSP, and are replaced as a whole.
type files struct {
	cache  *certmagic.Cache // nil without pairs
	config *certmagic.Config
	pairs  []filePair
}

type filePair struct {
	Pair
	seen     [2]stamp // of both files, before they were read
	names    []string // at least one
	notAfter time.Time
}

// stamp tells whether a file has changed.
type stamp struct {
	modified time.Time
	size     int64
}

func stampOf(file string) stamp {
	info, err := os.Stat(file)
	if err != nil {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size()}
}

// loadFiles returns an error if one pair can't be used. Of two that have the
// same name and are as good, handshakes get the first.
func (m *Manager) loadFiles(pairs []Pair) (*files, error) {
	f := &files{}
	if len(pairs) == 0 {
		return f, nil
	}
	f.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return f.config, nil },
		Logger:           m.zap,
	})
	config := certmagic.Config{
		RenewalWindowRatio: certmagic.DefaultRenewalWindowRatio,
		KeySource:          certmagic.StandardKeyGenerator{KeyType: certmagic.P256},
		OCSP:               ocsp,
		Issuers:            []certmagic.Issuer{},
		Storage:            m.storage,
		OnEvent:            func(context.Context, string, map[string]any) error { return nil },
		ShouldEmitFunc:     func(string) bool { return false },
		Logger:             m.zap,
	}
	f.config = certmagic.New(f.cache, config)
	config.OCSP.DisableStapling = true
	unstapled := certmagic.New(f.cache, config)
	late := time.NewTimer(m.pace.load)
	defer late.Stop()
	for _, pair := range pairs {
		p := filePair{Pair: pair, seen: [2]stamp{stampOf(pair.File), stampOf(pair.Key)}}
		cert, key, err := m.read(&p)
		if err != nil {
			f.close()
			return nil, err
		}
		stapled := make(chan struct{})
		go func() {
			defer close(stapled)
			_, _ = f.config.CacheUnmanagedCertificatePEMBytes(m.ctx, cert, key, nil) // what read has let through is no error
		}()
		select {
		case <-stapled:
		case <-late.C:
			late.Reset(0) // for the others too
			if _, err := unstapled.CacheUnmanagedCertificatePEMBytes(m.ctx, cert, key, nil); err != nil {
				f.close()
				return nil, fmt.Errorf("%s: %w", p.File, err)
			}
		}
		f.pairs = append(f.pairs, p)
	}
	return f, nil
}

// read checks a pair and completes p.
func (m *Manager) read(p *filePair) (cert, key []byte, err error) {
	if cert, err = os.ReadFile(p.File); err != nil {
		return nil, nil, unreadable(err)
	}
	if key, err = os.ReadFile(p.Key); err != nil {
		return nil, nil, unreadable(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, nil, fmt.Errorf("%s and %s are no certificate and key: %w\n"+
			"hint: the one must be PEM with the server's certificate first and then its chain, the other PEM with that certificate's key, without a passphrase", p.File, p.Key, err)
	}
	leaf := pair.Leaf
	for _, name := range leaf.DNSNames {
		p.names = append(p.names, ascii(name))
	}
	if len(p.names) == 0 {
		return nil, nil, fmt.Errorf("the certificate in %s is for no host name\nhint: browsers look at its subject alternative names (SAN) only; have it issued with DNS names there", p.File)
	}
	p.notAfter = leaf.NotAfter
	about := []any{slog.String("file", p.File), slog.String("hosts", strings.Join(p.names, " ")), slog.Time("not_after", leaf.NotAfter)}
	const hint = "replace the two files: they are read anew within a minute"
	switch now := time.Now(); {
	case now.After(leaf.NotAfter):
		m.log.Warn("a certificate from a file has expired, and browsers will refuse it", append(about, slog.String("hint", hint))...)
	case now.Before(leaf.NotBefore):
		m.log.Warn("a certificate from a file is not valid yet", append(about, slog.Time("not_before", leaf.NotBefore), slog.String("hint", "is this machine's clock right?"))...)
	case leaf.NotAfter.Sub(now) < 7*24*time.Hour:
		m.log.Warn("a certificate from a file expires within a week", append(about, slog.String("hint", hint))...)
	}
	return cert, key, nil
}

func unreadable(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("certificate: %w\nhint: the user that runs refract must be able to read it", err)
	}
	return fmt.Errorf("certificate: %w", err)
}

// has says whether one of the certificates is for the name.
func (f *files) has(name string) bool {
	return f.cache != nil && len(f.cache.AllMatchingCertificates(name)) > 0
}

// changed says whether a file is another than the one that was read.
func (f *files) changed() bool {
	for _, p := range f.pairs {
		if p.seen != [2]stamp{stampOf(p.File), stampOf(p.Key)} {
			return true
		}
	}
	return false
}

// close ends the cache's own work. Handshakes that have it may go on.
func (f *files) close() {
	if f.cache != nil {
		f.cache.Stop()
	}
}
