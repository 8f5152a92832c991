package coding

import (
	"bufio"
	"bytes"
	"io"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// The limits and the levels.
const (
	inputBuffer  = 16 << 10 // of coded bytes, each Decoder
	peekBuffer   = 32 << 10 // of decoded bytes, each Decoder: a page of that size is known to be whole before it is handed on
	chunkSize    = 16 << 10 // of plain bytes, two each Encoder
	pooledBuffer = 64 << 10 // a larger one isn't kept for the next page

	zstdWindow = 8 << 20 // the largest that RFC 9659 allows

	// Pages are made once and read once: levels at which coding costs less than
	// what it saves on a fast line.
	gzipLevel   = 2
	brotliLevel = 3
	// Distances above this are rare in a page, and memory is not.
	brotliWindow = 18        // as a power of two
	zstdOutput   = 256 << 10 // the window when encoding
)

// A Pool makes Decoders and Encoders, and keeps the memory of those that were
// closed for the next: state that is expensive to make. The zero value is ready
// to use. It is safe for concurrent use, and must not be copied.
type Pool struct {
	decoders, encoders [codings]sync.Pool
}

// machinery is the part of a Decoder that is used again.
type machinery struct {
	input   *bufio.Reader
	undo    decompressor // reads input
	kept    []byte
	decoded []byte
}

func (p *Pool) machinery(c Coding) *machinery {
	if m, ok := p.decoders[c].Get().(*machinery); ok {
		return m
	}
	m := &machinery{input: bufio.NewReaderSize(nil, inputBuffer), decoded: make([]byte, peekBuffer)}
	switch c {
	case Identity:
		m.undo = new(plain)
	case Gzip:
		m.undo = &gunzip{input: m.input}
	case Brotli:
		m.undo = new(unbrotli)
	case Deflate:
		m.undo = &inflate{input: m.input}
	case Zstd:
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			panic(err) // the options are constants
		}
		m.undo = d
	}
	return m
}

// press is the part of an Encoder that is used again.
type press struct {
	do     compressor // writes to out
	out    bytes.Buffer
	chunks [2][chunkSize]byte
}

// compressor is what the libraries' writers have in common.
type compressor interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

func (p *Pool) press(c Coding) *press {
	m, ok := p.encoders[c].Get().(*press)
	if !ok {
		m = new(press)
		var err error
		switch c {
		case Identity:
			m.do = new(verbatim)
		case Gzip:
			m.do, err = gzip.NewWriterLevel(nil, gzipLevel)
		case Brotli:
			m.do = brotli.NewWriterOptions(nil, brotli.WriterOptions{Quality: brotliLevel, LGWin: brotliWindow})
		case Deflate:
			m.do, err = zlib.NewWriterLevel(nil, gzipLevel)
		case Zstd:
			m.do, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithEncoderLevel(zstd.SpeedFastest),
				zstd.WithWindowSize(zstdOutput))
		}
		if err != nil {
			panic(err) // the options are constants
		}
	}
	m.out.Reset()
	m.do.Reset(&m.out)
	return m
}

// verbatim does nothing.
type verbatim struct{ io.Writer }

func (v *verbatim) Reset(w io.Writer) { v.Writer = w }
func (v *verbatim) Flush() error      { return nil }
func (v *verbatim) Close() error      { return nil }
