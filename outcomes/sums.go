package outcomes

import (
	"math"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

// millionths is what sums of a value are counted in.
const millionths = 1e6

// Sums are sums over an arm's units of what each came to within the metric's
// window: of the value in millionths, its squares in millionths of millionths,
// or of how often the event came, and the event that it is per. All are 0 for a
// metric that is a rate. Up to 3·10^8 units have room at the greatest value.
type Sums struct {
	Sum        Exact `json:"sum"`
	Squares    Exact `json:"squares"`
	Per        Exact `json:"per,omitzero"`
	PerSquares Exact `json:"per_squares,omitzero"`
	Products   Exact `json:"products,omitzero"` // of the two
}

func (s *Sums) add(o Sums, times int64) {
	s.Sum = s.Sum.plus(o.Sum, times)
	s.Squares = s.Squares.plus(o.Squares, times)
	s.Per = s.Per.plus(o.Per, times)
	s.PerSquares = s.PerSquares.plus(o.PerSquares, times)
	s.Products = s.Products.plus(o.Products, times)
}

// sums is what the unit contributes to its arm's sums.
func (n *Enrolment) sums() Sums {
	m, d := uint64(n.Sum), uint64(n.Per)
	return Sums{product(m, 1), product(m, m), product(d, 1), product(d, d), product(m, d)}
}

// Moments returns the moments of n units with these sums, of which x did the
// metric's event.
func (s Sums) Moments(m *rules.Metric, n, x int64) Moments {
	if m.Per == "" {
		return MeanMoments(n, x, s.Sum.Float()/millionths, s.Squares.Float()/(millionths*millionths))
	}
	return Moments{n, x, s.Sum.Float(), s.Squares.Float(), s.Per.Float(), s.PerSquares.Float(), s.Products.Float()}
}

// measure adds a metric event, that counts, to what the unit came to. A value
// that is absent, no number or negative adds nothing, and is noted.
func (n *Enrolment) measure(m *rules.Metric, e *events.Event) {
	if m.Per != "" {
		n.Sum = plus(n.Sum, 1, rules.MaxMetricValue*millionths)
	}
	if m.Value == "" {
		return
	}
	v := segments.Lookup(e.Properties, m.Value)
	f, ok := v.(float64)
	switch {
	case v == nil:
		n.NoValue = true
	case !ok || math.IsNaN(f) || math.IsInf(f, 0):
		n.NotNumber = true
	case f < 0:
		n.Negative = true
	default:
		limit := limitOf(m)
		n.Sum = plus(n.Sum, int64(math.Round(min(f*millionths, float64(limit)))), limit)
	}
}

// limitOf is the most that a unit's sum comes to.
func limitOf(m *rules.Metric) int64 {
	if m.Cap == 0 {
		return rules.MaxMetricValue * millionths
	}
	return int64(math.Round(m.Cap * millionths))
}

// plus adds up to a limit: in any order it comes to the same.
func plus(a, b, limit int64) int64 { return min(a+b, limit) }
