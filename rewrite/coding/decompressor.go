package coding

import (
	"bufio"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
)

// decompressor is what the libraries' readers have in common. Reset may read.
type decompressor interface {
	io.Reader
	Reset(io.Reader) error
}

// gunzip goes from member to member itself: gzip.Reader takes a header that is
// cut in its file name for the end.
type gunzip struct {
	gzip.Reader
	input *bufio.Reader
	ended bool // a member
}

func (g *gunzip) Reset(r io.Reader) error {
	err := g.Reader.Reset(r)
	g.Multistream(false)
	g.ended = false
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (g *gunzip) Read(p []byte) (n int, err error) {
	for n == 0 && err == nil {
		if g.ended {
			if _, err = g.input.Peek(1); err == nil {
				err = g.Reset(g.input)
			}
			if err != nil {
				return 0, err
			}
		}
		if n, err = g.Reader.Read(p); err == io.EOF {
			g.ended, err = true, nil
		}
	}
	return n, err
}

// inflate undoes what servers send as deflate: the zlib format, as RFC 9110,
// section 8.4.1.2, has it, or deflate without that around it.
type inflate struct {
	io.Reader // one of these
	zlib, raw io.ReadCloser
	input     *bufio.Reader
}

func (i *inflate) Reset(io.Reader) error {
	head, err := i.input.Peek(2)
	if err != nil {
		return err
	}
	// A bare stream that begins like this would have a stored block with bits
	// set that every encoder leaves at zero.
	if head[0]&0x0f == 8 && head[0]>>4 <= 7 && (int(head[0])<<8|int(head[1]))%31 == 0 {
		if i.zlib == nil {
			i.zlib, err = zlib.NewReader(i.input)
		} else {
			err = i.zlib.(zlib.Resetter).Reset(i.input, nil)
		}
		i.Reader = i.zlib
		return err
	}
	if i.raw == nil {
		i.raw = flate.NewReader(i.input)
	} else {
		err = i.raw.(flate.Resetter).Reset(i.input, nil)
	}
	i.Reader = i.raw
	return err
}

// unbrotli ends where brotli.Reader has nothing to return, which is at the end of
// the coding and nowhere else. Read on, that would swallow what follows if it
// comes byte by byte; a single byte that does still isn't seen.
type unbrotli struct{ brotli.Reader }

func (u *unbrotli) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	if n == 0 && err == nil { // only there, since input doesn't do that
		err = io.EOF
	}
	return n, err
}

// plain undoes nothing.
type plain struct{ io.Reader }

func (p *plain) Reset(r io.Reader) error { p.Reader = r; return nil }
