package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/seed14307185/refract/console"
	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/store"
)

func newReportCommand() *cobra.Command {
	var c adminClient
	var asJSON, interactions bool
	var page string
	cmd := &cobra.Command{
		Use:   "report [RULE]",
		Short: "What the rules did: whether one helped, with its numbers, or all of them in a table",
		Args:  usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if interactions {
				if page != "" {
					return usageErrorf("--interactions is a text or --json, without --html")
				}
				return c.reportInteractions(cmd, strings.Join(args, ""), asJSON)
			}
			if page != "" {
				if len(args) == 0 || asJSON {
					return usageErrorf("--html is of one rule, and without --json: refract report RULE --html FILE")
				}
				return c.writePage(cmd, args[0], page)
			}
			var list []console.RuleStatus
			if len(args) == 1 {
				var r console.RuleStatus
				if err := c.call(cmd.Context(), http.MethodGet, "/api/rules/"+url.PathEscape(args[0]), nil, &r); err != nil {
					return fmt.Errorf("%s: %w", args[0], err)
				}
				list = append(list, r)
			} else {
				var st console.Status
				if err := c.call(cmd.Context(), http.MethodGet, "/api/status", nil, &st); err != nil {
					return err
				}
				list = st.Rules
			}
			switch {
			case asJSON:
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(list)
			case len(args) == 1:
				printReport(cmd.OutOrStdout(), &list[0])
				return nil
			}
			return printReports(cmd.OutOrStdout(), list)
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&interactions, "interactions", false, "whether the rule, or any, changes what others do: of each two that had units in common")
	cmd.Flags().StringVar(&page, "html", "", "write the report to this file as a page, with charts, that needs nothing else; -: print it")
	return cmd
}

// writePage writes a rule's page to a file.
func (c *adminClient) writePage(cmd *cobra.Command, rule, file string) error {
	var page json.RawMessage
	if err := c.call(cmd.Context(), http.MethodGet, "/rules/"+url.PathEscape(rule)+"?download", nil, &page); err != nil {
		return fmt.Errorf("%s: %w", rule, err)
	}
	if file == "-" {
		_, err := cmd.OutOrStdout().Write(page)
		return err
	}
	return os.WriteFile(file, page, 0o644)
}

// printReports prints several reports, a line each.
func printReports(out io.Writer, list []console.RuleStatus) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RULE\tDID IT HELP\tSTATE\tRUN SINCE\tCHANGE, BETWEEN\tEXPOSED T/C\tGUARDRAIL\tSAMPLE RATIO")
	var marked, known bool
	for i := range list {
		r := &list[i]
		change := "collecting"
		if l := r.Verdict.Lift; r.Verdict.SRM.State == outcomes.SRMInvalid {
			change = "-"
		} else if !l.Collecting {
			change, known = changeText(l), true
			if r.Discovery {
				change, marked = change+" *", true
			}
		}
		guardrail := string(r.Verdict.Guardrail)
		if r.Verdict.Blind {
			guardrail += ", blind"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d/%d\t%s\t%s\n", r.Name, r.Answer, stateText(r), r.Started.UTC().Format("2006-01-02"),
			change, r.Treatment.Exposed, r.Control.Exposed, guardrail, r.SampleRatio())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	switch {
	case marked:
		_, err := fmt.Fprintln(out, "\n* stands among the changes of all rules: of those marked, at most 5 % are not there, on average (e-BH)")
		return err
	case known:
		_, err := fmt.Fprintln(out, "\nNone of the changes stands among those of all rules at a false discovery rate of 5 % (e-BH).")
		return err
	}
	return nil
}

// changeText words an estimate, never without its interval.
func changeText(l outcomes.Lift) string {
	return fmt.Sprintf("%+.1f %%, %+.1f %% to %+.1f %%", 100*l.Change, 100*l.Low, 100*l.High)
}

func stateText(r *console.RuleStatus) string {
	if r.Cause != "" {
		return r.State + " by " + r.Cause
	}
	state := r.State
	if r.Unseen {
		state += ", unseen"
	}
	if len(r.Holds) > 0 {
		state += ", held"
	}
	return state
}

