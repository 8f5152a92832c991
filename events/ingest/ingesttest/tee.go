package ingesttest

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"testing"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/ingest"
)

// Client is the address of who sends to a mount with a tee.
const Client = "203.0.113.7"

// Request is what a mount is sent.
type Request struct {
	Method, Target, Body string
	Headers              []string // pairs
	// Told are the fields that should be sent on to the vendor, besides
	// X-Forwarded-For.
	Told []string
}

// Taken is a request that a mount should take, and send on with these fields.
func Taken(method, target, body string, headers, told []string) Request {
	return Request{method, target, body, headers, told}
}

// Told checks that a vendor's mount sends each of these requests on as it came,
// and none that it refuses, or of those that ask for something.
func Told(t *testing.T, handler func(ingest.Mount) http.Handler, taken []Request, others ...Request) {
	t.Helper()
	e := &Edge{}
	m := e.mount()
	m.Client = func(*http.Request) string { return Client }
	m.Tee = func(_ context.Context, letter []byte, batch []*events.Event) error {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.Fail == nil {
			e.letters, e.batches = append(e.letters, letter), append(e.batches, batch)
		}
		return e.Fail
	}
	e.handler = http.StripPrefix("/mount", handler(m))
	for _, r := range taken {
		for range 2 { // a repetition is sent on too
			answer := e.Do(r.Method, r.Target, r.Body, append([]string{"X-User", "ann", "X-Forwarded-For", "198.51.100.1"}, r.Headers...)...)
			if answer.Status/100 != 2 {
				t.Errorf("%s %s: %d %s", r.Method, r.Target, answer.Status, answer.Body)
			}
			e.told(t, r)
		}
		e.Fail = io.ErrShortWrite
		if answer := e.Do(r.Method, r.Target, r.Body, r.Headers...); answer.Status != http.StatusServiceUnavailable {
			t.Errorf("%s %s: the letter can't be stored, and the answer is %d %s", r.Method, r.Target, answer.Status, answer.Body)
		}
		e.Fail = nil
	}
	for _, r := range others {
		e.Do(r.Method, r.Target, r.Body, r.Headers...)
		if len(e.letters) > 0 {
			t.Errorf("%s %s is sent on", r.Method, r.Target)
		}
	}
}

// told checks that there is one letter, with what the request is.
func (e *Edge) told(t *testing.T, r Request) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.letters) != 1 {
		t.Fatalf("%s %s: %d letters", r.Method, r.Target, len(e.letters))
	}
	got, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(e.letters[0])))
	if err != nil {
		t.Fatalf("%v: %q", err, e.letters[0])
	}
	e.letters, e.batches = nil, nil
	body, err := io.ReadAll(got.Body)
	if err != nil || string(body) != r.Body || got.Method != r.Method || got.RequestURI != r.Target {
		t.Errorf("%s %s is sent on as %s %s, with %d bytes of %d: %v", r.Method, r.Target, got.Method, got.RequestURI, len(body), len(r.Body), err)
	}
	var names []string
	for name := range got.Header {
		names = append(names, name)
	}
	want := append([]string{"X-Forwarded-For", "Cdn-Loop"}, r.Told...)
	if r.Method != http.MethodGet {
		want = append(want, "Content-Length")
	}
	slices.Sort(names)
	slices.Sort(want)
	if !slices.Equal(names, want) || got.Header.Get("X-Forwarded-For") != Client {
		t.Errorf("%s %s is sent on with %v, want %v", r.Method, r.Target, names, want)
	}
	for i := 0; i < len(r.Headers); i += 2 {
		if slices.Contains(r.Told, r.Headers[i]) && got.Header.Get(r.Headers[i]) != r.Headers[i+1] {
			t.Errorf("%s %s: %s is sent on as %q", r.Method, r.Target, r.Headers[i], got.Header.Get(r.Headers[i]))
		}
	}
}
