package origin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	readBuffer   = 32 << 10
	continueWait = time.Second // for 100 Continue, then the body is sent without it
)

// exchange is one request over one connection, and its response.
type exchange struct {
	resp   http.Response
	req    http.Request // for resp: what was asked, of the server that answers
	url    url.URL      // of req
	chunks [1]string    // for resp.TransferEncoding
	server *server
	ctx    context.Context
	stop   func() bool          // ends the watch over ctx
	conn   atomic.Pointer[conn] // nil once it was given back or closed
	sender *sender              // nil: the request was sent at once

	clock   sync.Mutex // guards waiting and unsent
	waiting bool       // for the response's head
	unsent  bool       // the sender is at work

	mu     sync.Mutex // guards what follows; a Read of the body holds it
	pooled *[readBuffer]byte
	buf    []byte // pooled, or larger
	r, w   int    // buf[r:w] is unread
	body   framing
	err    error // sticky, of the body
	timed  bool  // the connection has a read deadline
	keep   bool  // the connection may serve again

	interim int   // bytes of interim responses
	load    int64 // what it counts as on the server
	shut    atomic.Bool
}

// do has an exchange that counts as the server's load, and whose failure
// counts.
func (s *server) do(req *http.Request, out *outgoing, fresh bool) (*http.Response, *failure) {
	resp, f := s.exchange(req, out, fresh, 1)
	if f != nil {
		return nil, s.fail(req.Context(), *f)
	}
	return resp, nil
}

// exchange sends the request and reads the response's head. The response's
// body ends the exchange.
func (s *server) exchange(req *http.Request, out *outgoing, fresh bool, load int64) (*http.Response, *failure) {
	ctx := req.Context()
	s.inFlight.Add(load)
	c, err := s.get(ctx, fresh)
	if err != nil {
		s.inFlight.Add(-load)
		return nil, &failure{err: err, op: Connect, broken: true}
	}
	x := &exchange{server: s, ctx: ctx, load: load, waiting: true, keep: true, req: *req, url: *req.URL}
	x.req.URL, x.url.Host = &x.url, s.shown
	x.conn.Store(c)
	if ctx.Done() != nil {
		x.stop = context.AfterFunc(ctx, c.abort)
	}
	f := failure{op: Send, reused: c.used}
	x.deadline(c.SetDeadline, s.response)
	n, err := c.Write(out.head)
	f.wrote = n > 0
	if err != nil && n == 0 {
		f.err, f.broken = err, ended(err)
		x.end(false)
		return nil, &f
	}
	x.keep = err == nil // what was sent in part may be answered all the same
	if out.stream && err == nil && !out.expect {
		x.send(c, req, out)
	}
	resp, rerr := x.receive(c, req, out)
	if rerr == nil {
		if out.stream && !out.taken {
			closeBody(req) // the server did not wait for it
		}
		return resp, nil
	}
	if rerr == io.EOF {
		rerr = io.ErrUnexpectedEOF
	}
	if err == nil || errors.Is(rerr, ErrMalformed) {
		f.op, err = Await, rerr
	}
	f.answered, f.broken = x.w > 0 || x.interim > 0, ended(err)
	if s := x.sender; s != nil {
		if cause := s.failed.Load(); cause != nil && (cause.Op == Take || cause.Timeout()) {
			err, f.broken = cause, false
		}
	}
	f.err = err
	x.end(false)
	x.release()
	return nil, &f
}

// deadline sets a deadline of the connection; d of 0 means none.
func (x *exchange) deadline(set func(time.Time) error, d time.Duration) {
	var t time.Time
	if d > 0 {
		t = time.Now().Add(d)
	}
	x.timed = d > 0
	_ = set(t) // fails on a closed connection, as what comes next does
}

// send starts sending the body.
func (x *exchange) send(c *conn, req *http.Request, out *outgoing) {
	x.sender = &sender{x: x, c: c, req: req, length: out.length}
	out.taken = true
	x.clock.Lock()
	x.unsent = true
	x.deadline(c.SetReadDeadline, 0) // the time of the response begins at the body's end
	x.clock.Unlock()
	go x.sender.run()
}

// sendEnded lets the time of the response begin.
func (x *exchange) sendEnded() {
	x.clock.Lock()
	defer x.clock.Unlock()
	x.unsent = false
	if x.waiting {
		x.deadline(x.sender.c.SetReadDeadline, x.server.response)
	}
}

