package store

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

// outcomeNames are the events of the reference segments and two more that
// guardrails hear: of eleven events four are outcomes, three of these of two
// rules or more. Of the reference segments' nine, two are.
var outcomeNames = append(slices.Clone(names[:]), "Support Asked", "Trial Cancelled")

// BenchmarkOutcomes appends events in batches of 100 by 8 writers: where no rule
// is there, where the seven reference rules are and nobody was exposed, where
// everyone is enrolled in each, and where there is also a first exposure for
// every tenth event; then the same of outcomeNames. As long as there are at most
// 180 000 operations, each event is the first of its name by its visitor, so that
// every outcome of a visitor counts: run it with -benchtime 150000x or less.
func BenchmarkOutcomes(b *testing.B) {
	for _, bench := range []struct {
		name                    string
		names                   []string
		rules, enrolled, expose bool
	}{
		{"none", names[:], false, false, false},
		{"rules", names[:], true, false, false},
		{"enrolled", names[:], true, true, false},
		{"exposing", names[:], true, true, true},
		{"more", outcomeNames, true, false, false},
		{"more-enrolled", outcomeNames, true, true, false},
	} {
		b.Run(bench.name, func(b *testing.B) {
			s := benchStore(b, b.TempDir())
			defer closed(b, s)
			set := referenceSite(b)
			if !bench.rules {
				bare := *set
				bare.Rules, bare.Revision = nil, "bare"
				use(b, s, &bare)
			}
			if bench.enrolled {
				enrolAll(b, s, set)
			}
			var next atomic.Int64
			b.ReportAllocs()
			b.ResetTimer()
			before := processorTime(b)
			var writers sync.WaitGroup
			for range 8 {
				writers.Go(func() {
					const size = 100
					for {
						last := next.Add(size)
						var batch []*events.Event
						for i := last - size; i < min(last, int64(b.N)); i++ {
							e := benchEvent(i)
							e.Name = bench.names[i%int64(len(bench.names))]
							batch = append(batch, e)
							if bench.expose && i%10 == 0 {
								benchExpose(b, s, set.Rules[i/10%7], fmt.Sprint("newcomer-", i))
							}
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
			for name, st := range s.Standings() {
				if st.Run.Stop != nil {
					b.Errorf("%s was stopped", name)
				}
			}
		})
	}
}

// enrolAll exposes every visitor and account of benchEvent to every rule.
func enrolAll(b *testing.B, s *Store, set *rules.Set) {
	b.Helper()
	for _, r := range set.Rules {
		unit, n := "visitor", 20_000
		if r.Unit == segments.Account {
			unit, n = "team", 2000
		}
		for i := range n {
			benchExpose(b, s, r, fmt.Sprint(unit, "-", i))
			if i%1000 == 999 { // the queue has room again
				if err := s.Append(context.Background(), nil); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	for name, st := range s.Standings() {
		if n := st.Tally.Exposed(); n < 2000 {
			b.Fatalf("%s: %d units", name, n)
		}
	}
}

// benchExpose hands over an exposure of a minute ago.
func benchExpose(b *testing.B, s *Store, r *rules.Rule, unit string) {
	arm, _ := r.Assign(unit)
	x := rules.Exposure{
		Rule: r.Name, Version: r.Version, Unit: segments.Unit{Who: r.Unit, ID: unit},
		Arm: arm, Treatment: r.Rollout.Treatment, At: time.Now().Add(-time.Minute),
		Browser: rules.Browsers[int(unit[len(unit)-1])%len(rules.Browsers)],
	}
	if !s.Expose(x) {
		b.Error("an exposure was dropped")
	}
}
