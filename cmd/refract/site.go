package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed14307185/refract/proxy/token"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

func newInitCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write a commented site directory to begin with",
		Args:  usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := siteArg(args)
			if err := rules.Init(dir); err != nil {
				return err
			}
			cmd.Printf("wrote %s: set the origin in %s/refract.yaml, then\n  refract check %s\n  refract serve --site %s\n", dir, dir, dir, dir)
			return nil
		},
	}
}

func newCheckCommand(now func() time.Time) *cobra.Command {
	var origin string
	var asJSON bool
	var c adminClient
	var history simulateFlags
	var ahead forecastFlags
	cmd := &cobra.Command{
		Use:   "check [DIR] [--origin URL] [--events FILE]... [--forecast]",
		Short: "Validate a site directory and print each rule's sentence",
		Long: "Validate a site directory and print each rule's sentence.\n\n" +
			"With --origin, pages are fetched from there too, and which surfaces are on them is printed.\n" +
			"With --forecast, how many units and days the test of each rule would take is told from the site's\n" +
			"own traffic: the files of --events, or else the events that the running refract has kept.\n" +
			"With --events, a history is replayed as refract simulate does, and what is too unsteady is told.\n\n" +
			"If a refract of this directory is running, it is asked which events, traits and cohorts it\n" +
			"has seen, and a segment that asks about others is warned of.",
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := rules.Load(siteArg(args))
			if err != nil {
				return err
			}
			if t := set.Edge.TLS; t != nil {
				if _, err := certificateOptions(t, set.Edge.Data, nil); err != nil { // what package rules can't know
					return err
				}
			}
			if _, err := new(token.Verifiers).Prepare(&set.Edge.Identity); err != nil { // nor whether key sets are sound
				return err
			}
			for _, w := range set.Warnings {
				cmd.PrintErrf("warning: %s\n", w)
			}
			c.site = siteArg(args)
			warnUnseen(cmd, &c, set)
			switch {
			case asJSON && ahead.on:
				return ahead.run(cmd, &c, set, history, now(), asJSON)
			case asJSON:
				return printChecked(cmd, set, now())
			}
			for _, r := range set.Rules {
				cmd.Printf("%s (%s): %s\n", r.Name, r.State, r.Sentence())
				cmd.Printf("  %s\n", r.ApprovalsInWords(now()))
			}
			cmd.Printf("revision %s; segments: %d, surfaces: %d, rules: %d\n", set.Revision, len(set.Segments), len(set.Surfaces), len(set.Rules))
			if ahead.on {
				if err := ahead.run(cmd, &c, set, history, now(), false); err != nil {
					return err
				}
			}
			if len(history.events) > 0 {
				if err := history.check(cmd, set, now()); err != nil {
					return err
				}
			}
			if origin == "" {
				return nil
			}
			return checkPage(cmd, set, origin)
		},
	}
	cmd.Flags().StringVar(&c.address, "admin", "", "address of the admin listener of the running refract, HOST:PORT or unix:PATH (default: that of the directory)")
	history.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the revision and the rules, or with --forecast the forecast, as JSON, and nothing else")
	ahead.add(cmd)
	cmd.Flags().StringVar(&origin, "origin", "", "a page of the origin to look for surfaces on, as a URL")
	return cmd
}

// warnUnseen warns of segments that ask about what a running refract has never
// seen. That none runs is no reason to refuse a directory.
func warnUnseen(cmd *cobra.Command, c *adminClient, set *rules.Set) {
	var seen segments.Names
	if err := c.call(cmd.Context(), http.MethodGet, "/api/seen", nil, &seen); err != nil {
		return
	}
	for _, r := range set.Rules {
		unseen := segments.Names{Events: []string{r.Guardrail.Event, r.Metric.Event}}.Without(seen).Events
		if slices.Contains(unseen, r.Guardrail.Event) {
			cmd.PrintErrf("warning: rules/%s.yaml: the guardrail's event %q was never seen: the rule would be blind, and nothing would stop it\n", r.Name, r.Guardrail.Event)
		}
		if slices.Contains(unseen, r.Metric.Event) {
			cmd.PrintErrf("warning: rules/%s.yaml: the metric's event %q was never seen: nothing would be measured\n", r.Name, r.Metric.Event)
		}
	}
	for _, s := range set.Segments {
		n := s.Names().Without(seen)
		for _, list := range []struct {
			kind  string
			names []string
		}{{"event", n.Events}, {"trait", n.Traits}, {"cohort", n.Cohorts}} {
			for _, name := range list.names {
				cmd.PrintErrf("warning: segments/%s.yaml: the %s %q was never seen\n", s.Name, list.kind, name)
			}
		}
	}
}

// checkPage fetches a page and says which of the rules' surfaces are on it.
func checkPage(cmd *cobra.Command, set *rules.Set, page string) error {
	p, err := fetchPage(cmd.Context(), page)
	if err != nil {
		return fmt.Errorf("fetching a page: %w", err)
	}
	d, err := p.parse()
	if err != nil {
		return err
	}
	marked := d.marked(set.Edge.Attribute)
	for _, r := range set.Rules {
		n := 0
		if r.Surface.Select != "" {
			n = d.Find(r.Surface.Select).Length()
		}
		for _, m := range marked {
			if r.Surface.Select == "" && r.Surface.Name == m.name {
				n = len(m.nodes)
			}
		}
		cmd.Printf("surface %s of rule %s: found %d times on %s\n", r.Surface.Name, r.Name, n, page)
	}
	for _, m := range marked {
		if !slices.ContainsFunc(set.Rules, func(r *rules.Rule) bool { return r.Surface.Select == "" && r.Surface.Name == m.name }) {
			cmd.Printf("surface %s: found %d times, no rule uses it\n", m.name, len(m.nodes))
		}
	}
	return nil
}

func newSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:       "schema KIND",
		Short:     "Print the JSON Schema of a kind of file, for editors: " + strings.Join(rules.SchemaKinds(), ", "),
		Args:      usage(cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs)),
		ValidArgs: rules.SchemaKinds(),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := rules.Schema(args[0])
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(b)
			return err
		},
	}
}

// siteArg is the site directory of a command's argument. Without one it is
// ./site, or the working directory if that is a site directory itself.
func siteArg(args []string) string {
	if len(args) == 1 {
		return args[0]
	}
	if _, err := os.Stat("refract.yaml"); !errors.Is(err, os.ErrNotExist) {
		return "."
	}
	return "site"
}
