package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed14307185/refract/console"
	"github.com/seed14307185/refract/outcomes"
)

func newExplainCommand() *cobra.Command {
	var c adminClient
	var visitor, page string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain VISITOR [--url PATH]",
		Short: "Which segments a visitor is in and why, and what they get on a page",
		Args:  usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && visitor == "" {
				visitor = args[0]
			} else if len(args) == 1 || visitor == "" {
				return usageErrorf("one visitor is needed: refract explain VISITOR, or --visitor ID")
			}
			var raw json.RawMessage
			q := url.Values{"visitor": {visitor}}
			if page != "" {
				q.Set("url", page)
			}
			if err := c.call(cmd.Context(), http.MethodGet, "/api/explain?"+q.Encode(), nil, &raw); err != nil {
				return err
			}
			if asJSON {
				_, err := cmd.OutOrStdout().Write(raw)
				return err
			}
			var x console.Explanation
			if err := json.Unmarshal(raw, &x); err != nil {
				return err
			}
			printExplanation(cmd.OutOrStdout(), &x)
			return nil
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&visitor, "visitor", "", "the visitor's id, as the identity sources give it")
	cmd.Flags().StringVar(&page, "url", "", "the page, as a path or a URL")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printExplanation(out io.Writer, x *console.Explanation) {
	fmt.Fprintf(out, "visitor %s", x.Visitor)
	if x.Account != "" {
		fmt.Fprintf(out, " of account %s", x.Account)
	}
	fmt.Fprintf(out, " at %s, revision %s\n", stamp(x.At), x.Revision)
	if len(x.Traits) > 0 {
		b, err := json.Marshal(x.Traits)
		if err == nil {
			fmt.Fprintf(out, "traits %s\n", b)
		}
	}
	for _, s := range x.Segments {
		holds := "does not hold"
		switch {
		case s.Warming:
			holds = "is warming: it is computed from the log, and true for nobody until then"
		case s.Holds:
			holds = "HOLDS"
		case s.Unknown:
			holds = "does not hold: nothing is known of this " + string(s.Who) + " yet"
		}
		fmt.Fprintf(out, "\nsegment %s (%s) %s\n", s.Name, s.Who, holds)
		for _, c := range s.Conditions {
			indent := strings.Repeat("  ", c.Depth)
			fmt.Fprintf(out, "  %s%s  %s\n", indent, c.Condition, spansText(c.Holds))
			if len(c.Because) > 0 {
				fmt.Fprintf(out, "  %s  because of %s\n", indent, reasonsText(c.Because))
			}
		}
	}
	if x.Path == "" {
		return
	}
	fmt.Fprintf(out, "\non %s\n", x.Path)
	for _, r := range x.Rules {
		verdict := "no"
		if r.Applies {
			verdict = strings.ToUpper(string(r.Arm))
		}
		fmt.Fprintf(out, "  %s on %s: %s: %s\n", r.Name, r.Surface, verdict, r.Why)
	}
}

func spansText(list []console.Span) string {
	if len(list) == 0 {
		return "never"
	}
	var parts []string
	for _, s := range list {
		from, until := "always", "for good"
		if s.From != nil {
			from = "from " + stamp(*s.From)
		}
		if s.Until != nil {
			until = "until " + stamp(*s.Until)
		}
		parts = append(parts, from+" "+until)
	}
	return strings.Join(parts, ", ")
}

// maxReasons is how many reasons of a condition are printed; --json has all.
const maxReasons = 8

func reasonsText(list []console.Reason) string {
	var parts []string
	if n := len(list) - maxReasons; n > 0 {
		parts = append(parts, fmt.Sprintf("%d earlier ones", n))
		list = list[n:]
	}
	for _, r := range list {
		name := r.Event
		if r.Trait != "" {
			name = "trait " + r.Trait
		}
		text := name + " at " + stamp(r.At)
		if r.More > 0 {
			text += fmt.Sprintf(" and %d before", r.More)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000") }

func printReport(out io.Writer, r *console.RuleStatus) {
	fmt.Fprintf(out, "%s  %s", r.Name, r.State)
	if r.Cause != "" {
		fmt.Fprintf(out, " by %s", r.Cause)
	}
	fmt.Fprintf(out, "  version %s  since %s\n  %s\n  %s\n", r.Version, stamp(r.Started), r.Sentence, r.Summary)
	arm := func(name string, c outcomes.Counts) {
		fmt.Fprintf(out, "  %-9s  exposed %d, converted %d, harmed %d of %d whose outcome is known; window over: %d, %d of them converted\n",
			name, c.Exposed, c.Converted, c.Harmed, c.Settled, c.Matured, c.MaturedConverted)
	}
	arm("treatment", r.Treatment)
	arm("control", r.Control)
	printSums(out, r)
	printIgnored(out, r)
	v := r.Verdict
	fmt.Fprintf(out, "  guardrail  %s: ln E %.9f, anytime p %.3g\n", v.Guardrail, v.LogE, v.P)
	if v.Lift.Collecting {
		fmt.Fprintf(out, "  metric     still collecting\n")
	} else {
		fmt.Fprintf(out, "  metric     change %.1f %%, between %.1f %% and %.1f %%, anytime p %.3g\n", 100*v.Lift.Change, 100*v.Lift.Low, 100*v.Lift.High, v.Lift.P)
		if r.Discovery {
			fmt.Fprintf(out, "             it stands among the changes of all rules (e-BH, 5 %%)\n")
		} else {
			fmt.Fprintf(out, "             among the changes of all rules it may be there by chance (e-BH, 5 %%)\n")
		}
	}
	fmt.Fprintf(out, "  split      %s: ln BF %.9f\n", v.SRM.State, v.SRM.LogBF)
	printRecompute(out, r)
	if s := r.Receipt; s != nil {
		fmt.Fprintf(out, "  receipt    rolled back by %s", s.Cause)
		if s.Who != "" {
			fmt.Fprintf(out, " (%s)", s.Who)
		}
		if s.Why != "" {
			fmt.Fprintf(out, ", because: %s", s.Why)
		}
		fmt.Fprintf(out, "\n             ")
		if !s.Breach.IsZero() {
			fmt.Fprintf(out, "breach %s, ", stamp(s.Breach))
		}
		fmt.Fprintf(out, "decided %s", stamp(s.Decided))
		if !s.Published.IsZero() {
			fmt.Fprintf(out, ", published %s", stamp(s.Published))
		}
		if !s.LastTreated.IsZero() {
			fmt.Fprintf(out, ", last treated response %s", stamp(s.LastTreated))
		}
		if s.Verdict != nil {
			fmt.Fprintf(out, "\n             decided on ln E %.9f", s.Verdict.LogE)
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintln(out)
}
