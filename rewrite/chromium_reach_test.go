package rewrite_test

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/seed14307185/refract/rewrite"
)

var reach = flag.Bool("reach", false, "have TestChromium find how many hostile regions could be swapped at best (minutes)")

const maxCuts = 64 // places where a region could end that are tried

// reached is one setting's row: of all its regions, those that any end could
// be cut at, those at the end tag written for them, those that were swapped.
type reached struct {
	name                            string
	regions, absent, any, own, made int
	reasons                         map[rewrite.Reason]int // of those left alone that could be swapped
	examples                        map[rewrite.Reason][]string
}

func (r *reached) String() string {
	var why []string
	for _, reason := range slices.SortedFunc(maps.Keys(r.reasons), func(a, b rewrite.Reason) int { return r.reasons[b] - r.reasons[a] }) {
		why = append(why, fmt.Sprintf("%s %d", reason, r.reasons[reason]))
	}
	return fmt.Sprintf("%s\t%d\t%d\t%.1f\t%.1f\t%.1f\t%s\n", r.name, r.regions, r.absent,
		share(r.any, r.regions), share(r.own, r.regions), share(r.made, r.regions), strings.Join(why, ", "))
}

// reachable tells how many regions could be swapped by taking out any run of
// bytes that begins after the start tag and ends where a tag begins or ends,
// so that the rest parses as in the edited tree, in both modes.
func (c *chromium) reachable(t *testing.T, inputs []string) {
	if !*reach {
		t.Skip("takes minutes: -reach")
	}
	const fragment = "new <b>text</b>"
	surface := rewrite.Surface{Name: "x", Operation: rewrite.Inner, HTML: []byte(fragment)}
	var rows []fmt.Stringer
	for _, s := range chromiumSettings {
		row := &reached{name: s.name, reasons: map[rewrite.Reason]int{}, examples: map[rewrite.Reason][]string{}}
		rows = append(rows, row)
		var (
			all  []comparison
			saws []rewrite.Sighting
		)
		for _, input := range inputs {
			w := s.with(input)
			_, saw := engine(t, w.page(), surface)
			saws = append(saws, saw)
			places := []int{len(w.content)}
			rest := w.content + w.after
			for i := len(rest); i >= 0 && len(places) < maxCuts && s.content == "%s"; i-- {
				if i != len(w.content) && (i == len(rest) || i == 0 || rest[i] == '<' || rest[i-1] == '>') {
					places = append(places, i)
				}
			}
			one := comparison{Page: w.page(), Operation: rewrite.Inner, HTML: fragment}
			for _, i := range places {
				one.Outs = append(one.Outs, w.before+fragment+rest[i:])
			}
			all = append(all, one)
		}
		var marks [][]int
		for batch := range batches(all, func(c comparison) int { return 1000 + len(c.Page) }) {
			var pages []string
			for _, one := range batch {
				pages = append(pages, one.Page)
			}
			marks = append(marks, call[[][]int](t, c, "marks", pages)...)
		}
		for i, found := range c.compare(t, all) {
			row.regions++
			if slices.Min(marks[i]) == 0 {
				row.absent++
				continue
			}
			swapped := saws[i].State == rewrite.Swappable
			if swapped {
				row.made++
			}
			if found[0] == nil {
				row.own++
			}
			if slices.Contains(found, nil) {
				row.any++
				if why := saws[i].Reason; !swapped {
					row.reasons[why]++
					row.examples[why] = append(row.examples[why], all[i].Page)
				}
			}
		}
	}
	t.Logf("of the regions in the tree could be swapped\n%s",
		table("setting\tregions\tnot in tree\tat best %\tat the end tag written %\tswapped %\tleft though possible", rows...))
	for _, r := range rows[1:3] {
		for why, pages := range r.(*reached).examples {
			for i := 0; i < len(pages); i += max(1, len(pages)/12) {
				t.Logf("%s, %s: %q", r.(*reached).name, why, pages[i])
			}
		}
	}
}
