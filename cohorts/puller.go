package cohorts

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/seed14307185/refract/segments"
	"github.com/seed14307185/refract/store"
)

// PostHog is a PostHog project whose cohorts are pulled: PostHog pushes none.
type PostHog struct {
	Host    *url.URL // such as https://us.posthog.com
	Project string
	Key     string        // a personal API key, with the scopes cohort:read and person:read
	Cohorts []int         // their numbers
	Every   time.Duration // how long after one look at a cohort the next one is
	MaxAge  time.Duration // how long a membership is believed; 0: for ever
}

// PullKeeper keeps memberships that are pulled: a *store.Store.
type PullKeeper interface {
	ReplaceCohort(ctx context.Context, name string, limit time.Duration, members []segments.Unit) error
	ChangeCohort(ctx context.Context, name string, limit time.Duration, c store.Change) error
	Cohorts() map[string]store.Cohort
}

// Puller takes the memberships of PostHog's cohorts, as posthog/NUMBER. Set the
// fields, then call Use. It is safe for concurrent use.
type Puller struct {
	Keeper PullKeeper
	// Log is told when a cohort can't be pulled, and when it can be again.
	Log *slog.Logger
	// Transport carries requests; nil: one with this package's settings.
	Transport http.RoundTripper

	mu     sync.Mutex
	from   PostHog                // guarded by mu, as what follows
	counts map[string]*pullCounts // by the cohort's name
	stop   context.CancelFunc     // ends the last goroutine that was begun; nil: none was
	done   chan struct{}          // is closed by it
	closed bool
}

// pullCounts count what became of looks at a cohort since the process started.
type pullCounts struct{ replaced, unchanged, failed atomic.Uint64 }

// PullCount is how often a cohort was looked at since the process started.
type PullCount struct {
	Replaced  uint64 // and its membership taken
	Unchanged uint64 // and was as before
	Failed    uint64 // requests that were refused, or failed
}

// Use makes a project the one that is pulled from; without a host, none is.
// If it is as before, it goes on; else all is pulled anew.
func (p *Puller) Use(from PostHog) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || reflect.DeepEqual(p.from, from) {
		return
	}
	p.from = from
	if p.stop != nil {
		p.stop()
	}
	counts := map[string]*pullCounts{}
	var list []*pulled
	for _, id := range from.Cohorts {
		name := "posthog/" + strconv.Itoa(id)
		if counts[name] = p.counts[name]; counts[name] == nil {
			counts[name] = new(pullCounts)
		}
		list = append(list, &pulled{id: id, name: name, counts: counts[name]})
	}
	p.counts = counts
	if from.Host == nil || len(list) == 0 {
		return
	}
	if p.Transport == nil {
		p.Transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
			MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 10 * time.Second,
		}
	}
	run := &pull{from: from, keeper: p.Keeper, log: p.Log, pace: rate.NewLimiter(rate.Every(pace), burst), client: http.Client{
		Transport: p.Transport,
		// The key is for nobody else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	ctx, stop := context.WithCancel(context.Background())
	before, done := p.done, make(chan struct{})
	p.stop, p.done = stop, done
	go func() {
		defer close(done)
		if before != nil {
			<-before
		}
		run.run(ctx, list)
	}()
}

// Close ends what is under way. Close the store after it.
func (p *Puller) Close() {
	p.mu.Lock()
	p.closed = true
	done := p.done
	if p.stop != nil {
		p.stop()
	}
	p.mu.Unlock()
	if done != nil {
		<-done
	}
}

// Counts returns the counts of the cohorts that are pulled, by their names.
func (p *Puller) Counts() map[string]PullCount {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[string]PullCount{}
	for name, c := range p.counts {
		all[name] = PullCount{Replaced: c.replaced.Load(), Unchanged: c.unchanged.Load(), Failed: c.failed.Load()}
	}
	return all
}
