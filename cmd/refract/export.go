package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed14307185/refract/export"
)

func newExportCommand(now func() time.Time) *cobra.Command {
	var c adminClient
	var rule, since, format, file string
	cmd := &cobra.Command{
		Use:   "export " + strings.Join(export.Kinds[:], "|"),
		Short: "Write the units that were exposed, and what they did, for a warehouse",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			from, err := parseTime("--since", since, now())
			if err != nil {
				return err
			}
			if _, err := export.NewWriter(io.Discard, args[0], format); err != nil {
				return usageError{err}
			}
			q := url.Values{"format": {format}}
			if rule != "" {
				q.Set("rule", rule)
			}
			if !from.IsZero() {
				q.Set("since", from.UTC().Format(time.RFC3339Nano))
			}
			path := "/api/export/" + args[0] + "?" + q.Encode()
			if file == "-" {
				return c.stream(cmd.Context(), path, cmd.OutOrStdout())
			}
			return c.streamTo(cmd.Context(), path, file)
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&rule, "rule", "", "of this rule only, whatever its version (default: of all that there ever were)")
	cmd.Flags().StringVar(&since, "since", "", "of units first exposed since then: a time, a day, or a duration such as 48h")
	cmd.Flags().StringVar(&format, "format", "csv", strings.Join(export.Formats[:], ", "))
	cmd.Flags().StringVarP(&file, "output", "o", "-", "the file to write; -: standard output")
	return cmd
}

// streamTo writes an answer to a file, which is there when the answer is whole.
func (c *adminClient) streamTo(ctx context.Context, path, file string) error {
	part, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		return err
	}
	err = errors.Join(c.stream(ctx, path, part), part.Sync(), part.Close())
	if err == nil {
		err = os.Rename(part.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(part.Name()))
	}
	return nil
}

// stream asks the admin API for something of any length and writes it to w.
func (c *adminClient) stream(ctx context.Context, path string, w io.Writer) error {
	client := &http.Client{Transport: &http.Transport{ResponseHeaderTimeout: adminTimeout}}
	resp, err := c.ask(ctx, client, http.MethodGet, path, http.NoBody)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		return refused(b)
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("the answer broke off, what was written is a part of it: %w", err)
	}
	return nil
}
