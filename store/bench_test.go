package store

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

// benchStore opens a store on the demo's seven reference segments.
func benchStore(b *testing.B, dir string) *Store {
	b.Helper()
	s, err := Open(Options{Dir: dir, Log: slog.New(slog.DiscardHandler), Reserve: 1})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Use(context.Background(), referenceSite(b), func() {}); err != nil {
		b.Fatal(err)
	}
	return s
}

// referenceSite is the demo's site: the seven reference segments, a rule each.
func referenceSite(b testing.TB) *rules.Set {
	b.Helper()
	dir := b.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../demo/site")); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "refract.yaml"), []byte("origin: http://127.0.0.1:1\n"), 0o644); err != nil {
		b.Fatal(err)
	}
	set, err := rules.Load(dir)
	if err != nil {
		b.Fatal(err)
	}
	return set
}

var names = [...]string{"Project Created", "Teammate Invited", "Report Viewed", "Error Shown", "Report Exported",
	"Session Started", "Setup Error", "Pricing Viewed", "Report Created"}

func benchEvent(i int64) *events.Event {
	now := time.Now().UTC().Truncate(time.Millisecond)
	return &events.Event{
		ID: "message-" + strconv.FormatInt(i, 10), Source: "segment", Kind: events.Track, Name: names[i%int64(len(names))],
		Visitor: fmt.Sprintf("visitor-%d", i*7919%20000), Account: fmt.Sprintf("team-%d", i*7919%20000/10), Time: now, Received: now,
		Properties: events.Properties{"code": fmt.Sprint("E", i%5), "step": "connect", "plan": "trial"},
	}
}

