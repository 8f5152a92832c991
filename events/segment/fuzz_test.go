package segment_test

import (
	"net/http"
	"testing"

	"github.com/seed14307185/refract/events/ingest"
	"github.com/seed14307185/refract/events/ingest/ingesttest"
	"github.com/seed14307185/refract/events/segment"
)

// FuzzDecode: whatever is sent, the handler answers; what it appends keeps the
// limits and survives the way to JSON and back.
func FuzzDecode(f *testing.F) {
	for _, body := range []string{
		`{"event":"E","userId":"u","properties":{"a":[1,null,{"b":"c"}]},"context":{"groupId":"g"}}`,
		`{"userId":7,"anonymousId":"a","traits":{"plan":"trial"},"groupId":"g","previousId":"p","name":"n"}`,
		`{"batch":[{"type":"alias","userId":"u","previousId":"a"},{"type":"page","anonymousId":"a","timestamp":"2026-11-23T20:27:58.777Z"}],"sentAt":"2026-11-23T20:27:59Z"}`,
		ingesttest.Gzip(f, `{"batch":[{"type":"group","userId":"u","groupId":1}]}`),
		`{"event":"E","userId":"\ud83d\u0000"}`,
	} {
		for i := range paths {
			f.Add(uint8(i), []byte(body))
		}
	}
	e := ingesttest.New(func(m ingest.Mount) http.Handler { return &segment.Handler{Mount: m} })
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(ingesttest.Key, "")
	f.Fuzz(func(t *testing.T, path uint8, body []byte) {
		e.Fuzz(t, segment.Source, paths[int(path)%len(paths)], body, "Authorization", r.Header.Get("Authorization"))
	})
}

var paths = []string{"/v1/track", "/v1/identify", "/v1/group", "/v1/page", "/v1/screen", "/v1/alias", "/v1/batch"}
