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
