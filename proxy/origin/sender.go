package origin

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	sendBuffer = 32 << 10
	sendRoom   = 18 // for a chunk's size, before the data
	sendTail   = 16 // for what ends a chunk and the body
)

// The states of a sender.
const (
	sending   int32 = iota
	sendsLast       // the last write is under way, and will not wait for the client
	leaves          // the same, and the response has ended: the sender gives the connection back
	sent
	notSent
)

// sender sends a request's body on a goroutine of its own, while the response
// may already come in. It ends with the body, with the connection, or with the
// body's Close.
type sender struct {
	x      *exchange
	c      *conn
	req    *http.Request
	length int64 // -1: chunks
	state  atomic.Int32
	failed atomic.Pointer[Error]
}

func (s *sender) run() {
	err := s.copy()
	_ = s.req.Body.Close() // the request is over for us
	if err == nil {
		if s.state.CompareAndSwap(sendsLast, sent) {
			s.x.sendEnded()
		} else {
			s.x.server.keep(s.c)
		}
		return
	}
	s.failed.Store(err)
	if s.state.Swap(notSent) == leaves || err.Op == Take || err.Timeout() {
		s.c.close() // the server must not take it for whole
	} else {
		s.x.sendEnded() // there may be a response that says why
	}
}

func (s *sender) copy() *Error {
	buf, _ := s.x.server.pools.send.Get().(*[sendBuffer]byte)
	if buf == nil {
		buf = new([sendBuffer]byte)
	}
	defer s.x.server.pools.send.Put(buf)
	left := s.length
	for {
		n, err := s.req.Body.Read(buf[sendRoom : sendBuffer-sendTail])
		if err != nil && err != io.EOF {
			return s.fail(Take, err)
		}
		last := err == io.EOF
		if s.length >= 0 {
			if left -= int64(n); left < 0 {
				return s.fail(Take, errLongBody)
			} else if last && left > 0 {
				return s.fail(Take, io.ErrUnexpectedEOF)
			}
			last = left == 0
		}
		if last {
			s.state.Store(sendsLast)
		}
		p := buf[sendRoom : sendRoom+n]
		if s.length < 0 {
			var err error
			if p, err = s.chunk(buf, n, last); err != nil {
				return s.fail(Take, err)
			}
		}
		if len(p) > 0 {
			if d := s.x.server.response; d > 0 {
				_ = s.c.SetWriteDeadline(time.Now().Add(d)) // a closed connection fails below
			}
			if _, err := s.c.Write(p); err != nil {
				return s.fail(Send, err)
			}
		}
		if last {
			return nil
		}
	}
}

func (s *sender) fail(op Op, err error) *Error {
	if op == Send && errors.Is(err, net.ErrClosed) {
		op = Await // whoever closed the connection knows why
	}
	return &Error{Server: s.x.server.name, Op: op, Err: err}
}

// chunk frames n bytes in the buffer, and ends the body if they are the last.
func (s *sender) chunk(buf *[sendBuffer]byte, n int, last bool) ([]byte, error) {
	from, to := sendRoom, sendRoom+n
	if n > 0 {
		var size [sendRoom]byte
		head := append(strconv.AppendInt(size[:0], int64(n), 16), "\r\n"...)
		from -= len(head)
		copy(buf[from:], head)
		to += copy(buf[to:], "\r\n")
	}
	if !last {
		return buf[from:to], nil
	}
	p := append(buf[from:to], "0\r\n"...)
	// The values are known only now; a server's request gets the map itself
	// then, if none was announced.
	names, err := trailerNames(s.req.Trailer)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		for _, v := range s.req.Trailer[name] {
			if p, err = appendField(p, name, v); err != nil {
				return nil, err
			}
		}
	}
	return append(p, "\r\n"...), nil
}
