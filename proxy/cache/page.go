package cache

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
)

// page is a response that is kept. It doesn't change, but for used.
type page struct {
	tag    string      // strong
	header http.Header // less what concerns one exchange
	length int64       // as the response said it; -1: it did not
	body   []byte      // with the coding that it was sent in
	vary   []string    // names of the request's fields that it was chosen by
	asked  []string    // and what they were
	shared bool        // with visitors who send other cookies
	cookie string      // that it was asked for with

	used bool // guarded by the Transport
}

// mayUse says whether a request may be answered by a page that is kept, and its
// answer may be kept. With a condition or a part of its own it is about what
// the visitor has.
func mayUse(r *http.Request) bool {
	if r.Method != http.MethodGet || r.Body != nil && r.Body != http.NoBody {
		return false
	}
	for _, name := range [...]string{"Authorization", "If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since", "If-Range", "Range", "Upgrade"} {
		if r.Header[name] != nil {
			return false
		}
	}
	return !has(r.Header["Cache-Control"], "no-store")
}

// mayKeep says whether a response may be kept: RFC 9111, section 3, and less
// than that allows. A strong tag alone says that pages with it are the same to
// the byte (RFC 9110, section 8.8.1); a cookie, and a nonce of a policy, are for
// one visitor.
func mayKeep(resp *http.Response) bool {
	h := resp.Header
	t, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	switch {
	case resp.StatusCode != http.StatusOK, !strings.EqualFold(strings.TrimSpace(t), "text/html"), len(h["Content-Type"]) > 1,
		h["Set-Cookie"] != nil, h["Content-Range"] != nil, len(resp.Trailer) > 0, resp.Uncompressed,
		resp.ContentLength == 0, resp.ContentLength < 0 && len(resp.TransferEncoding) == 0: // its end is no proof
		return false
	}
	return strongTag(h) != "" && !forbidden(h) && !hasNonce(h)
}

// forbidden says whether a response's fields keep it out of shared caches, or
// make it one that no other request can be answered by.
func forbidden(h http.Header) bool {
	for _, name := range [...]string{"Cache-Control", "Cdn-Cache-Control", "Surrogate-Control"} {
		if has(h[name], "no-store") || has(h[name], "private") {
			return true
		}
	}
	return has(h["Vary"], "*")
}

func hasNonce(h http.Header) bool {
	for _, name := range [...]string{"Content-Security-Policy", "Content-Security-Policy-Report-Only"} {
		for _, line := range h[name] {
			if strings.Contains(line, "'nonce-") {
				return true
			}
		}
	}
	return false
}

// strongTag is the response's entity tag, or "" if it has none, more than one or
// a weak one: RFC 9110, section 8.8.3.
func strongTag(h http.Header) string {
	v := h["Etag"]
	if len(v) != 1 || len(v[0]) < 3 || v[0][0] != '"' || strings.IndexByte(v[0][1:], '"') != len(v[0])-2 {
		return ""
	}
	return v[0]
}

// has says whether a list has an entry, with or without a value.
func has(lines []string, token string) bool {
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

// passing are fields that concern one exchange: they are not kept, and where an
// answer to a condition has them they are its own. The first of them are of the
// connection: RFC 9110, section 7.6.1.
var passing = [...]string{"Connection", "Proxy-Connection", "Keep-Alive", "Te", "Transfer-Encoding", "Upgrade", "Trailer",
	"Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization",
	"Age", "Date", "Server-Timing", "Traceresponse", "X-Request-Id", "X-Correlation-Id", "X-Runtime"}

// newPage is a page of a response that may be kept, without its body.
func newPage(asked http.Header, resp *http.Response) *page {
	p := &page{tag: strongTag(resp.Header), header: resp.Header.Clone(), length: resp.ContentLength}
	for _, line := range p.header["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			p.header.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range passing {
		delete(p.header, name)
	}
	p.vary = varied(resp.Header)
	for _, name := range p.vary {
		p.asked = append(p.asked, strings.Join(asked[name], "\n"))
	}
	p.shared, p.cookie = public(resp.Header), strings.Join(asked["Cookie"], "\n")
	return p
}

// public says whether a response is for all by its own word. RFC 9111 takes
// silence for that too. But an app that is silent may well make its tags of less
// than its pages: then only whom a page was made for may be asked about it.
func public(h http.Header) bool {
	return has(h["Cache-Control"], "public") || has(h["Cache-Control"], "s-maxage")
}

// varied are the names in Vary, sorted.
func varied(h http.Header) []string {
	var names []string
	for _, line := range h["Vary"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = http.CanonicalHeaderKey(strings.TrimSpace(name)); name != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// selected says whether the page is one that a request could be answered by: RFC
// 9111, section 4.1.
func (p *page) selected(asked http.Header) bool {
	for i, name := range p.vary {
		if strings.Join(asked[name], "\n") != p.asked[i] {
			return false
		}
	}
	return p.shared || strings.Join(asked["Cookie"], "\n") == p.cookie
}

// alike says whether the same requests are answered by two pages.
func (p *page) alike(other *page) bool {
	return slices.Equal(p.vary, other.vary) && slices.Equal(p.asked, other.asked) && p.shared == other.shared && (p.shared || p.cookie == other.cookie)
}

func (p *page) size() int64 {
	n := int64(cap(p.body)) + overhead
	for name, lines := range p.header {
		for _, line := range lines {
			n += int64(len(name) + len(line))
		}
	}
	return n
}

// meant says whether a 304 is about the page: it was asked about this tag alone,
// so one without a tag is too. A nonce is not the page's own.
func (p *page) meant(resp *http.Response) bool {
	tags := resp.Header["Etag"]
	return (len(tags) == 0 || len(tags) == 1 && tags[0] == p.tag) && !hasNonce(resp.Header)
}

// stays says whether, after a 304, the page may be kept further.
func stays(resp *http.Response, p *page) bool {
	return !forbidden(resp.Header) && (!p.shared || resp.Header["Cache-Control"] == nil || public(resp.Header)) && (resp.Header["Vary"] == nil || slices.Equal(varied(resp.Header), p.vary))
}

// described are the fields of the page's bytes, which stay with them: RFC 9111,
// section 3.2.
var described = [...]string{"Content-Length", "Content-Encoding", "Content-Type", "Content-Range", "Transfer-Encoding", "Trailer",
	"Content-Md5", "Digest", "Content-Digest", "Repr-Digest", "Etag"}

// answer makes of a 304 the response that the page was, with the fields of the
// 304 in place of the same ones of the page.
func (p *page) answer(resp *http.Response) *http.Response {
	_ = resp.Body.Close() // there is nothing in it
	h := p.header.Clone()
	for name, lines := range resp.Header {
		if !slices.Contains(described[:], name) {
			h[name] = lines
		}
	}
	a := *resp
	a.Status, a.StatusCode, a.Header = "200 OK", http.StatusOK, h
	a.Body, a.ContentLength, a.Trailer, a.TransferEncoding = content{bytes.NewReader(p.body)}, p.length, nil, nil
	return &a
}

// content is the body of a page. It never waits, and has WriteTo.
type content struct{ *bytes.Reader }

func (content) Ready() bool  { return true }
func (content) Close() error { return nil }
