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
	"time"

	"github.com/spf13/cobra"

	"github.com/seed14307185/refract/console"
	"github.com/seed14307185/refract/rules"
)

func newCohortCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cohort load|list|drop",
		Short: "Cohorts of other systems: upload one, list them, drop one",
		RunE: func(_ *cobra.Command, args []string) error {
			return usageErrorf("refract cohort: load, list or drop, found %q", strings.Join(args, " "))
		},
	}
	cmd.AddCommand(newCohortLoadCommand(), newCohortListCommand(), newCohortDropCommand())
	return cmd
}

func newCohortLoadCommand() *cobra.Command {
	var c adminClient
	var maxAge, column, why string
	var accounts, asJSON bool
	cmd := &cobra.Command{
		Use:   "load WORD/ID FILE|-",
		Short: "Make the ids in a file the members of a cohort, in place of those it had",
		Long: "Make the ids in a file the members of a cohort, in place of those it had.\n\n" +
			"The file is CSV with a header row, JSON Lines, or ids as lines, and may be compressed by gzip.\n" +
			"If a line can't be read, all of it is refused, and the members stay as they were.",
		Args: usage(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, file := args[0], args[1]
			query := url.Values{"file": {file}, "who": {operator()}}
			if accounts {
				query.Set("accounts", "true")
			}
			for key, v := range map[string]string{"max_age": maxAge, "column": column, "why": why} {
				if v != "" {
					query.Set(key, v)
				}
			}
			in := cmd.InOrStdin()
			if file == "-" {
				query.Set("file", "standard input")
			} else {
				f, err := os.Open(file)
				if err != nil {
					return err
				}
				defer f.Close()
				if info, err := f.Stat(); err == nil && info.IsDir() {
					return usageErrorf("%s is a directory", file)
				}
				in = f
			}
			return c.changeCohort(cmd, http.MethodPut, name, query, io.NopCloser(in), asJSON, func(m console.Membership) string {
				return fmt.Sprintf("%s: %d members", m.Name, m.Members)
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&column, "column", "", "the column or member of the ids (default: user_id, distinct_id, external_id, visitor or id)")
	cmd.Flags().BoolVar(&accounts, "accounts", false, "the ids are accounts' (by default in account_id, group_id, account or id)")
	cmd.Flags().StringVar(&maxAge, "max-age", "", "how long it is believed, such as 36h or 7d; 0s: for ever (default: cohorts.max_age of the site directory)")
	cmd.Flags().StringVar(&why, "why", "", "the reason, for the ledger")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newCohortDropCommand() *cobra.Command {
	var c adminClient
	var why string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "drop WORD/ID",
		Short: "Forget a cohort: it is true for nobody",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{"who": {operator()}, "why": {why}}
			return c.changeCohort(cmd, http.MethodDelete, args[0], query, nil, asJSON, func(m console.Membership) string {
				return fmt.Sprintf("%s: dropped, it had %d members", m.Name, m.Members)
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&why, "why", "", "the reason, for the ledger")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// changeCohort asks for a change of a cohort and prints what came of it.
func (c *adminClient) changeCohort(cmd *cobra.Command, method, name string, query url.Values, body any, asJSON bool, say func(console.Membership) string) error {
	word, id, ok := strings.Cut(name, "/")
	if !ok {
		return usageErrorf("%q is not the name of a cohort: write WORD/ID, such as crm/trial-stuck", name)
	}
	path := "/api/cohorts/" + url.PathEscape(word) + "/" + url.PathEscape(id) + "?" + query.Encode()
	var raw json.RawMessage
	if err := c.call(cmd.Context(), method, path, body, &raw); err != nil {
		return err
	}
	if asJSON {
		_, err := cmd.OutOrStdout().Write(raw)
		return err
	}
	var m console.Membership
	if err := json.Unmarshal(raw, &m); err != nil {
		return err
	}
	cmd.Println(say(m))
	return nil
}

func newCohortListCommand() *cobra.Command {
	var c adminClient
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "The cohorts that were delivered or that segments ask for, and how old they are",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var raw json.RawMessage
			if err := c.call(cmd.Context(), http.MethodGet, "/api/cohorts", nil, &raw); err != nil {
				return err
			}
			if asJSON {
				_, err := cmd.OutOrStdout().Write(raw)
				return err
			}
			var list []console.Cohort
			if err := json.Unmarshal(raw, &list); err != nil {
				return err
			}
			return printCohorts(cmd.OutOrStdout(), list)
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printCohorts(out io.Writer, list []console.Cohort) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "COHORT\tSTATE\tMEMBERS\tAGE\tMAX AGE\tSEGMENTS")
	for _, c := range list {
		state, age, maxAge := "current", (time.Duration(c.Age) * time.Second).String(), "for ever"
		if c.MaxAge > 0 {
			maxAge = rules.FormatDuration(time.Duration(c.MaxAge) * time.Second)
		}
		switch {
		case c.Synced.IsZero():
			state, age, maxAge = "never delivered", "-", "-"
		case c.Expired:
			state = "expired"
		}
		segments := "-"
		if len(c.Segments) > 0 {
			segments = strings.Join(c.Segments, ", ")
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\n", c.Name, state, c.Members, age, maxAge, segments)
	}
	return w.Flush()
}
