package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed14307185/refract/console"
	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/segment"
	"github.com/seed14307185/refract/proxy"
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

	live     atomic.Pointer[rules.Set] // what requests are served under
	draining atomic.Bool
	treated  sync.Map // rule name → *atomic.Int64: when a treated response last ended, Unix ms

	reloading sync.Mutex // one reload at a time

	publishing sync.Mutex
	loaded     *rules.Set // the last good load, whatever is stopped; guarded by publishing

	receipts sync.WaitGroup
	closing  context.Context // ends the goroutines in receipts
	close    context.CancelFunc
}

const (
	// receiptDelay is how long after a rollback its receipt is completed: what
	// was on its way at the time has ended by then, or counts as the next one.
	receiptDelay = time.Second

	segmentMount = "/_refract/ingest/segment"
)

// newEdge loads the site directory and opens the store. Options that the site
// does not decide (clock, logs) are the caller's.
func newEdge(ctx context.Context, dir string, now func() time.Time, log *slog.Logger) (*edge, error) {
	set, err := rules.Load(dir)
	if err != nil {
		return nil, err
	}
	origin, err := url.Parse(set.Edge.Servers()[0])
	if err != nil {
		return nil, fmt.Errorf("origin: %w", err)
	}
	e := &edge{dir: dir, now: now, log: log, loaded: set, meter: newMeter()}
	e.closing, e.close = context.WithCancel(context.Background())
	e.live.Store(set.Without(func(*rules.Rule) bool { return true })) // until the store has said what is stopped
	opened, err := store.Open(store.Options{
		Dir: filepath.Join(set.Edge.Data, "store"), Log: log, Now: now, Stopped: e.stopped, Health: e.publish, Retain: set.Edge.Retain,
	})
	if err != nil {
		return nil, err
	}
	e.publishing.Lock()
	e.store = opened
	e.publishing.Unlock()
	if err := e.use(ctx, set); err != nil {
		return nil, errors.Join(err, e.store.Close())
	}
	e.proxy = &proxy.Proxy{
		Origin:  origin,
		Current: e.live.Load,
		Lookup:  e.store.Lookup,
		Expose:  func(x *rules.Exposure) { e.store.Expose(*x) },
		Observe: func(ev *events.Event) { e.store.Observe(ev) },
		Mount:   e.mount,
		Now:     now,
		Log:     log,
		Done:    e.served,
	}
	e.admin = &console.Console{
		Store: e.store, Loaded: e.set, Live: e.live.Load, Ready: e.ready, Reload: e.reload, Resume: e.resume,
		Metrics: e.meter.handler(e), Now: now, Token: set.Edge.Token,
	}
	return e, nil
}

// set returns the last good load.
func (e *edge) set() *rules.Set {
	e.publishing.Lock()
	defer e.publishing.Unlock()
	return e.loaded
}

// use makes a set the one that is computed, counted and served.
func (e *edge) use(ctx context.Context, set *rules.Set) error {
	if err := e.store.Use(ctx, set, e.publish); err != nil {
		return err
	}
	e.publishing.Lock()
	e.loaded = set
	e.publishing.Unlock()
	e.publish()
	for _, w := range set.Warnings {
		e.log.Warn("site directory: " + strings.ReplaceAll(w.String(), "\n", " "))
	}
	return nil
}

// publish makes live what is loaded and neither stopped nor warming, and nothing
// while the store takes no writes. Every change of any of these calls it
// afterwards.
func (e *edge) publish() {
	e.publishing.Lock()
	defer e.publishing.Unlock()
	if e.store == nil {
		return // still opening it
	}
	if e.store.Err() != nil {
		// What can't be measured is not served.
		e.live.Store(e.loaded.Without(func(*rules.Rule) bool { return true }))
		return
	}
	standings, warming := e.store.Standings(), e.store.Warming()
	e.live.Store(e.loaded.Without(func(r *rules.Rule) bool {
		s, known := standings[r.Name]
		return !known || s.Run.Version != r.Version || s.Run.Stop != nil || slices.Contains(warming, r.Segment.Name)
	}))
}

