package segment_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/ingest"
	"github.com/seed14307185/refract/events/ingest/ingesttest"
	"github.com/seed14307185/refract/events/segment"
)

const writeKey = "SEGWK"

var now = time.Date(2026, 11, 23, 20, 28, 0, 123_456_789, time.UTC)

// edge is a served handler and what it appended and refused.
type edge struct {
	*httptest.Server
	handler segment.Handler
	fail    error // of Append

	mu      sync.Mutex // guards what follows
	batches [][]*events.Event
	refused []string
}

func serve(t *testing.T) *edge {
	e := &edge{}
	e.handler.Mount = ingest.Mount{
		Key:  writeKey,
		Late: 24 * time.Hour,
		Now:  func() time.Time { return now },
		Append: func(ctx context.Context, batch []*events.Event) error {
			e.mu.Lock()
			defer e.mu.Unlock()
			if e.fail == nil {
				e.batches = append(e.batches, batch)
			}
			return e.fail
		},
		Refused: func(reason string) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.refused = append(e.refused, reason)
		},
	}
	e.Server = httptest.NewServer(http.StripPrefix("/_refract/ingest/segment", &e.handler))
	t.Cleanup(e.Close)
	return e
}

type answer struct {
	Success       bool
	Code, Message string
}

// post sends a body with the write key, and headers as pairs.
func (e *edge) post(t *testing.T, path, body string, headers ...string) (*http.Response, answer) {
	t.Helper()
	return e.send(t, http.MethodPost, path, body, append([]string{"Authorization", "Basic U0VHV0s6"}, headers...)...)
}

func (e *edge) send(t *testing.T, method, path, body string, headers ...string) (*http.Response, answer) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, e.URL+"/_refract/ingest/segment"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := e.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil || resp.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%s %s: %s %q: %v", method, path, resp.Header.Get("Content-Type"), raw, err)
	}
	return resp, a
}

// taken sends a body that must be taken, and returns its events.
func (e *edge) taken(t *testing.T, path, body string, headers ...string) []*events.Event {
	t.Helper()
	before := len(e.batches)
	resp, a := e.post(t, path, body, headers...)
	if resp.StatusCode != 200 || !a.Success || len(e.batches) != before+1 {
		t.Fatalf("%s %.200s: %d %+v, %d appends", path, body, resp.StatusCode, a, len(e.batches)-before)
	}
	return e.batches[before]
}

// refuses checks that an exchange was a refusal that appended nothing and was
// counted once.
func (e *edge) refuses(t *testing.T, name string, status int, code, text string, send func() (*http.Response, answer)) {
	t.Helper()
	e.batches, e.refused = nil, nil
	resp, a := send()
	if resp.StatusCode != status || a.Success || a.Code != code || !strings.Contains(a.Message, text) {
		t.Errorf("%s: %d %+v, want %d %s: %s", name, resp.StatusCode, a, status, code, text)
	}
	if len(e.batches) != 0 || !reflect.DeepEqual(e.refused, []string{code}) {
		t.Errorf("%s: %d appends, refused %v", name, len(e.batches), e.refused)
	}
}

