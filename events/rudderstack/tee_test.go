package rudderstack_test

import (
	"encoding/base64"
	"net/http"
	"testing"

	"github.com/seed14307185/refract/events/ingest"
	"github.com/seed14307185/refract/events/ingest/ingesttest"
	"github.com/seed14307185/refract/events/rudderstack"
)

// What is sent on to the vendor, and what is not.
func TestTee(t *testing.T) {
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(ingesttest.Key+":"))
	ingesttest.Told(t, func(m ingest.Mount) http.Handler { return &rudderstack.Handler{Mount: m} }, []ingesttest.Request{
		ingesttest.Taken("POST", "/v1/batch", ingesttest.Gzip(t, `{"batch":[{"type":"track","event":"E","userId":"u"}]}`),
			[]string{"Authorization", basic, "Content-Type", "application/x-www-form-urlencoded", "Anonymousid", "YQ=="}, []string{"Authorization", "Content-Type", "Anonymousid"}),
		ingesttest.Taken("POST", "/beacon/v1/batch?writeKey="+ingesttest.Key, `{"batch":[{"type":"track","event":"E","userId":"u"}]}`, []string{"Content-Type", "text/plain"}, []string{"Content-Type"}),
	}, []ingesttest.Request{
		{Method: "GET", Target: "/sourceConfig", Headers: []string{"Authorization", basic}},
		{Method: "POST", Target: "/v1/track", Body: `{"event":"E"}`, Headers: []string{"Authorization", basic}},
	}...)
}
