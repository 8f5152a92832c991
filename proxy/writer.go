package proxy

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
)

// writer is the visitor's ResponseWriter: it counts, and keeps Go's server from
// adding what the origin did not send.
type writer struct {
	http.ResponseWriter
	control *http.ResponseController
	x       *Exchange
	status  int
	bytes   int64

	trace   httptrace.ClientTrace
	interim sync.Mutex // guards final, and the header while that is not set
	final   bool       // the final response is there
}

func (w *writer) WriteHeader(status int) {
	if status < 200 && status != http.StatusSwitchingProtocols {
		if w.x.Request.ProtoAtLeast(1, 1) { // RFC 9110, section 15.2
			w.ResponseWriter.WriteHeader(status)
		}
		return
	}
	w.status = status
	h := w.Header()
	if v := w.x.version; v != [2]int{} {
		h["Via"] = append(h["Via"], via(v[0], v[1]))
	}
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

// ReadFrom hands on a body whose head was written, or returns
// errors.ErrUnsupported.
func (w *writer) ReadFrom(body io.Reader) (int64, error) {
	to, ok := w.ResponseWriter.(io.ReaderFrom)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	n, err := to.ReadFrom(body)
	w.bytes += n
	return n, err
}

// Unwrap is for http.ResponseController: flushing and upgrading.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// clientBody is a request's body that remembers whether the client broke it.
// Close does not close the server's own, which would wait for the rest: it only
// ends the reading.
type clientBody struct {
	body   io.Reader
	closed atomic.Bool
	err    atomic.Pointer[error]
	ended  atomic.Bool // soundly
}

func (b *clientBody) Read(p []byte) (int, error) {
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.body.Read(p)
	if err == io.EOF {
		b.ended.Store(true)
	} else if err != nil && err != http.ErrBodyReadAfterClose {
		b.err.Store(&err)
	}
	return n, err
}

func (b *clientBody) Close() error {
	b.closed.Store(true)
	return nil
}
