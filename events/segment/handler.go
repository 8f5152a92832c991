// Package segment takes events as Twilio Segment's HTTP Tracking API does, so
// that an app's own Segment SDK can send to the edge.
//
// A request is all or nothing: if one message of a batch can't be taken, the
// answer is 400 with its index and the reason, and nothing is stored; if the
// answer is 200, all of it is on disk. Segment itself answers 200 to nearly
// everything and drops what it dislikes later; here a sender learns of it.
//
// Answers are JSON. Success is 200 {"success":true}. A refusal carries
// "success":false, a one-word "code" (see events.RefusedReasons) and a
// "message". Segment's SDKs drop a batch on 400 and repeat it on 5xx, where
// the messageId keeps what is repeated from being counted twice.
package segment

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/seed14307185/refract/events"
)

// Source is the Source of the events that come this way.
const Source = "segment"

// retryAfter is what a sender is told to wait, in seconds, when the events
// could not be stored.
const retryAfter = "5"

// Handler serves POST /v1/{track,identify,group,page,screen,alias,batch} and
// the browser SDK's names for them, the first letters. The mount's prefix must
// be stripped before. It is safe for concurrent use.
//
// A browser may be sent here from another origin only once somebody answers
// its preflight request: the handler does not.
type Handler struct {
	// WriteKey is what a sender must present: as the user name of Basic
	// authorization or as the body's writeKey. If it is empty, nobody can.
	WriteKey string
	// Late is how old an event may be that its sender dates (see
	// events.HappenedAt).
	Late time.Duration
	// Now is the clock. Nil is time.Now.
	Now func() time.Time
	// Append stores the events, all or none, and returns when they are on
	// disk. It owns the batch from then on. It is never called with no events.
	Append func(ctx context.Context, batch []*events.Event) error
	// Refused, if set, is called once for each refused request, with one of
	// events.RefusedReasons, before the answer.
	Refused func(reason string)
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h.take(w, r); err != nil {
		h.refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, `{"success":true}`+"\n")
}

// take stores the request's events. An error that is no *events.Refusal is not
// the sender's fault.
func (h *Handler) take(w http.ResponseWriter, r *http.Request) error {
	call, ok := call(r.URL.Path)
	if !ok {
		return events.Refuse(events.RefusedPath, "no such path")
	}
	if r.Method != http.MethodPost {
		return events.Refuse(events.RefusedMethod, "events are sent by POST")
	}
	raw, err := read(w, r)
	if err != nil {
		return err
	}
	body, err := object(raw)
	if !h.authorized(r, body) {
		return events.Refuse(events.RefusedAuth, "the write key is missing or wrong")
	}
	if err != nil {
		return err
	}
	batch, err := decode(call, body, h.clock())
	if err != nil || len(batch) == 0 {
		return err
	}
	return h.Append(r.Context(), batch)
}

func (h *Handler) clock() clock {
	now := time.Now
	if h.Now != nil {
		now = h.Now
	}
	return clock{now().UTC().Truncate(time.Millisecond), h.Late}
}

// authorized says whether the request presents the write key. The header alone
// is not asked: on a site behind a password the browser fills it by itself.
func (h *Handler) authorized(r *http.Request, body map[string]any) bool {
	name, _, _ := r.BasicAuth()
	inBody, _ := body["writeKey"].(string)
	want := sha256.Sum256([]byte(h.WriteKey))
	ok := 0
	for _, key := range []string{name, inBody} {
		have := sha256.Sum256([]byte(key))
		ok |= subtle.ConstantTimeCompare(have[:], want[:])
	}
	return ok == 1 && h.WriteKey != ""
}

// read returns the request's body, decompressed. Neither Content-Type nor
// Content-Encoding is asked: the SDKs send what they like as text/plain.
func read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	tooLong := events.Refuse(events.RefusedSize, "the body is longer than %d bytes", events.MaxBody)
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, events.MaxBody))
	if over := (*http.MaxBytesError)(nil); errors.As(err, &over) {
		return nil, tooLong
	}
	if err != nil {
		return nil, events.Refuse(events.RefusedBody, "the body ended early")
	}
	if !bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
		return raw, nil
	}
	broken := events.Refuse(events.RefusedBody, "the body is broken gzip")
	unzip, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, broken
	}
	raw, err = io.ReadAll(io.LimitReader(unzip, events.MaxBody+1))
	if err != nil {
		return nil, broken
	}
	if len(raw) > events.MaxBody {
		return nil, tooLong
	}
	return raw, nil
}

func (h *Handler) refuse(w http.ResponseWriter, err error) {
	reason, text := events.RefusedUnavailable, "the events could not be stored: try again"
	if refusal := (*events.Refusal)(nil); errors.As(err, &refusal) {
		reason, text = refusal.Reason, err.Error()
	}
	if h.Refused != nil {
		h.Refused(reason)
	}
	header, status := w.Header(), http.StatusBadRequest
	switch reason {
	case events.RefusedPath:
		status = http.StatusNotFound
	case events.RefusedMethod:
		status = http.StatusMethodNotAllowed
		header.Set("Allow", http.MethodPost)
	case events.RefusedAuth:
		// Without WWW-Authenticate: it would open a browser's password dialog.
		status = http.StatusUnauthorized
	case events.RefusedSize:
		status = http.StatusRequestEntityTooLarge
	case events.RefusedUnavailable:
		status = http.StatusServiceUnavailable
		header.Set("Retry-After", retryAfter)
	}
	header.Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(struct {
		Success bool   `json:"success"`
		Code    string `json:"code"`
		Message string `json:"message"`
	}{false, reason, text})
}
