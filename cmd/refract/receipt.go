package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/proxy"
	"github.com/seed14307185/refract/rewrite"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

// treated is what a rule's treated responses did since the process started.
type treated struct {
	n    atomic.Uint64
	last atomic.Int64 // when one last ended, Unix ms
}

// countTreated counts an exchange for the rules that it was treated by.
func (e *edge) countTreated(x *proxy.Exchange) {
	now := e.now().UnixMilli()
	for i, d := range x.Decision {
		if !d.Treats() || i >= len(x.Sightings) || x.Sightings[i].State != rewrite.Swappable {
			continue // another rule's surface is on the page
		}
		t, ok := e.treated.Load(d.Rule.Name)
		if !ok {
			t, _ = e.treated.LoadOrStore(d.Rule.Name, new(treated))
		}
		t.(*treated).last.Store(now)
		t.(*treated).n.Add(1)
	}
}

// treatedResponses returns how many of a rule there were.
func (e *edge) treatedResponses(rule string) uint64 {
	if t, ok := e.treated.Load(rule); ok {
		return t.(*treated).n.Load()
	}
	return 0
}

// measured is what there is to say of a stop that was published then.
func (e *edge) measured(rule string, published time.Time) store.Measured {
	m := store.Measured{Published: published}
	if t, ok := e.treated.Load(rule); ok {
		m.Treated = t.(*treated).n.Load()
		m.LastTreated = time.UnixMilli(t.(*treated).last.Load()).UTC()
	}
	return m
}

// stoppedByFile completes the receipts of rules that a load, now published, has
// stopped. treated are the treated responses before it.
func (e *edge) stoppedByFile(before, set *rules.Set, treated map[string]uint64) {
	published := e.now()
	if before == nil {
		return
	}
	for _, r := range set.Rules {
		if old := before.Rule(r.Name); r.State != rules.RolledBack || old == nil || old.State != rules.Live {
			continue
		}
		stops, err := e.store.Receipts(context.Background(), r.Name)
		if err != nil {
			e.log.Warn("the receipt of a rollback was not completed", slog.String("rule", r.Name), slog.String("error", err.Error()))
			continue
		}
		if n := len(stops); n > 0 && stops[n-1].Cause == store.ByFile && stops[n-1].Published.IsZero() {
			e.meter.stopped(stops[n-1], published)
			e.receipt(stops[n-1], published, treated[r.Name])
		}
	}
}

// receipt completes the receipt of a stop after a second. before is how many
// treated responses there were that the stop doesn't know of.
func (e *edge) receipt(s store.Stop, published time.Time, before uint64) {
	e.publishing.Lock()
	defer e.publishing.Unlock()
	if e.closing.Err() != nil {
		return
	}
	e.background.Go(func() {
		select {
		case <-time.After(receiptDelay):
		case <-e.closing.Done():
		}
		m := e.measured(s.Rule, published)
		m.Treated -= min(before, m.Treated)
		if err := e.store.Receipt(context.Background(), s, m); err != nil {
			e.log.Warn("the receipt of a rollback was not completed", slog.String("rule", s.Rule), slog.String("error", err.Error()))
		}
	})
}

// nodeName is this machine's name, for receipts.
func nodeName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

func newReceiptCommand() *cobra.Command {
	var c adminClient
	var asJSON, all bool
	cmd := &cobra.Command{
		Use:   "receipt RULE|--all",
		Short: "The receipts of a rule's rollbacks: what was decided when, by which counts, and the last treated response",
		Long: "The receipt of a rule's last rollback, and with --all those of every rollback of every rule. They are read\n" +
			"from the ledger, so also of versions and rules that the site no longer has.",
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && !all {
				return usageErrorf("give a rule, or --all")
			}
			path := "/api/receipts"
			if len(args) == 1 {
				path += "?rule=" + url.QueryEscape(args[0])
			}
			var stops []store.Stop
			if err := c.call(cmd.Context(), http.MethodGet, path, nil, &stops); err != nil {
				return err
			}
			if len(args) == 1 && len(stops) == 0 {
				return fmt.Errorf("no rollback of %q is on record\nhint: refract ledger lists what is", args[0])
			}
			if !all {
				stops = stops[len(stops)-1:]
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return printJSON(out, stops)
			}
			for i := range stops {
				printReceipt(out, &stops[i])
			}
			return nil
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "all that are on record, the oldest first: of the rule, or of every rule")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printJSON(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// printReceipt prints a receipt. Differences are from the decision, in
// milliseconds.
func printReceipt(out io.Writer, s *store.Stop) {
	fmt.Fprintf(out, "%s  version %s  rolled back by %s", s.Rule, s.Version, s.Cause)
	if s.Who != "" {
		fmt.Fprintf(out, " (%s)", oneLine(s.Who))
	}
	if s.Why != "" {
		fmt.Fprintf(out, ", because: %s", oneLine(s.Why))
	}
	fmt.Fprintf(out, "\n  node          %s, revision %s was live\n", cmp.Or(s.Node, "not named"), s.Revision)
	moment := func(name string, t time.Time, none string) {
		if t.IsZero() {
			fmt.Fprintf(out, "  %-12s  %s\n", name, none)
			return
		}
		fmt.Fprintf(out, "  %-12s  %s", name, t.UTC().Format("2006-01-02 15:04:05.000Z"))
		if !t.Equal(s.Decided) {
			fmt.Fprintf(out, "  %+.1f ms", float64(t.Sub(s.Decided))/float64(time.Millisecond))
		}
		fmt.Fprintln(out)
	}
	if s.Cause == store.ByGuardrail {
		moment("breach", s.Breach, "not known")
	}
	moment("decided", s.Decided, "")
	if s.Published.IsZero() {
		fmt.Fprintln(out, "  published     not measured: the receipt is completed a second after the rollback, unless the process ends before")
	} else {
		moment("published", s.Published, "")
		moment("last treated", s.LastTreated, "no response was treated since the process started")
		fmt.Fprintf(out, "  after it      %d treated responses ended after the decision\n", s.TreatedAfter)
	}
	if s.Tally != nil {
		arm := func(name string, n outcomes.Counts) {
			fmt.Fprintf(out, "  %-12s  exposed %d, harmed %d of %d whose outcome is known, converted %d\n", name, n.Exposed, n.Harmed, n.Settled, n.Converted)
		}
		for _, e := range s.Tally.Epochs {
			arm("treatment", e.TreatmentArm)
			arm("control", e.ControlArm)
		}
	}
	if s.Verdict != nil {
		fmt.Fprintf(out, "  verdict       guardrail %s: ln E %.9f\n", s.Verdict.Guardrail, s.Verdict.LogE)
	}
}
