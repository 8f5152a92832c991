package main

import (
	"fmt"
	"strings"

	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

// manyLaunches is from which launch under one name on a load warns. Four times an
// alpha of 5 % is a false stop in up to one of five rules that do no harm.
const manyLaunches = 4

// relaunched says which live rules were launched many times, and what that costs.
func relaunched(set *rules.Set, standings map[string]store.Standing) (list []string) {
	for _, r := range set.Live() {
		run := standings[r.Name].Run
		if run.Launches < manyLaunches || run.Stop != nil {
			continue
		}
		list = append(list, fmt.Sprintf("rules/%s.yaml: it was launched %d times under this name: without any harm, "+
			"it is stopped in one of them by chance with a probability of up to %.3g %%\nhint: take what the runs before found for the answer, or lower guardrail.alpha",
			r.Name, run.Launches, 100*min(1, run.AlphaSpent)))
	}
	return list
}

// warnOfLaunches puts into the log which live rules were launched many times.
func (e *edge) warnOfLaunches() {
	for _, w := range relaunched(e.set(), e.store.Standings()) {
		e.log.Warn("launches: " + strings.ReplaceAll(w, "\n", " "))
	}
}
