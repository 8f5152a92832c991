package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// tunnel has a connection that the origin upgraded be the visitor's: RFC 9110,
// section 7.8. It returns when both sides have ended, or one has failed.
func (p *Proxy) tunnel(w *writer, x *Exchange, out *http.Request, resp *http.Response) {
	origin, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		p.originFailed(w, x, out, errors.New("the body of the 101 can't be written to"))
		return
	}
	defer origin.Close()
	if asked, got := out.Header.Get("Upgrade"), resp.Header.Get("Upgrade"); asked == "" || !strings.EqualFold(asked, got) || !hasToken(resp.Header["Connection"], "upgrade") {
		p.originFailed(w, x, out, fmt.Errorf("the origin switches to %q where %q was asked for", got, asked))
		return
	}
	visitor, rw, err := w.control.Hijack()
	if err != nil {
		p.originFailed(w, x, out, fmt.Errorf("the visitor's connection can't be upgraded: %w", err))
		return
	}
	defer visitor.Close()
	x.upgraded = true
	defer context.AfterFunc(x.Request.Context(), func() { _ = origin.Close() })()
	upgraded(resp.Header)
	resp.Header["Via"] = append(resp.Header["Via"], via(resp.ProtoMajor, resp.ProtoMinor))
	head := http.Response{StatusCode: resp.StatusCode, Status: resp.Status, ProtoMajor: 1, ProtoMinor: 1, Header: resp.Header}
	if head.Write(rw) != nil || rw.Flush() != nil {
		return // the visitor is gone
	}
	early, _ := rw.Peek(rw.Reader.Buffered()) // no more than is there
	ends := make(chan error, 2)
	go func() {
		if _, err := origin.Write(early); err != nil {
			ends <- err
			return
		}
		ends <- pour(origin, visitor)
	}()
	go func() { ends <- pour(visitor, origin) }()
	if <-ends == nil {
		<-ends
	}
}

// errOneEnd says that one side has ended, and that the other can't be told
// without ending it too.
var errOneEnd = errors.New("one side of the tunnel has ended")

// pour copies one direction, and ends it at its end.
func pour(to io.Writer, from io.Reader) error {
	if _, err := io.Copy(to, from); err != nil {
		return err
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errOneEnd
}

// upgraded takes the hop-by-hop fields off a 101, but for the two that say
// what it is: RFC 9110, sections 7.6.1 and 7.8.
func upgraded(h http.Header) {
	protocol := h["Upgrade"]
	withoutHops(h)
	h["Connection"], h["Upgrade"] = []string{"Upgrade"}, protocol
}
