package front

import "io"

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
// and its header is written: what needs no buffer on its way goes without.
func (g *guard) ReadFrom(src io.Reader) (int64, error) {
	g.out.end(g.Conn) // nothing flushes what is gathered meanwhile
	c, plain := g.Conn.(*conn)
	if raw, ok := src.(rawReader); ok && plain && g.out.err == nil {
		if n, handled, err := c.splice(raw); handled {
			return n, err
		}
	}
	return io.Copy(struct{ io.Writer }{g}, src)
}

// ReadFrom is for who asks whether there is such a thing, as io.Copy does.
func (w *response) ReadFrom(src io.Reader) (int64, error) {
	to, ok := w.ResponseWriter.(io.ReaderFrom)
	if !ok || !w.wrote || w.progress != nil { // what is read may ask for a 100 Continue
		return io.Copy(struct{ io.Writer }{w}, src)
	}
	return to.ReadFrom(src)
}
