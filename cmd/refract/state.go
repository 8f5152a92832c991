package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed14307185/refract/console"
)

func newStateCommand() *cobra.Command {
	var c adminClient
	var at, dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "state --at TIME",
		Short: "What was live at a time, with the exact content",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			when, err := parseTime("--at", at, time.Now())
			if err != nil {
				return err
			}
			query := url.Values{}
			if at != "" {
				query.Set("at", when.UTC().Format(time.RFC3339Nano))
			}
			if dir != "" {
				query.Set("files", "true")
			}
			var raw json.RawMessage
			if err := c.call(cmd.Context(), http.MethodGet, "/api/state?"+query.Encode(), nil, &raw); err != nil {
				return err
			}
			var is console.State
			if err := json.Unmarshal(raw, &is); err != nil {
				return err
			}
			if dir != "" {
				if err := writeSite(dir, is.Files); err != nil {
					return err
				}
			}
			out := cmd.OutOrStdout()
			if asJSON {
				_, err := out.Write(raw)
				return err
			}
			fmt.Fprintf(out, "at %s: revision %s, loaded %s (entry %d of the ledger)\n", stamp(is.At), is.Revision, stamp(is.Loaded), is.Entry)
			table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "RULE\tWAS\tVERSION\tSENTENCE")
			for _, r := range is.Rules {
				was := "served"
				switch {
				case r.Served:
				case r.By != "":
					was = r.Why + " by " + r.By
				default:
					was = r.Why
				}
				for _, h := range r.Holds {
					was += ", held (" + string(h.Reason) + ")"
				}
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", r.Name, was, r.Version, r.Sentence)
			}
			if err := table.Flush(); err != nil {
				return err
			}
			if dir != "" {
				fmt.Fprintf(out, "%d files were written to %s\n", len(is.Files), dir)
			}
			return nil
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&at, "at", "", "a time (2026-11-01T00:00:00Z), a day, whose beginning is meant, or how long ago (48h); left out: now")
	cmd.Flags().StringVar(&dir, "out", "", "write the site directory as it was to this `DIR`, which must not be there")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// writeSite writes the files of a site directory to a new directory. They may
// hold secrets.
func writeSite(dir string, files map[string]string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for name, data := range files {
		path := filepath.FromSlash(name)
		if !filepath.IsLocal(path) {
			return fmt.Errorf("the proxy names a file %q, which is not below the site directory", name)
		}
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			return err
		}
	}
	return nil
}
