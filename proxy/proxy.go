// Package proxy is one request: who it is from, what is decided for them, the
// origin's answer, and the page with its regions swapped on the way through.
//
// HTTP lives here. The package knows no disk: it is given a lookup that never
// waits and hooks that never block. Whatever goes wrong on our side (a lookup
// that finds nothing, a page that can't be rewritten, a panic) ends in the
// origin's own bytes.
package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rewrite"
	"github.com/seed14307185/refract/rewrite/coding"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

// Proxy serves an origin's pages, swapped where a rule says so. Set the fields,
// then use it; they must not change after that. It is safe for concurrent use.
type Proxy struct {
	// Origin is the app: scheme and host. Nil: Transport chooses the server, by
	// the request's Host and path, and must not go by its URL, which then names
	// what the visitor asked for.
	Origin *url.URL
	// Transport carries requests to the origin; nil: NewTransport(), which needs
	// Origin. It must leave codings as they are. An error that has an HTTPStatus
	// is answered with that, one that says Timeout() with 504, any other with
	// 502; one that has an Origin names the server. Of a response, the host of
	// Request.URL is the server that answered, and where the body says Ready()
	// a Read of it does not wait: others are taken to. While it says Raw(), the
	// visitor's server may have it by its ReadRaw, see package origin, instead
	// of Read. The body of a 101 is an
	// io.ReadWriteCloser, with CloseWrite if a tunnel's two sides may end one
	// after the other.
	Transport http.RoundTripper
	// Current returns the revision to serve a request under. Required.
	Current func() *rules.Set
	// Lookup returns the unit that an id stands for and its decision record. It
	// must not wait for anything slower than a local read. Required.
	Lookup func(segments.Unit) (segments.Unit, segments.Record)
	// Expose and Observe take what happened, after the response. They must not
	// block. Required.
	Expose  func(*rules.Exposure)
	Observe func(*events.Event)
	// Verify returns the id that the value of a source with a Proof proves, empty:
	// none. It must not wait for anything. nil: no such source has an id.
	Verify func(s *rules.IdentitySource, value string) (id string)
	// Mount returns the handler of a path of ours, nil if the path is the
	// origin's; nil: every path is.
	Mount func(*rules.Set, string) http.Handler
	// Prove says whether a page on which nobody is treated is to be compared with
	// the origin's: Exchange.Proof. It must not wait for anything. nil: none is.
	Prove func(d rules.Decision, at time.Time) bool
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Done is told of every exchange when it is over, by the goroutine that
	// served it. It must not keep the exchange. nil: nobody is told.
	Done func(*Exchange)
	// Log takes what an operator should look into. Required.
	Log *slog.Logger

	once      sync.Once
	transport http.RoundTripper
	buffers   sync.Pool // *[copyBuffer]byte
	traits    lastTraits
	codings   coding.Pool
	pages     rewrite.Memory // of recent pages, by path
	programs  atomic.Pointer[programs]
	finds     finds
	behind    sync.Once // a cache before the origin was told of
	before    sync.Once // and one before this proxy
}

const originAbsent = "The application behind this address does not answer. Please try again in a moment.\n"

func (p *Proxy) init() {
	if p.Now == nil {
		p.Now = time.Now
	}
	if p.transport = p.Transport; p.transport == nil {
		p.transport = NewTransport()
	}
	p.buffers.New = func() any { return new([copyBuffer]byte) }
}

// ServeHTTP serves one request under one revision.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.once.Do(p.init)
	set := p.Current()
	if p.Mount != nil && strings.HasPrefix(r.URL.Path, "/_refract/") {
		if h := p.Mount(set, r.URL.Path); h != nil {
			h.ServeHTTP(w, r)
			return
		}
	}
	x := &Exchange{Request: r, Revision: set.Revision, Start: p.Now(), began: time.Now(), set: set, path: pathOf(r)}
	out := &writer{ResponseWriter: w, control: http.NewResponseController(w), x: x}
	defer p.finish(x, out)
	switch {
	case r.Method == http.MethodConnect || r.Method == http.MethodTrace:
		out.Header().Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
		http.Error(out, "this method is not served here", http.StatusMethodNotAllowed)
		return
	case loops(r.Header):
		http.Error(out, "the request went round in a loop: the origin leads back to this proxy", http.StatusLoopDetected)
		return
	}
	p.decide(x)
	p.forward(out, x)
}

