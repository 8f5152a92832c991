package outcomes

import (
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
)

// Harm that was seen, and is no more from the tenth day on, is found once the
// windows of enough later units are over; until it is seen again.
func TestGuardrailBecomesBlind(t *testing.T) {
	r := testRules()[0]
	r.Guardrail.Baseline, r.Guardrail.Tolerate = .1, 5
	tally := startedTally()
	day := func(d, harmed int) {
		for i := range 50 {
			arm := rules.Treatment
			if i%2 == 1 {
				arm = rules.Control
			}
			at := time.UnixMilli(tally.Started).Add(time.Duration(d)*24*time.Hour + time.Hour)
			n, _ := Enrol(tally, nil, &rules.Exposure{Arm: arm, Treatment: .5, At: at})
			if i < harmed {
				Observe(tally, &n, r, &events.Event{Kind: events.Track, Name: r.Guardrail.Event, Time: at.Add(time.Hour), Received: at.Add(time.Hour)})
			}
			Close(tally, &n, r, at.Add(100*24*time.Hour).UnixMilli())
		}
	}
	for d := range 20 {
		harmed := 6
		if d >= 10 {
			harmed = 0
		}
		day(d, harmed)
		v := Judge(tally, r)
		if want := d >= 13; v.Blind != want || strings.Contains(v.Sentence(r), "is blind") != want { // 4 days of 50 units of which 10 % are to be harmed
			t.Fatalf("on day %d, blind is %v: %s", d, v.Blind, v.Sentence(r))
		}
	}
	if v := Judge(tally, r); v.Guardrail != Cleared {
		t.Errorf("what was known before is %s", v.Guardrail)
	}
	day(20, 1)
	if v := Judge(tally, r); v.Blind {
		t.Error("harm is seen again, and it is blind all the same")
	}
}

// The days of a run that an earlier release began are not kept from its
// beginning: who was harmed by then would seem not to be.
func TestBlindOfAnEarlierRelease(t *testing.T) {
	r := testRules()[0]
	r.Guardrail.Baseline = .1
	tally := startedTally()
	at := time.UnixMilli(tally.Started).Add(time.Hour)
	list := make([]Enrolment, 500)
	for i := range list {
		list[i], _ = Enrol(tally, nil, &rules.Exposure{Arm: []rules.Arm{rules.Treatment, rules.Control}[i%2], Treatment: .5, At: at})
		Observe(tally, &list[i], r, &events.Event{Kind: events.Track, Name: r.Guardrail.Event, Time: at.Add(time.Hour), Received: at.Add(time.Hour)})
	}
	tally.Watched = nil
	for i := range list {
		Close(tally, &list[i], r, at.Add(100*24*time.Hour).UnixMilli())
	}
	if v := Judge(tally, r); v.Blind {
		t.Errorf("each of %d units was harmed, and it is blind: %+v", len(list), tally.Watched)
	}
}
