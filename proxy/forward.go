package proxy

import (
	"cmp"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"
)

// copyBuffer is how much of a body is gathered before it is written, and the
// most that a changed page may have to be sent with its length.
const copyBuffer = 64 << 10

const (
	// worthHandingOn is how much must be left of a body to be sent without a
	// buffer.
	worthHandingOn = 32 << 10
	// serverBuffer is what Go's server holds of an answer: with so much it has
	// written the header.
	serverBuffer = 4 << 10
)

// forward has the origin answer a request.
func (p *Proxy) forward(w *writer, x *Exchange) {
	in := x.Request
	w.trace.Got1xxResponse = w.inform
	out := p.outgoing(x, in.WithContext(httptrace.WithClientTrace(in.Context(), &w.trace)))
	if in.ContentLength == 0 || in.Body == nil || in.Body == http.NoBody {
		out.Body = nil
	} else {
		x.sent = &clientBody{body: in.Body}
		out.Body = x.sent
		defer x.sent.Close() // who still reads it then must not
		if in.ProtoMajor == 1 {
			// Else the server reads the rest of it itself when the answer begins,
			// and the origin would take what it got for the whole.
			_ = http.NewResponseController(w.ResponseWriter).EnableFullDuplex() // where there is such a thing
		}
	}
	resp, err := p.transport.RoundTrip(out)
	w.informed()
	if err != nil {
		p.originFailed(w, x, out, err)
		return
	}
	x.Answered = time.Since(x.began)
	if resp.Request != nil {
		x.Origin = resp.Request.URL.Host
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		p.tunnel(w, x, out, resp)
		return
	}
	defer func() { _ = resp.Body.Close() }() // what wasn't read isn't wanted
	withoutHops(resp.Header)
	if err := p.answer(x, resp); err != nil {
		_ = resp.Body.Close() // nothing of it is sent
		p.originFailed(w, x, out, err)
		return
	}
	if err := p.send(w, x, resp); err != nil && in.Context().Value(http.ServerContextKey) != nil {
		panic(http.ErrAbortHandler) // or the server would end the answer as if it were whole
	}
}

// inform hands on an interim response. It may be called by a goroutine of the
// transport's, even when the final one is there already.
func (w *writer) inform(status int, header textproto.MIMEHeader) error {
	w.interim.Lock()
	defer w.interim.Unlock()
	if !w.final {
		h := w.Header()
		maps.Copy(h, http.Header(header))
		w.WriteHeader(status)
		clear(h)
	}
	return nil
}

// informed ends what inform does.
func (w *writer) informed() {
	w.interim.Lock()
	w.final = true
	w.interim.Unlock()
}

// send writes the answer. It takes over the header of resp.
func (p *Proxy) send(w *writer, x *Exchange, resp *http.Response) error {
	maps.Copy(w.Header(), resp.Header)
	announced := len(resp.Trailer)
	if announced > 0 {
		w.Header()["Trailer"] = []string{strings.Join(slices.Collect(maps.Keys(resp.Trailer)), ", ")}
	}
	buf := p.buffers.Get().(*[copyBuffer]byte)
	defer p.buffers.Put(buf)
	f := &flow{w: w, status: resp.StatusCode, buf: buf[:]}
	body := resp.Body
	waits := func() bool { return f.read != resp.ContentLength && !ready(body) } // after all of a length comes its end
	switch page := x.body; {
	case page == nil:
	case page.encoder == nil:
		page.watch.before = f.settle // what is held is for the rewriter to say
		waits = nil
	default:
		waits = func() bool { return !page.encoder.Ready() }
	}
	var err error
	here := x.body != nil || x.sent != nil // the body goes through the buffer
	for err == nil {
		if all, ok := body.(io.WriterTo); ok && !here && ready(body) {
			f.write()
			_, err = all.WriteTo(w) // it is in memory, and never waits
			f.err, err = err, cmp.Or(err, io.EOF)
			break
		}
		if !here && f.read >= serverBuffer && resp.ContentLength-f.read >= worthHandingOn && raw(body) {
			if err = f.handOn(body); !errors.Is(err, errors.ErrUnsupported) {
				break
			}
			here, err = true, nil
		}
		if waits != nil && waits() {
			_ = f.settle() // take says so
		}
		err = f.take(body)
	}
	if err != io.EOF {
		if f.err == nil && x.Request.Context().Err() == nil && !f.handed {
			x.Broken = err
		}
		_ = f.settle() // it is sound so far
		return err
	}
	if !f.begun && x.body != nil && len(resp.Trailer) == 0 {
		w.Header()["Content-Length"] = []string{strconv.Itoa(f.to)}
	}
	if f.write(); f.err != nil {
		return f.err
	}
	if len(resp.Trailer) > 0 {
		f.flush() // for a short body the server would find a length, and leave them out
		trail(w.Header(), resp.Trailer, len(resp.Trailer) == announced)
	}
	return f.err
}

