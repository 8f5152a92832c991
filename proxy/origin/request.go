package origin

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"
)

// pools are the buffers of a transport and its successors.
type pools struct {
	read  sync.Pool // *[readBuffer]byte
	send  sync.Pool // *[sendBuffer]byte
	heads sync.Pool // *outgoing
}

// maxInline is the largest request body that is read before a connection is
// taken, and sent together with the head: a slow client then holds none, and
// the request can be sent again.
const maxInline = 16 << 10

// outgoing is a request, ready to be sent.
type outgoing struct {
	head   []byte // with the body, if that is inline
	names  []string
	stream bool  // a body follows the head
	length int64 // of that body; -1: it is sent in chunks
	expect bool  // it waits for 100 Continue
	taken  bool  // something may have been read of it; who sends it closes it
}

// prepare makes the head of a request, and reads a small body. With an error
// the request's body is closed.
func (p *pools) prepare(req *http.Request, fallbackHost string) (*outgoing, error) {
	out, _ := p.heads.Get().(*outgoing)
	if out == nil {
		out = new(outgoing)
	}
	err := out.write(req, cmp.Or(req.Host, fallbackHost))
	if err == nil && req.Body != nil && req.Body != http.NoBody && out.length != 0 {
		out.expect = httpguts.HeaderValuesContainsToken(req.Header["Expect"], "100-continue")
		out.stream = out.expect || out.length < 0 || out.length > maxInline
		if !out.stream {
			n := len(out.head)
			out.head = slices.Grow(out.head, int(out.length))[:n+int(out.length)]
			if _, err = io.ReadFull(req.Body, out.head[n:]); err != nil {
				if err == io.EOF {
					err = io.ErrUnexpectedEOF
				}
				err = &Error{Op: Take, Err: err}
				if cause := req.Context().Err(); cause != nil {
					err = cause
				}
			}
			_ = req.Body.Close() // it was read, or is broken
		}
	} else if req.Body != nil {
		_ = req.Body.Close() // there is nothing in it, or it will not be read
	}
	if err != nil {
		out.release(p)
		return nil, err
	}
	return out, nil
}

// release gives the buffers back.
func (o *outgoing) release(p *pools) {
	if cap(o.head) > 4*maxInline {
		return
	}
	clear(o.names[:cap(o.names)])
	*o = outgoing{head: o.head[:0], names: o.names[:0]}
	p.heads.Put(o)
}

// write writes the head: the target as it is, Host, then the fields of the
// message and the connection, then the header's, sorted, in the case they have.
func (o *outgoing) write(req *http.Request, host string) error {
	method := cmp.Or(req.Method, http.MethodGet)
	if !httpguts.ValidHeaderFieldName(method) { // a token too
		return fmt.Errorf("invalid method %q", method)
	}
	if !httpguts.ValidHostHeader(host) {
		return fmt.Errorf("invalid host %q", host)
	}
	b := append(o.head[:0], method...)
	b = append(b, ' ')
	from := len(b)
	b = append(b, requestPath(req.URL)...)
	if req.URL.ForceQuery || req.URL.RawQuery != "" {
		b = append(append(b, '?'), req.URL.RawQuery...)
	}
	if b[from] != '/' && string(b[from:]) != "*" {
		return fmt.Errorf("invalid target %q", b[from:])
	}
	for _, c := range b[from:] {
		if c <= ' ' || c == 0x7f {
			return fmt.Errorf("invalid character %q in the request's target", c)
		}
	}
	b = append(append(append(b, " HTTP/1.1\r\nHost: "...), host...), "\r\n"...)
	if ua := req.Header["User-Agent"]; len(ua) > 0 && ua[0] != "" {
		var err error
		if b, err = appendField(b, "User-Agent", ua[0]); err != nil {
			return err
		}
	}
	if req.Close && !httpguts.HeaderValuesContainsToken(req.Header["Connection"], "close") {
		b = append(b, "Connection: close\r\n"...)
	}
	switch o.length = req.ContentLength; {
	case req.Body == nil || req.Body == http.NoBody:
		o.length = 0
	case o.length == 0:
		o.length = -1
	}
	switch {
	case o.length < 0:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
		if len(req.Trailer) > 0 {
			names, err := trailerNames(req.Trailer)
			if err != nil {
				return err
			}
			b = append(append(append(b, "Trailer: "...), strings.Join(names, ",")...), "\r\n"...)
		}
	case o.length > 0 || method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch:
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), o.length, 10), "\r\n"...)
	}
	for name := range req.Header {
		switch name {
		case "Host", "User-Agent", "Content-Length", "Transfer-Encoding", "Trailer":
		default:
			o.names = append(o.names, name)
		}
	}
	slices.Sort(o.names)
	var err error
	for _, name := range o.names {
		for _, v := range req.Header[name] {
			if b, err = appendField(b, name, v); err != nil {
				return err
			}
		}
	}
	o.head = append(b, "\r\n"...)
	return nil
}

func appendField(b []byte, name, value string) ([]byte, error) {
	if !httpguts.ValidHeaderFieldName(name) {
		return b, fmt.Errorf("invalid header field name %q", name)
	}
	if !httpguts.ValidHeaderFieldValue(value) {
		return b, fmt.Errorf("invalid value of header field %s", name) // which may be a secret
	}
	b = append(append(b, name...), ": "...)
	return append(append(b, strings.Trim(value, " \t")...), "\r\n"...), nil
}

func trailerNames(h http.Header) ([]string, error) {
	names := make([]string, 0, len(h))
	for name := range h {
		if !httpguts.ValidTrailerHeader(name) || !httpguts.ValidHeaderFieldName(name) {
			return nil, fmt.Errorf("invalid trailer field %q", name)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

var errLongBody = errors.New("the body is longer than its Content-Length")
