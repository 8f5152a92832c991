package origin

import (
	"cmp"
	"io"
	"net/http"
	"syscall"
)

// Raw says that what is next of the body is on the socket, as it is, and that
// ReadRaw can be used.
func (b body) Raw() bool {
	x := b.exchange
	x.mu.Lock()
	defer x.mu.Unlock()
	c := x.conn.Load()
	return x.err == nil && x.body.kind == counted && x.r == x.w && c != nil && c.Conn == c.under && c.probe.raw != nil
}

// ReadRaw is Read without a buffer, for use while Raw says so: it calls take
// with the socket's file descriptor and how much may be taken of what has come
// in. Where take returns EAGAIN it is called again when there is more. Any other
// error of it is returned as it is.
func (b body) ReadRaw(take func(fd uintptr, most int64) (int64, error)) (n int64, err error) {
	x := b.exchange
	x.mu.Lock()
	defer x.mu.Unlock()
	c := x.conn.Load()
	if x.err != nil || c == nil {
		return 0, cmp.Or(x.err, http.ErrBodyReadAfterClose)
	}
	x.untilIdle(c)
	rerr := c.probe.raw.Read(func(fd uintptr) bool {
		n, err = take(fd, x.body.left)
		return err != syscall.EAGAIN
	})
	x.body.left -= n
	switch {
	case rerr != nil:
		x.over(rerr)
	case err != nil:
		return n, err
	case x.body.left == 0:
		x.over(io.EOF)
	case n == 0:
		x.over(io.ErrUnexpectedEOF)
	}
	return n, x.err
}
