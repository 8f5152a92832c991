package outcomes

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/rules"
)

// browserAt is the browser of whatever is exposed at a time: in the tests ids
// that turn out to be one person's don't meet with two at once.
func browserAt(at int64) rules.Browser {
	i := at / unit % int64(len(rules.Browsers)+1)
	return append([]rules.Browser{""}, rules.Browsers[:]...)[i]
}

// enrolled returns a tally of so many units of each class, in treatment and
// control.
func enrolled(classes map[rules.Browser][2]int) *Tally {
	t := NewTally()
	for b, arms := range classes {
		for i, arm := range []rules.Arm{rules.Treatment, rules.Control} {
			for range arms[i] {
				Enrol(t, nil, &rules.Exposure{Arm: arm, Treatment: .5, At: time.UnixMilli(1), Browser: b})
			}
		}
	}
	return t
}

// One class is wrong, and all together look right: the result is as invalid as
// if the whole were, and says of which class.
func TestSampleRatioByBrowser(t *testing.T) {
	r := testRule()
	fine := map[rules.Browser][2]int{rules.Chromium: {1050, 950}, rules.Firefox: {190, 210}, rules.Safari: {600, 640}, "": {30, 30}}
	v := Judge(enrolled(fine), r)
	if v.SRM.State != SRMFine || v.SRM.Browsers.Chromium.State != SRMFine || v.SRM.Browsers.App != (SRMClass{}) {
		t.Errorf("all is well: %+v", v.SRM)
	}

	broken := map[rules.Browser][2]int{rules.Chromium: {1050, 900}, rules.Firefox: {20, 210}, rules.Safari: {640, 600}}
	tally := enrolled(broken)
	v = Judge(tally, r)
	whole, class := SRMTest{}.Check([]Sample{{.5, Proportion{N: 1710}, Proportion{N: 1710}}}), SRMTest{Classes: 5}.Check([]Sample{{.5, Proportion{N: 20}, Proportion{N: 210}}})
	if whole.State != SRMFine || v.SRM.LogBF != whole.LogBF {
		t.Errorf("the whole is %+v, want %+v", v.SRM, whole)
	}
	if f := v.SRM.Browsers.Firefox; v.SRM.State != SRMInvalid || v.SRM.Browser != rules.Firefox || v.SRM.P != f.P || f != (SRMClass{class.State, class.LogBF, class.P}) {
		t.Errorf("firefox is %+v, want %+v, of %+v", f, class, v.SRM)
	}
	if want := 5 * math.Exp(-class.LogBF); math.Abs(class.P/want-1) > 1e-12 {
		t.Errorf("p is %g, want %g", class.P, want)
	}
	if s := v.Sentence(r); !strings.Contains(s, "The results are invalid: the sizes of the arms do not fit the probability of treatment among units of the browser class firefox (sample ratio") {
		t.Error(s)
	}
	if v.Answer(r) != Invalid || v.Guardrail == Cleared {
		t.Errorf("%s, %+v", v.Answer(r), v)
	}

	// It latches, also over a restart.
	b, err := json.Marshal(tally)
	if err != nil {
		t.Fatal(err)
	}
	again := NewTally()
	if err := json.Unmarshal(b, again); err != nil || !reflect.DeepEqual(again, tally) {
		t.Fatalf("%s was read as %+v, %v", b, again, err)
	}
	again.Epochs[0].TreatmentArm.Browsers.Firefox = 210
	if v := Judge(again, r); v.SRM.State != SRMInvalid || v.SRM.Browser != rules.Firefox {
		t.Errorf("it does not latch: %+v", v.SRM)
	}

	// A class that is only doubtful is not hidden by the others, nor the whole by a
	// class.
	if v := Judge(enrolled(map[rules.Browser][2]int{rules.Chromium: {1000, 1000}, rules.App: {66, 195}}), r); v.SRM.State != SRMWarn || v.SRM.Browser != rules.App || !strings.Contains(v.Sentence(r), "of the browser class app") {
		t.Errorf("doubtful: %+v: %s", v.SRM, v.Sentence(r))
	}
	if v := Judge(enrolled(map[rules.Browser][2]int{rules.Chromium: {800, 1200}, rules.Safari: {800, 1200}}), r); v.SRM.State != SRMInvalid || v.SRM.Browser != "" || strings.Contains(v.Sentence(r), "browser class") {
		t.Errorf("the whole: %+v: %s", v.SRM, v.Sentence(r))
	}
}

// A person with two ids is of the browser of the earlier exposure, in any order
// of ids, and of none once they saw both arms.
func TestBrowserOfTwoIds(t *testing.T) {
	r := testRule()
	for _, at := range []int64{9, 5} { // of the second id; the first: 5
		tally := NewTally()
		enrol := func(at int64, b rules.Browser) Enrolment {
			n, _ := Enrol(tally, nil, &rules.Exposure{Arm: rules.Treatment, Treatment: .5, At: time.UnixMilli(at), Browser: b})
			return n
		}
		first, second := enrol(5, rules.Chromium), enrol(at, rules.Safari)
		one, other := *tally, tally.Clone()
		a, b := Merge(&one, &first, &second, r), Merge(&other, &second, &first, r)
		if a.Browser != rules.Chromium || a != b || !reflect.DeepEqual(one.Epochs, other.Epochs) || one.Epochs[0].TreatmentArm.Browsers != (ByBrowser[int64]{Chromium: 1}) {
			t.Errorf("exposed at 5 and %d: %+v and %+v, of %+v", at, a, b, one.Epochs)
		}
		n, _ := Enrol(&one, &a, &rules.Exposure{Arm: rules.Control, Treatment: .5, At: time.UnixMilli(20), Browser: rules.App})
		if !n.Mixed || n.Browser != "" || len(one.Epochs) != 0 {
			t.Errorf("saw both arms: %+v of %+v", n, one)
		}
	}
}

// falseClasses returns in how many of the runs the sample ratio is invalid at some
// look although the arms are as they were drawn, of all units or of any class.
func falseClasses(runs, units, every int) (invalid int) {
	r := testRule()
	for run := range runs {
		rnd := rand.New(rand.NewPCG(53, uint64(run)))
		t := &Tally{Epochs: []Epoch{{Treatment: .5}}}
		for i := 1; i <= units; i++ {
			arm := &t.Epochs[0].ControlArm
			if rnd.IntN(2) == 0 {
				arm = &t.Epochs[0].TreatmentArm
			}
			arm.Exposed++
			// Two in three come with Chromium, one in 81 with an app.
			class := 0
			for class < len(rules.Browsers)-1 && rnd.IntN(3) == 0 {
				class++
			}
			*arm.Browsers.Of(rules.Browsers[class])++
			if i%every == 0 && Judge(t, r).SRM.State == SRMInvalid {
				invalid++
				break
			}
		}
	}
	return invalid
}

// Looked at six ways, the sample ratio is called invalid without cause in at most
// 0.2 %: 0.1 % as a whole, and as much for all classes together.
func TestFalseClasses(t *testing.T) {
	const runs = 500
	if n := falseClasses(runs, 6000, 50); float64(n) > .002*runs+2*math.Sqrt(.002*runs) {
		t.Errorf("%d of %d sample ratios are invalid without cause", n, runs)
	}
}
