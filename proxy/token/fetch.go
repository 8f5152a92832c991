package token

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	neturl "net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// refresh is how long a key set is used before it is fetched anew, if its
	// server doesn't say; what it says is held within soonest and latest.
	refresh = time.Hour
	soonest = 5 * time.Minute
	latest  = 24 * time.Hour

	// between is the least time between two fetches that tokens of unknown keys
	// ask for.
	between = 30 * time.Second

	// firstPause is how long after a failure it is tried again; the pauses double
	// up to longestPause.
	firstPause   = 5 * time.Second
	longestPause = 5 * time.Minute

	fetchTimeout = 10 * time.Second
)

// keySet is a key set at a URL. One goroutine fetches it; keys that were fetched
// are used until others are.
type keySet struct {
	url    string
	shown  string // that, less what may be secret in it
	now    atomic.Pointer[keys]
	wanted chan struct{} // a token had a key that isn't there
	tried  chan struct{} // closed after the first try to fetch it
	stop   context.CancelFunc
}

func newKeySet(url string) *keySet {
	s := &keySet{url: url, wanted: make(chan struct{}, 1), tried: make(chan struct{}), stop: func() {}}
	if u, err := neturl.Parse(url); err == nil {
		u.User, u.RawQuery = nil, ""
		s.shown = u.String()
	}
	s.now.Store(noKeys())
	return s
}

// ask has the key set fetched soon. It does not wait.
func (s *keySet) ask() {
	select {
	case s.wanted <- struct{}{}:
	default:
	}
}

// start begins to fetch a key set. Its caller holds mu.
func (v *Verifiers) start(s *keySet) {
	if v.Transport == nil {
		v.Transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
		}
	}
	client := &http.Client{
		Transport: v.Transport, Timeout: fetchTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	v.ended.Go(func() { s.run(ctx, client, v.Log) })
}

// run keeps the key set fresh until ctx ends.
func (s *keySet) run(ctx context.Context, client *http.Client, log *slog.Logger) {
	pause := firstPause
	failing := false
	first := sync.OnceFunc(func() { close(s.tried) })
	defer first()
	for {
		began := time.Now()
		fetched, wait, err := fetch(ctx, client, s.url)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if !failing {
				log.Warn("a key set can't be fetched: tokens are verified by the keys that are there",
					slog.String("jwks", s.shown), slog.Int("keys", len(s.now.Load().list)), slog.String("error", err.Error()))
			}
			failing, wait, pause = true, pause, min(2*pause, longestPause)
		default:
			changed := !bytes.Equal(fetched.raw, s.now.Load().raw)
			if changed {
				s.now.Store(fetched)
			}
			if changed || failing {
				log.Info("a key set was fetched", slog.String("jwks", s.shown), slog.Int("keys", len(s.now.Load().list)))
			}
			failing, pause = false, firstPause
		}
		first()
		select {
		case <-s.wanted: // asked before this answer: whoever still has an unknown key asks again
		default:
		}
		timer := time.NewTimer(time.Until(began.Add(wait)))
		select {
		case <-s.wanted:
			timer.Reset(time.Until(began.Add(min(wait, between))))
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// fetch gets a key set, and for how long it may be used.
func fetch(ctx context.Context, client *http.Client, url string) (*keys, time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	req.Header.Set("User-Agent", "refract")
	resp, err := client.Do(req)
	if err != nil {
		if wrapped := (*neturl.Error)(nil); errors.As(err, &wrapped) {
			err = wrapped.Err // which doesn't repeat the URL
		}
		return nil, 0, err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return nil, 0, fmt.Errorf("it answers %s; hint: redirects are not followed: set jwks to where they lead", resp.Status)
	case resp.StatusCode != http.StatusOK:
		return nil, 0, fmt.Errorf("it answers %s", resp.Status)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySet+1))
	if err != nil {
		return nil, 0, err
	}
	fetched, err := parseKeys(raw)
	return fetched, lifetime(resp.Header), err
}

// lifetime is how long a key set may be used: RFC 9111, section 5.2.2.1.
func lifetime(h http.Header) time.Duration {
	for part := range strings.SplitSeq(strings.Join(h["Cache-Control"], ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(part)), "=")
		switch name {
		case "no-store", "no-cache":
			return soonest
		case "max-age":
			if n, err := strconv.ParseInt(strings.Trim(value, `"`), 10, 32); err == nil && n >= 0 {
				return min(max(time.Duration(n)*time.Second, soonest), latest)
			}
		}
	}
	return refresh
}