// decide fills in who asks and what they get. A panic in it leaves the plain
// proxy.
func (p *Proxy) decide(x *Exchange) {
	defer func() {
		if v := recover(); v != nil {
			p.Log.Error("deciding failed: the page is served as the app made it", slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
			x.Decision, x.Passthrough = nil, ReasonInternal
		}
	}()
	r := x.Request
	if x.touched = mayBePage(r) && x.set.Touches(x.path); !x.touched {
		return
	}
	p.recognise(x)
	switch {
	case x.unfit != "":
		x.skip(x.unfit)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		x.skip(ReasonMethod)
	case prefetch(r):
		x.skip(ReasonPrefetch)
	case r.Header.Get("Upgrade") != "":
		x.skip(ReasonUpgrade)
	case x.who.visitor == "" && x.who.account == "":
		x.skip(ReasonUnknown)
	default:
		who := p.subject(x)
		x.Decision = x.set.Decide(x.path, who, x.Start)
		x.HeldOut = x.set.HeldOut(segments.Unit{Who: segments.Visitor, ID: who.Visitor}) ||
			x.set.HeldOut(segments.Unit{Who: segments.Account, ID: who.Account})
	}
}

// recognise fills in who asks, or why they are not to be known. It is called
// where that matters, which it does not for most of what a page is made of.
func (p *Proxy) recognise(x *Exchange) {
	switch {
	case x.recognised:
	case x.Request.Header.Get("Sec-Gpc") == "1":
		x.unfit = ReasonGPC
	case bot(x.Request.UserAgent()):
		x.unfit = ReasonBot
	default:
		x.who = p.identify(x.set, x.Request)
	}
	x.recognised = true
}

// subject looks up who the request is from. A visitor without an account of
// the request belongs to the account that their events told.
func (p *Proxy) subject(x *Exchange) rules.Subject {
	var s rules.Subject
	if x.who.visitor != "" {
		var u segments.Unit
		u, s.VisitorRecord = p.Lookup(segments.Unit{Who: segments.Visitor, ID: x.who.visitor})
		x.who.visitor, s.Visitor = u.ID, u.ID
	}
	if x.who.account == "" {
		x.who.account = s.VisitorRecord.Account
	}
	if x.who.account != "" {
		var u segments.Unit
		u, s.AccountRecord = p.Lookup(segments.Unit{Who: segments.Account, ID: x.who.account})
		s.Account = u.ID
	}
	return s
}

// finish reports what the exchange was, also if it ended in a panic, as it does
// when either side breaks off.
func (p *Proxy) finish(x *Exchange, out *writer) {
	x.Took = time.Since(x.began)
	x.Status, x.Bytes = out.status, out.bytes
	if x.upgraded {
		x.Status = http.StatusSwitchingProtocols // written past our writer
	}
	if x.body != nil {
		var err error
		if x.Sightings, x.Rewriting, err = x.body.done(); err != nil {
			p.Log.Error("rewriting failed: the rest of the page is as the app made it", slog.String("error", err.Error()), slog.String("path", x.path))
			x.Broken = err
		}
		x.Passthrough = whyUntouched(x.Sightings)
		if x.body.complete && x.body.proving != nil {
			x.Proof = x.body.proving.proof()
		}
		if x.body.complete && x.tag != "" && err == nil {
			p.finds.keep(x.Request, x.tag, x.Sightings)
		}
	}
	if v := recover(); v != nil {
		defer panic(v)
		if v != http.ErrAbortHandler {
			x.Broken = fmt.Errorf("panic: %v", v)
		}
		if x.OriginError == nil && x.body != nil {
			x.OriginError = x.body.err
		}
		if x.OriginError == nil {
			x.OriginError = errors.New("broken off")
		}
		x.ClientGone = x.Request.Context().Err() != nil
	}
	p.report(x)
	if p.Done != nil {
		defer p.survive("reporting an exchange")
		p.Done(x)
	}
}

// survive, deferred, keeps a panic of ours from costing the visitor's page.
func (p *Proxy) survive(what string) {
	if v := recover(); v != nil {
		p.Log.Error(what+" failed", slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
	}
}

// report hands on exposures and observed events. A panic in it costs them, not
// the visitor's page.
func (p *Proxy) report(x *Exchange) {
	defer p.survive("handing on what happened")
	end := p.Now()
	if x.body != nil || x.again {
		for i, d := range x.Decision {
			if x.Sightings[i].State != rewrite.Swappable {
				continue
			}
			x.Treated = x.Treated || d.Treats()
			if !x.again && !x.body.complete || x.OriginError != nil {
				continue // who knows what the visitor saw of it
			}
			p.Expose(&rules.Exposure{
				Rule: d.Rule.Name, Version: d.Rule.Version, Unit: d.Unit,
				Arm: d.Arm, Treatment: d.Rule.Rollout.Treatment, At: x.Start,
				Visitor: x.who.visitor, Anonymous: x.who.browser, Browser: browser(x.Request.UserAgent()),
			})
		}
	}
	if x.Status == 0 || x.ClientGone || x.OriginError != nil {
		return // an answer of ours is nothing that a visitor did
	}
	list := x.set.Edge.Events
	seen := events.Exchange{
		Method: x.Request.Method, Path: x.path, RawQuery: x.Request.URL.RawQuery,
		Status: x.Status, At: end,
	}
	for i := range list {
		e, ok := list[i].Match(&seen)
		if !ok {
			continue
		}
		if p.recognise(x); x.who.visitor != "" {
			e.Visitor, e.Account = x.who.visitor, x.who.account
			p.Observe(&e)
		}
	}
	p.link(x, end)
}
