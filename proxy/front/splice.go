package front

import (
	"errors"
	"io"
)

// rawReader is a body that comes from a socket as it is. Raw says whether what
// is next does, and ReadRaw has take called with the socket and how much may be
// taken of it, until it doesn't return EAGAIN. ReadRaw returns how much was
// taken, and io.EOF with the last of it.
type rawReader interface {
	io.Reader
	Raw() bool
	ReadRaw(take func(fd uintptr, most int64) (int64, error)) (int64, error)
}

// ReadFrom is for Go's server, which asks for it where an answer has a length
// and its header is written: what needs no buffer on its way goes without. Of a
// rawReader that can't it takes nothing, and returns errors.ErrUnsupported: only
// who reads that knows when to flush.
func (g *guard) ReadFrom(src io.Reader) (int64, error) {
	raw, ok := src.(rawReader)
	if !ok {
		return io.Copy(struct{ io.Writer }{g}, src)
	}
	c, plain := g.Conn.(*conn)
	if !plain {
		return 0, errors.ErrUnsupported
	}
	if err := g.out.flush(g.Conn); err != nil {
		g.end()
		return 0, err
	}
	n, handled, err := c.splice(raw, g.end)
	if !handled {
		return 0, errors.ErrUnsupported
	}
	return n, err
}

// ReadFrom is for who asks whether there is such a thing, as io.Copy does. Of a
// rawReader it is as guard's.
func (w *response) ReadFrom(src io.Reader) (int64, error) {
	to, ok := w.ResponseWriter.(io.ReaderFrom)
	if _, raw := src.(rawReader); raw {
		plain := false
		if w.guard != nil {
			_, plain = w.guard.Conn.(*conn)
		}
		if !ok || !w.wrote || !plain {
			return 0, errors.ErrUnsupported
		}
	} else if !ok || !w.wrote || w.progress != nil { // what is read may ask for a 100 Continue
		return io.Copy(struct{ io.Writer }{w}, src)
	}
	return to.ReadFrom(src)
}
