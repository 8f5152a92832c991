package proxy

import (
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/seed14307185/refract/rewrite/coding"
)

// errUnasked is a 304 to a request without a condition: the visitor would take
// a page for current that nobody asked the origin about.
var errUnasked = errors.New("the origin answers 304 to a request without a condition")

// answer looks at the origin's response before it is passed on: the only place
// where a response is changed.
func (p *Proxy) answer(x *Exchange, resp *http.Response) error {
	if x.set.Edge.ServerTiming {
		defer func(answered time.Time) { serverTiming(x, resp.Header, answered) }(time.Now())
	}
	x.version = [2]int{resp.ProtoMajor, resp.ProtoMinor}
	if x.conditional && x.held == "" && resp.StatusCode == http.StatusNotModified {
		return errUnasked
	}
	p.relocate(x, resp.Header)
	document := resp.StatusCode == http.StatusOK && isHTML(resp.Header)
	if !x.touched && !x.mistaken(resp) && (!document || len(x.set.Live()) == 0) && len(x.set.Edge.Identity.Traits) == 0 {
		return nil
	}
	as := *resp
	if x.touched || x.mistaken(resp) || len(x.set.Edge.Identity.Traits) > 0 { // else at most a cookie is added
		as.Header = resp.Header.Clone()
	}
	defer func() {
		if v := recover(); v != nil {
			p.Log.Error("changing a response failed: it is served as the app made it", slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
			*resp = as
			x.Lost = x.Decision
			x.Decision, x.Sightings, x.body, x.Passthrough = nil, nil, nil, ReasonInternal
		}
	}()
	p.change(x, resp, document)
	if x.body != nil && x.body.proving != nil {
		x.body.proving.fields = wronglyChanged(as.Header, resp.Header, x.set.Edge.Identity.Traits)
	}
	return nil
}

// mistaken says whether an answer is a page, or a part of one, that a rule could
// touch, though the request was not taken for one of a page. It stays the app's
// own, but a shared cache that kept it would give it to everyone.
func (x *Exchange) mistaken(resp *http.Response) bool {
	return !x.touched && (resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusPartialContent) &&
		isHTML(resp.Header) && x.set.Touches(x.path)
}

// change does what is to be done to a response.
func (p *Proxy) change(x *Exchange, resp *http.Response, document bool) {
	if len(x.set.Edge.Identity.Traits) > 0 {
		p.learnTraits(x, resp.Header)
	}
	part := resp.StatusCode == http.StatusPartialContent && isHTML(resp.Header)
	if x.touched && (document || part || resp.StatusCode == http.StatusNotModified) || x.mistaken(resp) {
		// Also where nothing was decided for this visitor: a shared cache must
		// not serve what one visitor gets to another.
		private(resp.Header)
		addVisitorVary(resp.Header, x.set.Edge.Identity)
		p.warnOfCaches(x, resp.Header)
	}
	if document && len(x.set.Live()) > 0 && x.Request.Method == http.MethodGet && !sharedCacheable(resp.Header) {
		if p.recognise(x); x.who.mayMint {
			cookie := newID()
			x.who.visitor = firstPartyID(cookie)
			resp.Header.Add("Set-Cookie", firstPartyCookie(cookie))
		}
	}
	switch {
	case len(x.Decision) == 0:
		return
	case x.held != "" && resp.StatusCode == http.StatusNotModified:
		resp.Header["Etag"] = []string{x.held}
		delete(resp.Header, "Last-Modified")
		x.Sightings = x.heldFinds
		x.again = x.Request.Method == http.MethodGet
		return
	}
	if x.Passthrough = untouchable(resp); x.Passthrough != "" {
		return
	}
	from, err := coding.Of(resp.Header["Content-Encoding"])
	if err != nil {
		x.Passthrough = ReasonCoding
		return
	}
	program, err := p.program(x)
	if err != nil {
		p.Log.Error("a decision can't be carried out: the page is served as the app made it", slog.String("error", err.Error()), slog.String("path", x.path))
		x.Passthrough = ReasonInternal
		return
	}
	if x.Sightings = ruledOut(program.Program, resp.Header.Get("Content-Type")); x.Sightings != nil {
		x.Passthrough = ReasonCharset
		return
	}
	to := coding.Accept(x.Request.Header["Accept-Encoding"]).Answer(from)
	if x.Request.Method != http.MethodHead && !p.open(x, program.Program, resp, from, to) {
		return
	}
	tag, current := tagOf(resp.Header["Etag"], program.mark)
	if current {
		x.tag = tag
	}
	withoutIntegrity(resp.Header)
	withoutIntegrity(resp.Trailer)
	for _, h := range [...]string{"Last-Modified", "Accept-Ranges", "Content-Length", "Use-As-Dictionary"} {
		delete(resp.Header, h)
	}
	resp.Header["Etag"] = []string{tag}
	resp.ContentLength = -1
	if from != coding.Identity || to != coding.Identity {
		addVary(resp.Header, "Accept-Encoding")
	}
	switch {
	case to == from: // named as the origin did
	case to == coding.Identity:
		delete(resp.Header, "Content-Encoding")
	default:
		resp.Header["Content-Encoding"] = []string{to.String()}
	}
}

// withoutIntegrity takes off what the origin said of its own bytes: it is not
// true of ours. It is for headers and trailers.
func withoutIntegrity(h http.Header) {
	for _, name := range integrity {
		delete(h, name)
	}
}

var integrity = [...]string{"Etag", "Content-Md5", "Digest", "Content-Digest", "Repr-Digest", "Unencoded-Digest", "Signature", "Signature-Input"}

// addVary adds a name to the Vary header.
func addVary(h http.Header, name string) {
	if v := h["Vary"]; !hasToken(v, name) && !hasToken(v, "*") {
		h["Vary"] = append(v, name)
	}
}

// untouchable says why a response must go through as it is, or nothing.
func untouchable(resp *http.Response) Reason {
	h := resp.Header
	switch {
	case resp.StatusCode != http.StatusOK:
		return ReasonStatus
	case !isHTML(h):
		return ReasonType
	case hasToken(h["Cache-Control"], "no-transform"):
		return ReasonNoTransform
	case strings.HasPrefix(strings.ToLower(strings.TrimSpace(h.Get("Content-Disposition"))), "attachment"):
		return ReasonAttachment
	case len(h["Signature"]) > 0 || len(h["Signature-Input"]) > 0:
		return ReasonSigned
	}
	return ""
}

// isHTML says whether the response declares itself as HTML. It is never
// guessed.
func isHTML(h http.Header) bool {
	v := h["Content-Type"]
	if len(v) != 1 {
		return false
	}
	t, _, _ := strings.Cut(v[0], ";") // sound even if its parameters aren't
	return strings.EqualFold(strings.TrimSpace(t), "text/html")
}

// targeted are the fields that tell shared caches more than browsers: RFC 9213,
// and what came before it.
var targeted = [...]string{
	"Cdn-Cache-Control", "Surrogate-Control", "Cloudflare-Cdn-Cache-Control", "Akamai-Cache-Control", "Netlify-Cdn-Cache-Control",
	"Vercel-Cdn-Cache-Control", "X-Accel-Expires",
}

// private keeps a response out of shared caches, and has browsers ask again.
// A no-store of the origin stays.
func private(h http.Header) {
	delete(h, "Expires")
	for _, name := range targeted {
		delete(h, name)
	}
	v := "private, no-cache"
	for _, token := range [...]string{"no-store", "no-transform"} {
		if hasToken(h["Cache-Control"], token) {
			v += ", " + token
		}
	}
	h["Cache-Control"] = []string{v}
}

// sharedCacheable says whether the origin allows shared caches to store the
// response: then a cookie of one visitor must not be on it.
func sharedCacheable(h http.Header) bool {
	for _, name := range targeted {
		if len(h[name]) > 0 {
			return true
		}
	}
	cc := h["Cache-Control"]
	if hasToken(cc, "private") || hasToken(cc, "no-store") || hasToken(cc, "no-cache") {
		return false
	}
	return hasToken(cc, "public") || hasToken(cc, "s-maxage") || hasToken(cc, "max-age") ||
		len(h["Expires"]) > 0 || len(h["Last-Modified"]) > 0 // heuristic freshness: RFC 9111, 4.2.2
}

// hasToken says whether a list header has a directive.
func hasToken(lines []string, token string) bool {
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(part, "=")
			if strings.EqualFold(strings.TrimSpace(name), token) {
				return true
			}
		}
	}
	return false
}
