package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed14307185/refract/rewrite"
)

func newRewriteCommand() *cobra.Command {
	var sets []string
	var chunk int
	cmd := &cobra.Command{
		Use:   "rewrite --set NAME=FILE... [--chunk N] [PAGE|-]",
		Short: "Swap regions of a page on disk or on standard input, to standard output",
		Long: "Swap regions of a page on disk or on standard input, to standard output.\n\n" +
			"What became of each surface is told on standard error. FILE is the region's new content;\n" +
			"an empty FILE (--set NAME=) only looks for the region.",
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			plan, err := rewritePlan(sets)
			if err != nil {
				return err
			}
			if chunk < 0 {
				return usageErrorf("--chunk must not be negative")
			}
			page := cmd.InOrStdin()
			if len(args) == 1 && args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer f.Close()
				page = f
			}
			if chunk > 0 {
				page = &chunkReader{page, chunk}
			}
			r := rewrite.NewReader(page, plan)
			if _, err := io.Copy(cmd.OutOrStdout(), r); err != nil {
				return err
			}
			for _, s := range r.Sightings() {
				cmd.PrintErrf("%s: %s", s.Name, s.State)
				if s.Reason != "" {
					cmd.PrintErrf(" (%s)", s.Reason)
				}
				if s.Count > 1 {
					cmd.PrintErrf(", %d times", s.Count)
				}
				cmd.PrintErrln()
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&sets, "set", nil, "NAME=FILE: the surface and the file with its new content")
	cmd.Flags().IntVar(&chunk, "chunk", 0, "read the page in pieces of N bytes (0: as they come)")
	return cmd
}

func rewritePlan(sets []string) (rewrite.Plan, error) {
	var plan rewrite.Plan
	if len(sets) == 0 {
		return plan, usageErrorf("--set NAME=FILE is needed at least once")
	}
	for _, set := range sets {
		name, file, ok := strings.Cut(set, "=")
		if !ok || name == "" {
			return plan, usageErrorf("--set %q is not NAME=FILE", set)
		}
		s := rewrite.Surface{Name: name}
		if file != "" {
			b, err := os.ReadFile(file)
			if err != nil {
				return plan, fmt.Errorf("--set %s: %w", name, err)
			}
			s.Replace, s.HTML = true, b
		}
		plan.Surfaces = append(plan.Surfaces, s)
	}
	return plan, nil
}

// chunkReader reads at most n bytes at a time.
type chunkReader struct {
	r io.Reader
	n int
}

func (c *chunkReader) Read(p []byte) (int, error) { return c.r.Read(p[:min(len(p), c.n)]) }
