package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed14307185/refract/proxy"
)

// accessLog writes one JSON line for each exchange. A reader that is too slow
// loses lines, which are counted; a request never waits.
type accessLog struct {
	out     *lineWriter
	handler slog.Handler
}

func newAccessLog(w io.Writer, dropped prometheus.Counter) *accessLog {
	out := newLineWriter(w, dropped)
	return &accessLog{out: out, handler: slog.NewJSONHandler(out, nil)}
}

// write logs an exchange. The query is left out: it may hold what is nobody's
// business.
func (l *accessLog) write(x *proxy.Exchange) {
	rec := slog.NewRecord(x.Start, slog.LevelInfo, "request", 0)
	remote, _, err := net.SplitHostPort(x.Request.RemoteAddr)
	if err != nil {
		remote = x.Request.RemoteAddr
	}
	rec.AddAttrs(
		slog.String("remote", remote),
		slog.String("method", x.Request.Method),
		slog.String("host", x.Request.Host),
		slog.String("path", x.Request.URL.EscapedPath()),
		slog.Int("status", x.Status),
		slog.Int64("bytes", x.Bytes),
		slog.Int64("duration_us", x.Took.Microseconds()),
		slog.String("revision", x.Revision),
		slog.String("rule", joined(x, func(i int) string { return x.Decision[i].Rule.Name })),
		slog.String("rule_version", joined(x, func(i int) string { return x.Decision[i].Rule.Version })),
		slog.String("arm", joined(x, func(i int) string { return string(x.Decision[i].Arm) })),
		slog.String("surface_state", joined(x, func(i int) string { return surfaceState(x, i) })),
		slog.String("passthrough_reason", string(x.Passthrough)),
	)
	if x.OriginError != nil {
		rec.AddAttrs(slog.String("origin_error", x.OriginError.Error()), slog.Bool("client_gone", x.ClientGone))
	}
	_ = l.handler.Handle(context.Background(), rec) // lineWriter never fails
}

// joined is a field of each decided surface, separated by commas.
func joined(x *proxy.Exchange, field func(int) string) string {
	switch len(x.Decision) {
	case 0:
		return ""
	case 1:
		return field(0)
	}
	var parts []string
	for i := range x.Decision {
		parts = append(parts, field(i))
	}
	return strings.Join(parts, ",")
}

func surfaceState(x *proxy.Exchange, i int) string {
	if i >= len(x.Sightings) {
		return "not-looked-for"
	}
	s := x.Sightings[i]
	if s.Reason != "" {
		return string(s.State) + ":" + string(s.Reason)
	}
	return string(s.State)
}

// lineWriter gathers lines and has a goroutine write them, many at a time: a
// line costs its writer a copy, and no system call.
type lineWriter struct {
	mu      sync.Mutex
	pending []byte // guarded by mu
	dropped prometheus.Counter
	stop    chan struct{}
	done    sync.WaitGroup
}

const (
	linesEvery = 50 * time.Millisecond // how long a line waits
	linesBytes = 4 << 20               // of lines that may wait for a slow reader
)

func newLineWriter(w io.Writer, dropped prometheus.Counter) *lineWriter {
	l := &lineWriter{dropped: dropped, stop: make(chan struct{})}
	l.done.Go(func() {
		tick := time.NewTicker(linesEvery)
		defer tick.Stop()
		var spare []byte
		for stopped := false; !stopped; {
			select {
			case <-tick.C:
			case <-l.stop:
				stopped = true
			}
			l.mu.Lock()
			lines := l.pending
			l.pending = spare[:0]
			l.mu.Unlock()
			if len(lines) > 0 {
				_, _ = w.Write(lines) // there is nowhere to complain of a broken log
			}
			spare = lines
		}
	})
	return l
}

// Write takes one line. It waits for no reader and never fails.
func (l *lineWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending)+len(p) > linesBytes {
		l.dropped.Inc()
		return len(p), nil
	}
	l.pending = append(l.pending, p...)
	return len(p), nil
}

// close writes what waits. What is written after it is lost.
func (l *lineWriter) close() {
	close(l.stop)
	l.done.Wait()
}
