package amplitude_test

import (
	"net/http"
	"testing"

	"github.com/seed14307185/refract/events/amplitude"
	"github.com/seed14307185/refract/events/ingest"
	"github.com/seed14307185/refract/events/ingest/ingesttest"
)

// What is sent on to the vendor, and what is not.
func TestTee(t *testing.T) {

	ingesttest.Told(t, func(m ingest.Mount) http.Handler { return &amplitude.Handler{Mount: m} }, []ingesttest.Request{
		ingesttest.Taken("POST", "/2/httpapi", `{"api_key":"`+ingesttest.Key+`","events":[{"event_type":"E","user_id":"user-1","insert_id":"i"}]}`,
			[]string{"Content-Type", "application/json", "Accept", "*/*"}, []string{"Content-Type", "Accept"}),
		ingesttest.Taken("POST", "/batch", `{"api_key":"`+ingesttest.Key+`","events":[{"event_type":"$identify","user_id":"user-1","user_properties":{"$set":{"plan":"trial"}}}]}`, nil, nil),
	}, []ingesttest.Request{
		{Method: "GET", Target: "/config/" + ingesttest.Key},
		{Method: "POST", Target: "/2/httpapi", Body: `{"api_key":"` + ingesttest.Key + `","events":[]}`},
	}...)
}
