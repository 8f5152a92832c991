package outbox

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

const (
	// The pause after a failure doubles from the first to the longest, and is
	// off by half of it at most either way.
	firstPause   = time.Second
	longestPause = 5 * time.Minute
	// longestAsked bounds the pause that a destination may ask for.
	longestAsked = time.Hour
	// look is how often a queue that is not due is looked at.
	look = 10 * time.Second
	// complain is how often the log is told that letters are dropped.
	complain = 10 * time.Minute
)

// sender hands letters over to one destination.
type sender interface {
	// limits are how many letters, and bytes of them, one try takes at most.
	limits() (letters, bytes int)
	// due is when a queue whose oldest letter is of that time is to be sent. The
	// zero time: at once.
	due(oldest time.Time) time.Time
	// send tries once.
	send(ctx context.Context, letters []store.Letter) result
}

// result is what became of the letters of one try.
type result struct {
	done    int // how many, from the first on, are done with: sent or dropped
	dropped map[Reason]int
	said    string // by the destination, of the last that was dropped; empty: not known
	// err is why the next is not done with. It is tried again: with half as many
	// letters at once if fewer, else after a pause, of that length at least, from
	// the front of the queue.
	err   error
	fewer bool
	pause time.Duration
}

// courier is one destination's goroutine.
type courier struct {
	o      *Outbox
	to     rules.Destination
	sender sender
	counts *counts

	trying   context.Context // no further try once it is over
	sending  context.Context // nor a try that is under way
	stop     context.CancelFunc
	abort    context.CancelFunc
	done     chan struct{}
	failing  bool
	told     time.Time // when the log was told of dropped letters
	interval backoff.ExponentialBackOff
}

func (o *Outbox) newCourier(d rules.Destination) *courier {
	c := &courier{o: o, to: d, counts: new(counts), done: make(chan struct{}), interval: backoff.ExponentialBackOff{
		InitialInterval: firstPause, MaxInterval: longestPause, Multiplier: 2, RandomizationFactor: 0.5,
	}}
	c.interval.Reset()
	c.sending, c.abort = context.WithCancel(context.Background())
	c.trying, c.stop = context.WithCancel(c.sending)
	switch {
	case d.Kind == "file":
		c.sender = &files{dir: d.Dir, format: d.Format, every: d.Every, most: d.MaxBytes}
	case strings.HasPrefix(d.Kind, rules.Tee):
		c.sender = newTee(o, d, c.trying)
	default:
		c.sender = newPoster(o, d)
	}
	return c
}

// run empties the queue until the courier is stopped. It begins when the one
// before it has ended.
func (c *courier) run(before <-chan struct{}) {
	defer close(c.done)
	defer c.abort()
	if before != nil {
		<-before
	}
	for c.trying.Err() == nil {
		letters, err := c.take()
		switch {
		case err == nil:
			c.deliver(letters)
		case errors.Is(err, store.ErrNoQueue), errors.Is(err, store.ErrUnavailable), c.trying.Err() != nil:
			return
		default:
			c.o.Log.Error("what waits for a destination can't be read", slog.String("destination", c.to.Name), slog.String("error", err.Error()))
			c.wait(c.interval.NextBackOff())
		}
	}
}

// ended says whether run has returned, as it does when its queue is gone.
func (c *courier) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// take returns letters that are due.
func (c *courier) take() ([]store.Letter, error) {
	most, bytes := c.sender.limits()
	oldest, err := c.o.Store.Take(c.trying, c.to.Name, 1, 0)
	if err != nil {
		return nil, err
	}
	due := c.sender.due(oldest[0].At)
	for left := due.Sub(c.o.Now()); !due.IsZero() && left > 0; left = due.Sub(c.o.Now()) {
		if b := c.o.Store.Backlog(c.to.Name); b.Pending >= most || b.Bytes >= int64(bytes) {
			break
		}
		if !c.wait(min(left, look)) {
			return nil, c.trying.Err()
		}
	}
	return c.o.Store.Take(c.trying, c.to.Name, most, bytes)
}

// deliver hands letters over until all are done with, the courier is stopped, or
// it has waited: what is at the front of the queue then may be something else.
func (c *courier) deliver(letters []store.Letter) {
	most := len(letters)
	for len(letters) > 0 && c.trying.Err() == nil {
		r := c.sender.send(c.sending, letters[:min(most, len(letters))])
		if r.done > 0 {
			if err := c.o.Store.Settle(context.WithoutCancel(c.sending), c.to.Name, letters[:r.done]); err != nil {
				return // the store has failed: what was sent is sent again at the next start
			}
			c.count(r)
			letters = letters[r.done:]
		}
		switch {
		case r.err == nil:
			most *= 2
		case c.sending.Err() != nil:
			return
		case r.fewer:
			most = (min(most, len(letters)) + 1) / 2
		default:
			c.counts.failed.Add(1)
			if !c.failing {
				c.failing = true
				c.o.Log.Warn("a destination does not take what it is sent: it waits and is tried again",
					slog.String("destination", c.to.Name), slog.String("error", c.discreet(r.err.Error())))
			}
			c.wait(max(c.interval.NextBackOff(), min(r.pause, longestAsked)))
			return
		}
	}
}

// discreet is a text for the log without what is secret of the destination.
func (c *courier) discreet(text string) string {
	if c.to.Kind == rules.Notices+"slack" { // whose address is the key
		text = withoutKey(text, c.to.URL)
		if at, err := url.Parse(c.to.URL); err == nil {
			text = withoutKey(text, at.Path)
		}
	}
	return withoutKey(text, c.to.Key)
}

// count counts letters that are done with.
func (c *courier) count(r result) {
	sent := r.done
	for i, why := range Reasons {
		c.counts.dropped[i].Add(uint64(r.dropped[why]))
		sent -= r.dropped[why]
	}
	c.counts.sent.Add(uint64(sent))
	if now := c.o.Now(); r.said != "" && now.Sub(c.told) >= complain {
		c.told = now
		c.o.Log.Warn("a destination refuses what it is sent: it is dropped, and refract_outbox_dropped_total counts it",
			slog.String("destination", c.to.Name), slog.String("answer", c.discreet(r.said)))
	}
	if sent == 0 {
		return
	}
	c.interval.Reset()
	if c.failing && r.err == nil {
		c.failing = false
		c.o.Log.Info("a destination takes what it is sent again", slog.String("destination", c.to.Name))
	}
}

// wait waits and reports whether the courier is to go on.
func (c *courier) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.trying.Done():
		return false
	}
}