// trail sets the trailers.
func trail(h, trailers http.Header, announced bool) {
	for name, lines := range trailers {
		if !announced {
			name = http.TrailerPrefix + name
		}
		h[name] = append(h[name], lines...)
	}
}

// ready says whether reading a body is known not to wait.
func ready(body io.Reader) bool {
	r, ok := body.(interface{ Ready() bool })
	return body == http.NoBody || ok && r.Ready()
}

// raw says whether a body comes from a socket as it is.
func raw(body io.Reader) bool {
	r, ok := body.(interface{ Raw() bool })
	return ok && r.Raw()
}

// flow is an answer on its way: what is to be written is gathered in a buffer
// until that is full, the answer ends, or more has to be waited for. So what
// arrives at once is few writes, and what arrives slowly isn't held.
type flow struct {
	w        *writer
	status   int
	buf      []byte
	from, to int   // what of buf is not written yet
	read     int64 // of the body
	begun    bool  // the head is written
	handed   bool  // the rest was for others to send, and they don't say whose an error is
	dirty    bool  // something is written that wasn't flushed
	err      error
}

// take reads more into the buffer.
func (f *flow) take(body io.Reader) error {
	if f.to == len(f.buf) && f.from < f.to {
		f.write()
	}
	if f.err != nil {
		return f.err
	}
	if f.from == f.to {
		f.from, f.to = 0, 0
	}
	n, err := body.Read(f.buf[f.to:])
	f.to += n
	f.read += int64(n)
	return err
}

// write writes what is gathered, after the head. The part of the buffer that a
// read is under way into stays as it is.
func (f *flow) write() {
	if f.err != nil {
		return
	}
	if !f.begun {
		f.begun, f.dirty = true, true
		f.w.WriteHeader(f.status)
	}
	if f.from < f.to {
		f.dirty = true
		_, f.err = f.w.Write(f.buf[f.from:f.to])
	}
	f.from = f.to
}

// handOn has the rest of a body sent by whoever can do that without a buffer, or
// returns errors.ErrUnsupported.
func (f *flow) handOn(body io.Reader) error {
	if f.write(); f.err != nil {
		return f.err
	}
	n, err := f.w.ReadFrom(body)
	f.handed = !errors.Is(err, errors.ErrUnsupported)
	if f.read += n; err == nil {
		err = io.EOF
	}
	return err
}

// settle has the visitor get all that there is.
func (f *flow) settle() error {
	f.write()
	if f.dirty {
		f.flush()
	}
	return f.err
}

func (f *flow) flush() {
	if f.err != nil {
		return
	}
	f.dirty = false
	if err := f.w.control.Flush(); !errors.Is(err, http.ErrNotSupported) {
		f.err = err
	}
}

// originFailed answers for an origin that did not.
func (p *Proxy) originFailed(w *writer, x *Exchange, out *http.Request, err error) {
	x.OriginError = err
	if x.sent != nil && !x.sent.ended.Load() && x.Request.ProtoMajor == 1 {
		// The server would wait for the rest of the body before it answers. Of
		// HTTP/2 it would end the connection.
		w.Header().Set("Connection", "close")
	}
	if x.sent != nil {
		if broken := x.sent.err.Load(); broken != nil {
			// Whatever the origin made of half a body, it is the client's doing.
			x.ClientGone = true
			http.Error(w, "the request's body is broken", statusOf(*broken, http.StatusBadRequest))
			return
		}
	}
	status := statusOf(err, http.StatusBadGateway)
	switch {
	case x.Request.Context().Err() != nil:
		x.ClientGone = true
		status = 499 // nobody reads it; for the log, as nginx has it
	case status == http.StatusMisdirectedRequest:
		x.OriginError = nil // none was asked
		http.Error(w, "this host or path is not served here", status)
		return
	case status < http.StatusInternalServerError:
		x.ClientGone = true
		http.Error(w, "the request's body is broken", status)
		return
	}
	if !x.ClientGone {
		server := out.URL.Host
		var named interface{ Origin() string }
		if errors.As(err, &named) {
			server = named.Origin()
		}
		p.Log.Warn("the origin does not answer", slog.String("origin", server), slog.String("error", err.Error()),
			slog.String("method", out.Method), slog.String("path", x.path))
	}
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(originAbsent)) // the client's loss
}

// statusOf is the status that an error is answered with: its own word, else 504
// for a time-out, else other.
func statusOf(err error, other int) int {
	var own interface{ HTTPStatus() int }
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &own):
		return own.HTTPStatus()
	case other >= http.StatusInternalServerError && errors.As(err, &timeout) && timeout.Timeout():
		return http.StatusGatewayTimeout
	}
	return other
}
