package coding

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	// MaxExpansion is how many bytes of content one coded byte may stand for.
	// Pages that repeat themselves a lot come to less than half of it; what is
	// made to exhaust its reader comes to a thousand and more.
	MaxExpansion = 256
	// expansionGrace is how much content must have come before that is looked
	// at, in bytes.
	expansionGrace = 1 << 20
	// maxKept is how many coded bytes may come before the first byte of the
	// content. All codings need less, unless they skip something.
	maxKept = 256 << 10

	maxEmptyReads = 100
)

var (
	errTrailing = errors.New("something follows its end")
	errNothing  = errors.New("nothing is encoded in its first bytes")
)

// A Decoder gives the content of what its source gives in a coding. It is not
// safe for concurrent use.
//
// io.EOF means that the coding ended as it should and that the source ended
// there. What the source fails with is returned as it is. A panic in a
// decompressor is an ErrCorrupt.
type Decoder struct {
	pool   *Pool
	coding Coding
	*machinery
	intake intake
	ready  []byte // decoded, not read; backed by decoded
	given  int64  // decoded
	begun  bool
	err    error // follows ready; sticky
	broken bool  // a panic: the machinery can't be used again
}

// NewDecoder returns a Decoder for what src gives. It reads nothing yet.
func (p *Pool) NewDecoder(src io.Reader, c Coding) *Decoder {
	d := &Decoder{pool: p, coding: c, machinery: p.machinery(c)}
	d.intake = intake{src: src, keep: true, kept: d.kept[:0]}
	d.input.Reset(&d.intake)
	return d
}

// Peek decodes until there is content to read, or its sound end, and returns
// nil; or what is wrong. It may be called before the first Read.
func (d *Decoder) Peek() error {
	if !d.begun {
		d.begun = true
		n, err := d.decode(d.decoded, true)
		if err != nil && err != io.EOF {
			n = 0 // with it the original would be lost
		}
		d.ready, d.err = d.decoded[:n], err
	}
	if len(d.ready) > 0 || d.err == io.EOF {
		return nil
	}
	return d.err
}

// Read implements io.Reader.
func (d *Decoder) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	_ = d.Peek() // it is in d.err
	if len(d.ready) > 0 {
		d.intake.keep = false
		n := copy(p, d.ready)
		d.ready = d.ready[n:]
		return n, nil
	}
	if d.err != nil {
		return 0, d.err
	}
	n, err := d.decode(p, false)
	d.err = err
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

// Original returns a reader of the source's own bytes from the first on, or nil
// once Read has returned a byte of the content. The Decoder must not be read
// after that, and may be closed.
func (d *Decoder) Original() io.Reader {
	if !d.intake.keep {
		return nil
	}
	i := &intake{src: d.intake.src, err: d.intake.err}
	start := d.intake.kept
	d.machinery.kept, d.intake.kept = nil, nil // they are the reader's now
	return io.MultiReader(bytes.NewReader(start), i)
}

// Close gives the Decoder's memory back to its Pool. The Decoder must not be
// read afterwards. It does not close the source. It always returns nil.
func (d *Decoder) Close() error {
	m := d.machinery
	if m == nil {
		return nil
	}
	d.machinery, d.ready, d.begun, d.err, d.intake.keep = nil, nil, true, io.ErrClosedPipe, false
	if d.broken {
		return nil
	}
	m.input.Reset(nil)
	if m.kept = d.intake.kept; cap(m.kept) > pooledBuffer {
		m.kept = nil
	}
	d.pool.decoders[d.coding].Put(m)
	return nil
}

// decode fills p with at least one byte, or returns an error. io.EOF is a
// checked end.
func (d *Decoder) decode(p []byte, first bool) (n int, err error) {
	defer func() {
		if v := recover(); v != nil {
			d.broken = true
			n, err = 0, d.corrupt(fmt.Errorf("panic: %v", v))
		}
	}()
	if first {
		err = d.undo.Reset(d.input)
	}
	for range maxEmptyReads {
		if err != nil {
			break
		}
		if n, err = d.undo.Read(p); n > 0 {
			break
		}
	}
	if n == 0 && err == nil {
		err = io.ErrNoProgress
	}
	switch failed := d.intake.err; {
	case err == nil:
	case failed != nil && failed != io.EOF:
		err = failed // whatever the decompressor made of it
	case err == io.EOF:
		err = d.end()
	default:
		err = d.corrupt(err)
	}
	d.given += int64(n)
	if d.coding != Identity && d.given > expansionGrace && d.given/MaxExpansion > d.intake.read-int64(d.input.Buffered()) {
		return 0, fmt.Errorf("%w (%s): %d bytes of %d", ErrExpansion, d.coding, d.given, d.intake.read)
	}
	return n, err
}

// end makes sure of the end that the decompressor found.
func (d *Decoder) end() error {
	if d.coding == Identity {
		return io.EOF
	}
	switch _, err := d.input.Peek(1); {
	case err == nil:
		return d.corrupt(errTrailing)
	case err != io.EOF:
		if err == d.intake.err {
			return err
		}
		return d.corrupt(err)
	case d.intake.read == 0:
		return d.corrupt(io.ErrUnexpectedEOF)
	}
	return io.EOF
}

func (d *Decoder) corrupt(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w (%s): %w", ErrCorrupt, d.coding, err)
}

// intake is what a Decoder reads its source through.
type intake struct {
	src  io.Reader
	err  error // of src; sticky
	read int64
	keep bool
	kept []byte // everything read, while keep
}

func (i *intake) Read(p []byte) (n int, err error) {
	if i.err != nil {
		return 0, i.err
	}
	if i.keep {
		if len(i.kept) >= maxKept {
			return 0, errNothing
		}
		p = p[:min(len(p), maxKept-len(i.kept))]
	}
	for range maxEmptyReads {
		n, i.err = i.src.Read(p)
		i.read += int64(n)
		if i.keep {
			i.kept = append(i.kept, p[:n]...)
		}
		if n > 0 {
			return n, nil
		}
		if i.err != nil {
			return 0, i.err
		}
	}
	i.err = io.ErrNoProgress
	return 0, i.err
}
