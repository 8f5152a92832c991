// Package segments is the condition language: it compiles conditions, folds
// events into a small state for each unit, and answers not "is it true" but
// "from when until when".
//
// A condition evaluates to half-open intervals of time. "Created a project and
// did not invite within 48 hours" opens an interval at creation + 48 h, so no
// timer is needed: whoever decides compares the clock with the interval.
//
// The package is pure: no disk and no clock of its own. Times are Unix
// milliseconds throughout.
//
// # How it works
//
// Compile turns every condition into a node of a tree; the conditions over
// events are its leaves. A leaf turns each event it hears into a point, keeps
// the few points that can still make a difference, and says from them when it
// holds. The nodes above combine intervals.
//
// A record need only be right from the present on, and every event known lies
// in the past. So a count in a sliding window needs the newest times alone, a
// count since ever the oldest, and an event that comes late is a point among
// the others: what is kept is a function of the set of events, not of their
// order. Merging two units is the union of their points.
//
// A new condition is one file: a type with String and compile, which gives a
// leaf (what it hears, keeps and holds; see leaf) or a node over others. The
// oracle of the tests, package oracle, gets its definition too, in words as
// plain as they can be.
//
// What holds steadily (see Held) follows from the past as well. A leaf below a
// Held is another leaf, with a key of its own, that keeps what it takes to say
// since when it held: see remember.
package segments
