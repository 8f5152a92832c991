package main

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/proxy"
	"github.com/seed14307185/refract/rewrite"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

// unseenAfter is how long a rule is live before it is said that its surface was
// not seen.
const unseenAfter = time.Minute

// serving are the serving guardrails of the rules that are live. What is kept of
// a rule ends when it is no longer: a resume starts afresh. Safe for concurrent
// use.
type serving struct {
	seed  maphash.Seed
	log   *slog.Logger
	rules atomic.Pointer[map[string]*watched] // by name
	// stop takes a rule out of service. It is called once for each watched, and
	// must not wait for a disk.
	stop func(w *watched, why string, breach *outcomes.Breach)
}

// watched is a rule that is live.
type watched struct {
	rule  *rules.Rule
	since time.Time // when it came to be live
	began time.Time // and that by the machine's clock, which a demo's runs ahead of

	mu      sync.Mutex
	guard   *outcomes.Serving // guarded by mu
	stopped bool              // guarded by mu
	told    bool              // that it is unseen; guarded by mu
	crowded bool              // that it is, was told; guarded by mu
}

func newServing(log *slog.Logger, stop func(*watched, string, *outcomes.Breach)) *serving {
	s := &serving{seed: maphash.MakeSeed(), log: log, stop: stop}
	s.rules.Store(&map[string]*watched{})
	return s
}

// watch takes over what is live. It must not be called concurrently.
func (s *serving) watch(live []*rules.Rule, now time.Time) {
	before, after := *s.rules.Load(), make(map[string]*watched, len(live))
	for _, r := range live {
		w := before[r.Name]
		if w == nil || w.rule.Version != r.Version || w.rule.Rollout.Treatment != r.Rollout.Treatment {
			w = &watched{rule: r, since: now, began: time.Now(), guard: outcomes.NewServing(r.Rollout.Treatment)}
		}
		after[r.Name] = w
	}
	s.rules.Store(&after)
}

// exchange counts an exchange for the rules that were decided on.
func (s *serving) exchange(x *proxy.Exchange, edge *rules.Edge, at time.Time) {
	if len(x.Decision) == 0 && len(x.Lost) == 0 {
		return
	}
	live := *s.rules.Load()
	defer func() {
		if v := recover(); v != nil {
			s.log.Error("the serving guardrails failed", slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
			s.blind(live, x)
		}
	}()
	served, ok := servedOf(x)
	if !ok {
		return
	}
	served.At = at
	_, client := addresses(x.Request, edge.TrustedProxies)
	served.Address = s.client(client)
	served.Page = s.page(x.Request.URL.Path)
	for i, d := range x.Decision {
		s.count(live, d, without(edge.Serving.Off, withSurface(served, x, i)))
	}
	for _, d := range x.Lost {
		served.Broken = true
		s.count(live, d, without(edge.Serving.Off, served))
	}
}

func (s *serving) count(live map[string]*watched, d rules.Placement, x outcomes.Served) {
	w := live[d.Rule.Name]
	if w == nil || w.rule.Version != d.Rule.Version || w.rule.Rollout.Treatment != d.Rule.Rollout.Treatment {
		return // it was decided before the rule was stopped, or for arms of another size
	}
	x.Arm = d.Arm
	x.Unit = maphash.String(s.seed, d.Unit.ID)
	if breach := w.judge(x); breach != nil {
		s.stop(w, breach.String(), breach)
	}
}

// judge counts a response, and returns the breach for which the rule must be
// stopped, once.
func (w *watched) judge(x outcomes.Served) *outcomes.Breach {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return nil
	}
	breach := w.guard.Count(x)
	w.stopped = breach != nil
	return breach
}

// blind stops the rules of an exchange that couldn't be judged: what nobody
// watches is not served.
func (s *serving) blind(live map[string]*watched, x *proxy.Exchange) {
	for _, d := range slices.Concat(x.Decision, x.Lost) {
		w := live[d.Rule.Name]
		if w == nil || w.rule.Version != d.Rule.Version {
			continue
		}
		w.mu.Lock()
		before := w.stopped
		w.stopped = true
		w.mu.Unlock()
		if !before {
			s.stop(w, "they failed and can't judge any more: see the log", nil)
		}
	}
}

// unseen says whether a rule has been live for a minute, and its surface was
// on no page all that time.
func (s *serving) unseen(rule string, now time.Time) bool {
	w := (*s.rules.Load())[rule]
	if w == nil || now.Sub(w.since) < unseenAfter {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.guard.Seen()
}

// tell puts into the log which rules are unseen and which can't be judged, once
// each.
func (s *serving) tell(now time.Time) {
	for name, w := range *s.rules.Load() {
		unseen := s.unseen(name, now)
		w.mu.Lock()
		if w.guard.Crowded() && !w.crowded {
			w.crowded = true
			s.log.Warn("most visitors of a rule come from few addresses, which may be one client: nothing they get stops it; hint: if a load balancer is in front, list it in trusted_proxies",
				slog.String("rule", name))
		}
		if unseen && !w.told && time.Since(w.began) >= unseenAfter {
			w.told = true
			s.log.Warn("a rule is live, and its surface was on no page of its visitors; hint: refract surfaces URL shows what is there, refract explain who is in the segment",
				slog.String("rule", name), slog.String("surface", w.rule.Surface.Name))
		}
		w.mu.Unlock()
	}
}

// client is what of an address one client has for itself: of IPv6 its /48,
// the most that is given to one site (RFC 6177): who has that has 65536 of /64.
func (s *serving) client(address string) uint64 {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return maphash.String(s.seed, address)
	}
	if ip = ip.Unmap().WithZone(""); ip.Is6() {
		if p, err := ip.Prefix(48); err == nil {
			ip = p.Addr()
		}
	}
	b := ip.As16()
	return maphash.Bytes(s.seed, b[:])
}

