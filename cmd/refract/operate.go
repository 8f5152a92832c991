package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed14307185/refract/console"
)

func newReloadCommand() *cobra.Command {
	var c adminClient
	var expected string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have the running proxy validate its site directory and swap it in",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var header []string
			if expected != "" {
				tag := expected
				if tag != "*" && !strings.HasPrefix(tag, `"`) {
					tag = `"` + tag + `"`
				}
				header = []string{"If-Match", tag}
			}
			var raw json.RawMessage
			if err := c.call(cmd.Context(), http.MethodPost, "/api/reload", nil, &raw, header...); err != nil {
				return err
			}
			if asJSON {
				_, err := cmd.OutOrStdout().Write(raw)
				return err
			}
			var r console.Reloaded
			if err := json.Unmarshal(raw, &r); err != nil {
				return err
			}
			printReloaded(cmd.OutOrStdout(), &r)
			return nil
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&expected, "if-match", "", "reload only if this revision is live")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printReloaded(out io.Writer, r *console.Reloaded) {
	if r.Changed {
		fmt.Fprintf(out, "revision %s is live, before it was %s\n", r.Revision, r.Before)
	} else {
		fmt.Fprintf(out, "revision %s was live already\n", r.Revision)
	}
	for _, w := range r.Warnings {
		fmt.Fprintf(out, "warning: %s\n", w)
	}
	if len(r.Restart) > 0 {
		fmt.Fprintf(out, "takes effect at the next start only: %s\n", strings.Join(r.Restart, ", "))
	}
}

func newStatusCommand() *cobra.Command {
	var c adminClient
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "What is live",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var raw json.RawMessage
			if err := c.call(cmd.Context(), http.MethodGet, "/api/status", nil, &raw); err != nil {
				return err
			}
			if asJSON {
				_, err := cmd.OutOrStdout().Write(raw)
				return err
			}
			var st console.Status
			if err := json.Unmarshal(raw, &st); err != nil {
				return err
			}
			return printStatus(cmd.OutOrStdout(), &st)
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printStatus(out io.Writer, st *console.Status) error {
	fmt.Fprintf(out, "revision %s, ready: %s\n", st.Revision, st.Ready)
	if st.Off {
		fmt.Fprintln(out, "off: every page is as the app made it")
	}
	for _, s := range st.Switches {
		what := "every rule"
		if s.Rule != "" {
			what = s.Rule
		}
		fmt.Fprintf(out, "off: %s, by %s since %s", what, s.By, s.Since.UTC().Format(time.RFC3339))
		for _, more := range []string{s.File, s.Who, s.Why} {
			if more != "" {
				fmt.Fprintf(out, ", %s", more)
			}
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintf(out, "kill file: %s\n", st.KillFile)
	if len(st.Warming) > 0 {
		fmt.Fprintf(out, "warming: %s\n", strings.Join(st.Warming, ", "))
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RULE\tSTATE\tEXPOSED T/C\tCONVERTED T/C\tHARMED T/C\tGUARDRAIL\tLN E")
	for _, r := range st.Rules {
		state := r.State
		if r.Cause != "" {
			state += " (" + r.Cause + ")"
		}
		if r.Unseen {
			state += ", unseen"
		}
		if len(r.Holds) > 0 {
			state += ", held"
		}
		fmt.Fprintf(w, "%s\t%s\t%d/%d\t%d/%d\t%d/%d\t%s\t%.3f\n", r.Name, state, r.Treatment.Exposed, r.Control.Exposed,
			r.Treatment.Converted, r.Control.Converted, r.Treatment.Harmed, r.Control.Harmed, r.Verdict.Guardrail, r.Verdict.LogE)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, r := range st.Rules {
		for _, h := range r.Holds {
			fmt.Fprintf(out, "%s is held: %s\n", r.Name, h)
		}
		if r.Ramp != nil {
			fmt.Fprintf(out, "ramp of %s: %s\n", r.Name, r.Ramp)
		}
	}
	return printUnapproved(out, st.Rules)
}

func newHealthCommand() *cobra.Command {
	var c adminClient
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Exit 0 if the running proxy is ready, 1 if not: for a container without a shell",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 5*time.Second)
			defer cancel()
			var checks json.RawMessage
			err := c.call(ctx, http.MethodGet, "/readyz?verbose", nil, &checks)
			if _, printErr := cmd.OutOrStdout().Write(checks); printErr != nil {
				return printErr
			}
			if err != nil && len(checks) > 0 {
				return errors.New("not ready")
			}
			return err
		},
	}
	c.flags(cmd)
	return cmd
}
