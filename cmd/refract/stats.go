package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/seed14307185/refract/outcomes"
)

// newStatsCommand returns "refract stats": the statistics that judge rules, as
// a calculator, so that anyone can check a verdict from its counts.
func newStatsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "The statistics as a calculator",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageErrorf("there is no statistic %q: it is guardrail, factors, lift or srm", args[0])
			}
			return usageErrorf("which statistic: guardrail, factors, lift or srm?")
		},
		RunE: func(*cobra.Command, []string) error { return nil }, // cobra checks Args only of what runs
	}
	cmd.AddCommand(newStatsGuardrailCommand(), newStatsFactorsCommand(), newStatsLiftCommand(), newStatsSRMCommand())
	return cmd
}

func newStatsGuardrailCommand() *cobra.Command {
	var arms armFlags
	var tolerate, baseline, alpha, planned float64
	cmd := &cobra.Command{
		Use:     "guardrail --treatment x/n --control x/n",
		Short:   "Whether harm rose by more than tolerated",
		Example: "  refract stats guardrail --treatment 130/1000 --control 80/1000 --tolerate 0.1 --baseline 0.08",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			samples, err := arms.samples(parseProportion)
			if err = cmp.Or(err, checkTolerate(tolerate), checkUnits("planned", planned)); err != nil {
				return err
			}
			switch {
			case cmd.Flags().Changed("baseline") && !inside(baseline):
				return usageErrorf("--baseline is %g, but must be a rate between 0 and 1, such as 0.08", baseline)
			case !inside(alpha):
				return usageErrorf("--alpha is %g, but must be between 0 and 1", alpha)
			}
			g := outcomes.GuardrailTest{Tolerate: tolerate, Baseline: baseline, Alpha: alpha}
			logE := g.LogE(samples)
			harm := outcomes.LiftTest{Alpha: alpha, Planned: planned}.Estimate(samples)
			state := g.State(logE, harm)
			decision := "continue"
			if state == outcomes.Breached {
				decision = "roll back"
			}
			return arms.print(cmd.OutOrStdout(), []figure{
				{"log_e", "ln E", logE},
				{"threshold", "roll back at ln E", g.Threshold()},
				{"p", "anytime p", outcomes.AnytimeP(logE)},
				{"state", "guardrail", state},
				{"decision", "decision", decision},
			})
		},
	}
	arms.add(cmd, "harmed of settled units, x/n")
	cmd.Flags().Float64Var(&tolerate, "tolerate", .1, "relative increase of harm that is tolerated")
	cmd.Flags().Float64Var(&baseline, "baseline", 0, "declared harm rate in control (default: not declared)")
	cmd.Flags().Float64Var(&alpha, "alpha", outcomes.DefaultAlpha, "rate of false rollbacks accepted")
	cmd.Flags().Float64Var(&planned, "planned", outcomes.DefaultPlanned, "units for which the interval that clears is narrowest")
	return cmd
}

// newStatsFactorsCommand returns "refract stats factors": the bets of which the
// guardrail's evidence is an average, so that it can be multiplied by hand.
func newStatsFactorsCommand() *cobra.Command {
	var tolerate, baseline, share float64
	cmd := &cobra.Command{
		Use:     "factors",
		Short:   "What each unit multiplies the guardrail's bets by",
		Example: "  refract stats factors --tolerate 0 --baseline 0.08",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkTolerate(tolerate); err != nil {
				return err
			}
			switch {
			case cmd.Flags().Changed("baseline") && !inside(baseline):
				return usageErrorf("--baseline is %g, but must be a rate between 0 and 1, such as 0.08", baseline)
			case !inside(share):
				return usageErrorf("--share is %g, but must be between 0 and 1", share)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "ratio\tbaseline\ttreatment, harm\ttreatment, ok\tcontrol, harm\tcontrol, ok")
			for _, b := range (outcomes.GuardrailTest{Tolerate: tolerate, Baseline: baseline}).Bets(share) {
				at := "none"
				if b.Baseline != 0 {
					at = fmt.Sprint(b.Baseline)
				}
				fmt.Fprintf(w, "%.6g\t%s\t%.9f\t%.9f\t%.9f\t%.9f\n", b.Ratio, at, b.TreatmentHarm, b.TreatmentOK, b.ControlHarm, b.ControlOK)
			}
			return w.Flush()
		},
	}
	cmd.Flags().Float64Var(&tolerate, "tolerate", .1, "relative increase of harm that is tolerated")
	cmd.Flags().Float64Var(&baseline, "baseline", 0, "declared harm rate in control (default: not declared)")
	cmd.Flags().Float64Var(&share, "share", .5, "probability of treatment")
	return cmd
}

