package store

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/seed14307185/refract/outcomes"
)

// Point is how a run stood at one time. Counts are over all epochs: to be drawn,
// not to be compared.
type Point struct {
	At        time.Time `json:"at"`
	Treatment PointArm  `json:"treatment"`
	Control   PointArm  `json:"control"`
	LogE      float64   `json:"log_e"`     // against the guardrail, then
	MaxLogE   float64   `json:"max_log_e"` // the greatest until then
	// Lift is the change of the metric; nil: still collecting.
	Lift *PointLift `json:"lift,omitempty"`
	SRM  float64    `json:"srm_p"` // anytime p of the sample ratio
}

// PointArm are an arm's counts at one time, in units: see outcomes.Counts.
type PointArm struct {
	Exposed   int64 `json:"exposed"`
	Matured   int64 `json:"matured"`
	Converted int64 `json:"converted"` // of Matured
	Closed    int64 `json:"closed"`
	Harmed    int64 `json:"harmed"` // of Closed
}

// PointLift is an estimate with its always-valid interval: see outcomes.Lift.
type PointLift struct {
	Change float64 `json:"change"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

const (
	// MaxPoints is about how many points a run keeps, however long it lasts.
	MaxPoints = 500
	// firstInterval is the least time between two points of a run, but for the
	// point of its stop. It doubles whenever the run would have more than
	// MaxPoints.
	firstInterval = 10 * time.Minute
)

// pointInterval is the interval between the points of a run of an age.
func pointInterval(age time.Duration) time.Duration {
	interval := firstInterval
	for age/interval >= MaxPoints {
		interval *= 2
	}
	return interval
}

// NewPoint returns the point of a standing.
func NewPoint(at time.Time, s *Standing) Point {
	v := &s.Verdict
	p := Point{At: at.UTC().Truncate(time.Millisecond), LogE: v.LogE, MaxLogE: v.MaxLogE, SRM: v.SRM.P}
	for _, e := range s.Tally.Epochs {
		p.Treatment.add(&e.TreatmentArm)
		p.Control.add(&e.ControlArm)
	}
	if l := v.Lift; !l.Collecting {
		p.Lift = &PointLift{l.Change, l.Low, l.High}
	}
	return p
}

func (a *PointArm) add(c *outcomes.Counts) {
	a.Exposed += c.Exposed
	a.Matured += c.Matured
	a.Converted += c.MaturedConverted
	a.Closed += c.Closed
	a.Harmed += c.ClosedHarmed
}

// sample keeps a point of a rule whose counts changed, if it is time for one,
// and thins those before it when the interval has doubled.
func (w *writer) sample(t *tracked, s *Standing) error {
	now := w.s.opts.Now()
	if now.Before(t.nextPoint) {
		return nil
	}
	point := NewPoint(now, s)
	b, err := json.Marshal(point)
	if err != nil {
		return w.broken(fmt.Errorf("point of %s: %w", t.rule.Name, err))
	}
	interval := pointInterval(now.Sub(t.run.Started))
	if t.interval != 0 && interval > t.interval {
		if err := w.thin(t.run, interval); err != nil {
			return err
		}
	}
	t.nextPoint, t.interval = now.Add(interval), interval
	return w.g.batch.Set(pointKey(t.run.ID, point.At), b, nil)
}

// thin removes all points of a run but the first in each interval.
func (w *writer) thin(run Run, interval time.Duration) error {
	it, err := w.s.db.NewIter(runBounds(keyPoint, run.ID))
	if err != nil {
		return w.broken(err)
	}
	defer it.Close()
	last := int64(math.MinInt64)
	for it.First(); it.Valid(); it.Next() {
		slot := (parsePoint(it.Key()) - run.Started.UnixMilli()) / interval.Milliseconds()
		if slot != last {
			last = slot
			continue
		}
		if err := w.g.batch.Delete(it.Key(), nil); err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return w.broken(err)
	}
	return nil
}

// loadPoints finds when the next point of a run that goes on is due.
func (w *writer) loadPoints(t *tracked) error {
	it, err := w.s.db.NewIter(runBounds(keyPoint, t.run.ID))
	if err != nil {
		return w.broken(err)
	}
	defer it.Close()
	if it.Last() {
		last := time.UnixMilli(parsePoint(it.Key()))
		t.interval = pointInterval(last.Sub(t.run.Started))
		t.nextPoint = last.Add(t.interval)
	}
	if err := it.Error(); err != nil {
		return w.broken(err)
	}
	return nil
}

// History returns the points of a run, oldest first: about MaxPoints at most.
// A run that an earlier release began has none of before.
func (s *Store) History(ctx context.Context, run uint64) ([]Point, error) {
	if err := s.readable(); err != nil {
		return nil, err
	}
	it, err := s.db.NewIterWithContext(ctx, runBounds(keyPoint, run))
	if err != nil {
		return nil, err
	}
	defer it.Close()
	points := []Point{}
	for it.First(); it.Valid(); it.Next() {
		var p Point
		if err := json.Unmarshal(it.Value(), &p); err != nil {
			return nil, fmt.Errorf("point %x: %w", it.Key(), err)
		}
		points = append(points, p)
	}
	return points, it.Error()
}

// Runs returns the runs of a rule, or of all rules if it is empty, of any
// version and oldest first. Of those that an earlier release ended, only the
// last of each version is known.
func (s *Store) Runs(ctx context.Context, rule string) ([]Run, error) {
	if err := s.readable(); err != nil {
		return nil, err
	}
	return runsIn(ctx, s.db, rule)
}

// runsIn is Runs in the store or in a snapshot of it.
func runsIn(ctx context.Context, from pebble.Reader, rule string) ([]Run, error) {
	var runs []Run
	for _, kind := range []byte{keyRun, keyPast} {
		it, err := from.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: after(kind)})
		if err != nil {
			return nil, err
		}
		for it.First(); it.Valid(); it.Next() {
			var r Run
			if err := json.Unmarshal(it.Value(), &r); err != nil {
				_ = it.Close()
				return nil, fmt.Errorf("run %q: %w", it.Key(), err)
			}
			if rule == "" || r.Rule == rule {
				runs = append(runs, r)
			}
		}
		if err := it.Close(); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(runs, func(a, b Run) int { return cmp.Compare(a.ID, b.ID) })
	return runs, nil
}

// retire keeps a run that another of the same version takes the place of.
func (w *writer) retire(run Run) error {
	b, err := json.Marshal(run)
	if err != nil {
		return w.broken(err)
	}
	return w.g.batch.Set(seqKey(keyPast, run.ID), b, nil)
}

// Marks returns what the ledger says was done to a rule from one time to
// another, zero: without an end. A receipt says it again, and a drill touches
// nothing. Oldest first, and of more than n the last ones.
func (s *Store) Marks(ctx context.Context, rule string, from, until time.Time, n int) ([]Entry, error) {
	if err := s.readable(); err != nil {
		return nil, err
	}
	it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: []byte{keyLedger}, UpperBound: after(keyLedger)})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	marks := []Entry{}
	for ok := it.Last(); ok && len(marks) < n; ok = it.Prev() {
		var e Entry
		if err := json.Unmarshal(it.Value(), &e); err != nil {
			return nil, fmt.Errorf("ledger %x: %w", it.Key(), err)
		}
		if e.At.Before(from) {
			break
		}
		if e.Rule == rule && e.Kind != "receipt" && e.Kind != "drill" && (until.IsZero() || !e.At.After(until)) {
			marks = append(marks, e)
		}
	}
	slices.Reverse(marks)
	return marks, it.Error()
}

func pointKey(run uint64, at time.Time) []byte {
	return binary.BigEndian.AppendUint64(seqKey(keyPoint, run), uint64(at.UnixMilli()))
}

// parsePoint returns the time of a point, in Unix milliseconds.
func parsePoint(k []byte) int64 { return int64(binary.BigEndian.Uint64(k[9:])) }

// runBounds are the keys of a kind that belong to a run.
func runBounds(kind byte, run uint64) *pebble.IterOptions {
	return &pebble.IterOptions{LowerBound: seqKey(kind, run), UpperBound: seqKey(kind, run+1)}
}
