package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed14307185/refract/proxy"
	"github.com/seed14307185/refract/rules"
)

// tracing makes spans of requests and exports them. Nil makes none, and lets
// the trace context of requests through as it is. Safe for concurrent use.
//
// A request has a server span, and within it a client span that ends with the
// head of the origin's response: a body is not looked into for this. What the
// parent says of sampling goes; where a trace begins here, a share is sampled.
// Attributes are those of OpenTelemetry's HTTP conventions, without the query,
// the visitor's address and their user agent.
type tracing struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

const (
	spanQueue  = 2048 // spans that wait for the collector; further ones are dropped
	spanBatch  = 512
	exportWait = 10 * time.Second // for the collector to take a batch
	// exportErrorsEvery is how often at most it is logged that the collector
	// does not take what it is sent.
	exportErrorsEvery = time.Minute
)

// newTracing starts the goroutine that exports spans. It is ended by shut. No
// collector: nil.
func newTracing(ctx context.Context, conf rules.Tracing, log *slog.Logger) (*tracing, error) {
	if conf.OTLP == "" {
		return nil, nil
	}
	collector, err := url.Parse(conf.OTLP)
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	if collector.Path == "" || collector.Path == "/" {
		collector.Path = "/v1/traces" // OTLP 1.0, section "OTLP/HTTP Request"
	}
	exporter, err := otlptracehttp.New(ctx,
		otlptracehttp.WithEndpointURL(collector.String()),
		otlptracehttp.WithTimeout(exportWait),
		otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	what, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(semconv.ServiceName("refract"), semconv.ServiceVersion(buildOf().version)),
		resource.WithFromEnv()) // the last has the last word
	if err != nil {
		return nil, fmt.Errorf("tracing: OTEL_RESOURCE_ATTRIBUTES or OTEL_SERVICE_NAME: %w", err)
	}
	provider := sdk.NewTracerProvider(
		sdk.WithResource(what),
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(conf.Sample))),
		sdk.WithSpanProcessor(sdk.NewBatchSpanProcessor(&quietExporter{SpanExporter: exporter, log: log, collector: collector.Redacted()},
			sdk.WithMaxQueueSize(spanQueue), sdk.WithMaxExportBatchSize(spanBatch), sdk.WithExportTimeout(exportWait))))
	return &tracing{provider: provider, tracer: provider.Tracer("github.com/seed14307185/refract")}, nil
}

