package simulate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/simulate"
)

const exactSite = `
-- refract.yaml --
origin: http://127.0.0.1:3000
-- segments/count.yaml --
all: [{did: A, times: ">= 2", in_last: 30h}]
-- segments/never.yaml --
all: [{did_not: B, in_last: 20h}]
-- segments/without.yaml --
all: [{trait: {plan: trial}}, {did: A, without: B, within: 10h}]
-- segments/stopped.yaml --
all: [{stopped: A, active: 60h, quiet: 24h}]
-- segments/days.yaml --
all: [{days: C, is: ">= 2", in_last: 72h}]
-- segments/repeats.yaml --
all: [{repeats: C, same: code, times: ">= 2", in_last: 24h}]
-- segments/steady.yaml --
all: [{did: A, in_last: 10h}]
stable_for: 3h
sticky_for: 20h
-- segments/sequence.yaml --
all: [{did: A, then: [B], within: 20h, in_last: 40h}]
-- segments/spent.yaml --
all: [{sum: C, of: amount, is: "> 3", in_last: 30h}]
-- segments/various.yaml --
all: [{distinct: C, of: code, is: ">= 2", in_last: 30h}]
-- segments/both.yaml --
all: [{segment: repeats}, {not: {segment: steady}}]
-- segments/team.yaml --
who: account
all: [{repeats: C, same: code, times: ">= 3", in_last: 48h, visitors: ">= 2"}]
-- segments/big.yaml --
who: account
all: [{did: A, times: ">= 3", in_last: 30h}, {not: {trait: {plan: trial}}}]
`

// TestExact replays random histories: in any order, with repetitions, persons
// under several ids, and accounts that visitors move between.
func TestExact(t *testing.T) {
	set := site(t, exactSite)
	var entries, flips, overlaps, accounts int64
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 5))
		history := randomHistory(r)
		got := run(t, write(t, history), simulate.Options{Workers: 1 + int(seed%3), Memory: []int64{0, 1}[seed%2]}, exactSite)
		want, met := replay(set.Segments, history)
		for i, w := range want {
			g := got.Segments[i]
			if g.Name != w.Name || !reflect.DeepEqual(g.Days, w.Days) || g.Ever != w.Ever || g.Flippers != w.Flippers {
				t.Fatalf("seed %d: segment %s: got ever %d, flippers %d, %+v\nwant ever %d, flippers %d, %+v\n%s", seed, w.Name, g.Ever, g.Flippers, g.Days, w.Ever, w.Flippers, w.Days, write(t, history))
			}
			entries += g.Entries
			flips += g.Flippers
			if g.Who == "account" {
				accounts += g.Ever
			}
		}
		for _, o := range got.Overlaps {
			for i, a := range o.Segments {
				for j, b := range o.Segments {
					if i < j && o.Units[i][j] != met[[2]string{a, b}] {
						t.Fatalf("seed %d: %s and %s: got %d in both, want %d\n%s", seed, a, b, o.Units[i][j], met[[2]string{a, b}], write(t, history))
					}
					if i < j {
						overlaps += o.Units[i][j]
					}
				}
			}
		}
	}
	if min(entries, flips, overlaps, accounts) < 50 {
		t.Errorf("the histories are dull: %d entries, %d flips, %d overlaps, %d accounts", entries, flips, overlaps, accounts)
	}
}

func randomHistory(r *rand.Rand) []*events.Event {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	var history []*events.Event
	for i := range 5 + r.IntN(60) {
		at := time.Date(2026, 3, 1, r.IntN(24*8), 0, 0, 0, time.UTC)
		e := &events.Event{ID: fmt.Sprint("e", i), Source: "segment", Kind: events.Track, Time: at, Received: at}
		e.Visitor = pick("u1", "u2", "u3", "u4", "a1", "a2")
		if r.IntN(4) == 0 {
			e.Account = pick("acme", "beta")
		}
		switch r.IntN(12) {
		case 0:
			e.Kind, e.Traits = events.Identify, events.Properties{"plan": pick("trial", "pro")}
			e.Anonymous = pick("", "a1", "a2", "u4")
		case 1:
			e.Kind, e.Anonymous = events.Alias, pick("a1", "a2", "u3")
		case 2:
			e.Kind, e.Account, e.Traits = events.Group, pick("acme", "beta"), events.Properties{"plan": pick("trial", "pro")}
		default:
			e.Name = pick("A", "A", "B", "C", "C", "D")
			e.Properties = events.Properties{"code": pick("x", "y"), "amount": float64(1 + r.IntN(3)), "other": 1.0}
		}
		if e.Anonymous == e.Visitor {
			e.Anonymous = ""
		}
		history = append(history, e)
		if r.IntN(8) == 0 {
			history = append(history, e)
		}
	}
	r.Shuffle(len(history), func(i, j int) { history[i], history[j] = history[j], history[i] })
	return history
}

// write writes a history as refract itself would, and returns the lines.
func write(t testing.TB, history []*events.Event) []byte {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, e := range history {
		if err := enc.Encode(e); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// run replays lines from standard input.
func run(t testing.TB, lines []byte, o simulate.Options, archive string) *simulate.Report {
	t.Helper()
	o.Files, o.Stdin, o.Now = []string{"-"}, bytes.NewReader(lines), future
	if o.TempDir == "" {
		o.TempDir = t.TempDir()
	}
	r, err := simulate.Run(context.Background(), site(t, archive), o)
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(o.TempDir); len(left) > 0 {
		t.Errorf("%s is left behind", left[0].Name())
	}
	return r
}

// TestSameReport replays one history in pieces, in another order, from a
// temporary file and with another number of workers.
func TestSameReport(t *testing.T) {
	file := filepath.Join(t.TempDir(), "events.jsonl")
	writeHistory(t, file, 20_000)
	lines, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := run(t, lines, simulate.Options{Workers: 1}, referenceSite)
	if want.Accounts == 0 || want.Merged == 0 || want.Rules[0].Reached == 0 || want.Rules[1].Reached == 0 {
		t.Fatalf("the history is dull: %+v", want)
	}
	shuffled := bytes.SplitAfter(bytes.TrimSuffix(lines, []byte{'\n'}), []byte{'\n'})
	shuffled[len(shuffled)-1] = append(bytes.Clone(shuffled[len(shuffled)-1]), '\n')
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for name, got := range map[string]*simulate.Report{
		"spilled":   run(t, lines, simulate.Options{Workers: 3, Memory: 1}, referenceSite),
		"shuffled":  run(t, bytes.Join(shuffled, nil), simulate.Options{Workers: 2}, referenceSite),
		"twice":     run(t, append(bytes.Clone(lines), lines...), simulate.Options{Workers: 2}, referenceSite),
		"compacted": run(t, bytes.ReplaceAll(lines, []byte("\n"), []byte("\r\n\n")), simulate.Options{Workers: 2}, referenceSite),
	} {
		if name == "twice" {
			if got.Repeated != want.Events || got.Events != 2*want.Events {
				t.Errorf("%d of %d events were repeated", got.Repeated, got.Events)
			}
			got.Repeated, got.Events, got.Forms = want.Repeated, want.Events, want.Forms
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: another report:\n%+v\nwant\n%+v", name, got, want)
		}
	}
}
