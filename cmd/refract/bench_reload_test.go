package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// pacedLoad asks for pages at a fixed rate over connections that it keeps, and
// measures from when a request was due: who is late counts as slow.
type pacedLoad struct {
	all    sync.WaitGroup
	stop   chan struct{}
	phase  atomic.Int32
	mu     sync.Mutex
	took   [2][]time.Duration // by phase; guarded by mu
	failed []error            // guarded by mu
}

const (
	pacedConns = 10
	pacedEvery = 20 * time.Millisecond // of one connection: 500 requests/s in all
)

func newPacedLoad(b *testing.B, addr, visitor string) *pacedLoad {
	b.Helper()
	l := &pacedLoad{stop: make(chan struct{})}
	for i := range pacedConns {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		c := &loadConn{conn, bufio.NewReader(conn), fmt.Appendf(nil, "GET /reports HTTP/1.1\r\nHost: app\r\nCookie: user=%s\r\n\r\n", visitor)}
		l.all.Go(func() {
			defer conn.Close()
			due := time.Now().Add(pacedEvery * time.Duration(i) / pacedConns)
			for {
				select {
				case <-l.stop:
					return
				case <-time.After(time.Until(due)):
				}
				err := c.get()
				l.mu.Lock()
				if err != nil {
					l.failed = append(l.failed, err)
				} else {
					p := l.phase.Load()
					l.took[p] = append(l.took[p], time.Since(due))
				}
				l.mu.Unlock()
				if err != nil {
					return
				}
				due = due.Add(pacedEvery)
			}
		})
	}
	return l
}

func (l *pacedLoad) end() {
	close(l.stop)
	l.all.Wait()
}

// quantile of durations, in the unit's number.
func quantile(all []time.Duration, q float64, unit time.Duration) float64 {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return float64(sorted[int(q*float64(len(sorted)-1))]) / float64(unit)
}

// benchEdge is a refract with a visitor who is treated on a page of 10 KB.
func benchEdge(b *testing.B) (r *refract, visitor string) {
	b.Helper()
	origin := startChild(b, "origin", "")
	r = startIn(b, newSite(b, "../../testdata/sites/loop", "http://"+origin.addr))
	return r, treatedVisitor(b, r)
}

// BenchmarkReloads reloads a changed site again and again under 500 requests/s
// of pages with a treated region. The goal: of 1 000 reloads, none fails a
// request, and the slowest of a hundred is as slow as without. An operation is
// a reload.
func BenchmarkReloads(b *testing.B) {
	r, visitor := benchEdge(b)
	rule := filepath.Join(r.dir, "site/rules", reportsRule+".yaml")
	original, err := os.ReadFile(rule)
	if err != nil {
		b.Fatal(err)
	}
	l := newPacedLoad(b, strings.TrimPrefix(r.edge, "http://"), visitor)
	<-time.After(5 * time.Second)
	l.phase.Store(1)
	reloads := 0
	for b.Loop() {
		reloads++
		if err := os.WriteFile(rule, fmt.Appendf(slices.Clone(original), "# %d\n", reloads), 0o644); err != nil {
			b.Fatal(err)
		}
		r.post("/api/reload")
	}
	l.end()
	for _, err := range l.failed {
		b.Errorf("a request failed: %v", err)
	}
	if r.get("/reports", visitor) == string(benchPage) {
		b.Error("after the reloads, the visitor is not treated")
	}
	b.ReportMetric(float64(len(l.failed)), "failed")
	b.ReportMetric(float64(len(l.took[1])), "requests")
	b.ReportMetric(quantile(l.took[0], .99, time.Microsecond), "p99-before-us")
	b.ReportMetric(quantile(l.took[1], .99, time.Microsecond), "p99-reloading-us")
}

// BenchmarkStops measures, under 500 requests/s, the time from the beginning of
// a rollback by command, and of a kill file, to the end of the first response
// that is the app's own. The goal: at most 50 ms in 99 of 100. An operation is
// a stop.
func BenchmarkStops(b *testing.B) {
	for _, bench := range []struct {
		name        string
		stop, start func(*refract)
	}{
		{"command", func(r *refract) { r.mustCommand("rollback", reportsRule) }, func(r *refract) { r.mustCommand("resume", reportsRule) }},
		{"kill-file",
			func(r *refract) { touch(b, filepath.Join(r.dir, "data/OFF")) },
			func(r *refract) { remove(b, filepath.Join(r.dir, "data/OFF")) }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			r, visitor := benchEdge(b)
			l := newPacedLoad(b, strings.TrimPrefix(r.edge, "http://"), visitor)
			untreated := func() bool { return r.get("/reports", visitor) == string(benchPage) }
			var took []time.Duration
			for b.Loop() {
				done := make(chan struct{})
				began := time.Now()
				go func() {
					defer close(done)
					bench.stop(r)
				}()
				for !untreated() {
				}
				took = append(took, time.Since(began))
				<-done
				b.StopTimer()
				bench.start(r)
				for untreated() {
				}
				b.StartTimer()
			}
			l.end()
			for _, err := range l.failed {
				b.Errorf("a request failed: %v", err)
			}
			b.ReportMetric(quantile(took, .50, time.Millisecond), "p50-ms")
			b.ReportMetric(quantile(took, .99, time.Millisecond), "p99-ms")
		})
	}
}
