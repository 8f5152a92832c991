package segment_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/ingest"
	"github.com/seed14307185/refract/events/segment"
)

// FuzzDecode: whatever is sent, the handler answers; what it appends keeps the
// limits and survives the way to JSON and back.
func FuzzDecode(f *testing.F) {
	for _, body := range []string{
		`{"event":"E","userId":"u","properties":{"a":[1,null,{"b":"c"}]},"context":{"groupId":"g"}}`,
		`{"userId":7,"anonymousId":"a","traits":{"plan":"trial"},"groupId":"g","previousId":"p","name":"n"}`,
		`{"batch":[{"type":"alias","userId":"u","previousId":"a"},{"type":"page","anonymousId":"a","timestamp":"2026-11-23T20:27:58.777Z"}],"sentAt":"2026-11-23T20:27:59Z"}`,
		compressed(f, `{"batch":[{"type":"group","userId":"u","groupId":1}]}`),
		`{"event":"E","userId":"\ud83d\u0000"}`,
	} {
		for i := range paths {
			f.Add(uint8(i), []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, path uint8, body []byte) {
		var got []*events.Event
		var refused []string
		h := &segment.Handler{Mount: ingest.Mount{
			Key: writeKey, Late: 24 * time.Hour, Now: func() time.Time { return now },
			Append:  func(_ context.Context, batch []*events.Event) error { got = batch; return nil },
			Refused: func(reason string) { refused = append(refused, reason) },
		}}
		r := httptest.NewRequest("POST", paths[int(path)%len(paths)], strings.NewReader(string(body)))
		r.SetBasicAuth(writeKey, "")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		switch {
		case w.Code == 200 && len(refused) == 0:
		case (w.Code == 400 || w.Code == 413) && len(refused) == 1 && got == nil && slices.Contains(events.RefusedReasons(), refused[0]):
		default:
			t.Fatalf("%d, refused %v, %d events", w.Code, refused, len(got))
		}
		if len(got) > events.MaxBatch {
			t.Fatalf("%d events", len(got))
		}
		for _, e := range got {
			check(t, e)
		}
	})
}

var paths = []string{"/v1/track", "/v1/identify", "/v1/group", "/v1/page", "/v1/screen", "/v1/alias", "/v1/batch"}

func check(t *testing.T, e *events.Event) {
	raw, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var back events.Event
	if err := json.Unmarshal(raw, &back); err != nil || !reflect.DeepEqual(*e, back) {
		t.Fatalf("%v\n got %#v\nwant %#v", err, back, *e)
	}
	for _, id := range []string{e.ID, e.Visitor, e.Anonymous, e.Account, e.Name} {
		if len(id) > 200 || !utf8.ValidString(id) {
			t.Fatalf("%q", id)
		}
	}
	if len(raw) > 6*(events.MaxEvent+1024) || strings.Contains(string(raw), `\u0000`) && !strings.Contains(string(raw), `\\u0000`) {
		t.Fatalf("%d bytes: %.300s", len(raw), raw)
	}
	if e.Visitor == "" || e.Source != "segment" || (e.Name != "") != (e.Kind == events.Track) {
		t.Fatalf("%+v", e)
	}
	if !e.Received.Equal(received) || e.Time.After(e.Received) || e.Time.Before(e.Received.Add(-24*time.Hour-time.Millisecond)) {
		t.Fatalf("%v, received %v", e.Time, e.Received)
	}
	switch e.Kind {
	case events.Track, events.Identify:
	case events.Group:
		if e.Account == "" {
			t.Fatalf("%+v", e)
		}
	case events.Alias:
		if e.Anonymous == "" || e.Anonymous == e.Visitor {
			t.Fatalf("%+v", e)
		}
	default:
		t.Fatalf("%+v", e)
	}
}
