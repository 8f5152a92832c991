package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed14307185/refract/certs"
	"github.com/seed14307185/refract/cohorts"
	"github.com/seed14307185/refract/console"
	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/outbox"
	"github.com/seed14307185/refract/proxy"
	"github.com/seed14307185/refract/proxy/cache"
	"github.com/seed14307185/refract/proxy/front"
	"github.com/seed14307185/refract/proxy/token"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

// edge wires the rooms together: the site directory, the store, the proxy and
// the console, and the one pointer to what is live.
type edge struct {
	dir   string
	now   func() time.Time
	log   *slog.Logger
	store *store.Store
	proxy *proxy.Proxy
	admin *console.Console
	meter *meter

	front   *front.Server
	origins origins
	pages   cache.Transport // before them
	certs   *certs.Manager  // nil: without TLS
	tracing *tracing        // nil: no spans
	outbox  outbox.Outbox
	puller  cohorts.Puller
	tokens  token.Verifiers

	live    atomic.Pointer[rules.Set] // what requests are served under
	flights flights
	drills  drills
	treated sync.Map // rule name → *treated

	started   rules.Edge // what the process was started with
	data      string     // its data directory, absolute
	reloading sync.Mutex // one reload at a time
	refused   atomic.Pointer[refusal]
	hangups   chan struct{} // asks for a reload that nobody waits for

	serving  *serving
	proofs   proofs
	switches switches
	notes    chan store.Entry // for the ledger
	blind    bool             // the data directory can't be read; of keep alone

	publishing sync.Mutex
	loaded     *rules.Set   // the last good load, whatever is stopped; guarded by publishing
	expires    atomic.Int64 // when the next rule that is live expires, or its approvals do, Unix ms; 0: none does

	background sync.WaitGroup
	closing    context.Context // ends the goroutines in background
	close      context.CancelFunc
}

const (
	// receiptDelay is how long after a rollback its receipt is completed: what
	// was on its way at the time has ended by then, or counts as the next one.
	receiptDelay = time.Second

	// lockDeadline is how long a successor waits for the store, and lockRetry
	// how often it looks.
	lockDeadline = 2 * time.Minute
	lockRetry    = 20 * time.Millisecond

	// keysDeadline is how long a load waits for key sets that are new: until they
	// are there, visitors with a token are nobody, and would get another id.
	keysDeadline = time.Second

	// spansDeadline is how long the end of the process waits for the collector.
	spansDeadline = 2 * time.Second
	// lettersDeadline is how long it waits for the answers of destinations.
	lettersDeadline = 2 * time.Second
)

// newEdge loads the site directory and opens the store. Options that the site
// does not decide (clock, logs) are the caller's. A successor waits until the
// process before it has closed the store.
func newEdge(ctx context.Context, dir string, now func() time.Time, log *slog.Logger, successor bool) (*edge, error) {
	set, err := rules.Load(dir)
	if err != nil {
		return nil, err
	}
	data, err := filepath.Abs(set.Edge.Data)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	e := &edge{
		dir: dir, now: now, log: log, loaded: set, meter: newMeter(), started: set.Edge, data: data,
		hangups: make(chan struct{}, 1), notes: make(chan store.Entry, 64),
	}
	e.serving = newServing(log, e.stopServing)
	e.closing, e.close = context.WithCancel(context.Background())
	e.live.Store(set.Without(func(*rules.Rule) bool { return true })) // until the store has said what is stopped
	opened, err := e.openStore(ctx, store.Options{
		Dir: filepath.Join(data, "store"), Log: log, Now: now, Stopping: e.stopping, Stopped: e.stopped, Staged: e.publish, Health: e.publish, Retain: set.Edge.Retain,
		Treated: e.treatedResponses, Off: e.switches.off, Node: nodeName(),
	}, successor)
	if err != nil {
		return nil, err
	}
	e.publishing.Lock()
	e.store = opened
	e.publishing.Unlock()
	e.outbox.Store, e.outbox.Log, e.outbox.Now = opened, log, now
	e.puller.Keeper, e.puller.Log = opened, log
	e.tokens.Log, e.tokens.Now = log, now
	e.lookForKillFiles()
	if err := e.openParts(ctx, set); err != nil {
		return nil, errors.Join(err, e.shut())
	}
	e.proxy = &proxy.Proxy{
		Transport: &e.pages,
		Current:   e.live.Load,
		Lookup:    e.store.Lookup,
		Expose:    func(x *rules.Exposure) { e.store.Expose(*x) },
		Observe:   func(ev *events.Event) { e.store.Observe(ev) },
		Verify:    e.tokens.ID,
		Mount:     e.mount,
		Prove:     e.prove,
		Now:       now,
		Log:       log,
		Done:      e.served,
	}
	e.pages.Next = e.tracing.transport(&e.origins)
	e.front = e.newFront()
	e.front.Use(frontSettings(&set.Edge))
	e.meter.servers, e.meter.certificates = e.origins.servers(), e.expiries()
	e.meter.connections = e.front.Connections
	e.admin = &console.Console{
		Store: e.store, Loaded: e.set, Live: e.live.Load, Checks: e.checks(), Reload: e.reload,
		Rollback: e.rollback, Resume: e.resume, Drill: e.drill,
		Switches: e.switches.list, KillFile: filepath.Join(data, killFile),
		Proofs:  e.proofs.list,
		Unseen:  func(rule string) bool { return e.serving.unseen(rule, now()) },
		Turn:    func(off bool, who console.Change) { e.turn(off, byAPI, who) },
		Metrics: e.meter.handler(e), Now: now, Token: func() string { return e.set().Edge.Token },
		Untouched: e.meter.untouchedPages,
	}
	for _, f := range []func(){e.note, e.keep, e.reloadOnRequest} {
		e.background.Go(f)
	}
	return e, nil
}

