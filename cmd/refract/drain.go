package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

const (
	// lastCall is how long everybody is served after the delay, unless nobody is
	// connected: a request that is on its way on an open connection finds us
	// there, and its answer says that the connection ends.
	lastCall = time.Second
	// silence is how long connections without a request are kept once the
	// listener is closed and everybody else is served. goodbye is for what
	// HTTP/2 says then.
	silence = 500 * time.Millisecond
	goodbye = 100 * time.Millisecond
	// successionDeadline is how long, when a successor waits for our sockets,
	// requests have that came after the drain began.
	successionDeadline = 5 * time.Second

	drainTick = 5 * time.Millisecond
)

// flights are the requests being served. An upgraded connection is a request
// until it ends.
type flights struct {
	draining atomic.Bool
	requests [2]atomic.Int64 // those from before and from after the drain began
}

// track counts what next serves. While draining, answers end their connection.
func (f *flights) track(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		generation := 0
		if f.draining.Load() {
			generation = 1
			if r.Header.Get("Upgrade") == "" && r.ProtoMajor < 3 { // HTTP/3 has no such header
				w = &lastAnswer{w}
			}
		}
		f.requests[generation].Add(1)
		defer f.requests[generation].Add(-1)
		next.ServeHTTP(w, r)
	})
}

func (f *flights) inFlight() int64 { return f.requests[0].Load() + f.requests[1].Load() }

// lastAnswer says that the connection ends after it: in HTTP/2, Go's server
// makes a GOAWAY of that.
type lastAnswer struct{ http.ResponseWriter }

func (w *lastAnswer) WriteHeader(status int) {
	if status >= 200 {
		w.Header().Set("Connection", "close")
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *lastAnswer) Write(b []byte) (int, error) {
	w.Header().Set("Connection", "close") // too late to matter, if the head is out
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *lastAnswer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// errHurried is the end of who is told twice.
var errHurried = errors.New("ended at once by a second signal: requests in flight were given up")

// drain ends the servers, the visitors' first. /readyz fails, and for a while
// everything is served, so that whoever sends us traffic can stop doing so;
// then the listener closes, and requests in flight have time to end. Where a
// successor waits for the sockets, requests that came before have their time
// while we still serve, since nobody else does. now, closed, cuts all this
// short.
//
// stopAccepting closes the listeners and returns when every connection that they
// accepted is known. The servers' own Shutdown comes last: from then on, a
// request that is read gets no answer.
func (e *edge) drain(stopAccepting func(), back *http.Server, succeeded bool, now <-chan struct{}) error {
	e.flights.draining.Store(true)
	shutdown := e.set().Edge.Shutdown
	e.log.Info("draining", slog.String("delay", shutdown.Delay.String()), slog.String("deadline", shutdown.Deadline.String()))
	e.notify(daemon.SdNotifyStopping)
	until := func(d time.Duration, done func() bool) {
		limit := time.NewTimer(d)
		defer limit.Stop()
		poll := time.NewTicker(drainTick)
		defer poll.Stop()
		for !done() {
			select {
			case <-poll.C:
			case <-limit.C:
				return
			case <-now:
				return
			}
		}
	}
	served := func() bool { return e.flights.inFlight() == 0 }
	alone := func() bool { return e.front.Connections() == e.front.Tunnels() }
	until(shutdown.Delay, func() bool { return false })
	until(lastCall, alone)
	deadline := shutdown.Deadline
	if succeeded {
		until(deadline, func() bool { return e.flights.requests[0].Load() == 0 })
		deadline = min(deadline, successionDeadline)
	}
	stopAccepting()
	closed := time.Now()
	until(deadline, served)
	until(silence, alone)
	until(deadline-time.Since(closed), served) // who broke the silence

	left := e.flights.inFlight()
	if left == 0 {
		ctx, cancel := context.WithTimeout(context.Background(), goodbye)
		defer cancel()
		_ = e.front.Shutdown(ctx) // silent connections are closed below
	}
	_ = e.front.Close() // what is still open is given up
	err := back.Close()
	if left == 0 {
		e.log.Info("drained", slog.String("unserved", time.Since(closed).String()))
		return err
	}
	select {
	case <-now:
		return errors.Join(errHurried, err)
	default:
	}
	e.log.Warn("drain cut short by its deadline", slog.Int64("requests", left))
	return err
}
