// Package ingesttest is what the tests of the vendors' packages have in common:
// a served mount, bodies that no vendor may take, and what holds for every
// event.
package ingesttest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/ingest"
)

// Now is the time at which everything is received.
var Now = time.Date(2026, 11, 23, 20, 28, 0, 123_000_000, time.UTC)

// Late is how late an event may be.
const Late = 24 * time.Hour

// Key is the mount's key.
const Key = "key-0123456789"

// Edge is a mount and what it appended and refused. It is not for use by
// several goroutines, but its handler is.
type Edge struct {
	handler http.Handler
	Fail    error // of Append

	mu      sync.Mutex // guards what follows
	batches [][]*events.Event
	refused []string
	letters [][]byte
}

// New mounts a vendor's handler at /mount. Its account is the group type
// "company".
func New(handler func(ingest.Mount) http.Handler) *Edge {
	e := &Edge{}
	e.handler = http.StripPrefix("/mount", handler(e.mount()))
	return e
}

func (e *Edge) mount() ingest.Mount {
	return ingest.Mount{
		Key: Key, Account: "company", Late: Late, Now: func() time.Time { return Now },
		Append: func(_ context.Context, batch []*events.Event) error {
			e.mu.Lock()
			defer e.mu.Unlock()
			if e.Fail == nil {
				e.batches = append(e.batches, batch)
			}
			return e.Fail
		},
		Refused: func(reason string) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.refused = append(e.refused, reason)
		},
	}
}

func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) { e.handler.ServeHTTP(w, r) }

// Response is what a client got.
type Response struct {
	Status int
	Header http.Header
	Body   string
}

// JSON reads the body.
func (r Response) JSON(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(r.Body), &v); err != nil || r.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d, %s: %q: %v", r.Status, r.Header.Get("Content-Type"), r.Body, err)
	}
	return v
}

// Do sends a request, with headers as pairs.
func (e *Edge) Do(method, target, body string, headers ...string) Response {
	return e.do(method, target, strings.NewReader(body), headers)
}

func (e *Edge) do(method, target string, body io.Reader, headers []string) Response {
	r := httptest.NewRequest(method, "/mount"+target, body)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	e.handler.ServeHTTP(w, r)
	return Response{w.Code, w.Result().Header, w.Body.String()}
}

// Reset returns what was appended and refused since the last Reset.
func (e *Edge) Reset() (batches [][]*events.Event, refused []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	batches, refused = e.batches, e.refused
	e.batches, e.refused = nil, nil
	return batches, refused
}

// Takes checks that the mount appends exactly these events at once, for a
// request that it answers with 200. Source and times are the mount's: a Time
// that is zero should be Now.
func (e *Edge) Takes(t *testing.T, name, source string, r Response, want ...events.Event) {
	t.Helper()
	batches, refused := e.Reset()
	var got []*events.Event
	if len(batches) == 1 {
		got = batches[0]
	}
	if r.Status/100 != 2 || len(refused) != 0 || len(batches) > 1 || len(got) != len(want) {
		t.Errorf("%s: %d %s, %d appends of %d events, refused %v, want %d events", name, r.Status, r.Body, len(batches), len(got), refused, len(want))
		return
	}
	for i, w := range want {
		if w.Source, w.Received = source, Now; w.Time.IsZero() {
			w.Time = Now
		}
		if !reflect.DeepEqual(*got[i], w) {
			t.Errorf("%s, event %d:\n got %+v\nwant %+v", name, i, *got[i], w)
		}
	}
}

// Refuses checks that a response is a refusal, counted once, with nothing
// appended.
func (e *Edge) Refuses(t *testing.T, name string, r Response, status int, reason string) {
	t.Helper()
	batches, refused := e.Reset()
	if r.Status != status || len(batches) != 0 || !reflect.DeepEqual(refused, []string{reason}) {
		t.Errorf("%s: %d %s, %d appends, refused %v, want %d for %s", name, r.Status, r.Body, len(batches), refused, status, reason)
	}
}