func newStatsLiftCommand() *cobra.Command {
	var arms armFlags
	var alpha, planned float64
	var mean, ratio bool
	cmd := &cobra.Command{
		Use:   "lift --treatment x/n --control x/n",
		Short: "How much a metric changed, with an interval that holds at every look",
		Example: "  refract stats lift --treatment 260/2000 --control 200/2000\n" +
			"  refract stats lift --mean --treatment " + meanForm + " --control n=960,x=203,sum=4100,squares=150000",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case mean && ratio:
				return usageErrorf("a metric is a mean or a ratio, not both")
			case !inside(alpha):
				return usageErrorf("--alpha is %g, but must be between 0 and 1", alpha)
			}
			if err := checkUnits("planned", planned); err != nil {
				return err
			}
			l, err := arms.lift(outcomes.LiftTest{Alpha: alpha, Planned: planned}, mean, ratio)
			if err != nil {
				return err
			}
			if l.Collecting {
				figures := []figure{
					{"p", "anytime p", l.P},
					{"decision", "decision", "collecting"},
				}
				if samples, err := arms.samples(parseProportion); err == nil {
					if few, ok := (outcomes.LiftTest{Alpha: alpha}).Few(samples); ok {
						figures = append(figures, figure{"few_low", "low by successes", few.Low}, figure{"few_high", "high by successes", few.High})
					}
				}
				return arms.print(cmd.OutOrStdout(), figures)
			}
			decision := "not known yet"
			switch {
			case l.Low > 0:
				decision = "increase"
			case l.High < 0:
				decision = "decrease"
			}
			return arms.print(cmd.OutOrStdout(), []figure{
				{"lift", "lift", l.Change},
				{"low", "low", l.Low},
				{"high", "high", l.High},
				{"log_e", "ln E", l.LogE},
				{"p", "anytime p", l.P},
				{"decision", "decision", decision},
			})
		},
	}
	arms.add(cmd, "converted of matured units, x/n")
	cmd.Flags().BoolVar(&mean, "mean", false, "of a value per unit: each arm is "+meanForm+" with x the units that did it, and sums over units of the value and its square")
	cmd.Flags().BoolVar(&ratio, "ratio", false, "of two events: each arm is "+ratioForm+" with sums over units of how often each did both, their squares and products")
	cmd.Flags().Float64Var(&alpha, "alpha", outcomes.DefaultAlpha, "error rate of the interval, over all looks")
	cmd.Flags().Float64Var(&planned, "planned", outcomes.DefaultPlanned, "units for which the interval is narrowest")
	return cmd
}

func newStatsSRMCommand() *cobra.Command {
	var arms armFlags
	var kappa float64
	var classes int
	cmd := &cobra.Command{
		Use:     "srm --treatment n --control n",
		Short:   "Whether the arms have the sizes they should",
		Example: "  refract stats srm --treatment 5150 --control 4850 --share 0.5",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			samples, err := arms.samples(parseUnits)
			if err = cmp.Or(err, checkUnits("kappa", kappa)); err != nil {
				return err
			}
			if classes < 1 {
				return usageErrorf("--classes is %d, but must be a number of classes, from 1", classes)
			}
			s := outcomes.SRMTest{Kappa: kappa, Classes: classes}.Check(samples)
			return arms.print(cmd.OutOrStdout(), []figure{
				{"log_bf", "ln BF", s.LogBF},
				{"p", "anytime p", s.P},
				{"decision", "decision", s.State},
			})
		},
	}
	arms.add(cmd, "exposed units, n (or x/n)")
	cmd.Flags().Float64Var(&kappa, "kappa", outcomes.DefaultKappa, "concentration of the prior, in units")
	cmd.Flags().IntVar(&classes, "classes", 1, "of how many classes of units these are one: p is multiplied by it (Bonferroni)")
	return cmd
}

// armFlags are the flags that the three statistics share. Each may be given
// several times: once for each epoch, in the same order.
type armFlags struct {
	treatment, control []string
	share              []float64
	json               bool
}

