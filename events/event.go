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
	// plausible time (see HappenedAt). Millisecond precision, UTC.
	Time time.Time `json:"time"`
	// Received is when the edge had it. Never before Time.
	Received   time.Time  `json:"received"`
	Properties Properties `json:"properties,omitempty"`
	// Traits are the visitor's (Identify) or the account's (Group).
	Traits Properties `json:"traits,omitempty"`
}

// HappenedAt returns the time of an event received at received whose sender's
// clock said client for the event and sent for its dispatch; either may be
// zero. The sender's clock error (received − sent) is corrected, and a time
// that is later than received or earlier than received − late is not
// believed: then it is received.
func HappenedAt(client, sent, received time.Time, late time.Duration) time.Time {
	at := received
	if !client.IsZero() {
		at = client
		if !sent.IsZero() {
			at = client.Add(received.Sub(sent))
		}
		if at.After(received) || at.Before(received.Add(-late)) {
			at = received
		}
	}
	return at.UTC().Truncate(time.Millisecond)
}
