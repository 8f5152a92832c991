package origin

import (
	"bytes"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

const (
	// maxChunkLine bounds the line of a chunk's size, with its extensions.
	maxChunkLine = 4 << 10
	// maxOverhead bounds what all those lines together have beyond 16 bytes
	// each and twice the chunks' own size.
	maxOverhead = 16 << 10
)

// framing is how far a body has been read.
type framing struct {
	kind     ending
	left     int64 // of the body, or of the chunk
	open     bool  // a chunk has begun, and the end of its data was not seen
	overhead int64
}

// body is a response's body. Close may be called while a Read waits.
type body struct{ *exchange }

// Read reads from the connection straight into p where p is large.
func (b body) Read(p []byte) (int, error) {
	x := b.exchange
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err != nil || len(p) == 0 {
		return 0, x.err
	}
	n, err := x.readBody(p)
	if err != nil {
		x.over(err)
	}
	return n, x.err
}

// over ends the body.
func (x *exchange) over(err error) {
	if err == io.EOF {
		x.end(x.keep && x.r == x.w)
	} else {
		err = x.cause(err)
		x.end(false)
	}
	x.err = err
	x.release()
}

// Ready says that a Read gives some of the body, or its end, without waiting
// for the server.
func (b body) Ready() bool {
	x := b.exchange
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err == nil && x.body.kind == chunked && x.body.left == 0 {
		last, err := x.chunk(false)
		switch {
		case err == errWait:
			return false
		case err != nil:
			x.over(err)
		case last:
			x.over(io.EOF)
		}
	}
	if x.err != nil || x.r < x.w {
		return true
	}
	c := x.conn.Load()
	return c == nil || c.Conn == c.under && c.stale()
}

// Close closes the connection unless the body was read to its end.
func (b body) Close() error {
	x := b.exchange
	x.shut.Store(true)
	x.end(false) // wakes a Read that waits
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err == nil {
		x.err = http.ErrBodyReadAfterClose
	}
	x.release()
	return nil
}

// cause is what a caller is to see of an error of the connection.
func (x *exchange) cause(err error) error {
	if x.shut.Load() {
		return http.ErrBodyReadAfterClose
	}
	if ctx := x.ctx.Err(); ctx != nil {
		return ctx
	}
	if s := x.sender; s != nil {
		if e := s.failed.Load(); e != nil && (e.Op == Take || e.Timeout()) {
			return e
		}
	}
	return &Error{Server: x.server.name, Op: Read, Err: err}
}

// readBody returns io.EOF with the last bytes, where they are known to be.
func (x *exchange) readBody(p []byte) (int, error) {
	if x.body.kind == chunked {
		return x.readChunks(p)
	}
	if x.body.kind == untilClose {
		n, err := x.read(p, math.MaxInt64)
		return n, err
	}
	n, err := x.read(p, x.body.left)
	x.body.left -= int64(n)
	switch {
	case x.body.left == 0:
		return n, io.EOF
	case err == io.EOF:
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}

// read reads at most limit bytes: what is buffered, else from the connection,
// straight into p unless it is better to look for more than p or limit hold.
func (x *exchange) read(p []byte, limit int64) (int, error) {
	if int64(len(p)) > limit {
		p = p[:limit]
	}
	if x.r == x.w {
		c := x.conn.Load()
		if c == nil {
			return 0, http.ErrBodyReadAfterClose // by a Close right now
		}
		if len(p) >= readBuffer/2 || x.body.kind == counted && int64(len(p)) == limit {
			x.untilIdle(c)
			return c.Read(p)
		}
		if err := x.more(c, readBuffer); err != nil {
			return 0, err
		}
	}
	n := copy(p, x.buf[x.r:x.w])
	x.r += n
	return n, nil
}

// more reads more of a body into the buffer.
func (x *exchange) more(c *conn, limit int) error {
	x.untilIdle(c)
	return x.fill(c, limit)
}

// untilIdle sets the deadline of the next read.
func (x *exchange) untilIdle(c *conn) {
	if d := x.server.idleRead; d > 0 || x.timed {
		x.deadline(c.SetReadDeadline, d)
	}
}

// readChunks reads the data of chunks, until p is full or it would have to
// wait for more.
func (x *exchange) readChunks(p []byte) (n int, err error) {
	f := &x.body
	for n < len(p) {
		if f.left == 0 {
			last, err := x.chunk(n == 0)
			if err == errWait {
				return n, nil
			} else if err != nil {
				return n, err
			} else if last {
				return n, io.EOF
			}
		}
		if n > 0 && x.r == x.w {
			return n, nil
		}
		m, err := x.read(p[n:], f.left)
		n += m
		f.left -= int64(m)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return n, err
		}
	}
	if f.left > 0 {
		return n, nil
	}
	// Perhaps that was all: who reads need not come again to hear it.
	switch last, err := x.chunk(false); {
	case err == errWait:
		return n, nil
	case err != nil:
		return n, err
	case last:
		return n, io.EOF
	}
	return n, nil
}

// errWait says that the buffer does not hold all that is looked for.
var errWait = errors.New("not there yet")

// chunk reads what stands between the data of two chunks, or after the last
// one: RFC 9112, section 7.1. Without wait it takes all of it from the buffer,
// or nothing.
func (x *exchange) chunk(wait bool) (last bool, err error) {
	f := &x.body
	at := 0 // after x.r
	if f.open {
		for x.w-x.r < 2 {
			if err := x.orWait(wait, readBuffer); err != nil {
				return false, err
			}
		}
		if x.buf[x.r] != '\r' || x.buf[x.r+1] != '\n' {
			return false, malformed("a chunk is longer than its size")
		}
		at = 2
	}
	line, err := x.line(at, wait, maxChunkLine)
	if err != nil {
		return false, err
	}
	size, err := chunkSize(line)
	if err != nil {
		return false, err
	}
	length := at + len(line) + 2
	if size > 0 {
		if f.overhead = max(0, f.overhead+int64(length)-16-2*min(size, maxOverhead)); f.overhead > maxOverhead {
			return false, malformed("chunks of hardly any data")
		}
		x.r += length
		f.open, f.left = true, size
		return false, nil
	}
	return true, x.trailers(length, wait)
}

// trailers reads the trailer section, which begins so far after x.r.
func (x *exchange) trailers(from int, wait bool) error {
	limit := x.server.headBytes
	at, count := from, 0
	for {
		line, err := x.line(at, wait, limit)
		if err != nil {
			return err
		}
		at += len(line) + 2
		if len(line) == 0 {
			break
		}
		if count++; count > x.server.fields || at-from > limit {
			return malformed("more trailers than %d, or than %d bytes", x.server.fields, limit)
		}
	}
	if count > 0 {
		h, err := parseFields(string(x.buf[x.r+from:x.r+at-2]), count)
		if err != nil {
			return err
		}
		for name, values := range h {
			if !httpguts.ValidTrailerHeader(name) {
				continue // it would say what the message has said already
			}
			if x.resp.Trailer == nil {
				x.resp.Trailer = http.Header{}
			}
			x.resp.Trailer[name] = values
		}
	}
	x.r += at
	return nil
}

// line returns the line that begins so far after x.r, without its CRLF.
func (x *exchange) line(at int, wait bool, limit int) ([]byte, error) {
	for {
		rest := x.buf[min(x.r+at, x.w):x.w]
		i := bytes.IndexByte(rest, '\n')
		switch {
		case i > limit+1 || i < 0 && len(rest) > limit:
			return nil, malformed("a line of the chunked coding is longer than %d bytes", limit)
		case i > 0 && rest[i-1] == '\r':
			return rest[:i-1], nil
		case i >= 0:
			return nil, malformed("a line of the chunked coding without CR")
		}
		if err := x.orWait(wait, at+limit+2); err != nil {
			return nil, err
		}
	}
}

// orWait reads more into the buffer if that is wanted.
func (x *exchange) orWait(wait bool, limit int) error {
	if !wait {
		return errWait
	}
	c := x.conn.Load()
	if c == nil {
		return http.ErrBodyReadAfterClose // by a Close right now
	}
	err := x.more(c, limit)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// chunkSize reads the line of a chunk's size. Spaces may follow the size, as
// some servers pad it; extensions mean nothing.
func chunkSize(line []byte) (int64, error) {
	size, extension, _ := strings.Cut(string(line), ";")
	size = strings.TrimRight(size, " \t")
	n, err := strconv.ParseUint(size, 16, 63)
	if err != nil || len(size) > 16 || !httpguts.ValidHeaderFieldValue(extension) {
		return 0, malformed("chunk size %q", clip(string(line)))
	}
	return int64(n), nil
}

// tunnel is the body of a 101: the connection, both ways. What it counts for
// ends with Close.
type tunnel struct {
	x    *exchange
	conn *conn
}

func (t *tunnel) Read(p []byte) (int, error) {
	t.x.mu.Lock()
	if n := copy(p, t.x.buf[t.x.r:t.x.w]); n > 0 || len(p) == 0 {
		t.x.r += n
		t.x.mu.Unlock()
		return n, nil
	}
	t.x.release()
	t.x.mu.Unlock()
	return t.conn.Read(p)
}

func (t *tunnel) Write(p []byte) (int, error) { return t.conn.Write(p) }

// CloseWrite tells the server that nothing more will come.
func (t *tunnel) CloseWrite() error {
	if c, ok := t.conn.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (t *tunnel) Close() error {
	t.x.end(false)
	return nil
}
