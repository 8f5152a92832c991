package console

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
)

// Recompute returns the commands that come from the tally's counts to the
// figures of its verdict as they are now, to the last digit: the guardrail's
// evidence, the change of harm, the change of the metric, and the sample ratio,
// in that order. Of a rule that nobody reached there are none.
func Recompute(t *outcomes.Tally, r *rules.Rule) []string {
	if len(t.Epochs) == 0 {
		return nil
	}
	g := r.Guardrail
	judged := []string{"--tolerate", figure(g.Tolerate)}
	if g.Baseline > 0 {
		judged = append(judged, "--baseline", figure(g.Baseline))
	}
	judged = append(judged, "--alpha", figure(g.Alpha))
	return []string{
		statsCommand(t, "guardrail", func(c *outcomes.Counts) string { return of(c.Harmed, c.Settled) }, judged...),
		statsCommand(t, "lift", func(c *outcomes.Counts) string { return of(c.ClosedHarmed, c.Closed) }, "--alpha", figure(g.Alpha)),
		liftCommand(t, &r.Metric),
		statsCommand(t, "srm", func(c *outcomes.Counts) string { return strconv.FormatInt(c.Exposed, 10) }),
	}
}

// liftCommand words the command for the change of the metric.
func liftCommand(t *outcomes.Tally, m *rules.Metric) string {
	switch {
	case m.Value != "":
		return statsCommand(t, "lift --mean", func(c *outcomes.Counts) string {
			return fmt.Sprintf("n=%d,x=%d,sum=%s,squares=%s", c.Matured, c.MaturedConverted, c.Sums.Sum.Decimal(6), c.Sums.Squares.Decimal(12))
		})
	case m.Per != "":
		return statsCommand(t, "lift --ratio", func(c *outcomes.Counts) string {
			s := &c.Sums
			return fmt.Sprintf("n=%d,x=%d,sum=%s,squares=%s,per=%s,per-squares=%s,products=%s",
				c.Matured, c.MaturedConverted, s.Sum, s.Squares, s.Per, s.PerSquares, s.Products)
		})
	}
	return statsCommand(t, "lift", func(c *outcomes.Counts) string { return of(c.MaturedConverted, c.Matured) })
}

// statsCommand words a command with a tally's epochs.
func statsCommand(t *outcomes.Tally, statistic string, arm func(*outcomes.Counts) string, more ...string) string {
	words := []string{"refract stats", statistic}
	for i := range t.Epochs {
		e := &t.Epochs[i]
		words = append(words, "--treatment", arm(&e.TreatmentArm), "--control", arm(&e.ControlArm), "--share", figure(e.Treatment))
	}
	return strings.Join(append(words, more...), " ")
}

func of(x, n int64) string { return fmt.Sprintf("%d/%d", x, n) }

// figure is the shortest text that is read as the same number.
func figure(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
