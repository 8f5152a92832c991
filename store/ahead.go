package store

import (
	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/segments"
)

// maxAhead bounds the events that are kept for exposures to come, in bytes of
// their JSON.
const maxAhead = 2 << 20

// ahead keeps the last events that matter to a rule and came of units that it
// has not enrolled. An exposure is told of when its page has ended: what its
// visitor did meanwhile, on a page that takes its time, comes before it. They
// don't outlive the process, nor does what is on its way to the writer.
type ahead struct {
	list  []early // the oldest first
	bytes int
	by    map[segments.Unit]int // how many of it are in the list
}

type early struct {
	unit  segments.Unit
	event *events.Event
	bytes int
}

// keep keeps an event, which must not change any more, and forgets the oldest.
func (a *ahead) keep(unit segments.Unit, e *events.Event, bytes int) {
	if a.by == nil {
		a.by = map[segments.Unit]int{}
	}
	a.list = append(a.list, early{unit, e, bytes})
	a.by[unit]++
	for a.bytes += bytes; a.bytes > maxAhead; a.list = a.list[1:] {
		oldest := &a.list[0]
		a.bytes -= oldest.bytes
		if a.by[oldest.unit]--; a.by[oldest.unit] == 0 {
			delete(a.by, oldest.unit)
		}
		*oldest = early{}
	}
}

// of returns the events of a unit after a time.
func (a *ahead) of(unit segments.Unit, after int64) (list []*events.Event) {
	if a.by[unit] == 0 {
		return nil
	}
	for i := range a.list {
		if k := &a.list[i]; k.unit == unit && k.event.Time.UnixMilli() > after {
			list = append(list, k.event)
		}
	}
	return list
}
