package rewrite_test

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/seed14307185/refract/rewrite"
)

// A rewriting gives a page with its region x changed.
type rewriting func(t *testing.T, page string, surface rewrite.Surface) (string, rewrite.Sighting)

// engine rewrites with this package, at two sizes of chunks, in both arms.
func engine(t *testing.T, page string, surface rewrite.Surface) (string, rewrite.Sighting) {
	t.Helper()
	run := func(replace bool, chunk int) (string, rewrite.Sighting) {
		surface.Replace = replace
		program, err := rewrite.Compile(rewrite.Plan{Surfaces: []rewrite.Surface{surface}})
		if err != nil {
			t.Fatalf("%s with %q: %v", surface.Operation, surface.HTML, err)
		}
		r := program.NewReader(&atMost{strings.NewReader(page), chunk}, "text/html; charset=utf-8")
		defer r.Close()
		got, err := io.ReadAll(r)
		if err != nil || r.Fault() != nil {
			t.Fatalf("%q: %v, fault %v", page, err, r.Fault())
		}
		return string(got), r.Sightings()[0]
	}
	chunk := []int{1, 2, 3, 7, 64}[len(page)%5]
	got, saw := run(true, 4096)
	if again, sawAgain := run(true, chunk); got != again || saw != sawAgain {
		t.Errorf("chunks of %d differ\npage  %q\ngot   %q %v\nthen  %q %v", chunk, page, got, saw, again, sawAgain)
	}
	if same, sawSame := run(false, 4096); same != page || saw != sawSame {
		t.Errorf("the control arm differs\npage  %q %v\nthere %q %v", page, saw, same, sawSame)
	}
	if saw.State != rewrite.Swappable && got != page {
		t.Errorf("%v, yet\npage %q\ngot  %q", saw, page, got)
	}
	return got, saw
}

// atMost reads up to n bytes at a time.
type atMost struct {
	r io.Reader
	n int
}

func (a *atMost) Read(p []byte) (int, error) { return a.r.Read(p[:min(a.n, len(p))]) }

// tally counts what became of the regions of one setting.
type tally struct {
	name                                  string
	regions, swapped, missing, overlooked int
	reasons                               map[rewrite.Reason]int
	left                                  []string // places and reasons
}

func (c *tally) add(other *tally) {
	c.regions += other.regions
	c.swapped += other.swapped
	c.missing += other.missing
	c.overlooked += other.overlooked
	for why, n := range other.reasons {
		c.reasons[why] += n
	}
	c.left = append(c.left, other.left...)
}

// leftAlone is the share of regions met and left alone, in percent.
func (c *tally) leftAlone() float64 { return share(c.regions-c.swapped-c.missing, c.regions) }

func (c *tally) String() string {
	var why []string
	for _, r := range slices.SortedFunc(maps.Keys(c.reasons), func(a, b rewrite.Reason) int { return c.reasons[b] - c.reasons[a] }) {
		why = append(why, fmt.Sprintf("%s %.1f", r, share(c.reasons[r], c.regions)))
	}
	return fmt.Sprintf("%s\t%d\t%d\t%d\t%d\t%.1f\t%s\n", c.name, c.regions, c.swapped, c.missing, c.overlooked, c.leftAlone(), strings.Join(why, ", "))
}

func table(head string, rows ...fmt.Stringer) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, head)
	for _, r := range rows {
		fmt.Fprint(w, r)
	}
	w.Flush()
	return b.String()
}

// A trial is one page to be rewritten.
type trial struct {
	tally   *tally
	page    string
	surface rewrite.Surface
	place   string // of the region, for people
}

// judge rewrites each trial's page and has Chromium compare. It returns the
// number of comparisons (pages by modes of the parser) and the wrong splices.
func (c *chromium) judge(t *testing.T, trials []trial, rewriting rewriting) (made int, wrong []string) {
	t.Helper()
	var (
		all    []comparison
		unseen []string
		where  []*tally
	)
	for _, one := range trials {
		got, saw := rewriting(t, one.page, one.surface)
		if saw.Operation != one.surface.Operation && saw.State == rewrite.Swappable {
			t.Fatalf("asked for %s, did %s", one.surface.Operation, saw.Operation)
		}
		one.tally.regions++
		switch saw.State {
		case rewrite.Swappable:
			one.tally.swapped++
			all = append(all, comparison{
				Page: one.page, Operation: one.surface.Operation, HTML: string(one.surface.HTML),
				Attributes: one.surface.Attributes, Outs: []string{got}, Trees: true,
			})
		case rewrite.Missing:
			one.tally.missing++
			unseen = append(unseen, one.page)
			where = append(where, one.tally)
		default:
			one.tally.reasons[saw.Reason]++
			one.tally.left = append(one.tally.left, fmt.Sprintf("%s %s", one.place, saw.Reason))
		}
	}
	for i, found := range c.compare(t, all) {
		if d := found[0]; d != nil {
			wrong = append(wrong, fmt.Sprintf("%s of %q, scripting %s\npage   %q\noutput %q\nwant\n%s\nhave\n%s",
				all[i].Operation, all[i].HTML, d.Mode, all[i].Page, all[i].Outs[0], d.Want, d.Have))
		}
	}
	var marks [][]int
	for batch := range batches(unseen, func(s string) int { return 1000 + len(s) }) {
		marks = append(marks, call[[][]int](t, c, "marks", batch)...)
	}
	for i, count := range marks {
		if slices.Min(count) > 0 {
			where[i].overlooked++
			t.Errorf("overlooked a region: %q", unseen[i])
		}
	}
	return 2 * len(all), wrong
}
