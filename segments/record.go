package segments

import "math"

// Who says whose events a segment counts.
type Who string

// The two kinds of unit.
const (
	Visitor Who = "visitor"
	Account Who = "account"
)

// Unit is a visitor or an account.
type Unit struct {
	Who Who
	ID  string
}

// Beginning and Forever stand for the ends of an interval that did not open,
// or does not close, at any time. No event is older than Beginning.
const (
	Beginning int64 = 0
	Forever   int64 = math.MaxInt64
)

// Interval is the half-open span [From, Until) in Unix milliseconds.
type Interval struct{ From, Until int64 }

// Key names a segment by its content (who and condition, not its name), so
// that an edited segment never inherits what its predecessor found.
type Key uint64

// Open says that a segment holds for a unit during an interval, if nothing
// further happens.
type Open struct {
	Segment Key
	Interval
}

// Record is a unit's decision record: when which segments hold. A record is
// exact from the time of the fold that made it onwards; a From before that says
// since when the segment holds only as far as the state remembers. Immutable.
type Record struct {
	// Account is the account that the visitor belongs to, or empty.
	Account string
	// Open is sorted by Segment, then From; intervals of one segment are
	// disjoint and not adjacent.
	Open []Open
	// Kept are the ids by which rules go on assigning the visitor, that were merged
	// into theirs: who is one person saw that arm already.
	Kept []Kept
}

// Kept is the id by which a version of a rule assigns a visitor.
type Kept struct {
	Rule uint64 // a hash of its name and version
	As   string
}

// Holds says whether the segment is true at the time.
func (r Record) Holds(segment Key, at int64) bool {
	_, holds := r.Since(segment, at)
	return holds
}

// Since says whether the segment is true at the time, and from when on it has
// been, as far as the record says: see Record.
func (r Record) Since(segment Key, at int64) (from int64, holds bool) {
	for _, o := range r.Open {
		if o.Segment == segment && o.From <= at && at < o.Until {
			return o.From, true
		}
	}
	return 0, false
}