func TestHostileBodies(t *testing.T) {
	e := serve(t)
	x := func(n int) string { return strings.Repeat("x", n) }
	track := func(field string) string { return `{"event":"E","userId":"u",` + field + `}` }
	for _, c := range []struct{ name, path, body, code, text string }{
		{"no JSON", "track", "hello", "json", "byte 1"},
		{"empty", "track", "", "json", "unexpected end"},
		{"an array", "track", "[]", "type", "not an object"},
		{"trailing garbage", "track", `{"event":"E","userId":"u"}{}`, "json", "after top-level"},
		{"member twice", "track", track(`"userId":"v"`), "json", "twice"},
		{"number out of range", "track", track(`"properties":{"n":1e999}`), "json", "out of range"},
		{"NUL", "track", track(`"properties":{"n":"\u0000"}`), "text", "NUL"},
		{"NUL in an id", "track", `{"event":"E","userId":"\u0000"}`, "text", "NUL"},
		{"raw NUL", "track", "{\"event\":\"\x00\"}", "json", "byte"},
		{"invalid UTF-8", "track", "{\"event\":\"\xff\",\"userId\":\"u\"}", "text", "UTF-8"},
		{"deep", "track", track(`"properties":{"a":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}`), "depth", "deeper"},
		{"deep in what is not read", "track", track(`"context":` + strings.Repeat(`{"a":`, 20) + "1" + strings.Repeat("}", 20)), "depth", "deeper"},
		{"a long event", "track", track(`"properties":{"a":"` + x(events.MaxEvent) + `"}`), "limit", "longer than 65536"},
		{"long traits", "identify", `{"userId":"u","traits":{"a":"` + x(events.MaxEvent) + `"}}`, "limit", "longer than 65536"},
		{"a long property name", "track", track(`"properties":{"` + x(201) + `":1}`), "limit", "name"},
		{"a long event name", "track", `{"userId":"u","event":"` + x(201) + `"}`, "limit", "event is longer"},
		{"a long user id", "track", `{"event":"E","userId":"` + x(201) + `"}`, "id", "userId is longer"},
		{"a long anonymous id", "track", track(`"anonymousId":"` + x(201) + `"`), "id", "anonymousId is longer"},
		{"a long message id", "track", track(`"messageId":"` + x(201) + `"`), "id", "messageId is longer"},
		{"a long account", "track", track(`"context":{"groupId":"` + x(201) + `"}`), "id", "context.groupId is longer"},
		{"a long group id", "group", `{"userId":"u","groupId":"` + x(201) + `"}`, "id", "groupId is longer"},
		{"nobody", "track", `{"event":"E"}`, "id", "userId or anonymousId"},
		{"nobody, said", "track", `{"event":"E","userId":"","anonymousId":null}`, "id", "userId or anonymousId"},
		{"nobody identified", "identify", `{"traits":{}}`, "id", "userId or anonymousId"},
		{"nobody's page", "page", `{}`, "id", "userId or anonymousId"},
		{"a fraction as id", "track", `{"event":"E","userId":1.5}`, "type", "userId is a number"},
		{"an inexact number as id", "track", `{"event":"E","userId":9007199254740993}`, "type", "userId is a number"},
		{"a bool as id", "track", `{"event":"E","userId":true}`, "type", "userId must be"},
		{"an object as id", "track", `{"event":"E","userId":{"$oid":"1"}}`, "type", "userId must be"},
		{"a list as message id", "track", track(`"messageId":[]`), "type", "messageId must be"},
		{"no event name", "track", `{"userId":"u"}`, "type", "event is needed"},
		{"a number as event name", "track", `{"userId":"u","event":1}`, "type", "event must be"},
		{"a list as properties", "track", track(`"properties":[1]`), "type", "properties must be"},
		{"a string as traits", "identify", `{"userId":"u","traits":"x"}`, "type", "traits must be"},
		{"a string as context", "track", track(`"context":"x"`), "type", "context must be"},
		{"a number as page name", "page", `{"userId":"u","name":1}`, "type", "name must be"},
		{"no group", "group", `{"userId":"u"}`, "id", "groupId is needed"},
		{"no previous id", "alias", `{"userId":"u"}`, "id", "userId and previousId"},
		{"alias of nobody", "alias", `{"previousId":"a","anonymousId":"a"}`, "id", "userId and previousId"},
		{"an epoch", "track", track(`"timestamp":1795465678777`), "time", "timestamp must be"},
		{"an epoch as text", "track", track(`"timestamp":"1795465678777"`), "time", "timestamp is not"},
		{"no such day", "track", track(`"timestamp":"2026-02-30T00:00:00Z"`), "time", "timestamp is not"},
		{"a broken original time", "track", track(`"originalTimestamp":"yesterday"`), "time", "originalTimestamp is not"},
		{"a broken time of dispatch", "track", track(`"sentAt":{}`), "time", "sentAt must be"},
		{"no batch", "batch", `{}`, "type", "batch must be an array"},
		{"batch null", "batch", `{"batch":null}`, "type", "batch must be an array"},
		{"an object as batch", "batch", `{"batch":{}}`, "type", "batch must be an array"},
		{"a string in a batch", "batch", `{"batch":["x"]}`, "type", "batch[0]: not an object"},
		{"no type in a batch", "batch", `{"batch":[{"userId":"u","event":"E"}]}`, "type", "batch[0]: type must be"},
		{"a batch in a batch", "batch", `{"batch":[{"userId":"u","type":"batch","batch":[]}]}`, "type", "batch[0]: type must be"},
		{"one bad message", "batch", `{"batch":[{"userId":"u","type":"track","event":"E"},{"type":"track","event":"E"}]}`, "id", "batch[1]: userId or"},
		{"a broken time of the batch", "batch", `{"sentAt":"x","batch":[{"userId":"u","type":"track","event":"E"}]}`, "time", "batch[0]: sentAt is not"},
		{"too many messages", "batch", `{"batch":[` + strings.TrimSuffix(strings.Repeat("0,", events.MaxBatch+1), ",") + `]}`, "limit", "more than 2500"},
		{"broken gzip", "track", "\x1f\x8b\x08garbage", "body", "gzip"},
		{"cut gzip", "track", ingesttest.Gzip(t, `{"event":"E","userId":"u"}`)[:30], "body", "gzip"},
		{"garbage after gzip", "track", ingesttest.Gzip(t, `{"event":"E","userId":"u"}`) + "x", "body", "gzip"},
		{"gzip in gzip", "track", ingesttest.Gzip(t, ingesttest.Gzip(t, `{}`)), "text", "UTF-8"},
	} {
		e.refuses(t, c.name, 400, c.code, c.text, func() (*http.Response, answer) { return e.post(t, "/v1/"+c.path, c.body) })
	}
}

