package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sort"
	"strings"
	"testing"

	"github.com/mccutchen/go-httpbin/v2/httpbin"

	"github.com/seed14307185/refract/rules"
)

// TestHTTPBin: what go-httpbin says through the proxy is what it says without,
// for what it has on codings, ranges, redirects, cookies, validators, streams
// and statuses.
func TestHTTPBin(t *testing.T) {
	bin := httpbin.New(httpbin.WithObserver(nil)).Handler()
	direct := httptest.NewServer(bin)
	defer direct.Close()
	edge, _, p := front(t, bin)
	with(p, func(e *rules.Edge) { e.Identity.Visitor = []rules.IdentitySource{{Kind: "header", Name: "X-Visitor"}} })
	for _, c := range []struct {
		method, path string
		header       []string
	}{
		{"GET", "/gzip", []string{"Accept-Encoding", "gzip"}},
		{"GET", "/deflate", []string{"Accept-Encoding", "deflate"}},
		{"GET", "/html", nil},
		{"HEAD", "/html", nil},
		{"GET", "/encoding/utf8", nil},
		{"GET", "/image/png", nil},
		{"GET", "/range/1024", []string{"Range", "bytes=10-99"}},
		{"GET", "/range/1024", []string{"Range", "bytes=-5"}},
		{"GET", "/range/1024", []string{"Range", "bytes=2000-"}},
		{"GET", "/range/1024", []string{"Range", "bytes=0-3", "If-Range", `"x"`}},
		{"GET", "/etag/abc", nil},
		{"GET", "/etag/abc", []string{"If-None-Match", `"abc"`}},
		{"GET", "/etag/abc", []string{"If-None-Match", `W/"abc"`}},
		{"GET", "/etag/abc", []string{"If-None-Match", "*"}},
		{"GET", "/etag/abc", []string{"If-Match", `"xyz"`}},
		{"GET", "/cache", []string{"If-None-Match", `"x"`}},
		{"GET", "/cache/60", nil},
		{"GET", "/redirect/3", nil},
		{"GET", "/relative-redirect/2", nil},
		{"GET", "/redirect-to?url=/get", nil},
		{"GET", "/cookies/set?a=1", nil}, // of several it chooses the order anew each time
		{"GET", "/cookies", []string{"Cookie", "a=1; b=2"}},
		{"GET", "/basic-auth/u/p", nil},
		{"GET", "/bytes/5000?seed=1", nil},
		{"GET", "/stream-bytes/50000?seed=1&chunk_size=700", nil},
		{"GET", "/drip?numbytes=5&duration=0&delay=0", nil},
		{"GET", "/trailers?X-A=1&Digest=abc", []string{"TE", "trailers"}},
		{"GET", "/response-headers?X-A=1&X-A=2&Content-Type=text/plain", nil},
		{"GET", "/base64/aGVsbG8=", nil},
		{"GET", "/status/204", nil},
		{"GET", "/status/304", nil},
		{"GET", "/status/418", nil},
		{"GET", "/status/500", nil},
		{"OPTIONS", "/get", []string{"Origin", "https://shop.example", "Access-Control-Request-Method", "PUT"}},
		{"DELETE", "/delete", nil},
	} {
		t.Run(strings.TrimSpace(c.method+" "+c.path+" "+strings.Join(c.header, " ")), func(t *testing.T) {
			want, got := told(t, c.method, direct.URL, c.path, c.header), told(t, c.method, edge, c.path, c.header)
			if want != got {
				t.Errorf("through the proxy:\n%s\nwithout:\n%s", got, want)
			}
		})
	}
}

// told is all that is said to a request: status, headers, body, trailers, but
// for what names the server, or the time.
func told(t *testing.T, method, base, path string, header []string) string {
	t.Helper()
	r, err := http.NewRequest(method, base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Visitor", "ann")
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	r.Close = true
	resp, err := (&http.Transport{DisableCompression: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	whole, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	body := whole
	for _, name := range []string{"Date", "Via", "Last-Modified", "Server-Timing"} { // the last has httpbin's own times
		resp.Header.Del(name)
	}
	if strings.Contains(decoded(t, resp, string(whole)), `"headers":`) { // it tells what it was sent
		body = nil
		resp.Header.Del("Content-Length")
		resp.ContentLength = 0
	}
	var lines []string
	for _, h := range []http.Header{resp.Header, resp.Trailer} {
		for name, values := range h {
			lines = append(lines, fmt.Sprintf("%s: %q", name, values))
		}
	}
	sort.Strings(lines)
	return fmt.Sprintf("%s %d %v\n%s\n\n%s", resp.Status, resp.ContentLength, resp.TransferEncoding, strings.Join(lines, "\n"), bytes.ReplaceAll(body, []byte(base), nil))
}
