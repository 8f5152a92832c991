package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed14307185/refract/console"
	"github.com/seed14307185/refract/demo"
	"github.com/seed14307185/refract/demo/planner"
)

// demoOptions are the flags of refract demo.
type demoOptions struct {
	listen, admin string
	dir           string
	length        time.Duration
	seed          int64
}

func newDemoCommand() *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show everything on this machine: a sample app, the proxy, the console and simulated visitors",
		Long: "Show everything on this machine: a small unmodified sample app, the proxy in front of it, the console,\n" +
			"seven segments with a rule each, and simulated visitors in compressed time: a second is half a day.\n" +
			"Nothing leaves the machine, and what it writes is in a directory of its own.",
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemo(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&o.listen, "listen", "127.0.0.1:8080", "address of the proxy; a free port is taken if it is in use")
	cmd.Flags().StringVar(&o.admin, "admin", "127.0.0.1:9180", "address of the console; a free port is taken if it is in use")
	cmd.Flags().StringVar(&o.dir, "dir", "", "an empty directory for the site directory and the store (default: a new one, removed at the end)")
	cmd.Flags().DurationVar(&o.length, "length", 0, "end by itself after this time (default: run until interrupted)")
	cmd.Flags().Int64Var(&o.seed, "seed", 1, "seed of the simulated visitors")
	return cmd
}

// demoKey is the environment variable that the demo's site reads its write key
// from.
const demoKey = "REFRACT_DEMO_WRITE_KEY"

// runDemo runs the demo until ctx ends, a signal comes or its length is over.
func runDemo(ctx context.Context, o demoOptions, out, errOut io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if o.length > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.length)
		defer cancel()
	}
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "refract-demo-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		o.dir = dir
	}
	app, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	origin := &http.Server{Handler: planner.New(), ReadHeaderTimeout: adminHeaderTimeout}
	go origin.Serve(app) // ends with Close
	defer origin.Close()

	key := rand.Text()
	if err := os.Setenv(demoKey, key); err != nil {
		return err
	}
	vars := demo.Vars{
		Listen: freeAddress(o.listen), Admin: freeAddress(o.admin), Origin: "http://" + app.Addr().String(),
		Data: filepath.Join(o.dir, "data"), WriteKey: "env:" + demoKey,
	}
	site := filepath.Join(o.dir, "site")
	if err := demo.Site(site, vars); err != nil {
		return err
	}
	clock := demo.NewClock()
	log := slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return serve(ctx, site, clock.Now, outputs{log: log, access: io.Discard}, func(listen, _ net.Addr) {
		d := &demoGuide{
			out: out, clock: clock, app: vars.Origin, site: site, admin: vars.Admin, edge: "http://" + listen.String(),
			crowd: &demo.Visitors{Edge: "http://" + listen.String(), WriteKey: key, Clock: clock, Seed: o.seed},
			told:  map[string]bool{},
		}
		go d.run(ctx)
	})
}

// freeAddress returns the address, or one with a free port if it is in use.
func freeAddress(address string) string {
	l, err := net.Listen("tcp", address)
	if err != nil {
		host, _, splitErr := net.SplitHostPort(address)
		if splitErr != nil {
			return address // serve will say what is wrong with it
		}
		if l, err = net.Listen("tcp", net.JoinHostPort(host, "0")); err != nil {
			return address
		}
	}
	defer l.Close()
	return l.Addr().String()
}

// demoGuide tells the newcomer what there is to see.
type demoGuide struct {
	out              io.Writer
	clock            demo.Clock
	app, edge, admin string
	site             string
	crowd            *demo.Visitors
	told             map[string]bool // what was told of which rule
}

func (d *demoGuide) run(ctx context.Context) {
	fmt.Fprintf(d.out, `Refract demo: all on this machine. Time is compressed: 1 second here is half a day there.

  the app, as its developers made it   %s
  the same app behind Refract          %s
  the console                          http://%s/
  the rules, as files                  %s

Sending SIMULATED visitors through the proxy. Ctrl-C ends the demo.
`, d.app, d.edge, d.admin, d.site)
	go d.showcase(ctx)
	d.crowd.Progress = func(p demo.Progress) { d.watch(ctx, p) }
	if err := d.crowd.Run(ctx); err != nil && ctx.Err() == nil {
		fmt.Fprintf(d.out, "the simulated visitors stopped: %v\n", err)
	}
	if ctx.Err() == nil {
		fmt.Fprintf(d.out, "\nThe simulated visitors are done. The app, the proxy and the console stay up until Ctrl-C.\n")
	}
}

// showcase finds two people for whom the same page differs.
func (d *demoGuide) showcase(ctx context.Context) {
	seen, err := d.crowd.Showcase(ctx)
	if err != nil {
		if ctx.Err() == nil {
			fmt.Fprintf(d.out, "the sample people could not be shown: %v\n", err)
		}
		return
	}
	var with, without *demo.Sighting
	for i, s := range seen {
		switch {
		case s.Response && with == nil:
			with = &seen[i]
		case !s.Response && (without == nil || s.Eligible && !without.Eligible):
			without = &seen[i]
		}
	}
	if with == nil || without == nil {
		return
	}
	why := "the holdout"
	if !without.Eligible {
		why = "not in the segment"
	}
	fmt.Fprintf(d.out, "\nThe same page for two people (each link signs you in as them):\n  %-10s sees the response       %s\n  %-10s sees the app's own page %s   (%s)\n\n",
		with.Name, with.URL, without.Name, without.URL, why)
}

// watch tells each verdict of a rule when it comes.
func (d *demoGuide) watch(ctx context.Context, p demo.Progress) {
	c := adminClient{address: d.admin, site: d.site}
	var st console.Status
	if err := c.call(ctx, http.MethodGet, "/api/status", nil, &st); err != nil {
		if ctx.Err() == nil && !errors.Is(err, context.Canceled) {
			fmt.Fprintf(d.out, "the console does not answer: %v\n", err)
		}
		return
	}
	day := int(p.At.Sub(d.clock.Origin).Hours() / 24)
	if day%10 == 0 && !d.told[fmt.Sprint("day", day)] {
		d.told[fmt.Sprint("day", day)] = true
		fmt.Fprintf(d.out, "day %d: %d simulated visitors, %d requests, %d pages with a response\n", day, p.Visitors, p.Requests, p.Changed)
	}
	if p.Err != nil && !d.told["failed"] {
		d.told["failed"] = true
		fmt.Fprintf(d.out, "a simulated visitor gave up: %v\n", p.Err)
	}
	for i := range st.Rules {
		r := &st.Rules[i]
		lift := r.Verdict.Lift
		switch {
		case r.State == "rolled_back" && !d.told[r.Name+" rolled back"]:
			d.told[r.Name+" rolled back"] = true
			fmt.Fprintf(d.out, "\nday %d: ROLLED BACK BY ITSELF\n", day)
			printReport(d.out, r)
		case r.State == "live" && !lift.Collecting && lift.Low > 0 && !r.Verdict.TooEarly && !d.told[r.Name+" helped"]:
			d.told[r.Name+" helped"] = true
			fmt.Fprintf(d.out, "\nday %d: A RULE HELPS\n", day)
			printReport(d.out, r)
		}
	}
}
