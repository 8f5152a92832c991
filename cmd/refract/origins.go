package main

import (
	"fmt"
	"iter"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/seed14307185/refract/proxy/origin"
	"github.com/seed14307185/refract/rules"
)

// origins carries requests to the origins of the set that is used.
type origins struct {
	live atomic.Pointer[origin.Transport]
}

// RoundTrip implements http.RoundTripper.
func (o *origins) RoundTrip(r *http.Request) (*http.Response, error) {
	return o.live.Load().RoundTrip(r)
}

// next returns what carries requests to a set's origins. It is not used before
// use is called; else it is to be closed.
func (o *origins) next(cfg origin.Config) (*origin.Transport, error) {
	if now := o.live.Load(); now != nil {
		return now.Next(cfg)
	}
	return origin.New(cfg)
}

// use has later requests carried by t, and those in flight by what was before.
func (o *origins) use(t *origin.Transport) {
	if before := o.live.Swap(t); before != nil {
		before.Close()
	}
}

func (e *edge) originConfig(set *rules.Set) origin.Config {
	return origin.Config{Origins: set.Edge.Origins, Limits: set.Edge.Limits, Log: e.log}
}

// servers lists the origins' servers, and whether requests are sent to them.
func (o *origins) servers() iter.Seq2[string, bool] {
	return func(yield func(string, bool) bool) {
		for _, s := range o.live.Load().State() {
			if !yield(s.Server, s.Healthy) {
				return
			}
		}
	}
}

// check says which servers are out. An edge is ready without them: another one
// would do no better.
func (o *origins) check() (string, error) {
	var out []string
	all := 0
	for server, healthy := range o.servers() {
		if all++; !healthy {
			out = append(out, server)
		}
	}
	if len(out) == 0 {
		return "", nil
	}
	return fmt.Sprintf("%d of %d servers are out: %s", len(out), all, strings.Join(out, ", ")), nil
}
