package cache

import (
	"io"
	"net/http"
	"slices"
	"sync"
)

// record has an answer kept while it passes, if it may be.
func (t *Transport) record(key string, epoch int, r *http.Request, resp *http.Response) *http.Response {
	if !mayKeep(resp) {
		return resp
	}
	most, ok := t.begin(key, epoch, resp.Header)
	if !ok {
		return resp
	}
	if resp.ContentLength > most {
		t.end(key, epoch, nil)
		return resp
	}
	rec := &recorder{body: resp.Body, t: t, key: key, epoch: epoch, most: most, resp: resp, page: newPage(r.Header, resp)}
	if resp.ContentLength > 0 {
		rec.page.body = make([]byte, 0, resp.ContentLength)
	} else {
		rec.page.body = make([]byte, 0, min(most, maxUnsized))
	}
	resp.Body = rec
	return resp
}

// recorder is a body that is copied while it is read. Nothing is kept of one
// that isn't read to its end. Close may be called while a Read waits.
type recorder struct {
	body  io.ReadCloser
	t     *Transport
	key   string
	epoch int
	most  int64
	resp  *http.Response

	mu   sync.Mutex // guards page
	page *page      // nil: it is kept, or will not be
}

func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.body.Read(b)
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.page
	switch {
	case p == nil:
		return n, err
	case int64(len(p.body)+n) > r.most:
		r.finish(nil)
		return n, err
	}
	p.body = append(p.body, b[:n]...)
	switch {
	case err == nil:
	case err != io.EOF, len(r.resp.Trailer) > 0, p.length >= 0 && int64(len(p.body)) != p.length:
		r.finish(nil)
	default:
		if cap(p.body)-len(p.body) > len(p.body)/4 {
			p.body = slices.Clone(p.body)
		}
		r.finish(p)
	}
	return n, err
}

// finish ends the recording. The caller holds mu.
func (r *recorder) finish(p *page) {
	if r.page != nil {
		r.page = nil
		r.t.end(r.key, r.epoch, p)
	}
}

// Ready is the body's own word.
func (r *recorder) Ready() bool {
	body, ok := r.body.(interface{ Ready() bool })
	return ok && body.Ready()
}

func (r *recorder) Close() error {
	err := r.body.Close() // first: it wakes a Read that waits
	r.mu.Lock()
	defer r.mu.Unlock()
	r.finish(nil)
	return err
}
