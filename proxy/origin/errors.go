package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// ErrNoOrigin says that no configured origin takes the request's host and path.
var ErrNoOrigin error = noOrigin{}

type noOrigin struct{}

func (noOrigin) Error() string { return "no origin is configured" }

// HTTPStatus is what a client is to be told: RFC 9110, section 15.5.20.
func (noOrigin) HTTPStatus() int { return http.StatusMisdirectedRequest }

// ErrMalformed says that what the server sent is not an HTTP response, or one
// that is over the limits.
var ErrMalformed = errors.New("malformed response")

// Op is what was being done when an exchange failed.
type Op string

// The steps of an exchange.
const (
	Connect Op = "connect"      // the TLS handshake included
	Send    Op = "send"         // the request
	Await   Op = "await"        // the head of the response
	Read    Op = "read"         // the body of the response
	Take    Op = "request body" // from the client, whose doing it is
)

// Error is why a server gave no response, or only part of one.
type Error struct {
	Server string // as configured; empty where none was asked
	Op     Op
	Err    error
}

func (e *Error) Error() string { return fmt.Sprintf("origin %s: %s: %v", e.Server, e.Op, e.Err) }

// Unwrap is for errors.Is and As.
func (e *Error) Unwrap() error { return e.Err }

// Timeout says that a time-out of the origin's configuration ended it.
func (e *Error) Timeout() bool {
	var t interface{ Timeout() bool }
	return e.Op != Take && errors.As(e.Err, &t) && t.Timeout()
}

// HTTPStatus is what a client is to be told: its own doing, by the word of what
// broke its body if that has one, else 502 or 504.
func (e *Error) HTTPStatus() int {
	var own interface{ HTTPStatus() int }
	switch {
	case e.Op == Take && errors.As(e.Err, &own):
		return own.HTTPStatus()
	case e.Op == Take:
		return http.StatusBadRequest
	case e.Timeout():
		return http.StatusGatewayTimeout
	}
	return http.StatusBadGateway
}

// Origin is the server as Response.Request has it.
func (e *Error) Origin() string { return hostOf(e.Server) }

// hostOf is a server's host and port as they are configured, or all of an
// address that has none.
func hostOf(server string) string {
	if _, host, ok := strings.Cut(server, "://"); ok {
		host, _, _ = strings.Cut(host, "/")
		return host
	}
	return server
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// failure is an exchange without a response.
type failure struct {
	err      error // for the caller
	op       Op
	reused   bool // the connection had served before
	wrote    bool // some of the request may have left
	answered bool // some of a response came
	broken   bool // the connection did not hold, or did not come about
}

// again says whether the request may be sent once more, and whether only to a
// server that did not have it yet.
func (f *failure) again(req *http.Request, out *outgoing) (ok, elsewhere bool) {
	switch {
	case req.Context().Err() != nil || !f.broken || f.answered || out.taken:
		return false, false
	case f.op == Connect:
		return true, true
	case !f.wrote || idempotent(req):
		// A server may close a connection that was idle at any time. One that
		// breaks off a new connection has seen enough of this request.
		return true, !f.reused
	}
	return false, false
}

// idempotent is as in RFC 9110, section 9.2.2.
func idempotent(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// counts says whether a failure speaks against the server: not if the caller
// went away, nor if an idle connection had just ended, nor if this machine is
// short of something.
func (f *failure) counts(ctx context.Context) bool {
	if ctx.Err() != nil || !f.broken || f.answered || f.reused {
		return false
	}
	for _, ours := range [...]syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(f.err, ours) {
			return false
		}
	}
	return true
}

// ended says whether a read or write failed because the connection did.
func ended(err error) bool {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return true
	}
	var t interface{ Timeout() bool }
	if errors.Is(err, ErrMalformed) || errors.As(err, &t) && t.Timeout() {
		return false
	}
	return true
}