func TestTooLongBodies(t *testing.T) {
	e := serve(t)
	spaces := strings.Repeat(" ", events.MaxBody)
	bomb := ingesttest.Gzip(t, strings.Repeat(" ", 20*events.MaxBody))
	for name, body := range map[string]string{
		"plain": spaces + "{}",
		"bomb":  bomb[:len(bomb)-9], // its broken end shows whether it is read that far
		"gzip":  ingesttest.Gzip(t, spaces+" "),
	} {
		e.refuses(t, name, 413, "size", "longer than 1048576 bytes", func() (*http.Response, answer) { return e.post(t, "/v1/batch", body) })
	}
	body := `{"event":"E","userId":"u"}`
	body += spaces[len(body):]
	e.taken(t, "/v1/track", body)
	e.taken(t, "/v1/track", ingesttest.Gzip(t, body))
}

// A full batch of Segment's documented size is taken whole.
func TestFullBatch(t *testing.T) {
	e := serve(t)
	item := fmt.Sprintf(`{"type":"track","event":"E","userId":"u","properties":{"p":"%s"}}`, strings.Repeat("x", 120))
	got := e.taken(t, "/v1/batch", `{"batch":[`+strings.TrimSuffix(strings.Repeat(item+",", 2500), ",")+`]}`)
	if len(got) != 2500 {
		t.Errorf("%d events", len(got))
	}
}

func TestBodyThatEndsEarly(t *testing.T) {
	e := serve(t)
	e.refuses(t, "cut", 400, "body", "ended early", func() (*http.Response, answer) {
		r := httptest.NewRequest("POST", "/v1/track", io.MultiReader(strings.NewReader(`{"event":"E",`), failing{}))
		r.SetBasicAuth(writeKey, "")
		w := httptest.NewRecorder()
		e.handler.ServeHTTP(w, r)
		var a answer
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		return w.Result(), a
	})
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestWriteKey(t *testing.T) {
	e := serve(t)
	const event = `{"event":"E","userId":"u"}`
	const withKey = `{"event":"E","userId":"u","writeKey":"SEGWK"}`
	const right, wrong = "Basic U0VHV0s6", "Basic U0VHV0tYOg=="
	for _, c := range []struct {
		name, body, authorization string
		want                      int
	}{
		{"header", event, right, 200},
		{"header with a password", event, "Basic U0VHV0s6cHc=", 200},
		{"body", withKey, "", 200},
		{"body, and a bearer token", withKey, "Bearer x", 200},
		{"body, and the site's own password", withKey, wrong, 200},
		{"header, and another body", strings.Replace(withKey, "SEGWK", "OTHER", 1), right, 200},
		{"none", event, "", 401},
		{"wrong header", event, wrong, 401},
		{"broken header", event, "Basic !", 401},
		{"empty header", event, "Basic Og==", 401},
		{"wrong body", strings.Replace(withKey, "SEGWK", "SEGW", 1), "", 401},
		{"empty body key", strings.Replace(withKey, "SEGWK", "", 1), "", 401},
		{"number as body key", strings.Replace(withKey, `"SEGWK"`, "1", 1), "", 401},
		{"a broken body does not tell", `{`, "", 401},
	} {
		e.batches, e.refused = nil, nil
		resp, a := e.send(t, "POST", "/v1/track", c.body, "Authorization", c.authorization)
		if resp.StatusCode != c.want || a.Success != (c.want == 200) || len(e.batches) == 1 != (c.want == 200) {
			t.Errorf("%s: %d %+v, %d appends", c.name, resp.StatusCode, a, len(e.batches))
		}
		if c.want == 401 && (a.Code != "auth" || !reflect.DeepEqual(e.refused, []string{"auth"}) || resp.Header.Get("WWW-Authenticate") != "") {
			t.Errorf("%s: %+v, refused %v, %v", c.name, a, e.refused, resp.Header)
		}
	}
	e.handler.Key = ""
	for _, authorization := range []string{"", "Basic Og==", right} {
		if resp, _ := e.send(t, "POST", "/v1/track", `{"event":"E","userId":"u","writeKey":""}`, "Authorization", authorization); resp.StatusCode != 401 {
			t.Errorf("no write key is configured, %q presented: %d", authorization, resp.StatusCode)
		}
	}
}

func TestPathsAndMethods(t *testing.T) {
	e := serve(t)
	for _, path := range []string{"", "/", "/v1", "/v1/", "/v1/x", "/v1/track/", "/track", "/v2/track", "/v1/TRACK"} {
		e.refuses(t, path, 404, "path", "no such path", func() (*http.Response, answer) { return e.post(t, path, `{}`) })
	}
	for _, method := range []string{"GET", "PUT", "DELETE", "OPTIONS"} {
		e.refuses(t, method, 405, "method", "POST", func() (*http.Response, answer) {
			resp, a := e.send(t, method, "/v1/track", "")
			if resp.Header.Get("Allow") != "POST" {
				t.Errorf("%s: Allow %q", method, resp.Header.Get("Allow"))
			}
			return resp, a
		})
	}
}

func TestAppendFails(t *testing.T) {
	e := serve(t)
	e.fail = errors.New("disk on fire")
	e.refuses(t, "append", 503, "unavailable", "try again", func() (*http.Response, answer) {
		resp, a := e.post(t, "/v1/track", `{"event":"E","userId":"u"}`)
		if resp.Header.Get("Retry-After") != "5" || strings.Contains(a.Message, "fire") {
			t.Errorf("%v %+v", resp.Header, a)
		}
		return resp, a
	})
	// The handler is as well as before.
	e.fail = nil
	e.taken(t, "/v1/track", `{"event":"E","userId":"u"}`)
}

func TestEmptyBatch(t *testing.T) {
	e := serve(t)
	if resp, a := e.post(t, "/v1/batch", `{"batch":[]}`); resp.StatusCode != 200 || !a.Success || len(e.batches) != 0 {
		t.Errorf("%d %+v, %d appends", resp.StatusCode, a, len(e.batches))
	}
}

// A handler without its optional fields works.
func TestZeroFields(t *testing.T) {
	var got []*events.Event
	h := &segment.Handler{Mount: ingest.Mount{Key: "k", Append: func(_ context.Context, batch []*events.Event) error { got = batch; return nil }}}
	for _, body := range []string{`{"event":"E","userId":"u","writeKey":"k"}`, `{`} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/v1/track", strings.NewReader(body)))
	}
	if len(got) != 1 || time.Since(got[0].Received) > time.Hour {
		t.Errorf("%+v", got)
	}
}

