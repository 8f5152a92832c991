package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed14307185/refract/console"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

// drillDeadline is how long a drill waits for the disk.
const drillDeadline = 20 * time.Second

// drills is the one drill that may be under way.
type drills struct {
	one  sync.Mutex // held by it
	twin atomic.Pointer[rules.Rule]
	last atomic.Pointer[store.Drill] // what the twin's stop has measured so far
}

// with is the set to be published: with the twin of the drill under way.
func (d *drills) with(set *rules.Set) *rules.Set {
	if twin := d.twin.Load(); twin != nil {
		return set.WithTwin(twin)
	}
	return set
}

// stopped is told of a twin's stop, as edge.stopped is of a rule's.
func (d *drills) stopped(s store.Stop, now func() time.Time, publish func()) {
	twin, m := d.twin.Load(), d.last.Load()
	if twin == nil || twin.Version != s.Version || !d.twin.CompareAndSwap(twin, nil) {
		return // of a drill that was given up
	}
	done := *m
	done.Decided, done.OnDisk = s.Decided, now().UTC()
	publish()
	done.Published = now().UTC()
	d.last.Store(&done)
}

// drill rehearses the rollback of a rule with its twin, and puts on record what
// came of it. The rule is not touched.
func (e *edge) drill(ctx context.Context, name, who string) (store.Drill, error) {
	rule := e.set().Rule(name)
	if rule == nil {
		return store.Drill{}, fmt.Errorf("%w: %q", store.ErrNoRule, name)
	}
	if !e.drills.one.TryLock() {
		return store.Drill{}, errors.New("another drill is under way: try again")
	}
	defer e.drills.one.Unlock()
	ctx, stop := context.WithTimeout(ctx, drillDeadline)
	defer stop()
	done, err := e.rehearse(ctx, rule.Twin(e.now()))
	entry := store.Entry{Kind: "drill", Rule: name, Version: rule.Version, Who: who, Drill: &done}
	if err != nil {
		done.Failed = err.Error()
		e.log.Warn("a drill failed", slog.String("rule", name), slog.String("error", err.Error()))
	}
	if noteErr := e.store.Note(ctx, entry); err == nil {
		err = noteErr
	}
	if err != nil {
		return done, fmt.Errorf("the drill failed: %w", err)
	}
	e.meter.drilled(name, &done)
	return done, nil
}

// rehearse has a twin decided for, stopped, and no longer decided for.
func (e *edge) rehearse(ctx context.Context, twin *rules.Rule) (store.Drill, error) {
	if err := e.store.Err(); err != nil {
		return store.Drill{Sent: e.now().UTC()}, err
	}
	d := &e.drills
	d.last.Store(&store.Drill{Sent: e.now().UTC()})
	d.twin.Store(twin)
	e.publish()
	defer func() {
		if d.twin.Swap(nil) != nil {
			e.publish()
		}
	}()
	served := func() bool {
		set := e.live.Load()
		return len(set.Decide(rules.TwinPath, set.TwinSubject(twin), e.now())) > 0
	}
	if !served() {
		return *d.last.Load(), errors.New("the twin was not served before the drill")
	}
	d.last.Store(&store.Drill{Sent: e.now().UTC()})
	err := e.store.Drill(ctx, twin)
	done := *d.last.Load()
	done.Acknowledged = e.now().UTC()
	switch {
	case err != nil:
	case done.Published.IsZero():
		err = errors.New("the stop was acknowledged, but not published")
	case served():
		err = errors.New("the twin was served after its stop")
	}
	return done, err
}

func newDrillCommand() *cobra.Command {
	var c adminClient
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "drill RULE",
		Short: "Rehearse the rollback of a rule on the running proxy, and measure it: the rule is not touched",
		Long: "Rehearse the rollback of a rule on the running proxy, and measure it.\n\n" +
			"A twin of the rule, for a visitor who is nobody, is breached by an event, judged, stopped, and\n" +
			"taken off what is live, as the rule would be. The rule, its counts and every page stay as they are. The rule\n" +
			"may be in any state.",
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var done store.Drill
			by := console.Change{Who: operator()}
			if err := c.call(cmd.Context(), http.MethodPost, "/api/rules/"+url.PathEscape(args[0])+"/drill", by, &done); err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), done)
			}
			printDrill(cmd.OutOrStdout(), args[0], &done)
			return nil
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printDrill(out io.Writer, rule string, d *store.Drill) {
	fmt.Fprintf(out, "%s: a breach stops the rule's twin; the next decision was without it\n  deciding event  %s\n", rule, d.Sent.Format("2006-01-02 15:04:05.000Z"))
	for _, step := range []struct {
		name string
		at   time.Time
	}{{"decided", d.Decided}, {"on disk", d.OnDisk}, {"published", d.Published}, {"acknowledged", d.Acknowledged}} {
		fmt.Fprintf(out, "  %-14s  %+.2f ms\n", step.name, float64(step.at.Sub(d.Sent))/float64(time.Millisecond))
	}
}
