package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/seed14307185/refract/console"
)

// newVerifyCommand returns "refract verify": tests of the truth on what was
// served.
func newVerifyCommand() *cobra.Command {
	var c adminClient
	var control bool
	var log string
	cmd := &cobra.Command{
		Use:   "verify --control",
		Short: "Check that pages of the control arm were the origin's, byte for byte: by the running proxy's sample, or its access log's",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !control {
				return usageErrorf("what is to be verified?\nhint: --control is all there is; refract ledger verify is about the ledger")
			}
			var list []console.Proof
			var err error
			if log != "" {
				list, err = proofsOfLog(log, cmd.InOrStdin())
			} else {
				err = c.call(cmd.Context(), http.MethodGet, "/api/control", nil, &list)
			}
			if err != nil {
				return err
			}
			return printProofs(cmd.OutOrStdout(), list)
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&control, "control", false, "compare what control got with what the origin sent")
	cmd.Flags().StringVar(&log, "log", "", "an access log of format json instead of the running proxy; - is standard input")
	return cmd
}

// proofsOfLog reads the pages that were compared off an access log.
func proofsOfLog(name string, stdin io.Reader) (list []console.Proof, err error) {
	in := stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	lines := bufio.NewReader(in)
	for n := 1; ; n++ {
		line, readErr := lines.ReadString('\n')
		if strings.Contains(line, `"origin_sha256"`) {
			var p console.Proof
			if err := json.Unmarshal([]byte(line), &p); err != nil {
				return nil, fmt.Errorf("%s:%d: %w\nhint: the log must be of format json", name, n, err)
			}
			if p.Received != "" {
				list = append(list, p)
			}
		}
		if readErr == io.EOF {
			return list, nil
		}
		if readErr != nil {
			return nil, readErr
		}
	}
}

// printProofs prints what was compared, and fails if there was nothing, or
// anything different.
func printProofs(out io.Writer, list []console.Proof) error {
	if len(list) == 0 {
		return errors.New("no page of the control arm was compared with the origin's\nhint: each rule's first page of a minute is, and a share of the others: serving.sample in refract.yaml")
	}
	pages, different := map[string]int{}, map[string]int{}
	bad := 0
	for _, p := range list {
		if !p.Holds() {
			bad++
			fmt.Fprintf(out, "%s %s (%s): the origin sent %s, the visitor got %s", stamp(p.At), p.Path, p.Rules, p.Received, p.Sent)
			if p.Fields != "" {
				fmt.Fprintf(out, "; changed fields: %s", p.Fields)
			}
			fmt.Fprintln(out)
		}
		for rule := range strings.SplitSeq(p.Rules, ",") {
			pages[rule]++
			if !p.Holds() {
				different[rule]++
			}
		}
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "RULE\tPAGES\tDIFFERENT")
	for _, rule := range slices.Sorted(maps.Keys(pages)) {
		fmt.Fprintf(table, "%s\t%d\t%d\n", rule, pages[rule], different[rule])
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d pages of the control arm were not the origin's", bad, len(list))
	}
	_, err := fmt.Fprintf(out, "%d pages of the control arm, from %s to %s: each was the origin's, byte for byte\n", len(list), stamp(list[0].At), stamp(list[len(list)-1].At))
	return err
}