// stopped is told by the store of a stop that is on disk.
func (e *edge) stopped(s store.Stop) {
	e.publish()
	published := e.now()
	e.meter.rollbacks.WithLabelValues(s.Rule, string(s.Cause)).Inc()
	attrs := []any{slog.String("rule", s.Rule), slog.String("version", s.Version), slog.String("cause", string(s.Cause)),
		slog.String("who", s.Who), slog.String("why", s.Why)}
	if s.Verdict != nil {
		attrs = append(attrs, slog.Float64("ln_e", s.Verdict.LogE))
	}
	e.log.Warn("rolled back", attrs...)
	e.publishing.Lock()
	defer e.publishing.Unlock()
	if e.closing.Err() != nil {
		return
	}
	e.receipts.Go(func() {
		select {
		case <-time.After(receiptDelay):
		case <-e.closing.Done():
		}
		var last time.Time
		if at, ok := e.treated.Load(s.Rule); ok {
			last = time.UnixMilli(at.(*atomic.Int64).Load()).UTC()
		}
		if err := e.store.Receipt(context.Background(), s, published, last); err != nil {
			e.log.Warn("the receipt of a rollback was not completed", slog.String("rule", s.Rule), slog.String("error", err.Error()))
		}
	})
}

// reload validates the site directory, then swaps it in. A bad one changes
// nothing.
func (e *edge) reload(ctx context.Context) (changed bool, err error) {
	e.reloading.Lock()
	defer e.reloading.Unlock()
	defer func() { e.meter.reloaded(err, e.now()) }()
	set, err := rules.Load(e.dir)
	if err != nil {
		return false, err
	}
	before := e.set()
	if set.Revision == before.Revision {
		return false, nil
	}
	for _, key := range restartKeys(&before.Edge, &set.Edge) {
		e.log.Warn("refract.yaml: a change takes effect at the next start only", slog.String("key", key))
	}
	if err := e.use(ctx, set); err != nil {
		return false, err
	}
	e.log.Info("reloaded", slog.String("revision", set.Revision), slog.String("before", before.Revision))
	return true, nil
}

// restartKeys lists the keys of refract.yaml that changed and that only a
// start reads.
func restartKeys(a, b *rules.Edge) []string {
	var keys []string
	for _, k := range []struct {
		name    string
		changed bool
	}{
		{"listen", a.Listen != b.Listen},
		{"origin", !slices.Equal(a.Servers(), b.Servers())},
		{"admin", a.Admin != b.Admin},
		{"token", a.Token != b.Token},
		{"data", a.Data != b.Data},
		{"retain", a.Retain != b.Retain},
	} {
		if k.changed {
			keys = append(keys, k.name)
		}
	}
	return keys
}

func (e *edge) resume(ctx context.Context, rule, who, why string) error {
	if err := e.store.Resume(ctx, rule, who, why); err != nil {
		return err
	}
	e.publish()
	e.log.Info("resumed", slog.String("rule", rule), slog.String("who", who), slog.String("why", why))
	return nil
}

// ready says why this node should get no traffic, or nil.
func (e *edge) ready() error {
	if e.draining.Load() {
		return errors.New("draining")
	}
	return e.store.Err()
}

// mount returns the handler of a path below /_refract/, if the set has one.
func (e *edge) mount(set *rules.Set, path string) http.Handler {
	if rest, ok := strings.CutPrefix(path, segmentMount); ok && strings.HasPrefix(rest, "/") && set.Edge.Sources.Segment.WriteKey != "" {
		return http.StripPrefix(segmentMount, &segment.Handler{
			WriteKey: set.Edge.Sources.Segment.WriteKey,
			Late:     set.Edge.Late,
			Now:      e.now,
			Append:   e.store.Append,
			Refused:  e.meter.refused,
		})
	}
	return nil
}

// served is told of every exchange.
func (e *edge) served(x *proxy.Exchange) {
	if x.Treated {
		now := e.now().UnixMilli()
		for _, d := range x.Decision {
			if d.Arm != rules.Treatment {
				continue
			}
			at, ok := e.treated.Load(d.Rule.Name)
			if !ok {
				at, _ = e.treated.LoadOrStore(d.Rule.Name, new(atomic.Int64))
			}
			at.(*atomic.Int64).Store(now)
		}
	}
	e.meter.exchange(x)
}

// shut ends the edge: what was handed over is on disk when it returns.
func (e *edge) shut() error {
	e.publishing.Lock()
	e.close()
	e.publishing.Unlock()
	e.receipts.Wait()
	return e.store.Close()
}
