// Package demo is what `refract demo` shows: the site directory of seven
// rules, and simulated visitors who use the sample app (demo/planner) through
// the edge in compressed time.
//
// The visitors are plain HTTP clients. They know no rule and no arm: what they
// do next depends on what the page before them says, as it does for people.
package demo

import "time"

// Factor is how much faster than the wall clock the demo runs: a second is
// half a day, so that a week passes in 14 s and a month in a minute.
const Factor = 12 * 60 * 60

// Clock tells simulated time, which runs Factor times as fast as the wall
// clock from Origin on. The zero Clock is the wall clock. It is immutable.
type Clock struct {
	Start  time.Time // on the wall clock, when the simulated time was Origin
	Origin time.Time
	Factor float64 // 0: the wall clock
}

// NewClock returns a clock at which it is now, but which runs faster from here.
func NewClock() Clock {
	now := time.Now()
	return Clock{Start: now, Origin: now, Factor: Factor}
}

// Now returns the simulated time.
func (c Clock) Now() time.Time {
	if c.Factor == 0 {
		return time.Now()
	}
	return c.Origin.Add(time.Duration(float64(time.Since(c.Start)) * c.Factor))
}

// Real returns how long a simulated duration takes on the wall clock.
func (c Clock) Real(simulated time.Duration) time.Duration {
	if c.Factor == 0 {
		return simulated
	}
	return time.Duration(float64(simulated) / c.Factor)
}
