package main

import (
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/trace"

	"github.com/seed14307185/refract/proxy"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

// accessLog writes one line for each exchange. A reader that is too slow loses
// lines, which are counted; a request never waits. Safe for concurrent use.
type accessLog struct {
	out     *lineWriter
	handler slog.Handler
	dice    func() float64     // in [0, 1)
	edge    func() *rules.Edge // that is live
	lines   sync.Pool          // *[]byte
}

// newAccessLog starts the goroutine that writes to w. It is ended by
// out.close. edge returns what is live; it is asked for each line.
func newAccessLog(w io.Writer, edge func() *rules.Edge) *accessLog {
	out := newAccessWriter(w)
	l := &accessLog{out: out, handler: slog.NewJSONHandler(out, nil), dice: rand.Float64, edge: edge}
	l.lines.New = func() any { return new([]byte) }
	return l
}

// write logs an exchange, if it is one that is kept.
func (l *accessLog) write(x *proxy.Exchange) {
	edge := l.edge()
	conf := &edge.AccessLog
	if conf.Format == "off" || x.Status < http.StatusInternalServerError && conf.Sample < 1 && l.dice() >= conf.Sample {
		return
	}
	if conf.Format == "combined" {
		line := l.lines.Get().(*[]byte)
		*line = appendCombined((*line)[:0], x, edge)
		_, _ = l.out.Write(*line) // it never fails
		l.lines.Put(line)
		return
	}
	rec := slog.NewRecord(x.Start, slog.LevelInfo, "request", 0)
	var room [32]slog.Attr
	attrs := logFields(room[:0], x, edge)
	if len(conf.Omit) > 0 {
		attrs = slices.DeleteFunc(attrs, func(a slog.Attr) bool { return slices.Contains(conf.Omit, a.Key) })
	}
	rec.AddAttrs(attrs...)
	_ = l.handler.Handle(context.Background(), rec) // lineWriter never fails
}

// logFields appends the fields of the JSON form, as docs/operations.md lists
// them. Those that say nothing of an exchange are left out.
func logFields(to []slog.Attr, x *proxy.Exchange, edge *rules.Edge) []slog.Attr {
	r := x.Request
	remote, client := addresses(r, edge.TrustedProxies)
	to = append(to,
		slog.String("remote_ip", remote),
		slog.String("client_ip", client),
		slog.String("proto", r.Proto),
		slog.String("method", r.Method),
		slog.String("host", r.Host),
		slog.String("path", r.URL.EscapedPath()),
	)
	if edge.AccessLog.Query && r.URL.RawQuery != "" {
		to = append(to, slog.String("query", r.URL.RawQuery))
	}
	to = append(to,
		slog.Int("status", x.Status),
		slog.Int64("bytes", x.Bytes),
		slog.Int64("duration_us", x.Took.Microseconds()),
		slog.String("revision", x.Revision),
	)
	if len(x.Decision) > 0 {
		to = append(to,
			slog.String("rule", joined(x, func(i int) string { return x.Decision[i].Rule.Name })),
			slog.String("rule_version", joined(x, func(i int) string { return x.Decision[i].Rule.Version })),
			slog.String("arm", joined(x, func(i int) string { return string(x.Decision[i].Arm) })),
			slog.String("surface_state", joined(x, func(i int) string { return surfaceState(x, i) })),
		)
		if since := x.Decision[0].Since; since != segments.Beginning {
			to = append(to, slog.Int64("segment_age_ms", x.Start.UnixMilli()-since))
		}
	}
	if x.Rewriting > 0 {
		to = append(to, slog.Int64("rewrite_us", x.Rewriting.Microseconds()))
	}
	if x.Proof != nil {
		to = append(to, slog.String("origin_sha256", hex.EncodeToString(x.Proof.Received[:])), slog.String("sent_sha256", hex.EncodeToString(x.Proof.Sent[:])))
		if len(x.Proof.Fields) > 0 {
			to = append(to, slog.String("fields_changed", strings.Join(x.Proof.Fields, ",")))
		}
	}
	if x.Passthrough != "" {
		to = append(to, slog.String("passthrough_reason", string(x.Passthrough)))
	}
	if x.Origin != "" {
		to = append(to, slog.String("origin", x.Origin))
	}
	if x.OriginError != nil {
		to = append(to, slog.String("origin_error", x.OriginError.Error()), slog.Bool("client_gone", x.ClientGone))
	}
	if span := trace.SpanContextFromContext(r.Context()); span.IsValid() {
		to = append(to, slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	return logHeaders(to, r.Header, edge.AccessLog.Headers)
}

// logHeaders appends the request's headers of these names, as a group.
func logHeaders(to []slog.Attr, h http.Header, names []string) []slog.Attr {
	var group []slog.Attr
	for _, name := range names {
		if v := h[name]; len(v) > 0 {
			group = append(group, slog.String(name, strings.Join(v, ", ")))
		}
	}
	if group == nil {
		return to
	}
	return append(to, slog.Attr{Key: "headers", Value: slog.GroupValue(group...)})
}

// joined is a field of each decided surface, separated by commas.
func joined(x *proxy.Exchange, field func(int) string) string {
	if len(x.Decision) == 1 {
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
