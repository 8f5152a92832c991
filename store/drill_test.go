package store

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"sync/atomic"
	"testing"

	"github.com/seed14307185/refract/rules"
)

// content is all that a store has on disk.
func content(t *testing.T, s *Store) map[string]string {
	t.Helper()
	it, err := s.db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	all := map[string]string{}
	for it.First(); it.Valid(); it.Next() {
		all[string(it.Key())] = string(it.Value())
	}
	return all
}

// TestDrillLeavesNothing: a drill stops its twin, for a rule in any state, and
// whenever a crash comes the store is what it was before.
func TestDrillLeavesNothing(t *testing.T) {
	c := &clock{t: epoch}
	dir, ctx := t.TempDir(), context.Background()
	var stops atomic.Pointer[Stop]
	s := open(t, dir, c, func(stop Stop) { stops.Store(&stop) })
	set := loadSite(t)
	expose(t, s, set, c, "ann")
	settle(t, s)
	before, standings := content(t, s), s.Standings()
	begin := logSize(t, dir)
	for _, state := range []rules.State{rules.Live, rules.Draft, rules.RolledBack} {
		rule := *set.Rule(invite)
		rule.State = state
		rule.Guardrail.Alpha = map[rules.State]float64{rules.Live: 0.05, rules.Draft: 1e-6, rules.RolledBack: 0.2}[state]
		twin := rule.Twin(c.now())
		if err := s.Drill(ctx, twin); err != nil {
			t.Fatal(err)
		}
		stop := stops.Swap(nil)
		if stop == nil || !stop.Drill || stop.Rule != twin.Name || stop.Cause != ByGuardrail || stop.Verdict.MaxLogE < stop.Verdict.LogE {
			t.Fatalf("%s: the stop is %+v", state, stop)
		}
	}
	if got := s.Standings(); len(got) != len(standings) || !reflect.DeepEqual(got[invite].Run, standings[invite].Run) {
		t.Errorf("the rules stand otherwise: %+v", got)
	}
	if !maps.Equal(content(t, s), before) {
		t.Error("the drills left something")
	}
	end := logSize(t, dir)
	if end == begin {
		t.Error("the drills wrote nothing: their stops waited for no disk")
	}
	image := t.TempDir()
	if err := os.CopyFS(image, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	if err := s.Drill(ctx, set.Rule(invite).Twin(c.now())); !errors.Is(err, ErrUnavailable) {
		t.Errorf("of a store that is closed: %v", err)
	}
	step := int64(3)
	if testing.Short() {
		step = 23
	}
	for size := begin; size <= end; size += step {
		s, cut := openCut(t, image, size, c)
		if !maps.Equal(content(t, s), before) {
			t.Fatalf("cut at %d: a drill left something", size)
		}
		closed(t, s)
		os.RemoveAll(cut)
	}
}

// TestDrillBeforeTheSite: a store that knows no site yet refuses it.
func TestDrillBeforeTheSite(t *testing.T) {
	c := &clock{t: epoch}
	s, err := Open(Options{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler), Now: c.now, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, s)
	if err := s.Drill(context.Background(), loadSite(t).Rule(invite).Twin(c.now())); err == nil {
		t.Error("it stopped something")
	}
}
