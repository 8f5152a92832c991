package store

import "github.com/seed14307185/refract/segments"

// recent keeps the units that the writer used last, decoded: who did one thing
// is likely to do another. Only the writer changes units, so what it keeps is
// what is on disk, or will be with the current group. It holds two
// generations, and drops the older one when the younger is full.
type recent struct {
	young, old map[segments.Unit]*unit
	bytes      int
}

const (
	maxRecent   = 8 << 20 // bytes of encodings in a generation; decoded they take about four times as much
	recentExtra = 200     // bytes that an entry takes beside its state
)

func (r *recent) get(u segments.Unit) *unit {
	if have := r.young[u]; have != nil {
		return have
	}
	have := r.old[u]
	if have != nil {
		r.put(have)
	}
	return have
}

func (r *recent) put(u *unit) {
	if r.young == nil || r.bytes > maxRecent {
		r.young, r.old, r.bytes = map[segments.Unit]*unit{}, r.young, 0
	}
	r.young[u.Unit] = u
	r.bytes += recentExtra + u.bytes
}
