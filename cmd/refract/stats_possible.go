package main

import (
	"fmt"
	"math"

	"github.com/seed14307185/refract/outcomes"
)

// mostUnits bounds counts of units: what is computed from more would lose digits
// that decide.
const mostUnits = 1e12

// checkTolerate has the bounds of a rule's guardrail.
func checkTolerate(x float64) error {
	if !(x >= 0 && x <= 1) {
		return usageErrorf("--tolerate is %g, but must be a relative increase from 0 to 1, such as 0.1", x)
	}
	return nil
}

func checkUnits(flag string, x float64) error {
	if !(x >= 1 && x <= mostUnits) {
		return usageErrorf("--%s is %g, but must be a number of units, from 1 to %g", flag, x, float64(mostUnits))
	}
	return nil
}

// impossible says why no n units, of which x did the event, can have such sums,
// or "". Values and counts are not negative, and a unit that did not do the event
// has 0. What rounding to 16 digits does is let pass.
func impossible(m outcomes.Moments, ratio bool) string {
	const exact = 1e-9 // relative
	less := func(a, b float64) bool { return a < b-exact*math.Abs(b) }
	n, x := float64(m.N), float64(m.X)
	switch {
	case m.N > mostUnits:
		return fmt.Sprintf("n is more than %g", float64(mostUnits))
	case m.X > m.N:
		return "x is more than n"
	case m.X == 0 && m.Sum > 0:
		return "x is 0, so nobody did the event, but the sum is not 0"
	case less(x*m.Squares, m.Sum*m.Sum):
		return fmt.Sprintf("the sum of squares is at least sum²/x = %.9g, for x units have the sum", m.Sum*m.Sum/x)
	case less(m.Sum*m.Sum, m.Squares):
		return fmt.Sprintf("the sum of squares is at most sum² = %.9g, where one unit has it all", m.Sum*m.Sum)
	case !ratio:
		return ""
	case less(m.Squares, m.Sum) || less(m.PerSquares, m.Per):
		return "the squares of whole numbers come to at least what these do"
	case m.Sum < x:
		return "x units did the event, so that they did it at least x times"
	case less(n*m.PerSquares, m.Per*m.Per):
		return fmt.Sprintf("per-squares is at least per²/n = %.9g, for n units have the sum", m.Per*m.Per/n)
	case less(m.Per*m.Per, m.PerSquares):
		return fmt.Sprintf("per-squares is at most per² = %.9g, where one unit has it all", m.Per*m.Per)
	case less(m.Squares*m.PerSquares, m.Products*m.Products):
		return fmt.Sprintf("products is at most √(squares·per-squares) = %.9g", math.Sqrt(m.Squares*m.PerSquares))
	}
	return ""
}
