package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/seed14307185/refract/console"
	"github.com/seed14307185/refract/outcomes"
)

// reportInteractions prints whether rules change what others do: the pairs that a
// rule is in, "": all.
func (c *adminClient) reportInteractions(cmd *cobra.Command, rule string, asJSON bool) error {
	var found console.Interactions
	if err := c.call(cmd.Context(), http.MethodGet, "/api/interactions?"+url.Values{"rule": {rule}}.Encode(), nil, &found); err != nil {
		if rule != "" {
			return fmt.Errorf("%s: %w", rule, err)
		}
		return err
	}
	if asJSON {
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetIndent("", "  ")
		return enc.Encode(found)
	}
	return printInteractions(cmd.OutOrStdout(), &found)
}

func printInteractions(out io.Writer, found *console.Interactions) error {
	if len(found.Pairs) == 0 {
		_, err := fmt.Fprintln(out, "No two rules have a unit in common.")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RULE\tWITH\tDO THEY INTERACT\tRULE'S CHANGE IN WITH'S TREATMENT\tIN WITH'S CONTROL\tRATIO OF THE TWO\tUNITS")
	invalid := false
	for i := range found.Pairs {
		p := &found.Pairs[i]
		treated, untreated, ratio := "-", "-", "-"
		switch p.State {
		case console.ArmsIncomparable:
			invalid = true
		case console.Interacts, console.NoInteraction:
			treated, untreated = changeText(p.InTreatment), changeText(p.InControl)
			ratio = fmt.Sprintf("%.3g, %.3g to %.3g", 1+p.Ratio.Change, 1+p.Ratio.Low, 1+p.Ratio.High)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Rule, p.With, p.State, treated, untreated, ratio, unitsText(&p.Crossed))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if invalid {
		fmt.Fprintln(out, "\ninvalid: the sizes of one rule's arms don't fit its probability of treatment.")
	}
	_, err := fmt.Fprintf(out, "\nThe odds that any of these %d says interact while none does are at most %g %%, at all looks.\n", len(found.Pairs), 100*found.Alpha)
	return err
}

// unitsText is how many units' outcomes a pair has, and of the others why not.
func unitsText(c *outcomes.Crossed) string {
	text := fmt.Sprint(c.Units - c.First - c.Open)
	if c.Open > 0 {
		text += fmt.Sprintf(", %d open", c.Open)
	}
	if c.First > 0 {
		text += fmt.Sprintf(", %d met it first", c.First)
	}
	return text
}
