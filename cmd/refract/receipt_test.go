package main

import (
	"testing"
	"time"

	"github.com/seed14307185/refract/proxy"
	"github.com/seed14307185/refract/rewrite"
	"github.com/seed14307185/refract/rules"
)

// A page is one that a rule treated only if that rule's surface is on it, whatever
// another rule did there.
func TestTreatedBy(t *testing.T) {
	e := &edge{now: time.Now}
	x := &proxy.Exchange{Treated: true}
	for name, state := range map[string]rewrite.State{"there": rewrite.Swappable, "missing": rewrite.Missing} {
		x.Decision = append(x.Decision, rules.Placement{Rule: &rules.Rule{Name: name}, Arm: rules.Treatment})
		x.Sightings = append(x.Sightings, rewrite.Sighting{State: state})
	}
	e.countTreated(x)
	if one, none := e.treatedResponses("there"), e.treatedResponses("missing"); one != 1 || none != 0 {
		t.Errorf("%d and %d treated responses, want 1 and 0", one, none)
	}
}
