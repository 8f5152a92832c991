package ingest_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/ingest"
)

// FuzzLetter: a request that Go's server hands over comes out of its letter as
// it was, whatever is in it.
func FuzzLetter(f *testing.F) {
	f.Add("POST", "/v1/batch", "a=b&c", "application/json", "analytics-go", "203.0.113.7", []byte(`{"batch":[]}`))
	f.Add("POST", "/e%2fe/%20/", "?&=%zz;", "text/plain\t; a=\"b\"", "", "2001:db8::1", []byte("\x1f\x8b\x08\r\n\r\n0\r\n\r\n"))
	f.Add("GET", "//track", "data=%7B%7D", "", "a\x80", "", []byte(nil))
	f.Add("POST", "/x", "", "", "", "", bytes.Repeat([]byte("GET / HTTP/1.1\r\n\r\n"), 1000))
	f.Fuzz(func(t *testing.T, method, path, query, contentType, agent, client string, body []byte) {
		if method == http.MethodGet {
			body = nil
		}
		target := path
		if query != "" {
			target += "?" + query
		}
		var raw strings.Builder
		raw.WriteString(method + " " + target + " HTTP/1.1\r\nHost: edge\r\nX-Other: x\r\n")
		if contentType != "" {
			raw.WriteString("Content-Type: " + contentType + "\r\n")
		}
		if agent != "" {
			raw.WriteString("User-Agent: " + agent + "\r\n")
		}
		in, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw.String() + "\r\n")))
		if method != http.MethodGet && method != http.MethodPost || err != nil || !strings.HasPrefix(path, "/") || in.Header.Get("X-Other") != "x" || strings.ContainsAny(contentType+agent, "\r\n") || strings.ContainsFunc(client, func(r rune) bool { return r <= 0x20 || r >= 0x7f }) {
			return // not what a server hands over
		}
		in.Body, in.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		want := in.Clone(t.Context())
		var letter []byte
		m := ingest.Mount{
			Client: func(*http.Request) string { return client },
			Tee:    func(_ context.Context, l []byte, _ []*events.Event) error { letter = l; return nil },
		}
		if method == http.MethodPost {
			if _, err := ingest.Body(httptest.NewRecorder(), in); err != nil && len(body) <= events.MaxBody && !bytes.HasPrefix(body, []byte{0x1f, 0x8b}) {
				t.Fatal(err)
			}
		}
		if err := m.Store(in, nil); err != nil {
			t.Fatal(err)
		}
		got, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(letter)))
		if err != nil {
			t.Fatalf("%v: %q", err, letter)
		}
		sent, err := io.ReadAll(got.Body)
		if err != nil || !bytes.Equal(sent, body) {
			t.Fatalf("the body is %q, was %q: %v", sent, body, err)
		}
		if got.Method != method || got.URL.EscapedPath() != want.URL.EscapedPath() || got.URL.RawQuery != want.URL.RawQuery {
			t.Fatalf("%q is sent on as %q", target, got.RequestURI)
		}
		for _, name := range []string{"Content-Type", "User-Agent"} {
			if got.Header.Get(name) != want.Header.Get(name) {
				t.Fatalf("%s is sent on as %q, was %q", name, got.Header.Get(name), want.Header.Get(name))
			}
		}
		if got.Header.Get("X-Forwarded-For") != client || got.Header.Get("X-Other") != "" {
			t.Fatalf("%v", got.Header)
		}
	})
}

// TestTeeThatLeadsBack: a request goes round a few times, and then is refused in
// a way that a tee takes for final.
func TestTeeThatLeadsBack(t *testing.T) {
	var letter []byte
	m := ingest.Mount{Tee: func(_ context.Context, l []byte, _ []*events.Event) error { letter = l; return nil }}
	r := httptest.NewRequest("POST", "/v1/track", strings.NewReader("body"))
	r.Header.Set("CDN-Loop", "other; a=b, refracting")
	for round := 1; ; round++ {
		err := m.Store(r, nil)
		if err != nil {
			a := m.Refuse(httptest.NewRecorder(), err)
			if round != 4 || a.Status != http.StatusBadRequest || a.Reason != events.RefusedLoop {
				t.Errorf("round %d: %v, %+v", round, err, a)
			}
			break
		}
		if round == 9 {
			t.Fatal("it goes round for ever")
		}
		if r, err = http.ReadRequest(bufio.NewReader(bytes.NewReader(letter))); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.Header.Values("CDN-Loop"); strings.Join(got, ", ") != "other; a=b, refracting, refract, refract, refract" {
		t.Errorf("CDN-Loop: %q", got)
	}
}
