package store

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

// TestTruncatedAtEveryByte cuts the write-ahead log at each of its bytes, as a
// power cut may. Whatever was acknowledged with the log that long is there,
// what is there is a prefix of what was sent, and states, records and tallies
// are exactly those of the events that are there: nothing is lost, half done
// or counted twice.
func TestTruncatedAtEveryByte(t *testing.T) {
	c := &clock{t: epoch}
	dir := t.TempDir()
	s := open(t, dir, c, nil)
	set := loadSite(t)
	type mark struct {
		size   int64
		events int
	}
	var acked []mark
	visitors := []string{"ann", "bob"}
	for _, v := range visitors {
		expose(t, s, set, c, v)
	}
	settle(t, s)
	begin := logSize(t, dir)
	for i := range 6 {
		v := visitors[i%2]
		list := []*events.Event{track(c, v, "Project Created"), track(c, v, "Report Exported")}
		if i == 4 {
			list = append(list, identify(c, v), track(c, v, "Setup Abandoned"))
		}
		for j, e := range list {
			e.ID = fmt.Sprintf("m-%d-%d", i, j)
		}
		c.advance(1e9)
		appendAll(t, s, list...)
		acked = append(acked, mark{logSize(t, dir), len(logged(t, s))})
	}
	full := logged(t, s)
	image := t.TempDir()
	if err := os.CopyFS(image, os.DirFS(dir)); err != nil { // before Close tidies up
		t.Fatal(err)
	}
	closed(t, s)

	step := int64(1)
	if testing.Short() {
		step = 37
	}
	for size := begin; size <= acked[len(acked)-1].size; size += step {
		s, cut := openCut(t, image, size, c)
		have := logged(t, s)
		want := 0
		for _, a := range acked {
			if a.size <= size {
				want = a.events
			}
		}
		if len(have) < want {
			t.Fatalf("cut at %d: %d events, %d were acknowledged", size, len(have), want)
		}
		for i := range have {
			if have[i].ID != full[i].ID {
				t.Fatalf("cut at %d: event %d is %s, want %s", size, i, have[i].ID, full[i].ID)
			}
		}
		sameAsRefolded(t, s, set, visitors, have)
		closed(t, s)
		os.RemoveAll(cut)
	}
}

// openCut opens a copy of a store whose write-ahead log ends after so many
// bytes. The caller removes the copy, which is big, once it is closed.
func openCut(t *testing.T, image string, size int64, c *clock) (s *Store, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "cut")
	if err := os.CopyFS(dir, os.DirFS(image)); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(walFile(t, dir), size); err != nil {
		t.Fatal(err)
	}
	s, err := Open(Options{Dir: dir, Log: slog.New(slog.DiscardHandler), Now: c.now, Reserve: 1})
	if err != nil {
		t.Fatalf("cut at %d: %v", size, err)
	}
	return s, dir
}

// sameAsRefolded compares what the store keeps with a fold of its log.
func sameAsRefolded(t *testing.T, s *Store, set *rules.Set, visitors []string, log []*events.Event) {
	t.Helper()
	for _, v := range visitors {
		state := &segments.State{}
		for _, e := range log {
			if e.Visitor == v {
				set.Program.Fold(segments.Visitor, state, e)
			}
		}
		kept, err := s.State(segments.Unit{Who: segments.Visitor, ID: v})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := set.Program.AppendState(nil, kept), set.Program.AppendState(nil, state); string(got) != string(want) {
			t.Fatalf("%d events: the state of %s is %x, folding the log gives %x", len(log), v, got, want)
		}
	}
	harmed := int64(0)
	for _, e := range log {
		if e.Name == "Setup Abandoned" {
			harmed++
		}
	}
	b, err := s.get(runKey("invite-teammate", set.Rule("invite-teammate").Version))
	if err != nil || b == nil {
		t.Fatalf("the run is gone: %v", err)
	}
	var run Run
	var tally outcomes.Tally
	if err := json.Unmarshal(b, &run); err != nil {
		t.Fatal(err)
	}
	if b, err = s.get(tallyKey(run.ID)); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &tally); err != nil {
		t.Fatal(err)
	}
	var exposed, counted int64
	for _, e := range tally.Epochs {
		exposed += e.TreatmentArm.Exposed + e.ControlArm.Exposed
		counted += e.TreatmentArm.Harmed + e.ControlArm.Harmed
	}
	if exposed != int64(len(visitors)) || counted != harmed {
		t.Fatalf("%d events: %d exposed and %d harmed, want %d and %d", len(log), exposed, counted, len(visitors), harmed)
	}
}

func walFile(t *testing.T, dir string) string {
	t.Helper()
	newest := ""
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".log") && path > newest {
			newest = path
		}
		return err
	})
	if err != nil || newest == "" {
		t.Fatalf("no write-ahead log in %s: %v", dir, err)
	}
	return newest
}

func logSize(t *testing.T, dir string) int64 {
	t.Helper()
	st, err := os.Stat(walFile(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	return st.Size()
}

func TestDamagedStoreIsRefusedWithAdvice(t *testing.T) {
	c := &clock{t: epoch}
	dir := t.TempDir()
	s := open(t, dir, c, nil)
	for i := range 100 {
		appendAll(t, s, track(c, fmt.Sprint("v", i), "Project Created"))
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if strings.Contains(path, "MANIFEST") {
			return os.WriteFile(path, []byte("not a manifest"), 0o600)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "hint: restore the directory from a backup") {
		t.Errorf("the error is %v", err)
	}
}

func TestLockedStoreIsRefused(t *testing.T) {
	c := &clock{t: epoch}
	dir := t.TempDir()
	defer closed(t, open(t, dir, c, nil))
	_, err := Open(Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "hint: stop the other refract") {
		t.Errorf("the error is %v", err)
	}
}

func TestLaterFormatIsRefused(t *testing.T) {
	c := &clock{t: epoch}
	dir := t.TempDir()
	s := open(t, dir, c, nil)
	if err := s.db.Set(metaKey("version"), []byte{keyVersion + 1}, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	if _, err := Open(Options{Dir: dir, Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("a store of a later version was opened")
	}
}

func TestFailedStoreServesOn(t *testing.T) {
	c := &clock{t: epoch}
	s := open(t, t.TempDir(), c, nil)
	appendAll(t, s, identify(c, "ann"), track(c, "ann", "Project Created"))
	s.fail(fs.ErrInvalid)
	if err := s.Append(context.Background(), []*events.Event{track(c, "ann", "x")}); err == nil {
		t.Error("a failed store takes events")
	}
	if s.Observe(track(c, "ann", "x")) {
		t.Error("a failed store takes observed events")
	}
	if _, record := s.Lookup(segments.Unit{Who: segments.Visitor, ID: "bob"}); len(record.Open) != 0 {
		t.Error("a failed store finds something")
	}
	if s.Err() == nil {
		t.Error("a failed store is ready")
	}
}