// receive reads heads until the final one, hands interim ones on, and sends a
// body that waits for 100 Continue.
func (x *exchange) receive(c *conn, req *http.Request, out *outgoing) (*http.Response, error) {
	wait := out.expect && out.stream && x.keep
	if wait {
		x.deadline(c.SetReadDeadline, continueWait)
	}
	for {
		head, err := x.readHead(c)
		if wait && errors.Is(err, os.ErrDeadlineExceeded) {
			x.send(c, req, out)
			wait = false
			continue
		}
		if err != nil {
			return nil, err
		}
		x.resp = http.Response{Request: &x.req}
		if err := parseHead(head, x.server.fields, &x.resp); err != nil {
			return nil, err
		}
		code := x.resp.StatusCode
		if code >= 200 || code == http.StatusSwitchingProtocols {
			break
		}
		if x.interim += len(head); x.interim > x.server.headBytes {
			return nil, malformed("more than %d bytes of interim responses", x.server.headBytes)
		}
		if trace := httptrace.ContextClientTrace(x.ctx); trace != nil && trace.Got1xxResponse != nil {
			if err := trace.Got1xxResponse(code, textproto.MIMEHeader(x.resp.Header)); err != nil {
				return nil, err
			}
		}
		if wait && code == http.StatusContinue {
			x.send(c, req, out)
			wait = false
		}
		if !wait {
			x.clock.Lock()
			if !x.unsent {
				x.deadline(c.SetReadDeadline, x.server.response)
			}
			x.clock.Unlock()
		}
	}
	if wait {
		x.keep = false // the server may or may not expect the body still
	}
	x.clock.Lock()
	x.waiting = false
	x.clock.Unlock()
	return x.open(c, req)
}

// open makes the body of a response.
func (x *exchange) open(c *conn, req *http.Request) (*http.Response, error) {
	resp := &x.resp
	if resp.StatusCode == http.StatusSwitchingProtocols {
		if req.Header.Get("Upgrade") == "" {
			return nil, malformed("the server switches protocols unasked")
		}
		_ = c.SetDeadline(time.Time{}) // as above
		resp.Body = &tunnel{x: x, conn: c}
		return resp, nil
	}
	kind, length, err := frame(resp, req.Method, &x.chunks)
	if err != nil {
		return nil, err
	}
	x.keep = x.keep && !resp.Close && !req.Close && kind != untilClose
	x.body = framing{kind: kind, left: length}
	buffered := int64(x.w - x.r)
	switch {
	case kind == empty:
		resp.Body = http.NoBody
		x.end(x.keep && buffered == 0)
		x.release()
	case kind == counted && length <= buffered:
		// All of it is here. Bytes behind it belong to no request.
		x.end(x.keep && length == buffered)
		resp.Body = body{x}
	default:
		resp.Body = body{x}
	}
	return resp, nil
}

// end gives up the connection, once: keep says that it may serve again.
func (x *exchange) end(keep bool) {
	c := x.conn.Swap(nil)
	if c == nil {
		return
	}
	if x.stop != nil && !x.stop() {
		keep = false // the watch has closed it, or is about to
	}
	x.server.inFlight.Add(-x.load)
	if keep && x.sender != nil {
		if x.sender.state.CompareAndSwap(sendsLast, leaves) {
			return
		}
		keep = x.sender.state.Load() == sent
	}
	if keep {
		x.server.keep(c)
	} else {
		c.close()
	}
}

// fill reads more into the buffer. It grows the buffer to so much as limit,
// and what is more is malformed.
func (x *exchange) fill(c *conn, limit int) error {
	switch {
	case x.pooled == nil:
		x.pooled, _ = x.server.pools.read.Get().(*[readBuffer]byte)
		if x.pooled == nil {
			x.pooled = new([readBuffer]byte)
		}
		x.buf = x.pooled[:]
	case x.r == x.w:
		x.r, x.w = 0, 0
	case x.w == len(x.buf) && x.r > 0:
		x.w = copy(x.buf, x.buf[x.r:x.w])
		x.r = 0
	case x.w == len(x.buf):
		if x.w >= limit {
			return malformed("more than %d bytes of head or trailers", limit)
		}
		x.buf = append(make([]byte, 0, 2*len(x.buf)), x.buf...)[:2*len(x.buf)]
	}
	n, err := c.Read(x.buf[x.w:])
	x.w += n
	if n > 0 {
		return nil // an error comes again
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// release gives the buffer back. The caller holds mu, or nobody else knows x.
func (x *exchange) release() {
	if x.pooled != nil {
		x.server.pools.read.Put(x.pooled)
		x.pooled, x.buf, x.r, x.w = nil, nil, 0, 0
	}
}
