package main

import (
	"encoding/hex"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/seed14307185/refract/console"
	"github.com/seed14307185/refract/proxy"
	"github.com/seed14307185/refract/rules"
)

// maxProofs is how many compared pages are kept, the last ones.
const maxProofs = 1024

// proofs are the pages of control that were compared with the origin's. The zero
// value has none. Safe for concurrent use.
type proofs struct {
	mu     sync.Mutex
	minute time.Time       // guarded by mu
	done   map[string]bool // rules with a page in this minute; guarded by mu
	kept   []console.Proof // a ring once it is full; guarded by mu
	next   int             // the oldest of a full ring; guarded by mu
}

// wants says whether a page is to be compared: a share of them by chance, and
// the first of each rule in each minute.
func (p *proofs) wants(d rules.Decision, share float64, at time.Time) bool {
	if share <= 0 {
		return false
	}
	if rand.Float64() < share {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if minute := at.Truncate(time.Minute); p.done == nil || !minute.Equal(p.minute) {
		p.minute, p.done = minute, map[string]bool{}
	}
	wants := false
	for _, placed := range d {
		if !p.done[placed.Rule.Name] {
			p.done[placed.Rule.Name], wants = true, true
		}
	}
	return wants
}

func (p *proofs) keep(is console.Proof) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.kept) < maxProofs {
		p.kept = append(p.kept, is)
		return
	}
	p.kept[p.next] = is
	p.next = (p.next + 1) % maxProofs
}

// list returns what is kept, oldest first.
func (p *proofs) list() []console.Proof {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append(append([]console.Proof{}, p.kept[p.next:]...), p.kept[:p.next]...)
}

// prove says whether a page of control is to be compared.
func (e *edge) prove(d rules.Decision, at time.Time) bool {
	return e.proofs.wants(d, e.live.Load().Edge.Serving.Sample, at)
}

// proved is told of a page that was compared.
func (e *edge) proved(x *proxy.Exchange) {
	is := console.Proof{
		At: x.Start.UTC(), Rules: joined(x, func(i int) string { return x.Decision[i].Rule.Name }), Path: x.Request.URL.EscapedPath(),
		Received: hex.EncodeToString(x.Proof.Received[:]), Sent: hex.EncodeToString(x.Proof.Sent[:]), Fields: strings.Join(x.Proof.Fields, ","),
	}
	e.proofs.keep(is)
	if x.Proof.Holds() {
		e.meter.compared.WithLabelValues("same").Inc()
		return
	}
	e.meter.compared.WithLabelValues("different").Inc()
	e.log.Error("a page of the control arm is not the origin's: see refract verify --control",
		slog.String("rule", is.Rules), slog.String("path", is.Path), slog.String("fields_changed", is.Fields))
}
