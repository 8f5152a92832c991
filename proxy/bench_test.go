package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
	"github.com/seed14307185/refract/store"
)

// BenchmarkDecision is what a page costs before the origin is asked: reading
// who asks, their decision record out of the store, and the demo's seven rules.
// Goals: 2 µs and 2 allocations from the cache, 15 µs from Pebble.
func BenchmarkDecision(b *testing.B) {
	dir, visitors := decisionStore(b)
	for _, bench := range []struct {
		name  string
		cache int64 // bytes
		ids   int   // visitors to go through
	}{
		{"warm", 0, 1},
		{"cold", 1 << 10, len(visitors)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			set := demoSite(b)
			s, err := store.Open(store.Options{Dir: dir, Log: slog.New(slog.DiscardHandler), Reserve: 1, DecisionCache: bench.cache})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			if err := s.Use(b.Context(), set, func() {}); err != nil {
				b.Fatal(err)
			}
			p := &Proxy{Lookup: s.Lookup, Log: slog.New(slog.DiscardHandler)}
			requests := make([]*http.Request, bench.ids)
			for i := range requests {
				requests[i] = httptest.NewRequest(http.MethodGet, "/projects/7", nil)
				requests[i].Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
				requests[i].Header.Set("Cookie", "session=0123456789abcdef0123456789abcdef; theme=dark; user="+visitors[i])
			}
			later := time.Now().Add(49 * time.Hour) // trial admins without a teammate are a segment by then
			var x Exchange
			decide := func(i int) {
				x = Exchange{Request: requests[i%len(requests)], Start: later, set: set, path: "/projects/7"}
				p.decide(&x)
			}
			for i := range requests {
				if decide(i); len(x.Decision) != 1 {
					b.Fatalf("%s: %+v, %q", visitors[i], x.Decision, x.Passthrough)
				}
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				decide(i)
			}
		})
	}
}

// decisionStore writes a store of visitors who are trial admins with a
// project.
func decisionStore(b *testing.B) (dir string, visitors []string) {
	b.Helper()
	dir = b.TempDir()
	s, err := store.Open(store.Options{Dir: dir, Log: slog.New(slog.DiscardHandler), Reserve: 1})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Use(b.Context(), demoSite(b), func() {}); err != nil {
		b.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	for range 20 {
		var batch []*events.Event
		for range 500 {
			v := fmt.Sprintf("0192-%08d", len(visitors))
			visitors = append(visitors, v)
			batch = append(batch,
				&events.Event{Source: "segment", Kind: events.Identify, Visitor: v, Time: now, Received: now, Traits: events.Properties{"role": "admin", "plan": "trial"}},
				&events.Event{Source: "segment", Kind: events.Track, Name: "Project Created", Visitor: v, Time: now, Received: now})
		}
		if err := s.Append(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
	}
	if u, r := s.Lookup(segments.Unit{Who: segments.Visitor, ID: visitors[0]}); len(r.Open) == 0 {
		b.Fatalf("nothing is known of %v", u)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	return dir, visitors
}

// demoSite is the demo's site: seven rules, a segment each.
func demoSite(b *testing.B) *rules.Set {
	b.Helper()
	dir := b.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../demo/site")); err != nil {
		b.Fatal(err)
	}
	edge := "origin: http://127.0.0.1:1\nidentity: {visitor: [cookie:user, first-party], account: [cookie:team]}\n"
	if err := os.WriteFile(filepath.Join(dir, "refract.yaml"), []byte(edge), 0o644); err != nil {
		b.Fatal(err)
	}
	set, err := rules.Load(dir)
	if err != nil {
		b.Fatal(err)
	}
	if len(set.Live()) != 7 {
		b.Fatalf("%d rules are live", len(set.Live()))
	}
	return set
}

// BenchmarkForward is what a request of 10 KB that no rule touches costs beside
// the origin's transport and the visitor's connection, neither of which is
// there: all that a forward loop in place of httputil.ReverseProxy could save.
func BenchmarkForward(b *testing.B) {
	set := demoSite(b)
	page := bytes.Repeat([]byte("0123456789abcdef"), 640)
	head := http.Header{
		"Content-Type": {"text/html; charset=utf-8"}, "Content-Length": {fmt.Sprint(len(page))}, "Date": {"Mon, 23 Nov 2026 00:00:00 GMT"},
		"Etag": {`"65f1-2800"`}, "Last-Modified": {"Mon, 23 Nov 2026 00:00:00 GMT"}, "Server": {"nginx"}, "Accept-Ranges": {"bytes"},
	}
	p := &Proxy{
		Origin: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}, Current: func() *rules.Set { return set }, Log: slog.New(slog.DiscardHandler),
		Lookup:  func(u segments.Unit) (segments.Unit, segments.Record) { return u, segments.Record{} },
		Observe: func(*events.Event) {},
		Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, Header: head.Clone(), Body: io.NopCloser(bytes.NewReader(page)), ContentLength: int64(len(page)), Request: r}, nil
		}),
	}
	r := httptest.NewRequest(http.MethodGet, "/about", nil)
	r.Header = http.Header{
		"User-Agent": {"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}, "Accept": {"text/html,*/*;q=0.8"},
		"Accept-Encoding": {"gzip, deflate, br, zstd"}, "Accept-Language": {"en"}, "Cookie": {"session=0123456789abcdef; user=u1"},
	}
	ctx, cancel := context.WithCancel(b.Context()) // as the server's
	defer cancel()
	r = r.WithContext(ctx)
	b.ReportAllocs()
	began := cpuTime(b)
	for b.Loop() {
		p.ServeHTTP(&nobody{header: http.Header{}}, r)
	}
	b.ReportMetric(float64((cpuTime(b)-began).Microseconds())/float64(b.N), "cpu-µs/op")
}

// cpuTime is what the process has used of all processors: on a machine that is
// shared, the clock says little.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// nobody is a visitor who takes everything.
type nobody struct{ header http.Header }

func (n *nobody) Header() http.Header         { return n.header }
func (n *nobody) WriteHeader(int)             {}
func (n *nobody) Write(p []byte) (int, error) { return len(p), nil }
func (n *nobody) Flush()                      {}
