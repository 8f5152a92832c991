package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
	"github.com/seed14307185/refract/simulate"
)

func newSimulateCommand(now func() time.Time) *cobra.Command {
	var f simulateFlags
	cmd := &cobra.Command{
		Use:   "simulate --events FILE... [DIR]",
		Short: "Replay history: who would have been in each segment, how steady it is, how long tests take",
		Long: "Replay history: who would have been in each segment of a site directory and when, how steady it\n" +
			"is, and how long the test of each rule would take.\n\n" +
			"FILE has one event a line, as refract writes them or as Amplitude, Mixpanel, PostHog and Segment\n" +
			"export them: each line is recognised. It may be compressed with gzip or zstd, a zip archive or\n" +
			"a directory of such files, or - for standard input. Lines and files may be in any order.",
		Example: "  refract simulate --events october.jsonl.gz --events november.jsonl.gz\n" +
			"  refract simulate --events export.zip --html report.html site",
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args, now()) },
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.html, "html", "", "write a page with charts to this file too")
	flags.BoolVar(&f.json, "json", false, "print JSON")
	flags.BoolVar(&f.days, "days", false, "print each day of each segment")
	flags.BoolVar(&f.strict, "strict", false, "stop at the first line that can't be read")
	return cmd
}

type simulateFlags struct {
	events       []string
	format, html string
	group        string
	memory       int
	json, days   bool
	strict       bool
}

// add adds the flags that say what is read.
func (f *simulateFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.events, "events", nil, "a file or directory of events, or - for standard input; may be repeated")
	flags.StringVar(&f.format, "format", "", "what every line is: "+strings.Join(simulate.Forms(), ", ")+" (default: the line itself tells)")
	flags.StringVar(&f.group, "group", "company", "the group type that is the account, in exports that have several")
	flags.IntVar(&f.memory, "memory", simulate.DefaultMemory>>20, "MiB of events to hold before a temporary file takes them")
}

// replay runs the simulation that the flags ask for.
func (f *simulateFlags) replay(cmd *cobra.Command, set *rules.Set, now time.Time) (*simulate.Report, error) {
	switch {
	case len(f.events) == 0:
		return nil, usageErrorf("--events FILE is needed: a history to replay")
	case f.format != "" && !slices.Contains(simulate.Forms(), f.format):
		return nil, usageErrorf("--format %q is not one of %s", f.format, strings.Join(simulate.Forms(), ", "))
	case f.memory <= 0:
		return nil, usageErrorf("--memory must be positive")
	}
	report, err := simulate.Run(cmd.Context(), set, simulate.Options{
		Files: f.events, Stdin: cmd.InOrStdin(), Form: f.format, Strict: f.strict,
		Group: f.group, Memory: int64(f.memory) << 20, Now: now,
	})
	var bad *simulate.StrictError
	if errors.As(err, &bad) {
		return nil, fmt.Errorf("%w\nhint: without --strict such lines are counted and left out", err)
	}
	return report, err
}

func (f *simulateFlags) run(cmd *cobra.Command, args []string, now time.Time) error {
	set, err := rules.Load(siteArg(args))
	if err != nil {
		return err
	}
	report, err := f.replay(cmd, set, now)
	if err != nil {
		return err
	}
	if f.html != "" {
		if err := writePage(f.html, report); err != nil {
			return err
		}
	}
	if f.json {
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetIndent("", "  ")
		return enc.Encode(report)
	}
	return report.WriteText(cmd.OutOrStdout(), f.days)
}

// check warns of live rules whose segment is too unsteady to drive a page.
func (f *simulateFlags) check(cmd *cobra.Command, set *rules.Set, now time.Time) error {
	report, err := f.replay(cmd, set, now)
	if err != nil {
		return err
	}
	for _, r := range set.Rules {
		for _, s := range report.Segments {
			_, held := r.Segment.Condition.(segments.Held) // somebody has decided what is steady enough
			if r.State != rules.Live || s.Name != r.Segment.Name || held || !s.Unsteady() {
				continue
			}
			cmd.PrintErrf("warning: rules/%s.yaml: %d of the %d members of %s (%.1f %%) entered and left it within a day\n"+
				"hint: stable_for in segments/%s.yaml makes the segment wait until it is sure, sticky_for makes it stay\n",
				r.Name, s.Flippers, s.Ever, s.Name, 100*s.FlipRate, s.Name)
		}
	}
	return nil
}

func writePage(name string, report *simulate.Report) (err error) {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return report.WriteHTML(file)
}
