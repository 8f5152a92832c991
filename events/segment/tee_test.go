package segment_test

import (
	"encoding/base64"
	"net/http"
	"testing"

	"github.com/seed14307185/refract/events/ingest"
	"github.com/seed14307185/refract/events/ingest/ingesttest"
	"github.com/seed14307185/refract/events/segment"
)

// What is sent on to the vendor, and what is not.
func TestTee(t *testing.T) {
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(ingesttest.Key+":"))
	ingesttest.Told(t, func(m ingest.Mount) http.Handler { return &segment.Handler{Mount: m} }, []ingesttest.Request{
		ingesttest.Taken("POST", "/v1/track", `{"event":"E","userId":"u","messageId":"m"}`, []string{"Authorization", basic, "Content-Type", "application/json", "User-Agent", "analytics-go"},
			[]string{"Authorization", "Content-Type", "User-Agent"}),
		ingesttest.Taken("POST", "/v1/batch", ingesttest.Gzip(t, `{"batch":[{"type":"track","event":"E","userId":"u"}]}`), []string{"Authorization", basic, "Content-Encoding", "gzip"},
			[]string{"Authorization", "Content-Encoding"}),
		ingesttest.Taken("POST", "/v1/batch", `{"batch":[]}`, []string{"Authorization", basic}, []string{"Authorization"}),
		// A page of a site behind a password of its own, which the vendor must not get.
		ingesttest.Taken("POST", "/v1/t?a=%20b", `{"event":"E","userId":"u","writeKey":"`+ingesttest.Key+`"}`,
			[]string{"Authorization", "Basic c2l0ZTpwYXNz", "Origin", "https://shop.example.com", "Cookie", "session=secret", "Content-Type", "text/plain", "Sec-Gpc", "1"}, []string{"Content-Type", "Sec-Gpc"}),
	}, []ingesttest.Request{
		{Method: "GET", Target: "/v1/projects/" + ingesttest.Key + "/settings"},
		{Method: "POST", Target: "/v1/track", Body: `{"event":"E","userId":"u"}`},
		{Method: "POST", Target: "/v1/track", Body: `{"event":"E"}`, Headers: []string{"Authorization", basic}},
		{Method: "POST", Target: "/v1/batch", Body: `{"batch":[{"type":"track","event":"E","userId":"u"},{"type":"track"}]}`, Headers: []string{"Authorization", basic}},
		{Method: "OPTIONS", Target: "/v1/track", Headers: []string{"Origin", "https://a.example", "Access-Control-Request-Method", "POST"}},
	}...)
}
