// Package ingest is what the vendors' mounts have in common: reading a body
// within the limits of package events, whatever its sender calls it; the fields
// of a message; who may send; pages of other origins; refusals.
//
// What is the vendor's own (paths, messages, answers) is in the package of that
// vendor's name beside this one. They agree on one thing: a request is all or
// nothing. If one of its events can't be taken, the answer says which and why,
// and nothing is stored; if the answer is the vendor's success, all of it is on
// disk. A refusal that a repetition would not change is a 4xx by which the
// vendor's SDKs drop what they sent.
package ingest

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"time"

	"github.com/seed14307185/refract/events"
)

// retryAfter is what a sender is told to wait, in seconds, when the events
// could not be stored.
const retryAfter = "5"

// Mount is what a vendor's handler is given. It is not changed once in use, and
// its methods are safe for concurrent use.
type Mount struct {
	// Key is what a sender must present, in the vendor's way. If it is empty,
	// nobody can.
	Key string
	// Account is the type of group that is a visitor's account, for a vendor
	// that has several. If it is empty, groups say nothing.
	Account string
	// Late is how old an event may be that its sender dates (see
	// events.Event.Date).
	Late time.Duration
	// Now is the clock. Nil is time.Now.
	Now func() time.Time
	// Append stores the events, all or none, and returns when they are on
	// disk. It owns the batch from then on. It is never called with no events.
	Append func(ctx context.Context, batch []*events.Event) error
	// Tee, if set, is called in place of Append, also with no events: it stores
	// the letter too, all or none. The letter is the request as it came, to be
	// sent on to the vendor (see Letter).
	Tee func(ctx context.Context, letter []byte, batch []*events.Event) error
	// Client returns the address of who sent a request, for letters. Nil: they
	// have none.
	Client func(*http.Request) string
	// Consent, if set, is what a browser must say for its requests to be kept.
	Consent *Consent
	// Withheld, if set, is called once for each request that is not kept for want
	// of consent, with one of WithheldReasons, before the answer.
	Withheld func(reason string)
	// Refused, if set, is called once for each refused request, with one of
	// events.RefusedReasons, before the answer.
	Refused func(reason string)
}

// Allows says whether one of the texts is the key, in a time that tells nothing
// about it.
func (m *Mount) Allows(presented ...string) bool {
	want := sha256.Sum256([]byte(m.Key))
	ok := 0
	for _, key := range presented {
		have := sha256.Sum256([]byte(key))
		ok |= subtle.ConstantTimeCompare(have[:], want[:])
	}
	return ok == 1 && m.Key != ""
}

// Store keeps a request whose events these are, if there are any. It is called
// for each request that is taken, once nothing can be wrong with it but that it
// can't be stored; its body, if it has one, was read by Body. A browser's
// request without the consent that is asked for is answered like any other, and
// nothing of it is kept.
func (m *Mount) Store(r *http.Request, batch []*events.Event) error {
	if why := m.withheld(r); why != "" {
		if m.Withheld != nil {
			m.Withheld(why)
		}
		return nil
	}
	if m.Tee != nil {
		if sentOn(r) >= maxLoops {
			return events.Refuse(events.RefusedLoop, "the request was sent on to here again and again: see the tee of the source")
		}
		letter, err := m.letter(r)
		if err != nil {
			return err
		}
		return m.Tee(r.Context(), letter, batch)
	}
	if len(batch) == 0 {
		return nil
	}
	return m.Append(r.Context(), batch)
}

// Clock reads the clock for one request.
func (m *Mount) Clock() Clock {
	now := time.Now
	if m.Now != nil {
		now = m.Now
	}
	return Clock{now().UTC().Truncate(time.Millisecond), m.Late}
}

// Clock dates the events of one request.
type Clock struct {
	Received time.Time // UTC, in whole milliseconds
	Late     time.Duration
}

// Date sets when the event was received and happened: client is the sender's
// time of it and sent that of its dispatch; either may be zero.
func (c Clock) Date(e *events.Event, client, sent time.Time) {
	e.Date(client, sent, c.Received, c.Late)
}

// Answer is what a refusal comes to, for the vendor to put in its shape.
type Answer struct {
	Status int
	Reason string // one of events.RefusedReasons
	Text   string // for the sender
}

// Refuse counts a refused request and sets the header fields that every vendor
// sends with it. An error that is no *events.Refusal is not the sender's fault,
// and its text isn't told.
func (m *Mount) Refuse(w http.ResponseWriter, err error) Answer {
	a := Answer{http.StatusBadRequest, events.RefusedUnavailable, "the events could not be stored: try again"}
	if refusal := (*events.Refusal)(nil); errors.As(err, &refusal) {
		a.Reason, a.Text = refusal.Reason, err.Error()
	}
	if m.Refused != nil {
		m.Refused(a.Reason)
	}
	switch a.Reason {
	case events.RefusedPath:
		a.Status = http.StatusNotFound
	case events.RefusedMethod:
		a.Status = http.StatusMethodNotAllowed
		w.Header().Set("Allow", http.MethodPost)
	case events.RefusedAuth:
		// Without WWW-Authenticate: it would open a browser's password dialog.
		a.Status = http.StatusUnauthorized
	case events.RefusedSize:
		a.Status = http.StatusRequestEntityTooLarge
	case events.RefusedUnavailable:
		a.Status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", retryAfter)
	}
	return a
}

// NoPath is the refusal of a path that the vendor doesn't have.
func NoPath() error { return events.Refuse(events.RefusedPath, "no such path") }

// NotPosted is the refusal of events that come by another method.
func NotPosted() error { return events.Refuse(events.RefusedMethod, "events are sent by POST") }

// BadKey is the refusal of a sender whose key, by the vendor's name for it, is
// missing or wrong.
func BadKey(name string) error {
	return events.Refuse(events.RefusedAuth, "the %s is missing or wrong", name)
}

// CrossOrigin lets the page of another origin send here and read the answer,
// and answers its preflight request (Fetch standard, CORS protocol): then it
// returns true. Every origin may, with cookies, since what is said here tells
// nobody anything: the SDKs of some vendors ask for that.
func CrossOrigin(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Credentials", "true")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST")
	if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
		h.Set("Access-Control-Allow-Headers", asked)
		h.Add("Vary", "Access-Control-Request-Headers")
	}
	h.Set("Access-Control-Max-Age", "7200")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// Base returns the URL that the mount has for the client: what stands before
// the path that the handler sees.
func Base(r *http.Request) (scheme, hostAndPath string) {
	scheme = "http"
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	return scheme, r.Host + prefix(r)
}
