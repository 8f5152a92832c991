package store

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

var (
	exampleBlocks = regexp.MustCompile("(?s)```yaml\n(.*?)```\n```text\n(.*?)```")
	happened      = regexp.MustCompile(`^(\S+)\s+(?:(ann|bob) )?(.*?)\s*(\{.*\})?$`)
)

// The examples of docs/segments.md are true: each is loaded as a segment file,
// what happens is appended when it happens, and the segment holds exactly when
// the example says.
func TestExamplesOfTheDocument(t *testing.T) {
	b, err := os.ReadFile("../docs/segments.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := exampleBlocks.FindAllStringSubmatch(string(b), -1)
	if len(blocks) < 27 || len(blocks) != strings.Count(string(b), "```yaml") {
		t.Errorf("%d examples are run of %d", len(blocks), strings.Count(string(b), "```yaml"))
	}
	for _, block := range blocks {
		name, _, _ := strings.Cut(block[1], "\n")
		t.Run(name, func(t *testing.T) { runExample(t, block[1], block[2]) })
	}
}

func runExample(t *testing.T, file, story string) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../testdata/sites/loop")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "segments", "example.yaml"), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	set, err := rules.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	seg := set.Segments[slices.IndexFunc(set.Segments, func(s segments.Segment) bool { return s.Name == "example" })]
	unit := segments.Unit{Who: seg.Who, ID: "ann"}
	if seg.Who == segments.Account {
		unit.ID = "acme"
	}
	c := &clock{t: epoch}
	s, err := Open(Options{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler), Now: c.now, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, s)
	use(t, s, set)

	type act struct {
		after time.Duration
		do    func()
	}
	type span struct{ from, until time.Duration }
	var acts []act
	var spans []span
	for line := range strings.Lines(story) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "true from "); ok {
			from, until, closes := strings.Cut(rest, " until ")
			v := span{offset(t, from), 1 << 62}
			if closes {
				v.until = offset(t, until)
			}
			spans = append(spans, v)
		} else if line != "never" {
			m := happened.FindStringSubmatch(line)
			acts = append(acts, act{offset(t, m[1]), func() { perform(t, s, c, unit, m[2], m[3], m[4]) }})
		}
	}
	last := acts[len(acts)-1].after
	moments := []time.Duration{last, last + 365*24*time.Hour}
	for _, v := range spans {
		moments = append(moments, v.from-time.Millisecond, v.from, v.until-time.Millisecond, v.until)
	}
	for _, a := range acts {
		moments = append(moments, a.after-time.Millisecond, a.after)
	}
	slices.Sort(moments)
	for _, at := range slices.Compact(moments) {
		if at < 0 || at > 10*365*24*time.Hour {
			continue
		}
		for len(acts) > 0 && acts[0].after <= at {
			c.set(epoch.Add(acts[0].after))
			acts[0].do()
			acts = acts[1:]
		}
		c.set(epoch.Add(at))
		_, record := s.Lookup(unit)
		want := slices.ContainsFunc(spans, func(v span) bool { return v.from <= at && at < v.until })
		if got := record.Holds(seg.Key(), c.now().UnixMilli()); got != want {
			t.Errorf("%v after the beginning: %v, want %v", at, got, want)
		}
	}
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = t
}

// offset reads "2d+1h".
func offset(t *testing.T, s string) (sum time.Duration) {
	t.Helper()
	for part := range strings.SplitSeq(s, "+") {
		d, err := rules.ParseDuration(part)
		if err != nil {
			t.Fatal(err)
		}
		sum += d
	}
	return sum
}

// perform does what a line of a story says.
func perform(t *testing.T, s *Store, c *clock, unit segments.Unit, who, what, properties string) {
	t.Helper()
	ctx := context.Background()
	if rest, ok := strings.CutPrefix(what, "cohort "); ok {
		name, how, _ := strings.Cut(rest, " ")
		change := Change{Add: []Member{{Unit: unit}}}
		if how == "remove" {
			change = Change{Remove: []segments.Unit{unit}}
		}
		if err := s.ChangeCohort(ctx, name, 0, change); err != nil {
			t.Fatal(err)
		}
		return
	}
	if who == "" {
		who = "ann"
	}
	e := track(c, who, what)
	e.Account = "acme"
	if properties != "" {
		if err := json.Unmarshal([]byte(properties), &e.Properties); err != nil {
			t.Fatal(fmt.Errorf("%s: %w", properties, err))
		}
	}
	if what == "identify" {
		e.Kind, e.Name, e.Traits, e.Properties = events.Identify, "", e.Properties, nil
	}
	appendAll(t, s, e)
}