func BenchmarkTrack(b *testing.B) {
	const body = `{"type":"track","event":"Project Created","userId":"u-1","anonymousId":"13c75dc9-c5ef-473e-aca2-90ec4b76c02f","messageId":"node-next-1","timestamp":"2026-11-23T20:27:58.777Z","integrations":{},"properties":{"plan":"trial","seats":3,"tags":["a","b"]},"context":{"library":{"name":"@segment/analytics-node","version":"3.1.0"}}}`
	h := &segment.Handler{Mount: ingest.Mount{Key: writeKey, Late: time.Hour, Append: func(context.Context, []*events.Event) error { return nil }}}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest("POST", "/v1/track", strings.NewReader(body))
		r.SetBasicAuth(writeKey, "")
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != 200 {
			b.Fatal(w.Code)
		}
	}
}

// What the browser SDK asks first, and across origins.
func TestSettings(t *testing.T) {
	e := serve(t)
	get := func(target string, headers ...string) (int, map[string]any, http.Header) {
		req := httptest.NewRequest("GET", "/_refract/ingest/segment"+target, nil)
		req.Host = "shop.example.com"
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		e.Config.Handler.ServeHTTP(w, req)
		var v map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		return w.Code, v, w.Header()
	}
	for proto, want := range map[string]string{"": "http", "https": "https"} {
		status, v, header := get("/v1/projects/"+writeKey+"/settings", "X-Forwarded-Proto", proto, "Origin", "https://shop.example.com")
		integrations, _ := v["integrations"].(map[string]any)
		to, _ := integrations["Segment.io"].(map[string]any)
		if status != 200 || len(integrations) != 1 || to["apiHost"] != "shop.example.com/_refract/ingest/segment/v1" || to["protocol"] != want || to["apiKey"] != writeKey {
			t.Errorf("%d %v", status, v)
		}
		if header.Get("Access-Control-Allow-Origin") != "https://shop.example.com" || header.Get("Cache-Control") != "no-store" {
			t.Errorf("%v", header)
		}
	}
	if status, v, _ := get("/v1/projects/OTHER/settings"); status != 401 || v["code"] != "auth" {
		t.Errorf("another key: %d %v", status, v)
	}
}
