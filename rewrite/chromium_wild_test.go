package rewrite_test

import (
	"fmt"
	"testing"

	"github.com/seed14307185/refract/rewrite"
)

// wild holds wild pages against Chromium.
func (c *chromium) wild(t *testing.T) {
	counts := map[rewrite.Operation]*tally{}
	whole := &tally{name: "all", reasons: map[rewrite.Reason]int{}}
	var rows []fmt.Stringer
	made, failed := 0, 0
	var trials []trial
	pages := sampled(uint64(500), 2000, 20000)
	for i := range pages {
		page, surface := wildPage(i)
		count := counts[surface.Operation]
		if count == nil {
			count = &tally{name: string(surface.Operation), reasons: map[rewrite.Reason]int{}}
			counts[surface.Operation] = count
			rows = append(rows, count)
		}
		if trials = append(trials, trial{tally: count, page: page, surface: surface}); len(trials) < 2000 && i < pages-1 {
			continue
		}
		n, wrong := c.judge(t, trials, engine)
		made += n
		for _, w := range wrong {
			if failed++; failed <= 10 {
				t.Errorf("wrong splice: %s", w)
			}
		}
		trials = trials[:0]
	}
	for _, r := range rows {
		whole.add(r.(*tally))
	}
	t.Logf("-seed %d: %d comparisons in Chromium %s, %d wrong splices\n%s", seed(), made, c.version, failed,
		table("operation\tregions\tswapped\tmissing\toverlooked\tleft alone %\tby reason %", append(rows, whole)...))
}
