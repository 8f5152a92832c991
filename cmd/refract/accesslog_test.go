package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/seed14307185/refract/proxy"
	"github.com/seed14307185/refract/rewrite"
	"github.com/seed14307185/refract/rules"
)

// plainExchange is a request that no rule touches.
func plainExchange(t testing.TB) *proxy.Exchange {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET /a%20b/c?token=secret HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: Mozilla/5.0 \"x\\y\r\n" +
		"Referer: https://example.com/?q=1\r\nCookie: user=ann\r\nX-Forwarded-For: 203.0.113.9, 10.1.2.3\r\n\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	r.RemoteAddr = "10.0.0.7:4711"
	return &proxy.Exchange{
		Request: r, Revision: "0123456789ab", Start: time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.UTC), Took: 1234567 * time.Nanosecond,
		Status: 200, Bytes: 10240, Origin: "10.9.9.9:8080",
	}
}

// treatedExchange is one in which one surface was changed, and one was not.
func treatedExchange(t testing.TB) *proxy.Exchange {
	x := plainExchange(t)
	x.Decision = rules.Decision{
		{Rule: &rules.Rule{Name: "invite", Version: "aaaaaaaaaaaa"}, Arm: rules.Treatment, Since: x.Start.Add(-time.Hour).UnixMilli()},
		{Rule: &rules.Rule{Name: "banner", Version: "bbbbbbbbbbbb"}, Arm: rules.Control, Since: x.Start.Add(-time.Minute).UnixMilli()},
	}
	x.Sightings = []rewrite.Sighting{{State: rewrite.Swappable}, {State: rewrite.Untouched, Reason: rewrite.Unclosed}}
	x.Rewriting = 87 * time.Microsecond
	return x
}

// TestAccessLogLines is the lines of some exchanges in every form.
func TestAccessLogLines(t *testing.T) {
	failed := plainExchange(t)
	failed.Status, failed.Bytes, failed.OriginError, failed.Origin = 502, 0, errors.New("dial tcp: connection refused"), ""
	failed.Request.Header["User-Agent"] = []string{"\x1b[31m"}
	through := plainExchange(t)
	through.Passthrough = proxy.ReasonBot
	traced := plainExchange(t)
	traced.Request = traced.Request.WithContext(trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{0x4b, 0xf9, 15: 0x36}, SpanID: trace.SpanID{0, 0xf0, 7: 0xb7},
	})))
	odd := plainExchange(t)
	odd.Request.Method, odd.Request.Host, odd.Request.URL.RawPath, odd.Request.URL.Path = "GET", "h\"\n", "", "/\"\n\xff\u2028"
	odd.Request.Header["Referer"] = []string{"a\tb\"\\\r\n\x7f\xc3\xa9"}

	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	var out bytes.Buffer
	for _, form := range []struct {
		name string
		edge rules.Edge
		list []*proxy.Exchange
	}{
		{"json", rules.Edge{AccessLog: rules.AccessLog{Format: "json", Sample: 1}},
			[]*proxy.Exchange{plainExchange(t), treatedExchange(t), through, failed, traced, odd}},
		{"json, behind a trusted proxy, with query and headers, without some",
			rules.Edge{TrustedProxies: trusted, AccessLog: rules.AccessLog{Format: "json", Sample: 1, Query: true,
				Headers: []string{"User-Agent", "Accept", "Referer"}, Omit: []string{"remote_ip", "revision"}}},
			[]*proxy.Exchange{plainExchange(t), odd}},
		{"combined", rules.Edge{AccessLog: rules.AccessLog{Format: "combined", Sample: 1}},
			[]*proxy.Exchange{plainExchange(t), treatedExchange(t), failed, odd}},
		{"combined, behind a trusted proxy, with query", rules.Edge{TrustedProxies: trusted, AccessLog: rules.AccessLog{Format: "combined", Sample: 1, Query: true}},
			[]*proxy.Exchange{plainExchange(t)}},
		{"off", rules.Edge{AccessLog: rules.AccessLog{Format: "off", Sample: 1}}, []*proxy.Exchange{plainExchange(t), failed}},
	} {
		out.WriteString("# " + form.name + "\n")
		l := newAccessLog(&out, func() *rules.Edge { return &form.edge })
		for _, x := range form.list {
			l.write(x)
		}
		l.out.close()
	}
	const golden = "testdata/accesslog.golden"
	if *update {
		if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Errorf("the lines are not those of %s, which -update writes:\n%s", golden, out.Bytes())
	}
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, "{") && !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
		for _, secret := range []string{"user=ann", "\x1b"} {
			if strings.Contains(line, secret) {
				t.Errorf("%q is in a line: %s", secret, line)
			}
		}
	}
}

