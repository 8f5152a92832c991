package rules

import (
	"net/textproto"
	"slices"
	"time"
)

// What limits need not say.
const (
	DefaultHeaderBytes = 64 << 10
	DefaultHeaders     = 200
	DefaultReadHeader  = 10 * time.Second
	DefaultIdle        = 2 * time.Minute
	DefaultProgress    = 30 * time.Second
	DefaultTunnel      = time.Hour
	DefaultConnections = 20000
	DefaultPerIP       = 1000
)

// DefaultTraceSample is the share of traces that begin here and are exported.
const DefaultTraceSample = 0.01

func defaultLimits() Limits {
	return Limits{
		HeaderBytes: DefaultHeaderBytes, Headers: DefaultHeaders, ReadHeader: DefaultReadHeader, Idle: DefaultIdle,
		Progress: DefaultProgress, Tunnel: DefaultTunnel, Connections: DefaultConnections, PerIP: DefaultPerIP,
	}
}

// read reads the limits of the visitors' listeners.
func (l *Limits) read(v value) {
	f, ok := v.fields("a mapping of limits", "header_bytes", "headers", "read_header", "idle", "progress", "tunnel", "connections", "per_ip")
	if !ok {
		return
	}
	bytes := f.get("header_bytes")
	if n, ok := parsed(bytes, "a size", "", parseSize); ok {
		if n < 4<<10 || n > 1<<20 {
			bytes.refuse("", "header_bytes must be from 4KiB to 1MiB")
		}
		l.HeaderBytes = int(n)
	}
	set(&l.Headers)(count(f.get("headers"), 20))
	set(&l.ReadHeader)(window(f.get("read_header")))
	set(&l.Idle)(window(f.get("idle")))
	set(&l.Progress)(window(f.get("progress")))
	set(&l.Tunnel)(wait(f.get("tunnel")))
	set(&l.Connections)(count(f.get("connections"), 0))
	set(&l.PerIP)(count(f.get("per_ip"), 0))
	if per := f.get("per_ip"); l.Connections > 0 && l.PerIP > l.Connections {
		if !per.present() {
			per = f.get("connections")
		}
		per.warn("", "one address may have %d connections, all together %d", l.PerIP, l.Connections)
	}
}

func defaultAccessLog() AccessLog { return AccessLog{Format: "json", Sample: 1} }

// secretHeaders are never logged: who has them is the visitor.
var secretHeaders = []string{"Cookie", "Set-Cookie", "Authorization", "Proxy-Authorization"}

// read reads what the access log says.
func (a *AccessLog) read(v value) {
	f, ok := v.fields("a mapping with format", "format", "query", "omit", "headers", "sample")
	if !ok {
		return
	}
	set(&a.Format)(f.get("format").oneOf("json", "combined", "off"))
	set(&a.Query)(f.get("query").boolean())
	list, _ := f.get("omit").list("fields of the log")
	for _, entry := range list {
		if s, ok := entry.word(100); ok {
			a.Omit = append(a.Omit, s)
		}
	}
	if len(a.Omit) > 0 && a.Format == "combined" {
		f.get("omit").refuse("leave omit out, or use format: json", "omit is for format json: the combined format has its fields by definition")
	}
	list, _ = f.get("headers").list("names of request headers")
	for _, entry := range list {
		s, ok := entry.word(100)
		name := textproto.CanonicalMIMEHeaderKey(s)
		switch {
		case !ok:
		case !tokenSyntax().MatchString(s):
			entry.refuse("for example Referer", "%q is not the name of a header", s)
		case slices.Contains(secretHeaders, name):
			entry.refuse("", "%s is never logged: who reads it can be the visitor", name)
		default:
			a.Headers = append(a.Headers, name)
		}
	}
	set(&a.Sample)(sampled(f.get("sample")))
}

// read reads where spans go.
func (t *Tracing) read(v value) {
	f, ok := v.fields("a mapping with otlp", "otlp", "sample")
	if !ok {
		return
	}
	set(&t.OTLP)(webAddress(f.need("otlp", "the URL of the collector: otlp: http://127.0.0.1:4318"), false))
	set(&t.Sample)(sampled(f.get("sample")))
}

// sampled returns the part of all lines or traces that is kept.
func sampled(v value) (float64, bool) {
	return share(v, func(f float64) bool { return 0 <= f && f <= 1 }, "it is from 0% to 100%")
}

// read reads how the process ends.
func (s *Shutdown) read(v value) {
	f, ok := v.fields("a mapping with delay and deadline", "delay", "deadline")
	if !ok {
		return
	}
	set(&s.Delay)(wait(f.get("delay")))
	set(&s.Deadline)(window(f.get("deadline")))
}
