package mixpanel_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"testing"

	"github.com/seed14307185/refract/events/ingest"
	"github.com/seed14307185/refract/events/ingest/ingesttest"
	"github.com/seed14307185/refract/events/mixpanel"
)

// What is sent on to the vendor, and what is not.
func TestTee(t *testing.T) {
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(ingesttest.Key+":"))
	ingesttest.Told(t, func(m ingest.Mount) http.Handler { return &mixpanel.Handler{Mount: m} }, []ingesttest.Request{
		ingesttest.Taken("POST", "/track?verbose=1&ip=1", `[{"event":"E","properties":{"token":"`+ingesttest.Key+`","distinct_id":"u"}}]`, nil, nil),
		ingesttest.Taken("POST", "/track/", "data="+url.QueryEscape(`{"event":"E","properties":{"token":"`+ingesttest.Key+`","distinct_id":"u"}}`),
			[]string{"Content-Type", "application/x-www-form-urlencoded"}, []string{"Content-Type"}),
		ingesttest.Taken("GET", "/track?data="+url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(`{"event":"E","properties":{"token":"`+ingesttest.Key+`","distinct_id":"u"}}`))), "", nil, nil),
		ingesttest.Taken("POST", "/engage", `[{"$token":"`+ingesttest.Key+`","$distinct_id":"u","$set":{"plan":"trial"}}]`, nil, nil),
		// A server may import as a service account.
		ingesttest.Taken("POST", "/import?strict=1&project_id=1", `[{"event":"E","properties":{"token":"`+ingesttest.Key+`","distinct_id":"u","time":1764361680}}]`,
			[]string{"Authorization", "Basic c2VydmljZTpzZWNyZXQ="}, []string{"Authorization"}),
	}, []ingesttest.Request{
		{Method: "GET", Target: "/settings", Headers: []string{"Authorization", basic}},
		{Method: "GET", Target: "/flags", Headers: []string{"Authorization", basic}},
		{Method: "GET", Target: "/decide"},
		{Method: "POST", Target: "/record", Body: "recording"},
		{Method: "POST", Target: "/track", Body: `[{"event":"E","properties":{"token":"another","distinct_id":"u"}}]`},
	}...)
}
