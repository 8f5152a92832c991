package front

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"time"
)

// piece is how much of an answer of HTTP/2 and 3 is written under one time-out:
// a client must take as much in Limits.Progress.
const piece = 16 << 10

// response adds the headers that are the edge's to answers that have none of
// their own, takes off those of HTTP/3 that it doesn't have (RFC 9114, section
// 4.2: a client would take the answer for broken), and holds a client of HTTP/2 or 3 to taking them. There a client
// can stop one stream while its connection goes on.
type response struct {
	http.ResponseWriter
	hsts, altSvc string
	version      int // of HTTP
	wrote        bool
	*progress           // nil: HTTP/1.x, where the connection does it
	guard        *guard // that gathers what is written; nil: none does
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *response) WriteHeader(status int) {
	if !w.wrote && status >= 200 {
		w.wrote = true
		h := w.Header()
		if w.hsts != "" && h["Strict-Transport-Security"] == nil {
			h["Strict-Transport-Security"] = []string{w.hsts}
		}
		if w.altSvc != "" && h["Alt-Svc"] == nil {
			h["Alt-Svc"] = []string{w.altSvc}
		}
		if w.version == 3 { // Go's servers do it for the others
			for _, name := range [...]string{"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade"} {
				delete(h, name)
			}
		}
	}
	w.ResponseWriter.WriteHeader(status)
	if status < 200 && w.guard != nil {
		_ = w.guard.out.flush(w.guard.Conn) // the next write tells
	}
}

func (w *response) Write(p []byte) (int, error) {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	if w.progress == nil {
		return w.ResponseWriter.Write(p)
	}
	for n := 0; ; {
		end := min(n+piece, len(p))
		w.writing()
		m, err := w.ResponseWriter.Write(p[n:end])
		w.written()
		if n += m; err != nil || n == len(p) {
			return n, err
		}
	}
}

// Hijack is for who asks for it without a http.ResponseController.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.wrote = true
	if w.guard != nil {
		_ = w.guard.out.flush(w.guard.Conn) // the next write tells
	}
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// FlushError is for http.ResponseController.
func (w *response) FlushError() error {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	if w.progress != nil {
		w.writing()
		defer w.written()
	}
	if err := http.NewResponseController(w.ResponseWriter).Flush(); err != nil || w.guard == nil {
		return err
	}
	return w.guard.out.flush(w.guard.Conn)
}

func (w *response) Flush() { _ = w.FlushError() } // the next write tells

// progress ends one exchange of HTTP/2 or 3 whose client stands still while it
// is being read from or written to. Reading and writing may go on at once.
type progress struct {
	server      *Server
	rc          *http.ResponseController
	limit       time.Duration
	write, read *time.Timer
}

var past = time.Unix(1, 0)

func (p *progress) writing() {
	if p.write == nil {
		p.write = time.AfterFunc(p.limit, func() {
			p.server.refused(ReasonProgress)
			_ = p.rc.SetWriteDeadline(past)
		})
		return
	}
	p.write.Reset(p.limit)
}

func (p *progress) written() { p.write.Stop() }

// body is a request's body under progress.
type body struct {
	io.ReadCloser
	*progress
}

func (b *body) Read(buf []byte) (int, error) {
	if b.read == nil {
		b.read = time.AfterFunc(b.limit, func() {
			b.server.refused(ReasonProgress)
			_ = b.rc.SetReadDeadline(past)
		})
	} else {
		b.read.Reset(b.limit)
	}
	defer b.read.Stop()
	return b.ReadCloser.Read(buf)
}
