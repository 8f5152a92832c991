package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed14307185/refract/console"
	"github.com/seed14307185/refract/store"
)

func newLedgerCommand() *cobra.Command {
	var c adminClient
	var since string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ledger",
		Short: "What was done to what is live, when, by whom and why",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, err := parseTime("--since", since, time.Now())
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return c.ledger(cmd, func(line []byte, e *store.Entry) error {
					if e.At.Before(from) {
						return nil
					}
					_, err := out.Write(append(line, '\n'))
					return err
				})
			}
			table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "ENTRY\tTIME\tWHAT\tREVISION\tBY\tWHY")
			head := "there is no entry"
			err = c.ledger(cmd, func(line []byte, e *store.Entry) error {
				if !e.At.Before(from) {
					fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\n", e.Seq, stamp(e.At),
						strings.TrimSpace(e.Kind+" "+cmp.Or(e.Rule, e.Cohort)), e.Revision, oneLine(e.Who), oneLine(cmp.Or(e.Why, whoApproved(e.Approvals))))
				}
				head = fmt.Sprintf("the head is %d:%s", e.Seq, store.Hash(line))
				return nil
			})
			if err != nil {
				return err
			}
			if err := table.Flush(); err != nil {
				return err
			}
			_, err = fmt.Fprintln(out, head)
			return err
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&since, "since", "", "only entries since then: a time (2026-11-01T00:00:00Z), a day, or how long ago (48h)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the lines as they are kept; ledger verify takes a file of all of them")
	cmd.AddCommand(newLedgerVerifyCommand())
	return cmd
}

func newLedgerVerifyCommand() *cobra.Command {
	var c adminClient
	var head string
	cmd := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Check that no entry was changed, taken out or put in: of the running proxy, or of a file of --json",
		Args:  usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			want, hash, err := parseHead(head)
			if err != nil {
				return err
			}
			var chain store.Chain
			seen := want == 0
			add := func(line []byte, _ *store.Entry) error {
				if _, err := chain.Add(line); err != nil {
					return fmt.Errorf("the ledger was tampered with: %w", err)
				}
				if seq, is := chain.Head(); seq == want {
					seen = true
					if is != hash {
						return fmt.Errorf("the ledger was tampered with: entry %d, or one before it, is not what it was when its hash was noted", seq)
					}
				}
				return nil
			}
			if len(args) == 1 {
				err = ledgerFile(args[0], cmd.InOrStdin(), add)
			} else {
				err = c.ledger(cmd, add)
			}
			if err != nil {
				return err
			}
			seq, is := chain.Head()
			if !seen {
				return fmt.Errorf("the ledger was tampered with: it ends with entry %d, and entry %d was there when its hash was noted", seq, want)
			}
			if seq == 0 {
				return errors.New("there is no entry to verify\nhint: every ledger begins with the first load of its site")
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d entries, each as it was written; the head is %d:%s\n", seq, seq, is)
			return err
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&head, "head", "", "a head that was noted elsewhere, `ENTRY:HASH`: it must still be there")
	return cmd
}

// ledger calls f for each line of the running proxy's ledger.
func (c *adminClient) ledger(cmd *cobra.Command, f func(line []byte, e *store.Entry) error) error {
	for from := uint64(1); ; {
		var page []json.RawMessage
		if err := c.call(cmd.Context(), http.MethodGet, "/api/ledger?from="+strconv.FormatUint(from, 10), nil, &page); err != nil {
			return err
		}
		for _, raw := range page {
			var line bytes.Buffer // as it is kept: the API indents it
			if err := json.Compact(&line, raw); err != nil {
				return err
			}
			var e store.Entry
			if err := json.Unmarshal(raw, &e); err != nil {
				return fmt.Errorf("entry %d: %w", from, err)
			}
			if err := f(line.Bytes(), &e); err != nil {
				return err
			}
			from = max(from, e.Seq) + 1
		}
		if len(page) < console.LedgerPage {
			return nil
		}
	}
}

// ledgerFile calls f for each line of a file that --json wrote; "-" is stdin.
func ledgerFile(name string, stdin io.Reader, f func(line []byte, e *store.Entry) error) error {
	in := stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		in = file
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		if err := f(lines.Bytes(), nil); err != nil {
			return fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	return lines.Err()
}

// parseTime reads a flag's time, day or duration before now; empty is the zero
// time.
func parseTime(flag, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usageErrorf("%s %q is neither a time, a day nor a duration\nhint: 2026-11-01T00:00:00Z, 2026-11-01 or 48h", flag, s)
}

func parseHead(s string) (seq uint64, hash string, err error) {
	if s == "" {
		return 0, "", nil
	}
	number, hash, _ := strings.Cut(s, ":")
	seq, err = strconv.ParseUint(number, 10, 64)
	if err != nil || seq == 0 || len(hash) != 64 {
		err = errors.New("ENTRY:HASH, as `refract ledger` prints it")
		return 0, "", usageErrorf("--head %q is no head\nhint: %w", s, err)
	}
	return seq, strings.ToLower(hash), nil
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
