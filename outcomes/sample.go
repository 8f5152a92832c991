package outcomes

import "math"

// DefaultAlpha is the error rate of a test whose Alpha is 0.
const DefaultAlpha = 0.05

// Proportion is X of N units.
type Proportion struct{ X, N int64 }

// Sample is one epoch as the tests see it. One whose Share is not in (0, 1)
// bears no evidence and is left out: no unit had a choice of arms.
type Sample struct {
	Share              float64 // the probability of treatment
	Treatment, Control Proportion
}

func (s Sample) randomised() bool { return s.Share > 0 && s.Share < 1 }

// AnytimeP returns the anytime-valid p-value that the logarithm of the
// greatest e-value so far stands for: min(1, 1/E).
func AnytimeP(maxLogE float64) float64 { return min(1, math.Exp(-maxLogE)) }

func orDefault(v, fallback float64) float64 {
	if v == 0 {
		return fallback
	}
	return v
}
