package outbox

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

// written are the files of a directory, by name.
func written(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = b
	}
	return all
}

func linesOf(t *testing.T, file []byte) []store.Exposed {
	t.Helper()
	var list []store.Exposed
	for line := range bytes.Lines(file) {
		var x store.Exposed
		if err := json.Unmarshal(line, &x); err != nil {
			t.Fatal(err)
		}
		list = append(list, x)
	}
	return list
}

func TestFiles(t *testing.T) {
	list := []store.Exposed{visitor("ann"), anonymous("<dev&1>"), ofAccount("acme", "bob")}
	for _, format := range []string{"jsonl", "parquet"} {
		dir := filepath.Join(t.TempDir(), "made", "anew")
		c := tell(t, rules.Destination{Kind: "file", Dir: dir, Format: format, Every: time.Second}, newPile(list...))
		if c.Sent != 3 {
			t.Errorf("%d sent", c.Sent)
		}
		files := written(t, dir)
		b, ok := files["exposures-2026-11-28-0."+format]
		if !ok || len(files) != 1 {
			t.Fatalf("the directory has %v", files)
		}
		got := []store.Exposed(nil)
		if format == "jsonl" {
			got = linesOf(t, b)
		} else {
			rows, err := parquet.Read[row](bytes.NewReader(b), int64(len(b)))
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rows {
				x := store.Exposed{
					ID: r.ID, At: r.Time.UTC(), Rule: r.Rule, Version: r.Version, Segment: r.Segment, Surface: r.Surface,
					Arm: rules.Arm(r.Arm), Treatment: r.Treatment, Unit: r.Unit, UnitID: r.UnitID,
				}
				if r.User != nil {
					x.User = *r.User
				}
				if r.Anonymous != nil {
					x.Anonymous = *r.Anonymous
				}
				got = append(got, x)
			}
		}
		if !slices.Equal(got, list) {
			t.Errorf("%s: %+v\nwant %+v", format, got, list)
		}
	}
}

// TestFileIsWrittenAgain: after a crash before the letters were settled, the
// file that has them takes the place of the one that had.
func TestFileIsWrittenAgain(t *testing.T) {
	f := &files{dir: t.TempDir(), format: "jsonl"}
	letter := func(seq uint64, x store.Exposed) store.Letter {
		b, err := json.Marshal(&x)
		if err != nil {
			t.Fatal(err)
		}
		return store.Letter{Seq: seq, At: at, Body: b}
	}
	a, b := letter(7, visitor("ann")), letter(8, visitor("bob"))
	for _, letters := range [][]store.Letter{{a}, {a, b}} {
		if r := f.send(context.Background(), letters); r.err != nil || r.done != len(letters) {
			t.Fatalf("%+v", r)
		}
	}
	files := written(t, f.dir)
	if len(files) != 1 || len(linesOf(t, files["exposures-2026-11-28-7.jsonl"])) != 2 {
		t.Errorf("the directory has %v", files)
	}
}

// TestFileIsOfOneDay: what was written after midnight is in another file.
func TestFileIsOfOneDay(t *testing.T) {
	p := newPile(visitor("ann"))
	b, err := json.Marshal(visitor("bob"))
	if err != nil {
		t.Fatal(err)
	}
	p.putBody(b, at.Add(12*time.Hour))
	dir := t.TempDir()
	o := &Outbox{Store: p, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return at.Add(48 * time.Hour) }}
	o.Use([]rules.Destination{{Name: "it", Kind: "file", Dir: dir, Format: "jsonl", Every: time.Hour, MaxBytes: 1 << 20}})
	<-p.empty
	o.Close(t.Context())
	files := written(t, dir)
	for name, want := range map[string]string{"exposures-2026-11-28-0.jsonl": "ann", "exposures-2026-11-29-1.jsonl": "bob"} {
		if list := linesOf(t, files[name]); len(list) != 1 || list[0].UnitID != want {
			t.Errorf("%s has %v", name, list)
		}
	}
}

func TestDirectoryThatCannotBeWritten(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f := &files{dir: filepath.Join(blocked, "dir"), format: "jsonl"}
	b, err := json.Marshal(visitor("ann"))
	if err != nil {
		t.Fatal(err)
	}
	if r := f.send(context.Background(), []store.Letter{{At: at, Body: b}}); r.err == nil || r.done != 0 {
		t.Errorf("%+v, want an error", r)
	}
}

// TestFileWaits: a file has what came within its time, or before midnight, or
// is written before the queue is full.
func TestFileWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		p := newPile()
		o := &Outbox{Store: p, Log: slog.New(slog.DiscardHandler)}
		o.Use([]rules.Destination{{Name: "it", Kind: "file", Dir: dir, Format: "jsonl", Every: time.Hour, MaxBytes: 1 << 20}})
		put := func(id string) {
			b, err := json.Marshal(visitor(id))
			if err != nil {
				t.Fatal(err)
			}
			p.putBody(b, time.Now())
		}
		began := time.Now() // midnight, in a bubble
		put("ann")
		time.Sleep(59 * time.Minute)
		put("bob")
		synctest.Wait()
		if n := len(written(t, dir)); n != 0 {
			t.Errorf("%d files before the hour is over", n)
		}
		<-p.empty
		if took := time.Since(began); took != time.Hour {
			t.Errorf("the file was written after %s", took)
		}
		time.Sleep(22*time.Hour + 30*time.Minute)
		put("cid")
		<-p.empty
		if took := time.Since(began); took != 24*time.Hour {
			t.Errorf("the day's last file was written after %s", took)
		}
		for p.Backlog("it").Bytes < 512<<10 {
			put("dan")
		}
		time.Sleep(look)
		synctest.Wait()
		if n := len(written(t, dir)); n != 3 {
			t.Errorf("%d files with half the queue full, want 3", n)
		}
		o.Close(t.Context())
	})
}
