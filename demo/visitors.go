package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// The bounds of the crowd.
const (
	maxPresent  = 4096 // visitors at a time
	maxInFlight = 16   // requests at a time
)

// DefaultFor is for how long new visitors arrive, in simulated time, if
// Visitors does not say: three minutes at Factor.
const DefaultFor = 90 * day

// Visitors is a crowd of simulated people who use the app through the edge.
// Two crowds of one seed do the same as long as they are answered the same.
type Visitors struct {
	Edge     string // base URL of the proxy, without a slash at its end
	WriteKey string // of the edge's Segment mount
	Clock    Clock
	Seed     int64
	// For is for how long new visitors arrive, in simulated time; 0: DefaultFor.
	For time.Duration
	// Transport carries the requests; nil: one that keeps its connections for
	// as long as Run or Showcase take.
	Transport http.RoundTripper
	// Progress is called about once a second and once at the end, from the
	// goroutine that called Run. Nil: not called.
	Progress func(Progress)
}

// Progress is how far the crowd is.
type Progress struct {
	At       time.Time // simulated
	Visitors int64     // who came so far
	Present  int64     // of them, who have not left yet
	Requests int64     // sent so far, with those to the Segment mount
	Changed  int64     // pages so far on which a visitor saw a response
	Failed   int64     // visitors who gave up because a request failed
	Err      error     // why the first of them did
}

// Run lets people come and go until all have left or ctx ends; either is a
// success. What goes wrong for a visitor is in Progress.
func (v *Visitors) Run(ctx context.Context) error {
	c := v.crowd()
	defer c.client.CloseIdleConnections()
	done := make(chan struct{})
	go func() {
		defer close(done)
		v.arrivals(ctx, c)
		c.present.Wait()
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	report := func() {
		if v.Progress != nil {
			v.Progress(c.progress(v.Clock.Now()))
		}
	}
	for {
		select {
		case <-tick.C:
			report()
		case <-done:
			report()
			return nil
		}
	}
}

// arrivals lets visitors in, at random times with the frequencies of stories,
// and returns when no more will come.
func (v *Visitors) arrivals(ctx context.Context, c *crowd) {
	all := stories()
	var perDay float64
	for _, s := range all {
		perDay += s.perDay
	}
	begin, last := v.Clock.Now(), v.For
	if last == 0 {
		last = DefaultFor
	}
	dice := rand.New(rand.NewPCG(uint64(v.Seed), 0))
	var offset time.Duration
	for n := uint64(1); ; n++ {
		offset += time.Duration(dice.ExpFloat64() / perDay * float64(day))
		which := dice.Float64() * perDay
		if offset > last || !c.sleep(ctx, begin.Add(offset).Sub(v.Clock.Now())) {
			return
		}
		for _, s := range all {
			if which -= s.perDay; which < 0 {
				c.admit(ctx, s, uint64(v.Seed), n)
				break
			}
		}
	}
}

// crowd is one run's shared state. All of it is safe for concurrent use.
type crowd struct {
	edge, key string
	clock     Clock
	client    *http.Client
	flight    chan struct{} // holds one element a request in flight
	room      chan struct{} // holds one element a visitor present
	present   sync.WaitGroup

	visitors, here, requests, changed, failed atomic.Int64

	mu  sync.Mutex // guards err
	err error      // of the first visitor who failed
}

func (v *Visitors) crowd() *crowd {
	transport := v.Transport
	if transport == nil {
		transport = &http.Transport{MaxIdleConnsPerHost: maxInFlight, IdleConnTimeout: time.Minute}
	}
	return &crowd{
		edge: v.Edge, key: v.WriteKey, clock: v.Clock,
		client: &http.Client{
			Transport:     transport,
			Timeout:       15 * time.Second,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		flight: make(chan struct{}, maxInFlight),
		room:   make(chan struct{}, maxPresent),
	}
}

// admit starts the n-th visitor's story, once there is room.
func (c *crowd) admit(ctx context.Context, s story, seed, n uint64) {
	select {
	case c.room <- struct{}{}:
	case <-ctx.Done():
		return
	}
	c.visitors.Add(1)
	c.here.Add(1)
	c.present.Go(func() {
		p := &visitor{
			ctx: ctx, crowd: c, dice: rand.New(rand.NewPCG(seed, n)),
			user: fmt.Sprintf("sim-%x-%d", seed, n),
			team: fmt.Sprintf("sim-team-%x-%d", seed, n),
		}
		s.tell(p)
		if p.err != nil && ctx.Err() == nil {
			c.fail(p.err)
		}
		c.here.Add(-1)
		<-c.room
	})
}

// sleep waits for a simulated duration. It reports false if ctx ended first.
func (c *crowd) sleep(ctx context.Context, simulated time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	real := c.clock.Real(simulated)
	if real <= 0 {
		return true
	}
	t := time.NewTimer(real)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (c *crowd) fail(err error) {
	c.failed.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
}

func (c *crowd) progress(at time.Time) Progress {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Progress{
		At: at, Visitors: c.visitors.Load(), Present: c.here.Load(), Requests: c.requests.Load(),
		Changed: c.changed.Load(), Failed: c.failed.Load(), Err: c.err,
	}
}