// Gzip compresses a text.
func Gzip(t testing.TB, text string) string {
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	if _, err := io.WriteString(zip, text); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Hostile sends bodies that no vendor may take, each made of a body that is
// taken, and hands each answer to check, with its status and reason.
func (e *Edge) Hostile(t *testing.T, target, good string, headers []string, check func(name string, r Response, status int)) {
	t.Helper()
	if _, refused := e.Reset(); len(refused) != 0 {
		t.Fatalf("refused before: %v", refused)
	}
	zipped := Gzip(t, good)
	bomb := Gzip(t, strings.Repeat(" ", 20*events.MaxBody)+good)
	for _, c := range []struct {
		name, body, reason string
		status             int
	}{
		{"too long", strings.Repeat(" ", events.MaxBody) + good, events.RefusedSize, 413},
		{"a bomb", bomb[:len(bomb)-9], events.RefusedSize, 413}, // its broken end shows whether it is read that far
		{"cut gzip", zipped[:len(zipped)-4], events.RefusedBody, 400},
		{"broken gzip", "\x1f\x8b\x08garbage", events.RefusedBody, 400},
		{"garbage after gzip", zipped + "x", events.RefusedBody, 400},
		{"cut JSON", good[:len(good)-1], events.RefusedJSON, 400},
		{"trailing JSON", good + "x", events.RefusedJSON, 400},
		{"a member twice", `{"a":1,"a":2}`, events.RefusedJSON, 400},
		{"deep", strings.Repeat(`[`, 40) + strings.Repeat(`]`, 40), events.RefusedDepth, 400},
		{"very deep", `{"a":` + strings.Repeat(`[`, 400_000), events.RefusedDepth, 400},
		{"invalid UTF-8", "{\"a\":\"\xff\"}", events.RefusedText, 400},
		{"a NUL", `{"a":"\u0000"}`, events.RefusedText, 400},
		{"out of range", `{"a":1e999}`, events.RefusedJSON, 400},
		{"a long name", `{"` + strings.Repeat("n", 300) + `":1}`, events.RefusedLimit, 400},
	} {
		r := e.Do(http.MethodPost, target, c.body, headers...)
		e.Refuses(t, c.name, r, c.status, c.reason)
		check(c.name, r, c.status)
	}
	r := e.do(http.MethodPost, target, io.MultiReader(strings.NewReader(good[:len(good)/2]), failing{}), headers)
	e.Refuses(t, "a body that ends early", r, 400, events.RefusedBody)
	check("a body that ends early", r, 400)

	e.Fail = io.ErrShortWrite
	r = e.Do(http.MethodPost, target, good, headers...)
	e.Fail = nil
	e.Refuses(t, "Append fails", r, 503, events.RefusedUnavailable)
	if r.Header.Get("Retry-After") == "" || strings.Contains(r.Body, "short write") {
		t.Errorf("Append fails: %v %s", r.Header, r.Body)
	}
	check("Append fails", r, 503)

	if r := e.Do(http.MethodPost, target, zipped, headers...); r.Status/100 != 2 {
		t.Errorf("the good body: %d %s", r.Status, r.Body)
	}
	if batches, refused := e.Reset(); len(batches) != 1 || len(refused) != 0 {
		t.Errorf("the good body: %d appends, refused %v", len(batches), refused)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// CrossOrigin checks that a page of another origin may send to the path, and
// read the answer.
func (e *Edge) CrossOrigin(t *testing.T, target string) {
	t.Helper()
	pre := e.Do(http.MethodOptions, target, "", "Origin", "https://shop.example.com",
		"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type")
	if h := pre.Header; pre.Status != 204 || !strings.Contains(h.Get("Access-Control-Allow-Methods"), "POST") || h.Get("Access-Control-Allow-Headers") != "authorization,content-type" {
		t.Errorf("preflight: %d %v", pre.Status, h)
	}
	post := e.Do(http.MethodPost, target, "{", "Origin", "https://shop.example.com")
	for name, r := range map[string]Response{"preflight": pre, "a refusal": post} {
		if h := r.Header; h.Get("Access-Control-Allow-Origin") != "https://shop.example.com" || h.Get("Access-Control-Allow-Credentials") != "true" || !slices.Contains(h.Values("Vary"), "Origin") {
			t.Errorf("%s: %v", name, h)
		}
	}
	if r := e.Do(http.MethodPost, target, "{"); r.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("without an origin: %v", r.Header)
	}
	e.Reset()
}

// Fuzz sends a body and checks that it is answered in one of the ways that
// there are, and that what is appended is sound.
func (e *Edge) Fuzz(t *testing.T, source, target string, body []byte, headers ...string) {
	r := e.Do(http.MethodPost, target, string(body), headers...)
	batches, refused := e.Reset()
	switch {
	case r.Status/100 == 2 && len(refused) == 0 && len(batches) <= 1:
	case r.Status/100 == 4 && len(refused) == 1 && len(batches) == 0 && slices.Contains(events.RefusedReasons(), refused[0]):
	default:
		t.Fatalf("%d, refused %v, %d appends", r.Status, refused, len(batches))
	}
	for _, batch := range batches {
		for _, event := range batch {
			sound(t, source, event)
		}
	}
}

// sound checks that an event keeps the limits and survives the way to JSON and
// back.
func sound(t *testing.T, source string, e *events.Event) {
	raw, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	back := events.Event{Misdated: e.Misdated} // which isn't kept
	if err := json.Unmarshal(raw, &back); err != nil || !reflect.DeepEqual(*e, back) {
		t.Fatalf("%v\n got %#v\nwant %#v", err, back, *e)
	}
	for _, id := range []string{e.ID, e.Visitor, e.Anonymous, e.Account, e.Name} {
		if len(id) > events.MaxID || !utf8.ValidString(id) || strings.Contains(id, "\x00") {
			t.Fatalf("%q", id)
		}
	}
	if len(raw) > 6*(events.MaxEvent+1024) || strings.Contains(string(raw), `\u0000`) && !strings.Contains(string(raw), `\\u0000`) {
		t.Fatalf("%d bytes: %.300s", len(raw), raw)
	}
	if e.Visitor == "" || e.Visitor == e.Anonymous || e.Source != source || (e.Name != "") != (e.Kind == events.Track) {
		t.Fatalf("%+v", e)
	}
	if !e.Received.Equal(Now) || e.Time.After(Now) || e.Time.Before(Now.Add(-Late-time.Millisecond)) {
		t.Fatalf("%v, received %v", e.Time, e.Received)
	}
	switch e.Kind {
	case events.Track, events.Identify:
	case events.Group:
		if e.Account == "" {
			t.Fatalf("%+v", e)
		}
	case events.Alias:
		if e.Anonymous == "" {
			t.Fatalf("%+v", e)
		}
	default:
		t.Fatalf("%+v", e)
	}
}