// openParts opens what may fail, once the store is open.
func (e *edge) openParts(ctx context.Context, set *rules.Set) (err error) {
	if err := e.openCertificates(ctx, set); err != nil {
		return err
	}
	if e.tracing, err = newTracing(ctx, set.Edge.Tracing, e.log); err != nil {
		return err
	}
	return e.use(ctx, set)
}

// openStore opens the store, for a successor once its lock is free.
func (e *edge) openStore(ctx context.Context, o store.Options, successor bool) (*store.Store, error) {
	deadline := time.NewTimer(lockDeadline)
	defer deadline.Stop()
	retry := time.NewTicker(lockRetry)
	defer retry.Stop()
	for waited := false; ; waited = true {
		s, err := store.Open(o)
		if !successor || !errors.Is(err, store.ErrLocked) {
			return s, err
		}
		if !waited {
			e.log.Info("waiting for the process before this one to close the store", slog.String("dir", o.Dir))
		}
		select {
		case <-retry.C:
		case <-deadline.C:
			return nil, err
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		}
	}
}

// set returns the last good load.
func (e *edge) set() *rules.Set {
	e.publishing.Lock()
	defer e.publishing.Unlock()
	return e.loaded
}

// use makes a set the one that is computed, counted and served. Parts of the
// edge that take a set without a restart are handed it here: first those that
// can refuse it, so that a refusal changes nothing.
func (e *edge) use(ctx context.Context, set *rules.Set) error {
	proofs, err := e.tokens.Prepare(&set.Edge.Identity)
	if err != nil {
		return err
	}
	carrier, err := e.origins.next(e.originConfig(set))
	if err != nil {
		return err
	}
	if e.front != nil { // else certificates are not to be obtained yet
		err = e.useCertificates(set)
	}
	treated := map[string]uint64{} // until now
	for _, r := range set.Rules {
		treated[r.Name] = e.treatedResponses(r.Name)
	}
	if err == nil {
		if err = e.store.Use(ctx, set, e.publish); err != nil && e.front != nil {
			err = errors.Join(err, e.useCertificates(e.set()))
		}
	}
	if err != nil {
		carrier.Close()
		return err
	}
	e.origins.use(carrier)
	e.tokens.Use(proofs)
	waiting, stop := context.WithTimeout(ctx, keysDeadline)
	e.tokens.Await(waiting)
	stop()
	e.pages.Use(set.Edge.PageCache, traitFields(&set.Edge)...)
	e.outbox.Use(set.Edge.Destinations())
	e.puller.Use(pulledFrom(set.Edge.Cohorts.Pull))
	if e.front != nil {
		e.front.Use(frontSettings(&set.Edge))
	}
	e.publishing.Lock()
	before := e.loaded
	e.loaded = set
	e.publishing.Unlock()
	e.publish()
	e.stoppedByFile(before, set, treated)
	for _, w := range set.Warnings {
		e.log.Warn("site directory: " + strings.ReplaceAll(w.String(), "\n", " "))
	}
	e.logApprovals(set)
	e.warnOfLaunches()
	return nil
}

// traitFields are the fields of responses that say who a visitor is: a page that
// has one is not for another.
func traitFields(e *rules.Edge) (names []string) {
	for _, s := range e.Identity.Traits {
		names = append(names, s.Name)
	}
	return names
}

