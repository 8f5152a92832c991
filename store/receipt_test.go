package store

import (
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"sync/atomic"
	"testing"
	"time"
)

const invite = "invite-teammate"

// TestReceipts: what is on record of a rollback stays, whatever comes after it:
// a resume, another rollback, a restart, and a receipt that comes in late.
func TestReceipts(t *testing.T) {
	c := &clock{t: epoch}
	dir, ctx := t.TempDir(), context.Background()
	var treated atomic.Uint64
	stops := make(chan Stop, 2)
	s, err := Open(Options{Dir: dir, Log: slog.New(slog.DiscardHandler), Now: c.now, Reserve: 1, Node: "edge-1",
		Treated: func(string) uint64 { return treated.Load() }, Stopped: func(stop Stop) { stops <- stop }})
	if err != nil {
		t.Fatal(err)
	}
	use(t, s, loadSite(t))
	treated.Store(7)
	if err := s.Rollback(ctx, invite, ByMonitor, "alertmanager", "errors"); err != nil {
		t.Fatal(err)
	}
	first := <-stops
	if err := s.Resume(ctx, invite, "ann", "mended"); err != nil {
		t.Fatal(err)
	}
	last := epoch.Add(3 * time.Millisecond)
	if err := s.Receipt(ctx, first, Measured{Published: epoch.Add(2 * time.Millisecond), LastTreated: last, Treated: 10}); err != nil {
		t.Fatal(err)
	}
	if st, _ := s.Standing(invite); st.Run.Stop != nil {
		t.Errorf("a late receipt stopped the rule: %+v", st.Run.Stop)
	}
	c.advance(time.Hour)
	if err := s.Rollback(ctx, invite, ByPerson, "ann", ""); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	s = open(t, dir, c, nil)
	defer closed(t, s)
	got, err := s.Receipts(ctx, invite)
	if err != nil || len(got) != 2 {
		t.Fatalf("%d receipts, %v", len(got), err)
	}
	if r := got[0]; r.Cause != ByMonitor || r.Who != "alertmanager" || r.Node != "edge-1" || !r.LastTreated.Equal(last) || r.TreatedAfter != 3 || r.Verdict == nil || r.Tally == nil {
		t.Errorf("the first: %+v", r)
	}
	if r := got[1]; r.Cause != ByPerson || !r.Published.IsZero() {
		t.Errorf("the second: %+v", r)
	}
	if other, err := s.Receipts(ctx, "another"); err != nil || len(other) != 0 {
		t.Errorf("of a rule that was never stopped: %v, %v", other, err)
	}
}

// TestAlphaSpent: each time that a rule is made live counts, in whatever
// version, and also over restarts; loading it again does not.
func TestAlphaSpent(t *testing.T) {
	c := &clock{t: epoch}
	dir, ctx := t.TempDir(), context.Background()
	s := open(t, dir, c, nil)
	spent := func(launches int) {
		t.Helper()
		alpha := loadSite(t).Rule(invite).Guardrail.Alpha
		st, _ := s.Standing(invite)
		if st.Run.Launches != launches || math.Abs(st.Run.AlphaSpent-float64(launches)*alpha) > 1e-12 {
			t.Errorf("%d launches, alpha spent %v; want %d", st.Run.Launches, st.Run.AlphaSpent, launches)
		}
	}
	spent(1)
	edited := *loadSite(t)
	rule := *edited.Rule(invite)
	rule.Version = "0123456789ab"
	edited.Rules = nil
	for _, r := range loadSite(t).Rules {
		if r.Name == invite {
			r = &rule
		}
		edited.Rules = append(edited.Rules, r)
	}
	edited.Revision = "another"
	use(t, s, &edited)
	spent(2)
	if err := s.Rollback(ctx, invite, ByPerson, "ann", ""); err != nil {
		t.Fatal(err)
	}
	spent(2)
	if err := s.Resume(ctx, invite, "ann", ""); err != nil {
		t.Fatal(err)
	}
	spent(3)
	use(t, s, loadSite(t)) // as it was: it goes on
	spent(3)
	closed(t, s)
	s = open(t, dir, c, nil)
	defer closed(t, s)
	spent(3)
	lines, err := s.Ledger(ctx, 1, 100)
	if err != nil {
		t.Fatal(err)
	}
	var starts int
	for _, line := range lines {
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		if e.Kind == "start" && e.Rule == invite {
			starts++
		}
	}
	if starts != 2 {
		t.Errorf("%d starts on record, want one for each version", starts)
	}
}
