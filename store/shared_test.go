package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

// TestShared compares what runs have in common with what Enrolments says of each
// alone, over units of both kinds that are in none, some or all of them.
func TestShared(t *testing.T) {
	c := &clock{t: epoch}
	s := open(t, t.TempDir(), c, nil)
	ctx := context.Background()
	set := referenceSite(t)
	use(t, s, set)
	rnd := rand.New(rand.NewPCG(7, 47))
	for i := range 300 {
		id := fmt.Sprint("unit-", rnd.IntN(1e6))
		for _, r := range set.Rules {
			if rnd.IntN(3) > 0 {
				continue
			}
			arm, _ := r.Assign(id)
			if !s.Expose(rules.Exposure{Rule: r.Name, Version: r.Version, Unit: segments.Unit{Who: r.Unit, ID: id}, Arm: arm, Treatment: r.Rollout.Treatment, At: c.now()}) {
				t.Fatal("the queue is full")
			}
		}
		if i%100 == 99 {
			settle(t, s)
		}
	}
	var runs []uint64
	of := map[segments.Unit][]outcomes.Enrolment{} // by the order of runs; the zero one: none
	standings := s.Standings()
	for i, name := range slices.Sorted(maps.Keys(standings)) {
		run := standings[name].Run.ID
		runs = append(runs, run)
		if err := s.Enrolments(ctx, func(r *Run) bool { return r.ID == run }, func(_ *Run, u segments.Unit, n *outcomes.Enrolment) error {
			if of[u] == nil {
				of[u] = make([]outcomes.Enrolment, len(standings))
			}
			of[u][i] = *n
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	var want, got [][]outcomes.Enrolment
	for _, u := range slices.SortedFunc(maps.Keys(of), func(a, b segments.Unit) int { return slices.Compare(appendUnit(nil, a), appendUnit(nil, b)) }) {
		in := 0
		for _, n := range of[u] {
			if n.Arm != "" {
				in++
			}
		}
		if in > 1 {
			want = append(want, of[u])
		}
	}
	if err := s.Shared(ctx, runs, func(list []*outcomes.Enrolment) error {
		row := make([]outcomes.Enrolment, len(list))
		for i, n := range list {
			if n != nil {
				row[i] = *n
			}
		}
		got = append(got, row)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(want) < 100 || !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("%d units are shared, want %d:\n%+v\nwant\n%+v", len(got), len(want), got, want)
	}
	enough := errors.New("enough")
	if err := s.Shared(ctx, runs, func([]*outcomes.Enrolment) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("row's error became %v", err)
	}
	closed(t, s)
	if err := s.Shared(ctx, runs, nil); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a read after the end: %v", err)
	}
}