func (f *armFlags) add(cmd *cobra.Command, counts string) {
	cmd.Flags().StringArrayVar(&f.treatment, "treatment", nil, "treatment: "+counts+"; once for each epoch")
	cmd.Flags().StringArrayVar(&f.control, "control", nil, "control: "+counts+"; once for each epoch")
	cmd.Flags().Float64SliceVar(&f.share, "share", []float64{.5}, "probability of treatment; once for each epoch, or once for all")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
}

// lift estimates the change of a rate, a mean or a ratio.
func (f *armFlags) lift(test outcomes.LiftTest, mean, ratio bool) (outcomes.Lift, error) {
	if mean || ratio {
		samples, err := f.momentSamples(ratio)
		return test.EstimateRatio(samples), err
	}
	samples, err := f.samples(parseProportion)
	return test.Estimate(samples), err
}

// samples returns the epochs, of which there is at least one.
func (f *armFlags) samples(parse func(flag, value string) (outcomes.Proportion, error)) ([]outcomes.Sample, error) {
	var all []outcomes.Sample
	err := f.epochs(func(treatment, control string, share float64) error {
		s := outcomes.Sample{Share: share}
		var err error
		if s.Treatment, err = parse("--treatment", treatment); err != nil {
			return err
		}
		s.Control, err = parse("--control", control)
		all = append(all, s)
		return err
	})
	return all, err
}

// epochs calls each with the arms and the share of every epoch.
func (f *armFlags) epochs(each func(treatment, control string, share float64) error) error {
	n := len(f.treatment)
	if n != len(f.control) {
		return usageErrorf("--treatment is there %d times and --control %d times, but both are needed for each epoch", n, len(f.control))
	}
	if n == 0 {
		return usageErrorf("--treatment and --control are missing")
	}
	if len(f.share) != 1 && len(f.share) != n {
		return usageErrorf("--share is there %d times, but there are %d epochs: it is once for all, or once for each", len(f.share), n)
	}
	for i, treatment := range f.treatment {
		share := f.share[min(i, len(f.share)-1)]
		if !inside(share) {
			return usageErrorf("--share is %g, but must be between 0 and 1", share)
		}
		if err := each(treatment, f.control[i], share); err != nil {
			return err
		}
	}
	return nil
}

// figure is one line of a result.
type figure struct {
	key, label string
	value      any // a float64 or a word
}

func (f *armFlags) print(w io.Writer, figures []figure) error {
	if f.json {
		values := map[string]any{}
		for _, g := range figures {
			values[g.key] = g.value
		}
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(values)
	}
	for _, g := range figures {
		text := fmt.Sprint(g.value)
		if x, ok := g.value.(float64); ok {
			text = nineDigits(x)
		}
		if _, err := fmt.Fprintf(w, "%-18s %s\n", g.label, text); err != nil {
			return err
		}
	}
	return nil
}

// nineDigits prints nine decimals, or nine digits where those would be lost.
func nineDigits(x float64) string {
	if x != 0 && math.Abs(x) < 1e-4 {
		return fmt.Sprintf("%.8e", x)
	}
	return fmt.Sprintf("%.9f", x)
}

// parseProportion parses "x/n".
func parseProportion(flag, s string) (outcomes.Proportion, error) {
	x, n, ok := strings.Cut(s, "/")
	var p outcomes.Proportion
	var err1, err2 error
	p.X, err1 = strconv.ParseInt(x, 10, 64)
	p.N, err2 = strconv.ParseInt(n, 10, 64)
	if !ok || err1 != nil || err2 != nil || p.X < 0 || p.X > p.N || p.N > mostUnits {
		return p, usageErrorf("%s is %q, but must be x of n units, such as 65/500", flag, s)
	}
	return p, nil
}

// parseUnits parses "n", or "x/n".
func parseUnits(flag, s string) (outcomes.Proportion, error) {
	if strings.Contains(s, "/") {
		return parseProportion(flag, s)
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > mostUnits {
		return outcomes.Proportion{}, usageErrorf("%s is %q, but must be a number of units, such as 5150", flag, s)
	}
	return outcomes.Proportion{N: n}, nil
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageErrorf("%s takes flags only, not %q", cmd.CommandPath(), args[0])
	}
	return nil
}

func inside(x float64) bool { return x > 0 && x < 1 }
