package rewrite_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/seed14307185/refract/rewrite"
)

// Who looks on changes nothing, and is told of each byte that was looked at.
func TestTrace(t *testing.T) {
	t.Logf("-seed %d", seed())
	n := uint64(2000)
	if testing.Short() {
		n = 300
	}
	for i := range n {
		rnd := rand.New(rand.NewPCG(seed(), i))
		page, names := numbered(mutate(rnd, servedPage))
		if i%2 == 0 {
			_, page = soupPage(i)
			page, names = numbered(page)
		}
		if len(names) == 0 {
			continue
		}
		plan := mixedPlan(rnd, names...)
		program := mustCompile(t, plan)
		want, saw := rewriteOnce(t, strings.NewReader(page), inUTF8, plan)
		r := program.NewReader(chunked{strings.NewReader(page), 0, rnd}, inUTF8)
		var trace bytes.Buffer
		r.Trace(&trace)
		got, err := drainTiny(rnd)(r)
		if err != nil || r.Fault() != nil {
			t.Fatal(err, r.Fault())
		}
		if string(got) != want || !slices.Equal(r.Sightings(), saw) {
			t.Fatalf("soup or mutant %d differs with a trace\npage %q\nwith %q %+v\nelse %q %+v", i, page, got, r.Sightings(), want, saw)
		}
		r.Close()
		if err := traced(trace.String(), page, saw); err != nil {
			t.Fatalf("soup or mutant %d: %v\npage %q\n%s", i, err, page, &trace)
		}
	}
}

// traced says what is wrong with a trace: its tokens must follow each other, and
// each surface that was met be decided once.
func traced(trace, page string, saw []rewrite.Sighting) error {
	at := 0
	for line := range strings.Lines(trace) {
		var from, size int
		if n, _ := fmt.Sscan(line, &from, &size); n < 2 {
			continue
		}
		switch piece := page[from : from+size]; {
		case from != at:
			return fmt.Errorf("at %d, not at %d: %s", from, at, line)
		case strings.Contains(line, "  <") && (!strings.HasPrefix(piece, "<") || !strings.HasSuffix(piece, ">")),
			strings.Contains(line, "  comment") && !strings.HasPrefix(piece, "<"):
			return fmt.Errorf("%q is said to be %s", piece, line)
		}
		at += size
	}
	if strings.Contains(trace, "the source ended 0 bytes on") && at != len(page) {
		return fmt.Errorf("it ends at %d of %d", at, len(page))
	}
	for _, s := range saw {
		decided := strings.Count(trace, s.Name+": "+string(s.State)) + strings.Count(trace, s.Name+": released, "+string(s.State))
		if s.State != rewrite.Missing && decided != 1 {
			return fmt.Errorf("%s was decided %d times", s.Name, decided)
		}
	}
	return nil
}

// A page that isn't looked at is told of too.
func TestTraceOfNothing(t *testing.T) {
	r := newReader(t, strings.NewReader("<p data-surface=x0>old</p>"), "text/html; charset=utf-16", planFor("new", "x0"))
	var trace strings.Builder
	r.Trace(&trace)
	if _, err := drainWhole(r); err != nil {
		t.Fatal(err)
	}
	const want = "  offset   bytes depth\n" +
		"       0        *      x0: untouched (charset)\n" +
		"       0        *      the rest of the page is copied as it is\n"
	if trace.String() != want {
		t.Errorf("%s\nshould be\n%s", trace.String(), want)
	}
}
