package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	collect "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/seed14307185/refract/rules"
)

// collector takes spans as a real one does.
type collector struct {
	*httptest.Server
	mu       sync.Mutex
	spans    []*spans.Span     // guarded by mu
	resource map[string]string // guarded by mu
	paths    []string          // guarded by mu
}

func newCollector(t *testing.T) *collector {
	c := &collector{resource: map[string]string{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Errorf("the body is not in gzip: %v", err)
			return
		}
		b, err := io.ReadAll(unzipped)
		var req collect.ExportTraceServiceRequest
		if err != nil || proto.Unmarshal(b, &req) != nil || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("not OTLP: %v, %s", err, r.Header.Get("Content-Type"))
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.paths = append(c.paths, r.URL.Path)
		for _, rs := range req.GetResourceSpans() {
			for _, a := range rs.GetResource().GetAttributes() {
				c.resource[a.GetKey()] = a.GetValue().GetStringValue()
			}
			for _, ss := range rs.GetScopeSpans() {
				c.spans = append(c.spans, ss.GetSpans()...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(c.Close)
	return c
}

// traced is an edge's handler around an origin, with spans of whatever it
// serves. seen is the headers that the origin got.
type traced struct {
	*httptest.Server
	tracing *tracing
	seen    chan http.Header
}

func newTraced(t *testing.T, conf rules.Tracing) *traced {
	t.Helper()
	e := &traced{seen: make(chan http.Header, 8)}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.seen <- r.Header
		switch r.URL.Path {
		case "/missing":
			http.NotFound(w, r)
		case "/gone":
			panic(http.ErrAbortHandler)
		default:
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, reportsPage)
		}
	}))
	t.Cleanup(app.Close)
	var err error
	log := slog.New(slog.DiscardHandler)
	if e.tracing, err = newTracing(t.Context(), conf, log); err != nil {
		t.Fatal(err)
	}
	dir := newSite(t, "../../testdata/sites/loop", app.URL)
	edge, err := newEdge(t.Context(), filepath.Join(dir, "site"), time.Now, log, false)
	if err != nil {
		t.Fatal(err)
	}
	edge.proxy.Transport = e.tracing.transport(&edge.origins)
	edge.proxy.Done = e.tracing.exchange
	e.Server = httptest.NewServer(e.tracing.handler(edge.proxy))
	t.Cleanup(func() {
		e.Close()
		_ = edge.shut() // tested elsewhere
	})
	return e
}

func (e *traced) get(t *testing.T, path string, header ...string) http.Header {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body) // the spans are what is looked at
	resp.Body.Close()
	return <-e.seen
}

const (
	theirTrace  = "0af7651916cd43dd8448eb211c80319c"
	theirSpan   = "b7ad6b7169203331"
	theirParent = "00-" + theirTrace + "-" + theirSpan + "-01"
	unsampled   = "00-" + theirTrace + "-" + theirSpan + "-00"
)

func TestTracing(t *testing.T) {
	c := newCollector(t)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
	e := newTraced(t, rules.Tracing{OTLP: c.URL, Sample: 1})
	seen := e.get(t, "/reports?token=secret", "Traceparent", theirParent, "Tracestate", "a=1", "Tracestate", "b=2", "Baggage", "k=v")
	parent := strings.Split(seen.Get("Traceparent"), "-")
	if len(parent) != 4 || parent[1] != theirTrace || parent[2] == theirSpan || parent[3] != "01" {
		t.Errorf("the origin's parent is %q", seen["Traceparent"])
	}
	if ts := seen["Tracestate"]; len(ts) != 1 || ts[0] != "a=1,b=2" || seen.Get("Baggage") != "k=v" {
		t.Errorf("the origin's state is %q, its baggage %q", ts, seen["Baggage"])
	}
	e.get(t, "/missing")
	e.get(t, "/gone")
	if err := e.tracing.shut(t.Context()); err != nil {
		t.Fatal(err)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.paths) == 0 || c.paths[0] != "/v1/traces" || c.resource["service.name"] != "refract" || c.resource["deployment.environment"] != "test" {
		t.Errorf("posted to %q, of %v", c.paths, c.resource)
	}
	if len(c.spans) != 6 {
		t.Fatalf("%d spans came, want two of each of three requests", len(c.spans))
	}
	byParent := map[string]*spans.Span{}
	for _, s := range c.spans {
		byParent[hex.EncodeToString(s.GetParentSpanId())] = s
		for _, a := range s.GetAttributes() {
			for _, secret := range []string{"secret", "ann", "Go-http-client"} {
				if strings.Contains(a.GetValue().String(), secret) {
					t.Errorf("%s tells %s", a.GetKey(), a.GetValue())
				}
			}
		}
	}
	server := byParent[theirSpan]
	if server == nil || server.GetKind() != spans.Span_SPAN_KIND_SERVER || hex.EncodeToString(server.GetTraceId()) != theirTrace || server.GetName() != "GET" {
		t.Fatalf("the server's span is %v", server)
	}
	attributes(t, server, "http.request.method=GET", "url.path=/reports", "url.scheme=http", "server.address=127.0.0.1",
		"network.protocol.version=1.1", "http.response.status_code=200", "refract.passthrough_reason=unknown")
	client := byParent[hex.EncodeToString(server.GetSpanId())]
	if client == nil || client.GetKind() != spans.Span_SPAN_KIND_CLIENT || hex.EncodeToString(client.GetSpanId()) != parent[2] {
		t.Fatalf("the client's span is %v, the origin's parent %s", client, parent[2])
	}
	attributes(t, client, "http.request.method=GET", "http.response.status_code=200", "server.address=127.0.0.1")
	for _, s := range c.spans {
		failed := s.GetStatus().GetCode() == spans.Status_STATUS_CODE_ERROR
		what := attributesOf(s)
		if want := what["url.path"] == "/gone" || s.GetKind() == spans.Span_SPAN_KIND_CLIENT && what["http.response.status_code"] != "200"; failed != want {
			t.Errorf("failed: %v, of %v", failed, what)
		}
	}
}

