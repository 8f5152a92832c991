package store

import (
	"testing"
	"time"

	"github.com/seed14307185/refract/rules"
)

// TestWeeksOfADraft: a rule that was a draft for a month has its first week from
// when it is live, or there would be nobody of the first week to compare with.
func TestWeeksOfADraft(t *testing.T) {
	c := &clock{t: epoch}
	s := open(t, t.TempDir(), c, nil)
	defer closed(t, s)
	set := func(state rules.State, revision string) {
		edited := *loadSite(t)
		rule := *edited.Rule(invite)
		rule.State, rule.Version = state, "0123456789ab"
		edited.Rules, edited.Revision = []*rules.Rule{&rule}, revision
		use(t, s, &edited)
	}
	set(rules.Draft, "a draft")
	drafted, _ := s.Standing(invite)
	c.set(epoch.Add(30 * 24 * time.Hour))
	set(rules.Live, "live")
	live, _ := s.Standing(invite)
	if live.Run.ID != drafted.Run.ID || !live.Run.Live.Equal(c.now().UTC()) || live.Tally.Started != c.now().UnixMilli() {
		t.Errorf("live from %s on, the run that began %s has its weeks from %s",
			live.Run.Live, live.Run.Started, time.UnixMilli(live.Tally.Started).UTC())
	}
}