// shut sends the spans that wait, for as long as ctx lasts. Requests must be
// over.
func (t *tracing) shut(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// handler makes a server span of each request but those below /_refract/.
func (t *tracing) handler(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/_refract/") {
			next.ServeHTTP(w, r)
			return
		}
		scheme := "http"
		if r.TLS != nil {
			scheme = "https"
		}
		ctx := propagation.TraceContext{}.Extract(r.Context(), carrier(r.Header))
		ctx, span := t.tracer.Start(ctx, spanMethod(r.Method), trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		if span.IsRecording() {
			span.SetAttributes(
				semconv.HTTPRequestMethodKey.String(spanMethod(r.Method)),
				semconv.URLScheme(scheme),
				semconv.URLPath(r.URL.EscapedPath()),
				semconv.NetworkProtocolVersion(strings.TrimPrefix(strings.TrimSuffix(r.Proto, ".0"), "HTTP/")),
			)
			span.SetAttributes(serverAttributes(r.Host)...)
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// exchange writes on the request's span what became of it. It is called before
// the handler returns.
func (t *tracing) exchange(x *proxy.Exchange) {
	if t == nil {
		return
	}
	span := trace.SpanFromContext(x.Request.Context())
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(semconv.HTTPResponseStatusCode(x.Status))
	if x.Status >= http.StatusInternalServerError {
		span.SetAttributes(semconv.ErrorTypeKey.String(strconv.Itoa(x.Status)))
		span.SetStatus(codes.Error, "")
	} else if x.OriginError != nil && !x.ClientGone {
		span.SetAttributes(semconv.ErrorTypeKey.String("broken_off"))
		span.SetStatus(codes.Error, "")
	}
	if len(x.Decision) > 0 {
		span.SetAttributes(
			attribute.String("refract.rule", joined(x, func(i int) string { return x.Decision[i].Rule.Name })),
			attribute.String("refract.rule_version", joined(x, func(i int) string { return x.Decision[i].Rule.Version })),
			attribute.String("refract.arm", joined(x, func(i int) string { return string(x.Decision[i].Arm) })),
			attribute.String("refract.surface_state", joined(x, func(i int) string { return surfaceState(x, i) })),
		)
	}
	if x.Passthrough != "" {
		span.SetAttributes(attribute.String("refract.passthrough_reason", string(x.Passthrough)))
	}
}

// transport makes a client span of each request that is sent to the origin,
// and tells the origin of it.
func (t *tracing) transport(next http.RoundTripper) http.RoundTripper {
	if t == nil {
		return next
	}
	return &tracedTransport{t, next}
}

type tracedTransport struct {
	*tracing
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t *tracedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	around := trace.SpanContextFromContext(r.Context())
	if !around.IsValid() || !around.IsSampled() && len(r.Header["Traceparent"]) > 0 && sameTrace(r.Header, around) {
		return t.next.RoundTrip(r) // somebody before us decided against it: their context stays
	}
	ctx, span := t.tracer.Start(r.Context(), spanMethod(r.Method), trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	out := r.WithContext(ctx)
	out.Header = r.Header.Clone()
	delete(out.Header, "Tracestate") // if it is sound, it comes back
	propagation.TraceContext{}.Inject(ctx, carrier(out.Header))
	if span.IsRecording() {
		span.SetAttributes(
			semconv.HTTPRequestMethodKey.String(spanMethod(r.Method)),
			semconv.URLFull((&url.URL{Scheme: r.URL.Scheme, Host: r.URL.Host, Path: r.URL.Path, RawPath: r.URL.RawPath}).String()),
		)
		span.SetAttributes(serverAttributes(r.URL.Host)...)
	}
	resp, err := t.next.RoundTrip(out)
	if !span.IsRecording() {
		return resp, err
	}
	switch {
	case err != nil:
		span.SetAttributes(semconv.ErrorTypeKey.String(fmt.Sprintf("%T", err)))
		span.SetStatus(codes.Error, err.Error())
	default:
		span.SetAttributes(semconv.HTTPResponseStatusCode(resp.StatusCode))
		if resp.StatusCode >= http.StatusBadRequest {
			span.SetAttributes(semconv.ErrorTypeKey.String(strconv.Itoa(resp.StatusCode)))
			span.SetStatus(codes.Error, "")
		}
	}
	return resp, err
}

// sameTrace says whether the header's context is of the span's trace: then it
// was sound, and the span's parent.
func sameTrace(h http.Header, span trace.SpanContext) bool {
	return len(h["Traceparent"]) == 1 && strings.Contains(h["Traceparent"][0], span.TraceID().String())
}

// spanMethod bounds what a client can make of a span's name.
func spanMethod(m string) string {
	if m = method(m); m == "other" {
		return "_OTHER" // by the conventions
	}
	return m
}

func serverAttributes(host string) []attribute.KeyValue {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		return []attribute.KeyValue{semconv.ServerAddress(strings.Trim(host, "[]"))}
	}
	attrs := []attribute.KeyValue{semconv.ServerAddress(name)}
	if n, err := strconv.Atoi(port); err == nil {
		attrs = append(attrs, semconv.ServerPort(n))
	}
	return attrs
}

// carrier is a header as propagation.TextMapCarrier: the lines of a field are
// one value, as RFC 9110 has it, and two of traceparent are none that is sound.
type carrier http.Header

func (c carrier) Get(key string) string {
	return strings.Join(c[http.CanonicalHeaderKey(key)], ",")
}
func (c carrier) Set(key, value string) { http.Header(c).Set(key, value) }

// Keys is never asked for by W3C's propagator.
func (c carrier) Keys() []string { return nil }

// quietExporter logs, now and then, that spans could not be sent, and goes on.
type quietExporter struct {
	sdk.SpanExporter
	log       *slog.Logger
	collector string
	logged    atomic.Int64 // when, in Unix nanoseconds
}

// ExportSpans implements sdk.SpanExporter.
func (q *quietExporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := q.SpanExporter.ExportSpans(ctx, spans)
	if err == nil {
		return nil
	}
	last, now := q.logged.Load(), time.Now().UnixNano()
	if now-last >= int64(exportErrorsEvery) && q.logged.CompareAndSwap(last, now) {
		q.log.Warn("the collector does not take spans: they are lost, and the pages go on",
			slog.String("collector", q.collector), slog.String("error", err.Error()))
	}
	return nil // it is told
}
