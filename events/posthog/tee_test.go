package posthog_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"testing"

	"github.com/seed14307185/refract/events/ingest"
	"github.com/seed14307185/refract/events/ingest/ingesttest"
	"github.com/seed14307185/refract/events/posthog"
)

// What is sent on to the vendor, and what is not.
func TestTee(t *testing.T) {
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(ingesttest.Key+":"))
	ingesttest.Told(t, func(m ingest.Mount) http.Handler { return &posthog.Handler{Mount: m} }, []ingesttest.Request{
		ingesttest.Taken("POST", "/batch/", `{"api_key":"`+ingesttest.Key+`","batch":[{"event":"E","distinct_id":"u"}]}`, nil, nil),
		ingesttest.Taken("POST", "/e/?ip=1&_=1764361680123&ver=1.130.1&compression=gzip-js", ingesttest.Gzip(t, `[{"event":"E","properties":{"distinct_id":"u","token":"`+ingesttest.Key+`"}}]`),
			[]string{"Content-Type", "text/plain"}, []string{"Content-Type"}),
		ingesttest.Taken("GET", "/e/?data="+url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(`{"event":"E","distinct_id":"u","api_key":"`+ingesttest.Key+`"}`))), "", nil, nil),
		ingesttest.Taken("POST", "/i/v1/analytics/events", `{"created_at":"2026-11-23T20:27:58Z","batch":[{"event":"E","distinct_id":"u","uuid":"u-1"}]}`,
			[]string{"Authorization", "Bearer " + ingesttest.Key, "Posthog-Sdk-Info", "posthog-node/5"}, []string{"Authorization", "Posthog-Sdk-Info"}),
	}, []ingesttest.Request{
		{Method: "POST", Target: "/flags/?v=2", Body: `{"token":"` + ingesttest.Key + `","distinct_id":"u"}`},
		{Method: "POST", Target: "/decide/?v=3", Body: `{"token":"` + ingesttest.Key + `","distinct_id":"u"}`},
		{Method: "POST", Target: "/s/", Body: "recording"},
		{Method: "GET", Target: "/array/" + ingesttest.Key + "/config"},
		{Method: "POST", Target: "/batch/", Body: `{"api_key":"another","batch":[{"event":"E","distinct_id":"u"}]}`, Headers: []string{"Authorization", basic}},
	}...)
}