func attributesOf(s *spans.Span) map[string]string {
	all := map[string]string{}
	for _, a := range s.GetAttributes() {
		if v := a.GetValue(); v.GetStringValue() != "" {
			all[a.GetKey()] = v.GetStringValue()
		} else {
			all[a.GetKey()] = fmt.Sprint(v.GetIntValue())
		}
	}
	return all
}

func attributes(t *testing.T, s *spans.Span, want ...string) {
	t.Helper()
	all := attributesOf(s)
	for _, w := range want {
		if key, value, _ := strings.Cut(w, "="); all[key] != value {
			t.Errorf("%s is %q, want %q", key, all[key], value)
		}
	}
}

// TestTraceContext says what the origin sees of a trace's context.
func TestTraceContext(t *testing.T) {
	c := newCollector(t)
	off := newTraced(t, rules.Tracing{})
	none := newTraced(t, rules.Tracing{OTLP: c.URL, Sample: 0})
	for _, parent := range []string{theirParent, unsampled, "nonsense", ""} {
		var header []string
		if parent != "" {
			header = []string{"Traceparent", parent, "Tracestate", "a=1", "Tracestate", "=unsound"}
		}
		seen := off.get(t, "/reports", header...)
		if got := seen.Get("Traceparent"); got != parent || parent != "" && len(seen["Tracestate"]) != 2 {
			t.Errorf("without tracing, %q becomes %q with %q", parent, got, seen["Tracestate"])
		}
	}
	if got := none.get(t, "/reports", "Traceparent", unsampled, "Tracestate", "a=1"); got.Get("Traceparent") != unsampled || got.Get("Tracestate") != "a=1" {
		t.Errorf("who decided against a trace finds %q, %q", got["Traceparent"], got["Tracestate"])
	}
	for _, header := range [][]string{nil, {"Traceparent", "nonsense", "Tracestate", "a=1"}, {"Traceparent", unsampled, "Traceparent", unsampled}} {
		got := none.get(t, "/reports", header...)
		if p := got["Traceparent"]; len(p) != 1 || len(p[0]) != len(theirParent) || !strings.HasSuffix(p[0], "-00") || strings.Contains(p[0], theirTrace) || got["Tracestate"] != nil {
			t.Errorf("a trace that begins here, and is not sampled, is %q, %q", p, got["Tracestate"])
		}
	}
	if got := none.get(t, "/reports", "Traceparent", theirParent).Get("Traceparent"); !strings.HasSuffix(got, "-01") || strings.Contains(got, theirSpan) {
		t.Errorf("a sampled parent does not go: %q", got)
	}
}

// TestCollectorDown: nobody waits for a collector, and it is said once.
func TestCollectorDown(t *testing.T) {
	stuck := make(chan struct{})
	c := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stuck }))
	defer c.Close()
	defer close(stuck)
	e := newTraced(t, rules.Tracing{OTLP: c.URL, Sample: 1})
	for range 3 * spanQueue / 2 { // two spans each: more than wait
		e.get(t, "/reports")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = e.tracing.shut(ctx) // there is no hope
}

// failing is an exporter whose collector is down.
type failing struct{ sdk.SpanExporter }

func (failing) ExportSpans(context.Context, []sdk.ReadOnlySpan) error {
	return errors.New("connection refused")
}

// TestQuietExporter says once a minute what happens all the time.
func TestQuietExporter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		q := &quietExporter{SpanExporter: failing{}, log: slog.New(slog.NewJSONHandler(&log, nil)), collector: "http://127.0.0.1:4318"}
		for range 12 { // in two minutes less ten seconds
			if err := q.ExportSpans(t.Context(), nil); err != nil {
				t.Errorf("the SDK would log it by itself: %v", err)
			}
			time.Sleep(10 * time.Second)
		}
		if n := strings.Count(log.String(), "connection refused"); n != 2 {
			t.Errorf("it is said %d times, want 2:\n%s", n, log.String())
		}
	})
}

// BenchmarkTracing is the handler and the transport around nothing.
func BenchmarkTracing(b *testing.B) {
	c := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer c.Close()
	for name, conf := range map[string]rules.Tracing{"off": {}, "unsampled": {OTLP: c.URL}, "sampled": {OTLP: c.URL, Sample: 1}} {
		b.Run(name, func(b *testing.B) {
			tr, err := newTracing(b.Context(), conf, slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			answer := &http.Response{StatusCode: http.StatusOK}
			transport := tr.transport(roundTripper(func(*http.Request) (*http.Response, error) { return answer, nil }))
			h := tr.handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = transport.RoundTrip(r) }))
			r := httptest.NewRequest(http.MethodGet, "http://shop.example.com/reports", nil)
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(nil, r)
			}
			_ = tr.shut(b.Context())
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