// publish makes live what is loaded and approved, and neither stopped, switched
// off, expired nor warming, each rule at the step of its ramp, and nothing while
// the store takes no writes. Every change of any
// of these calls it afterwards.
func (e *edge) publish() {
	e.publishing.Lock()
	defer e.publishing.Unlock()
	if e.store == nil {
		return // still opening it
	}
	// What can't be measured is not served.
	down := e.store.Err() != nil
	standings, warming, now := e.store.Standings(), e.store.Warming(), e.now()
	live := e.loaded.Without(func(r *rules.Rule) bool {
		s, known := standings[r.Name]
		return down || e.switches.off(r.Name) || !known || s.Run.Version != r.Version || s.Run.Stop != nil ||
			expired(r, now) || !r.Approved(now) || slices.Contains(warming, r.Segment.Name)
	})
	live = atStage(live, standings)
	var next int64
	for _, r := range live.Live() {
		if at := r.Until(); !at.IsZero() && (next == 0 || at.UnixMilli() < next) {
			next = at.UnixMilli()
		}
	}
	e.expires.Store(next)
	e.serving.watch(live.Live(), now)
	e.live.Store(e.drills.with(live))
}

func expired(r *rules.Rule, now time.Time) bool { return !r.Expires.IsZero() && !now.Before(r.Expires) }

// stopping is told by the store of a stop that it decided on and that is not on
// disk yet. The next response is the app's own.
func (e *edge) stopping(rule string) { e.hold(rule) }

// stopped is told by the store of a stop that is on disk.
func (e *edge) stopped(s store.Stop) {
	if s.Drill {
		e.drills.stopped(s, e.now, e.publish)
		return
	}
	e.publish()
	published := e.now()
	if at := e.switches.goneSince(s.Rule); !at.IsZero() {
		published = at // it was held off before the stop was on disk
	}
	if s.Cause.Own() {
		e.switches.release(s.Rule) // the stop itself keeps it off
	}
	e.meter.stopped(s, published)
	attrs := []any{slog.String("rule", s.Rule), slog.String("version", s.Version), slog.String("cause", string(s.Cause)),
		slog.String("who", s.Who), slog.String("why", s.Why)}
	if s.Verdict != nil {
		attrs = append(attrs, slog.Float64("ln_e", s.Verdict.LogE))
	}
	e.log.Warn("rolled back", attrs...)
	e.receipt(s, published, 0)
}

// rollback stops a rule for a person. The next response is the app's own before
// the stop is on disk, so also where the disk hangs.
func (e *edge) rollback(ctx context.Context, rule, who, why string) error {
	return e.halt(ctx, rule, store.ByPerson, who, why)
}

// halt stops a rule for whom it says: see rollback.
func (e *edge) halt(ctx context.Context, rule string, by store.Cause, who, why string) error {
	e.hold(rule)
	defer e.release(rule)
	return e.store.Rollback(ctx, rule, by, who, why)
}

func (e *edge) resume(ctx context.Context, rule, who, why string) error {
	if err := e.store.Resume(ctx, rule, who, why); err != nil {
		return err
	}
	e.publish()
	e.log.Info("resumed", slog.String("rule", rule), slog.String("who", who), slog.String("why", why))
	e.warnOfLaunches()
	return nil
}

// checks are what readiness depends on.
func (e *edge) checks() []console.Check {
	return []console.Check{
		{Name: "config", Look: func() (string, error) {
			if r := e.refused.Load(); r != nil {
				return fmt.Sprintf("revision %s; a reload was refused at %s", e.set().Revision, r.at.UTC().Format(time.RFC3339)), nil
			}
			return "revision " + e.set().Revision, nil
		}},
		{Name: "origins", Look: e.origins.check},
		{Name: "store", Look: func() (string, error) { return "", e.store.Err() }},
		{Name: "drain", Look: func() (string, error) {
			if e.flights.draining.Load() {
				return "", errors.New("draining")
			}
			return "", nil
		}},
	}
}

// shut ends the edge: what was handed over is on disk when it returns.
func (e *edge) shut() error {
	e.publishing.Lock()
	e.close()
	e.publishing.Unlock()
	e.background.Wait()
	e.puller.Close()
	e.tokens.Close()
	sending, stop := context.WithTimeout(context.Background(), lettersDeadline)
	e.outbox.Close(sending)
	stop()
	ctx, cancel := context.WithTimeout(context.Background(), spansDeadline)
	defer cancel()
	if err := e.tracing.shut(ctx); err != nil {
		e.log.Warn("the last spans were not sent", slog.String("error", err.Error()))
	}
	if e.origins.live.Load() != nil {
		e.origins.live.Load().Close()
	}
	var err error
	if e.certs != nil {
		err = e.certs.Close()
	}
	return errors.Join(err, e.store.Close())
}