// page is the kind of page: its path, in which a segment with a digit, as most
// ids have one, stands for all of those.
func (s *serving) page(path string) uint64 {
	var h maphash.Hash
	h.SetSeed(s.seed)
	for part := range strings.SplitSeq(path, "/") {
		if strings.ContainsAny(part, "0123456789") {
			part = "0"
		}
		_, _ = h.WriteString(part) // it never fails
		_ = h.WriteByte('/')
	}
	return h.Sum64()
}

// servedOf is what an exchange says for any rule, and whether it says anything:
// nothing where it was the client's doing.
func servedOf(x *proxy.Exchange) (s outcomes.Served, ok bool) {
	switch {
	case x.ClientGone, x.Request.Method != http.MethodGet, x.Status >= 400 && x.Status < 500:
		return s, false
	case x.Status >= http.StatusInternalServerError, x.Status == 0:
		s.Failed = true
		return s, true
	case x.Broken != nil:
		s.Broken = true
		return s, true
	case x.OriginError != nil && (x.Treated || len(x.Sightings) > 0 || x.Passthrough != ""):
		return s, false // it broke off while it was sent, and not for what we or the origin did
	}
	s.Broken = x.OriginError != nil
	if x.Request.ContentLength == 0 { // else it is the client's time too
		s.Took = x.Answered + x.Rewriting
	}
	return s, true
}

// withSurface adds what an exchange says of the surface of a placement.
func withSurface(s outcomes.Served, x *proxy.Exchange, i int) outcomes.Served {
	corrupt := x.Broken != nil && x.Passthrough == proxy.ReasonCoding
	if s.Failed || s.Broken && !corrupt || x.Status != http.StatusOK {
		return s
	}
	switch x.Passthrough {
	case "", proxy.ReasonCharset, proxy.ReasonInternal:
	case proxy.ReasonNoTransform, proxy.ReasonCoding, proxy.ReasonSigned:
		s.Surface, s.Fault = true, outcomes.FaultBailout
		return s
	default:
		return s // not a page
	}
	if i >= len(x.Sightings) {
		s.Broken = true // nobody can say what became of it
		return s
	}
	s.Surface = true
	switch found := x.Sightings[i]; {
	case found.State == rewrite.Missing:
		s.Fault = outcomes.FaultMissing
	case found.State != rewrite.Swappable:
		s.Fault = outcomes.FaultBailout
	default:
		s.Counted = found.Whole
		if s.Counted && found.Count > 1 {
			s.Fault = outcomes.FaultDuplicate
		}
	}
	return s
}

// without leaves out the faults that the site does not want to be judged by.
func without(off []string, s outcomes.Served) outcomes.Served {
	for _, f := range off {
		switch outcomes.Fault(f) {
		case outcomes.FaultError:
			s.Failed = false
		case outcomes.FaultBroken:
			s.Broken = false
		case outcomes.FaultSlow:
			s.Took = 0
		case s.Fault:
			s.Surface, s.Counted, s.Fault = false, false, ""
		}
	}
	return s
}

// stopServing stops a rule for its serving guardrails. The next response is the
// app's own before the stop is on disk, so also where the disk hangs.
func (e *edge) stopServing(w *watched, why string, breach *outcomes.Breach) {
	at, rule := e.now(), w.rule
	e.hold(rule.Name)
	e.publishing.Lock()
	defer e.publishing.Unlock()
	if e.closing.Err() != nil {
		return // the process ends, and serves the rule no more
	}
	e.background.Go(func() {
		err := e.store.StopServing(context.Background(), rule.Name, rule.Version, why, breach, at)
		if err != nil && !errors.Is(err, store.ErrStopped) && !errors.Is(err, store.ErrNoRule) {
			// It stays off as long as the process runs.
			e.log.Error("a rule is kept off by its serving guardrails, and that is not on record",
				slog.String("rule", rule.Name), slog.String("why", why), slog.String("error", err.Error()))
			return
		}
		e.release(rule.Name)
	})
}

// served is told of every exchange.
func (e *edge) served(x *proxy.Exchange) {
	e.serving.exchange(x, &e.live.Load().Edge, e.now())
	if x.Treated {
		e.countTreated(x)
	}
	if x.Proof != nil {
		e.proved(x)
	}
	e.meter.exchange(x)
	e.tracing.exchange(x)
}

// collectServing tells of a rule that is live.
func (c standingCollector) collectServing(out sink, rule string, now time.Time) {
	s := &c.m.standing
	out.gauge(s.unseen, truth(c.e.serving.unseen(rule, now)), rule)
	w := (*c.e.serving.rules.Load())[rule]
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range outcomes.Faults {
		for _, arm := range [...]rules.Arm{rules.Treatment, rules.Control} {
			out.count(s.faults, w.guard.Total(f, arm), rule, string(arm), string(f))
		}
		out.gauge(s.evidence, w.guard.Evidence(f), rule, string(f))
	}
}
