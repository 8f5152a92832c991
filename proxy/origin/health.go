package origin

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// health is what is thought of a server: by its checks, and by the requests it
// was sent.
type health struct {
	limit    int // failures within cooldown that take the server out; 0: never
	cooldown time.Duration
	start    time.Time

	sick  atomic.Bool  // by the checks
	until atomic.Int64 // out by failures until so long after start; 0: not
	total atomic.Uint64

	mu     sync.Mutex
	recent []time.Duration // the last failures, after start; at most limit
}

func (s *server) healthy() bool {
	h := &s.health
	if h.sick.Load() {
		return false
	}
	until := h.until.Load()
	return until == 0 || time.Since(h.start) >= time.Duration(until)
}

// failed counts a failure, and says whether it took the server out.
func (h *health) failed() bool {
	h.total.Add(1)
	if h.limit <= 0 {
		return false
	}
	now := time.Since(h.start)
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.recent) == h.limit {
		h.recent = append(h.recent[:0], h.recent[1:]...)
	}
	h.recent = append(h.recent, now)
	if len(h.recent) < h.limit || now-h.recent[0] > h.cooldown {
		return false
	}
	h.recent = h.recent[:0]
	h.until.Store(int64(now + h.cooldown))
	return true
}

// watch checks the server until ctx is done. A server is well until its checks
// say otherwise.
func (s *server) watch(ctx context.Context) {
	every := time.NewTicker(max(s.check.Every, time.Millisecond))
	defer every.Stop()
	inRow := 0 // checks that contradict what is thought
	for {
		err := s.checkOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		sick := s.health.sick.Load()
		if (err != nil) == sick {
			inRow = 0
		} else if inRow++; sick && inRow >= s.check.Rise {
			s.health.sick.Store(false)
			inRow = 0
			s.log.Info("a server is back: its checks succeed", slog.String("origin", s.name))
		} else if !sick && inRow >= s.check.Fall {
			s.health.sick.Store(true)
			inRow = 0
			s.log.Warn("a server is out: its checks fail", slog.String("origin", s.name), slog.String("error", err.Error()))
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}

// maxCheckBody is how much of a check's answer is read.
const maxCheckBody = 64 << 10

// checkOnce makes one check, on a connection of its own: a server must also
// take new ones.
func (s *server) checkOnce(ctx context.Context) error {
	if s.check.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.check.Timeout)
		defer cancel()
	}
	req := (&http.Request{
		Method: http.MethodGet, URL: &url.URL{Opaque: s.check.Path}, Host: s.check.Host, Close: true,
		Header: http.Header{"User-Agent": {"refract-check"}, "Accept": {"*/*"}},
	}).WithContext(ctx)
	out, err := s.pools.prepare(req, s.host)
	if err != nil {
		return err
	}
	defer out.release(s.pools)
	resp, fail := s.exchange(req, out, true, 0)
	if fail != nil {
		return fail.err
	}
	defer resp.Body.Close()
	if !s.check.Status.Has(resp.StatusCode) {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxCheckBody)); err != nil {
		return err
	}
	return nil
}
