package proxy

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seed14307185/refract/rewrite/coding"
)

var dialer = &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}

// answer looks at the origin's response before it is passed on: the only place
// where a response is changed.
func (p *Proxy) answer(resp *http.Response) error {
	x := exchangeOf(resp.Request)
	if resp.StatusCode == http.StatusSwitchingProtocols {
		x.upgraded = true
		resp.Header["Via"] = append(resp.Header["Via"], via)
		return nil
	}
	document := resp.StatusCode == http.StatusOK && isHTML(resp.Header)
	if !x.touched && (!document || len(x.set.Live()) == 0) && len(x.set.Edge.Identity.Traits) == 0 {
		return nil
	}
	as := *resp
	if x.touched || len(x.set.Edge.Identity.Traits) > 0 { // else at most a cookie is added
		as.Header = resp.Header.Clone()
	}
	defer func() {
		if v := recover(); v != nil {
			p.Log.Error("changing a response failed: it is served as the app made it", slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
			*resp = as
			x.Decision, x.Sightings, x.body, x.Passthrough = nil, nil, nil, ReasonInternal
		}
	}()
	p.change(x, resp, document)
	return nil
}

// change does what is to be done to a response.
func (p *Proxy) change(x *Exchange, resp *http.Response, document bool) {
	if len(x.set.Edge.Identity.Traits) > 0 {
		p.learnTraits(x, resp.Header)
	}
	if x.touched && (document || resp.StatusCode == http.StatusNotModified) {
		// Also where nothing was decided for this visitor: a shared cache must
		// not serve what one visitor gets to another.
		private(resp.Header)
	}
	if document && len(x.set.Live()) > 0 && x.Request.Method == http.MethodGet && !sharedCacheable(resp.Header) {
		if p.recognise(x); x.who.mayMint {
			x.who.visitor = newID()
			resp.Header.Add("Set-Cookie", firstPartyCookie(x.who.visitor))
		}
	}
	if len(x.Decision) == 0 {
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
	if x.Sightings = ruledOut(program, resp.Header.Get("Content-Type")); x.Sightings != nil {
		x.Passthrough = ReasonCharset
		return
	}
	to := coding.Accept(x.Request.Header["Accept-Encoding"]).Answer(from)
	if x.Request.Method != http.MethodHead && !p.open(x, program, resp, from, to) {
		return
	}
	// What the origin said of its own bytes is not true of ours.
	for _, h := range [...]string{"ETag", "Last-Modified", "Accept-Ranges", "Content-Length", "Content-Md5", "Digest", "Content-Digest", "Repr-Digest"} {
		delete(resp.Header, http.CanonicalHeaderKey(h))
	}
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

// private keeps a response out of shared caches, and has browsers ask again.
// A no-store of the origin stays.
func private(h http.Header) {
	for _, name := range [...]string{"CDN-Cache-Control", "Surrogate-Control", "Expires", "Cloudflare-CDN-Cache-Control"} {
		delete(h, http.CanonicalHeaderKey(name))
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
	for _, name := range [...]string{"Surrogate-Control", "Cdn-Cache-Control", "Cloudflare-Cdn-Cache-Control"} {
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

// writer is the visitor's ResponseWriter: it counts, and keeps Go's server from
// adding what the origin did not send.
type writer struct {
	http.ResponseWriter
	x      *Exchange
	status int
	bytes  int64
}

func (w *writer) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.status = status
		h := w.Header()
		h["Via"] = append(h["Via"], via)
		if _, typed := h["Content-Type"]; !typed {
			h["Content-Type"] = nil // or it would be guessed
		}
		if _, sized := h["Content-Length"]; !sized {
			h["Transfer-Encoding"] = []string{"chunked"} // or an empty body gets a length; the server drops it where it can't be
		}
		if status == http.StatusNotModified {
			// Go's server takes these out of a 304, where it finds them.
			for from, to := range map[string]string{"Content-Type": "content-type", "Content-Length": "content-length"} {
				if v := h[from]; len(v) > 0 {
					delete(h, from)
					h[to] = v
				}
			}
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController: flushing and upgrading.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// clientBody is a request's body that remembers whether the client broke it.
type clientBody struct {
	io.ReadCloser
	err atomic.Pointer[error]
}

func (b *clientBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF && err != http.ErrBodyReadAfterClose {
		b.err.Store(&err)
	}
	return n, err
}

func (b *clientBody) broken() bool { return b.err.Load() != nil }
