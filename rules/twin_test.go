package rules

import (
	"testing"

	"github.com/seed14307185/refract/segments"
)

// A twin is decided for whatever the rule lacks, and whoever is held out.
func TestTwinIsDecidedFor(t *testing.T) {
	s := load(t, site(t, deciding))
	rule := *s.Rules[0]
	rule.approved = ending{never: true}
	twin := rule.Twin(noon)
	some := false
	for share := 0.0; share <= 0.5; share += 0.05 {
		held := *s
		held.Edge.Holdout = share
		some = some || held.HeldOut(segments.Unit{Who: segments.Visitor, ID: "drill"})
		with := held.WithTwin(twin)
		if d := with.Decide(TwinPath, with.TwinSubject(twin), noon); len(d) != 1 || d[0].Rule != twin {
			t.Errorf("with a holdout of %v: %+v", share, d)
		}
		visitor := with.TwinSubject(twin)
		visitor.rehearses = false
		if d := with.Decide(TwinPath, visitor, noon); len(d) > 0 && d[0].Rule == twin || with.Touches(TwinPath) != held.Touches(TwinPath) {
			t.Errorf("a visitor who asks for the twin's path gets %+v", d)
		}
	}
	if !some {
		t.Error("the usual id is in none of these holdouts, so nothing was tried")
	}
}
