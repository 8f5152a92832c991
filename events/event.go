// Package events holds the event, the roads by which events come in, and
// their limits.
//
// An event is something a visitor did. It is either observed at the edge (a
// request that matched an Observation, see observe.go) or sent by an analytics
// SDK to its vendor's mount (see the sub-package of that vendor's name). The
// package knows no disk and keeps no state: whoever receives an event hands it
// on with an append function.
package events

import "time"

// Kind says what an event states.
type Kind string

// The kinds. Page and screen views are tracks with a fixed name.
const (
	Track    Kind = "track"    // the visitor did Name
	Identify Kind = "identify" // the visitor has Traits, and perhaps an id that replaces Anonymous
	Group    Kind = "group"    // the visitor belongs to Account, which has Traits
	Alias    Kind = "alias"    // Anonymous and Visitor are one person
)

// Properties are JSON values: nil, bool, float64, string, []any and
// map[string]any.
type Properties map[string]any

// Event is one thing a visitor did, or one statement about who a visitor is.
// It is immutable once appended.
type Event struct {
	// ID is the sender's own id of the event, by which a repeated delivery is
	// recognised. Empty means that the event can't be a repetition.
	ID string `json:"id,omitempty"`
	// Source is the road it came by: "edge", "segment", …
	Source string `json:"source"`
	Kind   Kind   `json:"kind"`
	// Name is the event's name, as rules and segments say it. Set for tracks.
	Name string `json:"name,omitempty"`
	// Visitor is who did it: the best id that the sender knew.
	Visitor string `json:"visitor"`
	// Anonymous is an earlier id of the same visitor, or empty. What is known
	// of it is merged into Visitor, once.
	Anonymous string `json:"anonymous,omitempty"`
	// Account is the visitor's account if the event tells it, or empty.
	Account string `json:"account,omitempty"`
	// Time is when it happened: Received, unless the sender gave an earlier
	// plausible time (see Date). Millisecond precision, UTC.
	Time time.Time `json:"time"`
	// Received is when the edge had it. Never before Time.
	Received   time.Time  `json:"received"`
	Properties Properties `json:"properties,omitempty"`
	// Traits are the visitor's (Identify) or the account's (Group).
	Traits Properties `json:"traits,omitempty"`
	// Misdated says that Time is Received because the sender's own was not
	// plausible. It is counted when the event is appended, and not kept.
	Misdated bool `json:"-"`
}

// clockSlack is how far ahead a sender's clock may be without being wrong: a
// time so little in the future is the time of receipt, and nothing to count.
const clockSlack = time.Minute

// Date sets when an event that was received at received happened, by its
// sender's clock, which said client of the event and sent of its dispatch;
// either may be zero. The clock's error (received − sent) is corrected. A time
// that is later than received, or earlier than received − late, is not
// believed: then it is received.
func (e *Event) Date(client, sent, received time.Time, late time.Duration) {
	at := received
	if !client.IsZero() {
		at = client
		if !sent.IsZero() {
			at = client.Add(received.Sub(sent))
		}
	}
	e.Time, e.Received = at, received
	e.Clamp(late)
	e.Time = e.Time.UTC().Truncate(time.Millisecond)
}

// Clamp makes a time that is not plausible the time of receipt: one later than
// that, or more than late earlier, to the millisecond.
func (e *Event) Clamp(late time.Duration) {
	switch {
	case e.Time.After(e.Received):
		e.Misdated = e.Time.After(e.Received.Add(clockSlack))
	case e.Time.Before(e.Received.Add(-late).Truncate(time.Millisecond)):
		e.Misdated = true
	default:
		return
	}
	e.Time = e.Received.UTC().Truncate(time.Millisecond)
}
