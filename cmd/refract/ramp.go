package main

import (
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

// atStage is the set with each rule at the step of its ramp that its run is at.
func atStage(set *rules.Set, standings map[string]store.Standing) *rules.Set {
	return set.Staged(func(r *rules.Rule) (share, treatment float64) {
		if s := standings[r.Name]; s.Run.Version == r.Version && s.Run.Stage.Step > 0 {
			return s.Run.Stage.Share, s.Run.Stage.Treatment
		}
		return r.Rollout.Share, r.Rollout.Treatment
	})
}
