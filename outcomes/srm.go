package outcomes

import "math"

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
}

// SRMState is what the sizes of the arms say.
type SRMState string

// The states.
const (
	SRMFine    SRMState = "ok"
	SRMWarn    SRMState = "warn"    // anytime p below 0.01
	SRMInvalid SRMState = "invalid" // anytime p below 0.001: so are the results
)

// SRM is the result of the test of the sample ratio.
type SRM struct {
	State SRMState `json:"state"`
	LogBF float64  `json:"log_bf"` // ln of the Bayes factor, now
	P     float64  `json:"p"`      // anytime p: by the greatest LogBF known
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
	return srm(logBF, logBF)
}

// Incomparable says whether an anytime p of the sample ratio makes results
// invalid.
func Incomparable(p float64) bool { return p < srmInvalid }

// srm words the Bayes factor now and the greatest so far.
func srm(logBF, maxLogBF float64) SRM {
	s := SRM{State: SRMFine, LogBF: logBF, P: AnytimeP(maxLogBF)}
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
