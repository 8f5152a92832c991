package outcomes

import (
	"cmp"
	"math"
	"slices"
)

// Discoveries says which of several effects, looked at together, are there: of
// those that it says are, at most a share of alpha is not, on average, however
// often anyone looks and whatever the effects have to do with each other. logE
// are the logarithms of the evidence against no effect, each as it is now and
// not at its greatest.
//
// It is the e-BH procedure (Wang and Ramdas, "False discovery rate control with
// e-values"): with the evidence in descending order, the first k effects for
// the largest k at which E of the k-th is at least n/(alpha·k).
func Discoveries(logE []float64, alpha float64) []bool {
	n := len(logE)
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(logE[b], logE[a]) })
	found := make([]bool, n)
	for k := n; k > 0; k-- {
		if logE[order[k-1]] >= math.Log(float64(n)/(alpha*float64(k))) {
			for _, i := range order[:k] {
				found[i] = true
			}
			break
		}
	}
	return found
}
