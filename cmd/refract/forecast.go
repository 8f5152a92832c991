package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed14307185/refract/rules"
)

// forecastFlags are those of a forecast of the rules' tests.
type forecastFlags struct {
	on      bool
	changes []string
}

func (f *forecastFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.on, "forecast", false, "say what the test of each rule would take, drafts included")
	flags.StringSliceVar(&f.changes, "change", []string{"5%", "10%", "20%"}, "with --forecast: the changes of the metric to tell from none")
}

// run prints the forecast, of files or else of what the running refract has
// kept.
func (f *forecastFlags) run(cmd *cobra.Command, c *adminClient, set *rules.Set, history simulateFlags, now time.Time, asJSON bool) error {
	var changes []float64
	for _, s := range f.changes {
		change, err := strconv.ParseFloat(strings.TrimSuffix(s, "%"), 64)
		if strings.HasSuffix(s, "%") {
			change /= 100
		}
		if err != nil || !(change > 0 && change <= 10) {
			return usageErrorf("--change %q is not a change such as 10%%, from 0%% to 1000%%", s)
		}
		changes = append(changes, change)
	}
	if len(history.events) == 0 {
		log, end, err := c.events(cmd.Context())
		if err != nil {
			return err
		}
		defer end()
		history.events, history.format = []string{"-"}, "refract"
		cmd.SetIn(log)
	}
	report, err := history.replay(cmd, set, now)
	if err != nil {
		return fmt.Errorf("forecast: %w", err)
	}
	list := report.Forecast(set, changes)
	if asJSON {
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetIndent("", "  ")
		return enc.Encode(list)
	}
	return report.WriteForecast(cmd.OutOrStdout(), list)
}

// events streams the log of the running refract, until end is called.
func (c *adminClient) events(ctx context.Context) (log io.Reader, end func(), err error) {
	transport := &http.Transport{ResponseHeaderTimeout: adminTimeout}
	resp, err := c.ask(ctx, &http.Client{Transport: transport}, http.MethodGet, "/api/events", http.NoBody)
	if err != nil {
		return nil, nil, fmt.Errorf("%w; --events FILE replays a file", err)
	}
	end = func() { resp.Body.Close(); transport.CloseIdleConnections() }
	if resp.StatusCode != http.StatusOK {
		defer end()
		b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
		return nil, nil, errors.Join(err, refused(b))
	}
	return resp.Body, end, nil
}
