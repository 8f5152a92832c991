package rewrite_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed14307185/refract/rewrite"
)

// soup holds tag soup against Chromium: one of its marked elements is changed,
// the operations take turns.
func (c *chromium) soup(t *testing.T) {
	pages := sampled(uint64(500), 1500, 20000)
	counts := map[rewrite.Operation]*tally{}
	whole := &tally{name: "all", reasons: map[rewrite.Reason]int{}}
	var (
		trials []trial
		rows   []fmt.Stringer
	)
	for i := range pages {
		s, page := soupPage(i)
		marked := marks.FindAllStringIndex(page, -1)
		if len(marked) == 0 {
			continue
		}
		one := marked[s.IntN(len(marked))]
		page = strings.ReplaceAll(page[:one[0]], " data-surface=x", "") + page[one[0]:one[1]] + strings.ReplaceAll(page[one[1]:], " data-surface=x", "")
		surface := rewrite.Surface{Name: "x", Operation: chromiumOperations[i%uint64(len(chromiumOperations))]}
		switch surface.Operation {
		case rewrite.Attr:
			surface.Attributes = chromiumAttributes
		case rewrite.Remove:
		case rewrite.Text:
			surface.HTML = []byte(s.pick(chromiumTexts))
		default:
			surface.HTML = []byte(s.pick(chromiumFragments))
		}
		count := counts[surface.Operation]
		if count == nil {
			count = &tally{name: string(surface.Operation), reasons: map[rewrite.Reason]int{}}
			counts[surface.Operation] = count
			rows = append(rows, count)
		}
		trials = append(trials, trial{tally: count, page: page, surface: surface})
	}
	made, wrong := c.judge(t, trials, engine)
	for _, r := range rows {
		whole.add(r.(*tally))
	}
	for _, w := range wrong[:min(len(wrong), 10)] {
		t.Errorf("wrong splice: %s", w)
	}
	t.Logf("-seed %d: %d comparisons in Chromium %s, %d wrong splices\n%s", seed(), made, c.version, len(wrong),
		table("operation\tregions\tswapped\tmissing\toverlooked\tleft alone %\tby reason %", append(rows, whole)...))
}
