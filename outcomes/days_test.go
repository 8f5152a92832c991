package outcomes

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
)

// weekly is a tally with one unit of each of the given weeks, all of them over.
func weekly(started int64, weeks ...int64) *Tally {
	r, t := testRule(), NewTally()
	t.Started = started
	for _, w := range weeks {
		n, _ := Enrol(t, nil, &rules.Exposure{Arm: rules.Control, Treatment: .5, At: time.UnixMilli(started + w*weekMillis + 1)})
		Close(t, &n, r, n.At+guardrailWindow)
	}
	return t
}

// What comes late in a run, or after a unit's exposure, is kept in the last
// week or day: a tally has an end, however long a rule runs.
func TestDaysAndWeeksAreBounded(t *testing.T) {
	r := testRule()
	r.Guardrail.Within = 90 * 24 * time.Hour
	tally := weekly(1000, -3, 0, 1, 51, 52, 400)
	var weeks []int
	for _, w := range tally.Weeks {
		weeks = append(weeks, w.Week)
	}
	if want := []int{0, 1, 51}; !reflect.DeepEqual(weeks, want) {
		t.Errorf("weeks %v, want %v", weeks, want)
	}
	if c := tally.Weeks[2].ControlArm; c.Matured != 3 {
		t.Errorf("the last week has %+v", c)
	}
	n, _ := Enrol(tally, nil, &rules.Exposure{Arm: rules.Treatment, Treatment: .5, At: time.UnixMilli(1000)})
	Observe(tally, &n, r, &events.Event{Kind: events.Track, Name: "Abandoned", Time: time.UnixMilli(1000 + 80*dayMillis)})
	if len(tally.Days) != 30 || tally.Days[29].TreatmentArm.Harmed != 1 {
		t.Errorf("80 days after the exposure: %+v", tally.Days)
	}
}

// A part is not shown for the whole: neither of a run that an earlier release
// began, nor of a sum some of whose parts don't know their days.
func TestDaysOfAPartAreNotShown(t *testing.T) {
	old := NewTally()
	if err := json.Unmarshal([]byte(`{"epochs":[{"treatment":0.5,"treatment_arm":{"exposed":1,"converted":1,"matured":1,"matured_converted":1},"control_arm":{}}],"mixed":0}`), old); err != nil {
		t.Fatal(err)
	}
	n, _ := Enrol(old, nil, &rules.Exposure{Arm: rules.Control, Treatment: .5, At: time.UnixMilli(1000)})
	Close(old, &n, testRule(), 1000+guardrailWindow)
	if old.Days != nil || old.Weeks != nil || old.Latest != 0 || old.Epochs[0].ControlArm.Matured != 1 {
		t.Errorf("a run of an earlier release: %+v", old)
	}
	for name, c := range map[string]struct {
		other *Tally
		weeks int
	}{
		"the same start": {weekly(1000, 1, 2), 3},
		"another start":  {weekly(2000, 1, 2), 0},
		"no start":       {old, 0},
		"nobody yet":     {NewTally(), 2},
	} {
		sum := NewTally()
		sum.Add(weekly(1000, 0, 1))
		sum.Add(c.other)
		if len(sum.Weeks) != c.weeks || (sum.Started != 0) != (c.weeks > 0) {
			t.Errorf("%s: %+v", name, sum)
		}
	}
}

// A snapshot stays what it was while the fold goes on.
func TestCloneSharesNothing(t *testing.T) {
	tally := weekly(1000, 0, 1)
	n, _ := Enrol(tally, nil, &rules.Exposure{Arm: rules.Control, Treatment: .5, At: time.UnixMilli(1000)})
	Observe(tally, &n, testRule(), &events.Event{Kind: events.Track, Name: "Abandoned", Time: time.UnixMilli(1001)})
	clone := tally.Clone()
	was, err := json.Marshal(clone)
	if err != nil {
		t.Fatal(err)
	}
	m, _ := Enrol(tally, nil, &rules.Exposure{Arm: rules.Control, Treatment: .5, At: time.UnixMilli(1000)})
	Observe(tally, &m, testRule(), &events.Event{Kind: events.Track, Name: "Abandoned", Time: time.UnixMilli(1001)})
	Close(tally, &m, testRule(), 1000+guardrailWindow)
	if now, err := json.Marshal(clone); err != nil || string(now) != string(was) {
		t.Errorf("was %s, is %s, %v", was, now, err)
	}
	var read Tally
	if err := json.Unmarshal(was, &read); err != nil || !reflect.DeepEqual(read, clone) {
		t.Errorf("%s was read as %+v, %v", was, read, err)
	}
}