// printReport prints one rule's report: first the answer, then the numbers.
func printReport(out io.Writer, r *console.RuleStatus) {
	stopped := ""
	if r.Receipt != nil {
		stopped = ", and rolled back"
	}
	fmt.Fprintf(out, "%s: %s%s\n  %s\n  %s\n\n", r.Name, r.Answer, stopped, r.Sentence, r.Summary)
	line := func(label, format string, args ...any) {
		fmt.Fprintf(out, "  %-9s  %s\n", label, fmt.Sprintf(format, args...))
	}
	since := stateText(r)
	if !r.Since.IsZero() {
		since += " since " + stamp(r.Since)
	}
	since += fmt.Sprintf(", in a run that began %s, version %s", stamp(r.Started), r.Version)
	if r.Owner != "" {
		since += ", owner " + r.Owner
	}
	line("state", "%s", since)

	v := r.Verdict
	blind := ""
	if v.Blind {
		blind = " and blind"
	}
	line("guardrail", "%s%s: ln E %.9f, anytime p %.3g", v.Guardrail, blind, v.LogE, v.P)
	switch {
	case v.SRM.State == outcomes.SRMInvalid:
		line("metric", "no change is told: the arms can't be compared")
	case v.Lift.Collecting:
		so := "still collecting"
		if r.Few != nil {
			so += fmt.Sprintf("; by the successes alone it changed by %+.1f %% to %+.1f %%", 100*r.Few.Low, 100*r.Few.High)
		}
		line("metric", "%s", so)
	case r.Discovery:
		line("metric", "changed by %s, anytime p %.3g; it stands among the changes of all rules (e-BH, 5 %%)", changeText(v.Lift), v.Lift.P)
	default:
		line("metric", "changed by %s, anytime p %.3g; among the changes of all rules it may be there by chance (e-BH, 5 %%)", changeText(v.Lift), v.Lift.P)
	}
	line("split", "%s: ln BF %.9f, anytime p %.3g", r.SampleRatio(), v.SRM.LogBF, v.SRM.P)
	if list := r.Browsers(); len(list) > 0 {
		line("browsers", "%s", strings.Join(list, ", "))
	}
	for _, h := range r.Holds {
		line("held", "%s", h)
	}
	if r.Ramp != nil {
		line("ramp", "%s", r.Ramp)
	}
	if r.Launches > 1 {
		line("launches", "%d under this name: their alpha adds up to %.3g", r.Launches, r.AlphaSpent)
	}
	for i, s := range r.Pace.Lines(v) {
		line([]string{"how long", ""}[min(i, 1)], "%s", s)
	}
	printSettled(out, r)
	printIgnored(out, r)

	printUnits(out, r)
	printSums(out, r)
	fmt.Fprintln(out)
	if r.Receipt != nil {
		printStop(out, r.Receipt)
	}
	printRecompute(out, r)
	fmt.Fprintln(out)
}

func printStop(out io.Writer, s *store.Stop) {
	fmt.Fprintf(out, "  receipt    rolled back by %s", s.Cause)
	if s.Who != "" {
		fmt.Fprintf(out, " (%s)", oneLine(s.Who))
	}
	if s.Why != "" {
		fmt.Fprintf(out, ", because: %s", oneLine(s.Why))
	}
	var times []string
	if !s.Breach.IsZero() {
		times = append(times, "breach "+stamp(s.Breach))
	}
	times = append(times, "decided "+stamp(s.Decided))
	if !s.Published.IsZero() {
		times = append(times, "published "+stamp(s.Published))
	}
	if !s.LastTreated.IsZero() {
		times = append(times, "last treated response "+stamp(s.LastTreated))
	}
	fmt.Fprintf(out, "\n             %s\n", strings.Join(times, ", "))
	if s.Verdict != nil {
		fmt.Fprintf(out, "             decided on ln E %.9f\n", s.Verdict.LogE)
	}
}
