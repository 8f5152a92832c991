package simulate_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed14307185/refract/simulate"
)

// BenchmarkRun replays a million events of refract's own form, of 280 bytes,
// against the seven reference segments and two rules. Half of the events are
// heard by some segment; five in a hundred are an anonymous visitor's, two
// merge one.
func BenchmarkRun(b *testing.B) {
	const n = 1_000_000
	set := site(b, referenceSite)
	file := filepath.Join(b.TempDir(), "events.jsonl")
	size := writeHistory(b, file, n)
	for _, memory := range []int64{0, 16 << 20} {
		b.Run(map[bool]string{true: "memory", false: "spilled"}[memory == 0], func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			before := cpuTime(b)
			for b.Loop() {
				r, err := simulate.Run(context.Background(), set, simulate.Options{Files: []string{file}, Memory: memory, TempDir: b.TempDir(), Now: future})
				if err != nil || r.Events != n || r.Bad > 0 {
					b.Fatalf("%v: %+v", err, r)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
			// What two processors would do that have nothing else to do, as far
			// as both have work: on a machine that is shared this says more.
			b.ReportMetric(2*float64(n)*float64(b.N)/(cpuTime(b)-before).Seconds(), "events/2-cpu-s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// cpuTime is what the process has used.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// writeHistory writes a made-up history of six weeks, and returns its size.
func writeHistory(tb testing.TB, file string, n int) int64 {
	r := rand.New(rand.NewPCG(1, 2))
	var names []string
	for name, weight := range map[string]int{
		"Page Viewed": 50, "Session Started": 10, "Report Viewed": 12, "Report Exported": 8, "Error Shown": 6, "Setup Error": 4,
		"Pricing Viewed": 4, "Teammate Invited": 2, "Report Created": 2, "Project Created": 2, "Setup Abandoned": 1,
	} {
		for range weight {
			names = append(names, name)
		}
	}
	out, err := os.Create(file)
	if err != nil {
		tb.Fatal(err)
	}
	defer out.Close()
	visitors := n/60 + 1
	start := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
	step := 45 * 24 * time.Hour / time.Duration(n)
	var text strings.Builder
	var size int64
	for i := range n {
		at := start.Add(time.Duration(i) * step).Format("2006-01-02T15:04:05.000Z")
		v := r.IntN(visitors)
		who := fmt.Sprintf("user-%06d", v)
		fmt.Fprintf(&text, `{"id":"m-%010d","source":"segment",`, i)
		switch x := r.IntN(100); {
		case x < 2:
			fmt.Fprintf(&text, `"kind":"identify","visitor":%q,"anonymous":"anon-%06d","traits":{"plan":%q,"role":%q},`, who, v, []string{"trial", "pro"}[r.IntN(2)], []string{"admin", "member"}[r.IntN(2)])
		default:
			if x < 5 {
				who = fmt.Sprintf("anon-%06d", v)
			}
			fmt.Fprintf(&text, `"kind":"track","name":%q,"visitor":%q,"account":"acct-%05d","properties":{"path":"/projects/%d","browser":"Firefox","code":"E%d","step":"s%d"},`,
				names[r.IntN(len(names))], who, v/12, r.IntN(1000), r.IntN(5), r.IntN(3))
		}
		fmt.Fprintf(&text, `"time":%q,"received":%q}`+"\n", at, at)
		if text.Len() > 1<<20 || i == n-1 {
			m, err := out.WriteString(text.String())
			if err != nil {
				tb.Fatal(err)
			}
			size += int64(m)
			text.Reset()
		}
	}
	return size
}
