package simulate

import (
	"math"
	"math/bits"
)

const day = 24 * 60 * 60 * 1000

// tallies are what one worker counted. They are added up at the end.
type tallies struct {
	first    int64 // the day of the history's first event, since 1970
	segments []segmentTally
	rules    []ruleTally
	overlap  map[uint32]int64 // units, by pairs of segments
	visitors int64
	merged   int64
	repeated int64
}

// segmentTally is what became of one segment. Slices are by day.
type segmentTally struct {
	ever, flippers         int64
	entries, exits, merged []int64
	stays                  stays
}

// ruleTally is what became of the units that reached one rule's surface.
type ruleTally struct {
	reached            []int64 // by day, for the first time
	matured, converted int64
	closed, harmed     int64
}

func newTallies(p *plan, from, until int64) *tallies {
	t := &tallies{first: from / day, overlap: map[uint32]int64{}}
	days := int(until/day - t.first + 1)
	for range p.list {
		t.segments = append(t.segments, segmentTally{entries: make([]int64, days), exits: make([]int64, days), merged: make([]int64, days)})
	}
	for range p.rules {
		t.rules = append(t.rules, ruleTally{reached: make([]int64, days)})
	}
	return t
}

func (t *tallies) day(at int64) int { return int(at/day - t.first) }

func (t *tallies) add(o *tallies) {
	for i := range t.segments {
		a, b := &t.segments[i], &o.segments[i]
		a.ever += b.ever
		a.flippers += b.flippers
		addTo(a.entries, b.entries)
		addTo(a.exits, b.exits)
		addTo(a.merged, b.merged)
		a.stays.merge(&b.stays)
	}
	for i := range t.rules {
		a, b := &t.rules[i], &o.rules[i]
		addTo(a.reached, b.reached)
		a.matured += b.matured
		a.converted += b.converted
		a.closed += b.closed
		a.harmed += b.harmed
	}
	for pair, n := range o.overlap {
		t.overlap[pair] += n
	}
	t.visitors += o.visitors
	t.merged += o.merged
	t.repeated += o.repeated
}

func addTo(a, b []int64) {
	for i := range b {
		a[i] += b[i]
	}
}

// stays is how long units stayed: a histogram whose bins are 1/32 wide, so that
// any number of stays takes the same room.
type stays struct{ bins map[int32]*bin }

type bin struct {
	ended, open int64
	sum         int64 // milliseconds, of those ended
}

// add counts a stay of some milliseconds, which has ended or is going on.
func (s *stays) add(ms int64, ended bool) {
	if s.bins == nil {
		s.bins = map[int32]*bin{}
	}
	n := binOf(ms)
	b := s.bins[n]
	if b == nil {
		b = &bin{}
		s.bins[n] = b
	}
	if ended {
		b.ended++
		b.sum += ms
	} else {
		b.open++
	}
}

// binOf numbers the bins in the order of their durations.
func binOf(ms int64) int32 {
	const sub = 5 // 32 bins for each doubling
	if ms < 1<<sub {
		return int32(ms)
	}
	exp := bits.Len64(uint64(ms)) - 1 - sub
	return int32((exp+1)<<sub + int(ms>>exp) - 1<<sub)
}

func (s *stays) merge(o *stays) {
	for n, b := range o.bins {
		if s.bins == nil {
			s.bins = map[int32]*bin{}
		}
		if s.bins[n] == nil {
			s.bins[n] = &bin{}
		}
		s.bins[n].ended += b.ended
		s.bins[n].open += b.open
		s.bins[n].sum += b.sum
	}
}

// median is the time by which half of the stays have ended, by the estimator
// of Kaplan and Meier, to which a stay that goes on says that it is longer. It
// is false if more than half go on for longer than any that ended.
func (s *stays) median() (ms int64, ok bool) {
	var last int32
	var at int64
	for n, b := range s.bins {
		last = max(last, n)
		at += b.ended + b.open
	}
	survive := 1.0
	for n := int32(0); n <= last; n++ {
		b := s.bins[n]
		if b == nil {
			continue
		}
		if b.ended > 0 {
			survive *= 1 - float64(b.ended)/float64(at)
			if survive <= .5+1e-12 {
				return int64(math.Round(float64(b.sum) / float64(b.ended))), true
			}
		}
		at -= b.ended + b.open
	}
	return 0, false
}