// BenchmarkAppend appends events, each acknowledged after its fsync: one by one,
// from 64 writers at once, and from 8 writers in batches as SDKs send them. It
// tells the processor time of an event too, which other work on the machine
// does not change. The floor of a lone writer is BenchmarkFsync on the same
// disk.
func BenchmarkAppend(b *testing.B) {
	for _, bb := range []struct{ segments, writers, batch int }{{7, 1, 1}, {7, 64, 1}, {7, 8, 100}, {100, 8, 100}} {
		b.Run(fmt.Sprintf("segments=%d/writers=%d/batch=%d", bb.segments, bb.writers, bb.batch), func(b *testing.B) {
			s := benchStore(b, b.TempDir())
			defer closed(b, s)
			if bb.segments > 7 {
				use(b, s, manySegments(b, bb.segments))
			}
			var next atomic.Int64
			b.ReportAllocs()
			b.ResetTimer()
			before := processorTime(b)
			var writers sync.WaitGroup
			for range bb.writers {
				writers.Go(func() {
					batch := make([]*events.Event, 0, bb.batch)
					for {
						last := next.Add(int64(bb.batch))
						batch = batch[:0]
						for i := last - int64(bb.batch); i < min(last, int64(b.N)); i++ {
							batch = append(batch, benchEvent(i))
						}
						if len(batch) == 0 {
							return
						}
						if err := s.Append(context.Background(), batch); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			writers.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/event")
		})
	}
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// manySegments is the reference site with further segments that hear the same
// events, of all kinds.
func manySegments(b testing.TB, n int) *rules.Set {
	b.Helper()
	set := referenceSite(b)
	list := set.Segments
	for i := 0; len(list) < n; i++ {
		name, other := names[i%len(names)], names[(i+1)%len(names)]
		days := time.Duration(1+i/len(names)) * 24 * time.Hour
		conditions := []segments.Condition{
			segments.Did{Event: name, Times: segments.AtLeast(3), InLast: days},
			segments.Without{Event: name, Without: other, Within: days},
			segments.Before{Event: name, Before: other},
			segments.Days{Event: name, Is: segments.AtLeast(3), InLast: 2 * days},
			segments.Sequence{Event: name, Then: []string{other}, Within: days, InLast: 2 * days},
			segments.Stopped{Event: name, Active: 2 * days, Quiet: days},
			segments.Regularly{Event: name, On: 2, Of: 4, Every: days},
		}
		list = append(list, segments.Segment{Name: fmt.Sprint("more-", i), Who: segments.Visitor, Condition: conditions[i%len(conditions)]})
	}
	program, err := segments.Compile(list, set.Edge.Late)
	if err != nil {
		b.Fatal(err)
	}
	more := *set
	more.Segments, more.Program, more.Revision = list, program, "more"
	return &more
}

// BenchmarkFsync is what a durable write of 1 KiB costs at least.
func BenchmarkFsync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 1024)
	for b.Loop() {
		if _, err := f.Write(block); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLookup is a decision record from the cache and from Pebble.
func BenchmarkLookup(b *testing.B) {
	s := benchStore(b, b.TempDir())
	defer closed(b, s)
	units := load(b, s, 20000)
	if err := s.db.Flush(); err != nil {
		b.Fatal(err)
	}
	b.Run("warm", func(b *testing.B) {
		u := units[0]
		s.Lookup(u)
		s.cache.entries.Wait()
		b.ReportAllocs()
		for b.Loop() {
			s.Lookup(u)
		}
	})
	b.Run("pebble", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			i++
			if _, err := s.readEntry(units[i%len(units)]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// lives are visitors' states and records after some time of using everything
// that the reference segments hear, no two alike.
func lives(b *testing.B, n int) (states, records [][]byte) {
	b.Helper()
	program := referenceSite(b).Program
	for i := range n {
		r := rand.New(rand.NewPCG(uint64(i), 0))
		at := time.Now().Add(-14 * 24 * time.Hour)
		state := &segments.State{}
		for range 60 {
			at = at.Add(time.Duration(r.IntN(int(12 * time.Hour)))).Truncate(time.Millisecond)
			e := benchEvent(int64(r.IntN(1 << 20)))
			e.Time, e.Received, e.Visitor = at, at, fmt.Sprintf("visitor-%d", i)
			if r.IntN(20) == 0 {
				e.Kind, e.Name, e.Traits = events.Identify, "", events.Properties{"role": "admin", "plan": "trial"}
			}
			program.Fold(segments.Visitor, state, e)
		}
		states = append(states, program.AppendState(nil, state))
		records = append(records, appendRecord(nil, program.Record(segments.Visitor, state, at.UnixMilli())))
	}
	return states, records
}

// load writes n visitors, and returns them.
func load(b *testing.B, s *Store, n int) []segments.Unit {
	b.Helper()
	states, records := lives(b, 4096)
	units := make([]segments.Unit, n)
	for i := range units {
		units[i] = segments.Unit{Who: segments.Visitor, ID: fmt.Sprintf("visitor-%08d", i)}
	}
	const perTable = 250_000
	for from := 0; from < n; from += perTable {
		for kind, values := range map[byte][][]byte{keyState: states, keyRecord: records} {
			path := filepath.Join(s.opts.Dir, "load.tmp")
			f, err := vfs.Default.Create(path, vfs.WriteCategoryUnspecified)
			if err != nil {
				b.Fatal(err)
			}
			t := sstable.NewWriter(objstorageprovider.NewFileWritable(f), s.options.MakeWriterOptions(0, s.db.TableFormat()))
			for i, u := range units[from:min(n, from+perTable)] {
				if err := t.Set(unitKey(nil, kind, u), values[mix(uint64(from+i))%uint64(len(values))]); err != nil {
					b.Fatal(err)
				}
			}
			if err := errors.Join(t.Close(), s.db.Ingest(context.Background(), []string{path})); err != nil {
				b.Fatal(err)
			}
		}
	}
	return units
}

var loaded = flag.Int("visitors", 1_000_000, "how many visitors BenchmarkRestart loads")

// BenchmarkRestart restarts a store of many visitors: the time until it
// answers, the memory it then takes after a hundred thousand of them came by,
// and how many bytes on disk a visitor takes.
func BenchmarkRestart(b *testing.B) {
	dir := b.TempDir()
	s := benchStore(b, dir)
	empty := s.db.Metrics().DiskSpaceUsage()
	began := time.Now()
	units := load(b, s, *loaded)
	b.Logf("%d visitors loaded in %v", len(units), time.Since(began))
	size := s.db.Metrics().DiskSpaceUsage() - empty
	if err := s.Append(context.Background(), []*events.Event{benchEvent(1)}); err != nil {
		b.Fatal(err)
	}
	closed(b, s)
	b.ResetTimer()
	for b.Loop() {
		s = benchStore(b, dir)
		s.Lookup(units[len(units)/2])
		b.StopTimer()
		if len(s.Warming()) > 0 {
			b.Fatal("not ready")
		}
		for i := range 100_000 {
			s.Lookup(units[mix(uint64(i))%uint64(len(units))])
		}
		b.ReportMetric(resident(b), "rss-MB")
		closed(b, s)
		b.StartTimer()
	}
	b.ReportMetric(float64(size)/float64(len(units)), "disk-B/visitor")
}

// BenchmarkVisible is the time from the acknowledgement of an event to the
// decision record that it changed, while other writers go on.
func BenchmarkVisible(b *testing.B) {
	s := benchStore(b, b.TempDir())
	defer closed(b, s)
	set := referenceSite(b)
	key := set.Segments[slices.IndexFunc(set.Segments, func(s segments.Segment) bool { return s.Name == "stuck-users" })].Key()
	stop := make(chan struct{})
	var others sync.WaitGroup
	for w := range 4 {
		others.Go(func() {
			for i := int64(w) << 40; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := s.Append(context.Background(), []*events.Event{benchEvent(i)}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		u := segments.Unit{Who: segments.Visitor, ID: fmt.Sprint("stuck-", i)}
		s.Lookup(u)
		var batch []*events.Event
		for range 3 {
			e := benchEvent(3) // Error Shown
			e.ID, e.Visitor = "", u.ID
			batch = append(batch, e)
		}
		if err := s.Append(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
		acknowledged := time.Now()
		for {
			if _, record := s.Lookup(u); record.Holds(key, acknowledged.UnixMilli()) {
				break
			}
		}
		took = append(took, time.Since(acknowledged))
	}
	close(stop)
	others.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
}

func resident(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip(err)
	}
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(v)[0], 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb / 1024
		}
	}
	return 0
}
