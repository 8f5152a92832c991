package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

func pointsOf(t *testing.T, s *Store) (Run, []Point) {
	t.Helper()
	st, _ := s.Standing("invite-teammate")
	points, err := s.History(context.Background(), st.Run.ID)
	if err != nil {
		t.Fatal(err)
	}
	return st.Run, points
}

// A run has a point every ten minutes in which something changed; when they would
// become too many, every second one goes. A restart in between changes nothing.
func TestHistoryIsThinnedAsItGrows(t *testing.T) {
	c := &clock{t: epoch}
	dir := t.TempDir()
	s := open(t, dir, c, nil)
	defer func() { closed(t, s) }()
	set := loadSite(t)
	r := set.Rule("invite-teammate")
	most := 0
	for i := range MaxPoints + 40 {
		if i == 200 {
			closed(t, s)
			s = open(t, dir, c, nil)
		}
		// Three changes in ten minutes: one point.
		for range 3 {
			x := rules.Exposure{Rule: r.Name, Version: r.Version, Unit: segments.Unit{Who: segments.Visitor, ID: fmt.Sprint(c.now())},
				Arm: rules.Control, Treatment: .5, At: c.now()}
			if !s.Expose(x) {
				t.Fatal("the queue is full")
			}
			c.advance(200 * time.Second)
		}
		settle(t, s)
		if i%50 == 0 || i > MaxPoints-3 {
			_, points := pointsOf(t, s)
			most = max(most, len(points))
		}
	}
	run, points := pointsOf(t, s)
	if most < MaxPoints-5 || most > MaxPoints+1 {
		t.Errorf("at most %d points were kept, want about %d", most, MaxPoints)
	}
	if n := len(points); n < MaxPoints/2 || n > MaxPoints/2+30 {
		t.Errorf("%d points after the interval has doubled", n)
	}
	if !points[0].At.Equal(run.Started.Truncate(time.Millisecond)) || points[0].Control.Exposed != 0 {
		t.Errorf("the first point is %+v, the run began at %s", points[0], run.Started)
	}
	for i, p := range points[1:] {
		before := points[i]
		if gap := p.At.Sub(before.At); gap < 2*firstInterval-time.Minute*7 || gap > 3*firstInterval {
			t.Errorf("%s lie between point %d and the next", gap, i)
		}
		if p.Control.Exposed <= before.Control.Exposed || p.Treatment != (PointArm{}) {
			t.Errorf("point %d is %+v after %+v", i+1, p, before)
		}
	}
}

// A stop has a point of its own, and a resume begins a history of its own; the
// one before stays, with its run and its units.
func TestHistoryOfEachRun(t *testing.T) {
	c := &clock{t: epoch}
	dir := t.TempDir()
	s := open(t, dir, c, nil)
	set := loadSite(t)
	ctx := context.Background()
	arms := map[rules.Arm]int64{}
	for i := range 3 {
		arms[expose(t, s, set, c, fmt.Sprint("v", i))]++
	}
	if err := s.Rollback(ctx, "invite-teammate", ByPerson, "ann", "<b>why</b>"); err != nil {
		t.Fatal(err)
	}
	first, points := pointsOf(t, s)
	if n := len(points); n < 2 || points[n-1].Treatment.Exposed != arms[rules.Treatment] || points[n-1].Control.Exposed != arms[rules.Control] {
		t.Fatalf("the history of the stopped run is %+v, exposed were %v", points, arms)
	}
	c.advance(time.Hour)
	if err := s.Resume(ctx, "invite-teammate", "bob", ""); err != nil {
		t.Fatal(err)
	}
	expose(t, s, set, c, "v9")
	settle(t, s)
	closed(t, s)

	s = open(t, dir, c, nil)
	second, again := pointsOf(t, s)
	if second.ID == first.ID || len(again) == 0 || again[0].Treatment.Exposed+again[0].Control.Exposed > 1 {
		t.Errorf("the history of the run after it is %+v", again)
	}
	if kept, err := s.History(ctx, first.ID); err != nil || len(kept) != len(points) {
		t.Errorf("%d points are kept of the first run's %d, %v", len(kept), len(points), err)
	}
	runs, err := s.Runs(ctx, "invite-teammate")
	if err != nil || len(runs) != 2 || runs[0].ID != first.ID || runs[0].Stop == nil || runs[1].ID != second.ID || runs[1].Stop != nil {
		t.Errorf("the runs are %+v, %v", runs, err)
	}
	marks, err := s.Marks(ctx, "invite-teammate", first.Started, time.Time{}, 9)
	if err != nil || len(marks) != 3 || marks[0].Kind != "start" || marks[1].Kind != "rollback" || marks[1].Why != "<b>why</b>" || marks[2].Kind != "resume" {
		t.Errorf("the marks are %+v, %v", marks, err)
	}
	if marks, err = s.Marks(ctx, "invite-teammate", first.Started, c.now(), 1); err != nil || len(marks) != 1 || marks[0].Kind != "resume" {
		t.Errorf("the last mark is %+v, %v", marks, err)
	}

	units := map[uint64]int{}
	count := func(run *Run, _ segments.Unit, _ *outcomes.Enrolment) error { units[run.ID]++; return nil }
	if err := s.Enrolments(ctx, func(r *Run) bool { return r.Rule == "invite-teammate" }, count); err != nil {
		t.Fatal(err)
	}
	if units[first.ID] != 3 || units[second.ID] != 1 || len(units) != 2 {
		t.Errorf("units by run: %v", units)
	}
	enough := errors.New("enough")
	if err := s.Enrolments(ctx, func(*Run) bool { return true }, func(*Run, segments.Unit, *outcomes.Enrolment) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("row's error became %v", err)
	}
	// Whoever reads while the store is closed is told, and keeps nobody waiting.
	var end error
	reading, over := make(chan bool), make(chan bool)
	go func() {
		defer close(over)
		var rows int
		end = s.Enrolments(ctx, func(*Run) bool { return true }, func(*Run, segments.Unit, *outcomes.Enrolment) error {
			if rows++; rows == 1 {
				close(reading)
				<-s.stop
			}
			return nil
		})
	}()
	<-reading
	closed(t, s)
	<-over
	if !errors.Is(end, ErrUnavailable) {
		t.Errorf("a read that the end overtook: %v", end)
	}
	if err := s.Enrolments(ctx, nil, nil); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a read after the end: %v", err)
	}
}
