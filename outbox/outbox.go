// Package outbox tells other systems of first exposures: analytics vendors, a
// webhook, files for a warehouse. And it sends on to the vendors what their SDKs
// sent to a source (see tee).
//
// What is to be told waits on disk, in the store's queues (see package store).
// Here is one goroutine for each destination, which hands its queue over in
// order, at least once, with ids by which a repetition can be known. Who can't
// be reached is tried again, less and less often, for as long as it takes; what
// a destination refuses for good is dropped and counted. Nothing of this is on
// a visitor's way: a queue that nobody empties loses its oldest letters.
package outbox

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

// Queues is where letters wait: a *store.Store.
type Queues interface {
	Take(ctx context.Context, queue string, most, bytes int) ([]store.Letter, error)
	Settle(ctx context.Context, queue string, letters []store.Letter) error
	Backlog(queue string) store.Backlog
}

// Reason says why a letter was dropped.
type Reason string

// The reasons.
const (
	Refused   Reason = "refused"   // the destination says that it is wrong
	TooLarge  Reason = "too-large" // it alone is more than the destination takes
	Account   Reason = "account"   // of an account, where the destination knows none
	Anonymous Reason = "anonymous" // of a visitor without a user id, where the destination needs one
	Unknown   Reason = "unknown"   // of an account none of whose visitors is known
	Quota     Reason = "quota"     // the destination throws away what is over its quota
	Damaged   Reason = "damaged"   // it can't be read: a defect of ours
	Overflow  Reason = "overflow"  // the queue was full
)

// Reasons lists every reason.
var Reasons = [...]Reason{Refused, TooLarge, Account, Anonymous, Unknown, Quota, Damaged, Overflow}

// Outbox empties the queues of a site's destinations. Set the fields, then call
// Use. It is safe for concurrent use.
type Outbox struct {
	Store Queues
	// Log is told when a destination stops taking what is sent, and when it
	// takes it again.
	Log *slog.Logger
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Transport carries requests; nil: one with this package's settings.
	Transport http.RoundTripper

	mu       sync.Mutex
	couriers map[string]*courier // by the destination's name; guarded by mu
	closed   bool                // guarded by mu
	ended    sync.WaitGroup
}

// counts are what a destination's courier counts.
type counts struct {
	sent, failed atomic.Uint64
	dropped      [len(Reasons)]atomic.Uint64
}

// Count is how a destination stands.
type Count struct {
	store.Backlog
	Sent   uint64 // letters that it took since the process started
	Failed uint64 // tries that failed
	// Dropped are the letters that will never be sent, by reason.
	Dropped map[Reason]uint64
}

// Use makes the destinations those that are told. One that is as before goes
// on; one that changed, of the same name, has what waits for it sent anew, and
// so has one whose queue was away meanwhile. The store must have their queues.
func (o *Outbox) Use(list []rules.Destination) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Transport == nil {
		o.Transport = newTransport()
	}
	now := map[string]*courier{}
	for _, d := range list {
		before := o.couriers[d.Name]
		if before != nil && before.to == d && !before.ended() {
			now[d.Name] = before
			continue
		}
		c := o.newCourier(d)
		var last <-chan struct{}
		if before != nil {
			before.abort()
			last = before.done
			if before.to.Kind == d.Kind {
				c.counts = before.counts
			}
		}
		now[d.Name] = c
		o.ended.Go(func() { c.run(last) })
	}
	for name, c := range o.couriers {
		if now[name] == nil {
			c.abort()
		}
	}
	o.couriers = now
}

// Counts returns how each destination stands, by name.
func (o *Outbox) Counts() map[string]Count {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := map[string]Count{}
	for name, c := range o.couriers {
		n := Count{
			Backlog: o.Store.Backlog(name), Sent: c.counts.sent.Load(), Failed: c.counts.failed.Load(),
			Dropped: map[Reason]uint64{},
		}
		for i, why := range Reasons {
			n.Dropped[why] = c.counts.dropped[i].Load()
		}
		n.Dropped[Overflow] += n.Backlog.Dropped
		all[name] = n
	}
	return all
}

// Close ends the couriers. Requests that are under way may be answered until
// ctx ends; what waits, waits for the next start. Close the store after it.
func (o *Outbox) Close(ctx context.Context) {
	o.mu.Lock()
	o.closed = true
	for _, c := range o.couriers {
		c.stop()
	}
	over := context.AfterFunc(ctx, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		for _, c := range o.couriers {
			c.abort()
		}
	})
	defer over()
	o.mu.Unlock()
	o.ended.Wait()
}
