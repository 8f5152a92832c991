package braze_test

import (
	"net/http"
	"testing"

	"github.com/seed14307185/refract/events/braze"
	"github.com/seed14307185/refract/events/ingest"
	"github.com/seed14307185/refract/events/ingest/ingesttest"
)

// What is sent on to the vendor, and what is not.
func TestTee(t *testing.T) {

	ingesttest.Told(t, func(m ingest.Mount) http.Handler { return &braze.Handler{Mount: m} }, []ingesttest.Request{
		ingesttest.Taken("POST", "/users/track", `{"events":[{"external_id":"u","name":"E","time":"2026-11-23T20:27:00Z"}]}`,
			[]string{"Authorization", "Bearer " + ingesttest.Key, "X-Braze-Bulk", "true"}, []string{"Authorization", "X-Braze-Bulk"}),
	}, []ingesttest.Request{
		{Method: "POST", Target: "/users/track", Body: `{"events":[]}`, Headers: []string{"Authorization", "Bearer " + ingesttest.Key}},
		{Method: "POST", Target: "/users/track", Body: `{"events":[{"external_id":"u","name":"E"}]}`, Headers: []string{"Authorization", "Bearer another"}},
	}...)
}
