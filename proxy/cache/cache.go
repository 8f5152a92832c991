// Package cache keeps an origin's pages in memory, as the origin sent them. It
// is a shared cache by RFC 9111 that never answers by itself: every use of a
// page is the visitor's own request, with a condition, and the origin's 304. So
// what a visitor gets is what the origin would have sent them, by its own word,
// and a page that changed is seen by the next request.
package cache

import (
	"container/list"
	"net/http"
	"sync"
)

// Transport is an http.RoundTripper that keeps pages of what Next carries. Its
// zero value with Next set keeps none until Use. It is safe for concurrent use.
type Transport struct {
	// Next carries the requests. Required.
	Next http.RoundTripper

	mu        sync.Mutex // guards what follows
	limit     int64
	never     []string
	epoch     int // of Use
	resources map[string]*list.Element
	recent    list.List // of *resource, the most recently used first
	recording map[string]bool
	state     State
}

// State is what is kept, and what has come of it.
type State struct {
	Pages     int
	Bytes     int64  // about, with headers
	Unchanged uint64 // answers of the origin by which a kept page was sent
	Changed   uint64 // those by which one was not
}

const (
	maxVariants = 8        // of a resource
	share       = 8        // a page is at most this part of the limit
	overhead    = 1 << 10  // of a page and of a resource, about
	longestSkip = 10       // as a power of two
	maxUnsized  = 64 << 10 // of a buffer for a page of unknown length, at first
)

// resource is what is known of what one target names.
type resource struct {
	key    string
	pages  []*page // the latest first
	bytes  int64
	missed int // how often in a row a page had changed when it was asked about, or made way and was never asked about
	skip   int // for so many requests none is kept
}

// Use sets how many bytes of pages are kept, 0 for none, and forgets those that
// are: other settings may mean another origin. What has one of the fields named
// in never is not kept.
func (t *Transport) Use(limit int64, never ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.limit, t.never = limit, never
	t.epoch++
	t.resources, t.recording = map[string]*list.Element{}, map[string]bool{}
	t.recent.Init()
	t.state.Pages, t.state.Bytes = 0, 0
}

// State tells what is kept now.
func (t *Transport) State() State {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state
}

// RoundTrip implements http.RoundTripper. A request that has a condition or a
// Range of its own, or credentials, is carried as it is, and so is all but GET.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if !mayUse(r) {
		return t.Next.RoundTrip(r)
	}
	key := r.Host + " " + r.URL.RequestURI()
	kept, epoch := t.find(key, r.Header)
	if epoch == 0 {
		return t.Next.RoundTrip(r)
	}
	resp, err := t.ask(r, kept)
	if err != nil {
		return nil, err
	}
	if kept != nil {
		if resp.StatusCode == http.StatusNotModified {
			if kept.meant(resp) {
				t.unchanged(key, kept, stays(resp, kept))
				return kept.answer(resp), nil
			}
			// It is about another page: RFC 9111, section 4.3.4.
			_ = resp.Body.Close()
			t.changed(key, kept)
			if resp, err = t.Next.RoundTrip(r); err != nil {
				return nil, err
			}
		} else if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone {
			t.changed(key, kept) // any other is about the visitor, or the server
		}
	}
	return t.record(key, epoch, r, resp), nil
}

// ask sends the request, with the condition that the kept page has changed. The
// request is the caller's and stays as it is.
func (t *Transport) ask(r *http.Request, kept *page) (*http.Response, error) {
	if kept == nil {
		return t.Next.RoundTrip(r)
	}
	conditional := *r
	conditional.Header = make(http.Header, len(r.Header)+1)
	for name, lines := range r.Header {
		conditional.Header[name] = lines
	}
	conditional.Header["If-None-Match"] = []string{kept.tag}
	return t.Next.RoundTrip(&conditional)
}

// find returns the page to ask about, nil if there is none, and the epoch, which
// is 0 where nothing is kept.
func (t *Transport) find(key string, asked http.Header) (*page, int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.limit <= 0 {
		return nil, 0
	}
	if e, ok := t.resources[key]; ok {
		t.recent.MoveToFront(e)
		for _, p := range e.Value.(*resource).pages {
			if p.selected(asked) {
				return p, t.epoch
			}
		}
	}
	return nil, t.epoch
}

// unchanged counts a use.
func (t *Transport) unchanged(key string, p *page, stays bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state.Unchanged++
	p.used = true
	if e, ok := t.resources[key]; ok {
		e.Value.(*resource).missed = 0
	}
	if !stays {
		t.drop(key, p)
	}
}

// changed forgets a page that is another now. The more often in a row that
// happens, the longer the resource is left alone.
func (t *Transport) changed(key string, p *page) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state.Changed++
	if e, ok := t.resources[key]; ok && t.drop(key, p) {
		e.Value.(*resource).miss()
	}
}

// miss is a page that was kept in vain.
func (r *resource) miss() {
	r.missed = min(r.missed+1, longestSkip)
	r.skip = 1<<r.missed - 2
}

// drop forgets a page, if it is there still. The caller holds mu.
func (t *Transport) drop(key string, p *page) bool {
	e, ok := t.resources[key]
	if !ok {
		return false
	}
	r := e.Value.(*resource)
	for i, have := range r.pages {
		if have == p {
			r.pages = append(r.pages[:i:i], r.pages[i+1:]...)
			t.count(r, -1, -p.size())
			return true
		}
	}
	return false
}

// count accounts for a change of a resource. The caller holds mu.
func (t *Transport) count(r *resource, pages int, bytes int64) {
	r.bytes += bytes
	t.state.Pages += pages
	t.state.Bytes += bytes
}

// begin says whether a page of the resource is to be kept from an answer that is
// under way, one at a time, and how large it may be.
func (t *Transport) begin(key string, epoch int, h http.Header) (most int64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.epoch != epoch || t.recording[key] {
		return 0, false
	}
	for _, name := range t.never {
		if h[name] != nil {
			return 0, false
		}
	}
	if e, ok := t.resources[key]; ok {
		if r := e.Value.(*resource); r.skip > 0 {
			r.skip--
			return 0, false
		}
	}
	t.recording[key] = true
	return t.limit / share, true
}

// end ends what begin began; p is nil if nothing is to be kept.
func (t *Transport) end(key string, epoch int, p *page) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.epoch != epoch {
		return
	}
	delete(t.recording, key)
	if p == nil {
		return
	}
	e, ok := t.resources[key]
	if !ok {
		e = t.recent.PushFront(&resource{key: key})
		t.resources[key] = e
		t.count(e.Value.(*resource), 0, overhead)
	}
	r := e.Value.(*resource)
	pages := []*page{p}
	t.count(r, 1, p.size())
	for _, old := range r.pages {
		alike := old.alike(p)
		if !alike && len(pages) < maxVariants {
			pages = append(pages, old)
			continue
		}
		t.count(r, -1, -old.size())
		if !alike && !old.used {
			r.miss()
		}
	}
	r.pages = pages
	for t.state.Bytes > t.limit {
		last := t.recent.Back()
		old := last.Value.(*resource)
		t.recent.Remove(last)
		delete(t.resources, old.key)
		t.count(old, -len(old.pages), -old.bytes)
	}
}