// TestAccessLogSample keeps a share of the lines, and every error.
func TestAccessLogSample(t *testing.T) {
	var out bytes.Buffer
	edge := rules.Edge{AccessLog: rules.AccessLog{Format: "combined", Sample: 0.25}}
	l := newAccessLog(&out, func() *rules.Edge { return &edge })
	rolls := []float64{0, 0.2499, 0.25, 0.9}
	l.dice = func() (f float64) {
		f, rolls = rolls[0], rolls[1:]
		return f
	}
	x := plainExchange(t)
	for x.Status = range 4 {
		x.Status += 200
		l.write(x)
	}
	l.dice = func() float64 { return 0.9999 }
	for _, x.Status = range []int{404, 500, 503} {
		l.write(x)
	}
	edge.AccessLog.Sample = 0
	for _, x.Status = range []int{200, 502} {
		l.write(x)
	}
	l.out.close()
	var kept []string
	for line := range strings.Lines(out.String()) {
		_, rest, _ := strings.Cut(line, `HTTP/1.1" `)
		kept = append(kept, rest[:3])
	}
	if got := strings.Join(kept, " "); got != "200 201 500 503 502" {
		t.Errorf("kept: %s", got)
	}
}

// TestAddresses: whoever is not trusted speaks for nobody but themselves.
func TestAddresses(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, x := range []struct {
		peer           string
		forwarded      []string
		remote, client string
	}{
		{"192.0.2.1:80", []string{"203.0.113.9"}, "192.0.2.1", "192.0.2.1"},
		{"10.0.0.1:80", nil, "10.0.0.1", "10.0.0.1"},
		{"10.0.0.1:80", []string{"203.0.113.9"}, "10.0.0.1", "203.0.113.9"},
		{"10.0.0.1:80", []string{"198.51.100.1, 203.0.113.9,10.2.2.2"}, "10.0.0.1", "203.0.113.9"},
		{"10.0.0.1:80", []string{"198.51.100.1, 203.0.113.9", "10.2.2.2"}, "10.0.0.1", "203.0.113.9"},
		{"10.0.0.1:80", []string{"10.3.3.3, 10.2.2.2"}, "10.0.0.1", "10.3.3.3"},
		{"10.0.0.1:80", []string{"unknown, 10.2.2.2"}, "10.0.0.1", "10.2.2.2"},
		{"10.0.0.1:80", []string{""}, "10.0.0.1", "10.0.0.1"},
		{"[fd00::1%eth0]:80", []string{"2001:db8::9"}, "fd00::1%eth0", "2001:db8::9"},
		{"[::ffff:10.0.0.1]:80", []string{"203.0.113.9"}, "::ffff:10.0.0.1", "203.0.113.9"},
		{"@", []string{"203.0.113.9"}, "@", "@"},
	} {
		remote, client := addresses(&http.Request{RemoteAddr: x.peer, Header: http.Header{"X-Forwarded-For": x.forwarded}}, trusted)
		if remote != x.remote || client != x.client {
			t.Errorf("%s, forwarded for %q: %s and %s, want %s and %s", x.peer, x.forwarded, remote, client, x.remote, x.client)
		}
	}
}

// TestAddressesForwarded is the same for RFC 7239.
func TestAddressesForwarded(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, x := range []struct{ forwarded, client string }{
		{"for=203.0.113.9", "203.0.113.9"},
		{`proto=https; For="203.0.113.9:4711" ;by=10.9.9.9, for=10.2.2.2`, "203.0.113.9"},
		{`for="[2001:db8::9]:4711"`, "2001:db8::9"},
		{`for="[2001:db8::9]"`, "2001:db8::9"},
		{"for=203.0.113.9, for=unknown, for=10.2.2.2", "10.2.2.2"},
		{"for=203.0.113.9, for=_hidden", "10.0.0.1"},
		{`for="[2001:db8::9`, "2001:db8::9"},
		{"by=203.0.113.9", "10.0.0.1"},
		{"for", "10.0.0.1"},
		{"", "10.0.0.1"},
	} {
		r := &http.Request{RemoteAddr: "10.0.0.1:80", Header: http.Header{"Forwarded": {x.forwarded}}}
		if _, client := addresses(r, trusted); client != x.client {
			t.Errorf("%s: %s, want %s", x.forwarded, client, x.client)
		}
		r.Header.Set("X-Forwarded-For", "198.51.100.7")
		if _, client := addresses(r, trusted); client != "198.51.100.7" {
			t.Errorf("%s beside X-Forwarded-For: %s", x.forwarded, client)
		}
	}
}

// BenchmarkAccessLog writes lines that are thrown away.
func BenchmarkAccessLog(b *testing.B) {
	for _, form := range []string{"json", "combined"} {
		for name, x := range map[string]*proxy.Exchange{"plain": plainExchange(b), "treated": treatedExchange(b)} {
			b.Run(form+"/"+name, func(b *testing.B) {
				edge := rules.Edge{AccessLog: rules.AccessLog{Format: form, Sample: 1}}
				l := newAccessLog(io.Discard, func() *rules.Edge { return &edge })
				defer l.out.close()
				x.Decision = x.Decision[:min(len(x.Decision), 1)]
				b.ReportAllocs()
				for b.Loop() {
					l.write(x)
				}
			})
		}
	}
}
