package outcomes

import (
	"math"

	"github.com/seed14307185/refract/rules"
)

// DefaultKappa is the Kappa of an SRMTest that has none.
const DefaultKappa = 1000

// The anytime p-values below which the sizes of the arms are doubtful, and
// below which nothing may be concluded from them.
const (
	srmWarn    = 0.01
	srmInvalid = 0.001
)

// SRMTest tests that the arms have the sizes that their probabilities say,
// however often anyone looks: a sample ratio mismatch shows that units were
// lost or counted twice in one arm, which makes any comparison void.
//
// It is the Bayes factor of a Dirichlet (for two arms: Beta) prior around the
// stated probability against that probability (Lindon and Malek,
// "Anytime-Valid Inference for Multinomial Count Data"). Over epochs the
// logarithms are added.
type SRMTest struct {
	Kappa float64 // concentration of the prior, in units; 0: DefaultKappa
	// Classes is how many classes of units are tested, of which these are one: by
	// that p is multiplied, so that any of them is found wrong without cause as
	// rarely as a whole (Bonferroni). 0: these are all units.
	Classes int
}

// SRMState is what the sizes of the arms say.
type SRMState string

// The states.
const (
	SRMFine    SRMState = "ok"
	SRMWarn    SRMState = "warn"    // anytime p below 0.01
	SRMInvalid SRMState = "invalid" // anytime p below 0.001: so are the results
)

// SRM is the result of the test of the sample ratio: that of Judge has one for
// each class of browsers too, and State and P are those of the worst of all.
type SRM struct {
	State SRMState `json:"state"`
	LogBF float64  `json:"log_bf"` // ln of the Bayes factor of all units, now
	// P is the anytime p, by the greatest LogBF known: the least of that of all
	// units and of Browsers.
	P        float64             `json:"p"`
	Browser  rules.Browser       `json:"browser,omitempty"` // whose P it is; "": of all units
	Browsers ByBrowser[SRMClass] `json:"browsers,omitzero"` // those that came
}

// SRMClass is the result for one class of units.
type SRMClass struct {
	State SRMState `json:"state"`
	LogBF float64  `json:"log_bf"`
	P     float64  `json:"p"` // times the number of classes
}

// Check tests the N of every epoch.
func (s SRMTest) Check(epochs []Sample) SRM {
	kappa := orDefault(s.Kappa, DefaultKappa)
	var logBF float64
	for _, e := range epochs {
		if !e.randomised() {
			continue
		}
		t, c := float64(e.Treatment.N), float64(e.Control.N)
		a, b := kappa*e.Share, kappa*(1-e.Share)
		logBF += lnGamma(a+t) + lnGamma(b+c) - lnGamma(kappa+t+c) -
			lnGamma(a) - lnGamma(b) + lnGamma(kappa) -
			t*math.Log(e.Share) - c*math.Log1p(-e.Share)
	}
	return srm(logBF, logBF, max(1, s.Classes))
}

// Incomparable says whether an anytime p of the sample ratio makes results
// invalid.
func Incomparable(p float64) bool { return p < srmInvalid }

// srm words the Bayes factor now and the greatest so far, of one of so many
// classes.
func srm(logBF, maxLogBF float64, classes int) SRM {
	s := SRM{State: SRMFine, LogBF: logBF, P: min(1, float64(classes)*AnytimeP(maxLogBF))}
	switch {
	case Incomparable(s.P):
		s.State = SRMInvalid
	case s.P < srmWarn:
		s.State = SRMWarn
	}
	return s
}

func lnGamma(x float64) float64 {
	y, _ := math.Lgamma(x)
	return y
}

// who names the units whose P it is: a clause, empty if they are all.
func (s *SRM) who() string {
	if s.Browser == "" {
		return ""
	}
	return " among units of the browser class " + string(s.Browser)
}
