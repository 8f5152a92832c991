package rewrite

import "io"

// Read implements io.Reader. What is settled is returned first; only when
// nothing is does it read from the source.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for r.next == len(r.out) {
		if r.srcErr != nil {
			return 0, r.srcErr
		}
		if r.plain && len(r.buf) == r.settled {
			n, err := r.src.Read(p)
			r.srcErr = err
			return n, err
		}
		if r.fill() {
			r.idle = 0
		} else if r.idle++; r.idle == 100 {
			return 0, io.ErrNoProgress
		} else {
			return 0, nil
		}
	}
	n := 0
	for n < len(p) && r.next < len(r.out) {
		piece := r.out[r.next][r.done:]
		m := copy(p[n:], piece)
		n += m
		r.done += m
		if m == len(piece) {
			r.next++
			r.done = 0
		}
	}
	return n, nil
}

// WriteTo implements io.WriterTo, without a copy of what stays as it is.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	var n int64
	for {
		for ; r.next < len(r.out); r.next++ {
			m, err := w.Write(r.out[r.next][r.done:])
			n += int64(m)
			r.done += m
			if err != nil {
				return n, err
			}
			r.done = 0
		}
		if r.srcErr != nil {
			if r.srcErr == io.EOF {
				return n, nil
			}
			return n, r.srcErr
		}
		if r.fill() {
			r.idle = 0
		} else if r.idle++; r.idle == 100 {
			return n, io.ErrNoProgress
		}
	}
}

// compact drops from buf what was handed on.
func (r *Reader) compact() {
	drop := min(r.settled, r.taken) // less is taken than handed on where learned bytes are scanned again
	if r.plain {
		drop = r.settled
	}
	if drop <= 0 {
		return
	}
	r.detect(drop)
	r.detected -= drop
	if r.past = append(r.past, r.buf[max(0, drop-lookBack):drop]...); len(r.past) > lookBack {
		r.past = r.past[:copy(r.past, r.past[len(r.past)-lookBack:])]
	}
	r.offset += int64(drop)
	r.buf = r.buf[:copy(r.buf, r.buf[drop:])]
	r.taken -= drop
	r.region.moveBy(-drop)
	r.settled -= drop
	r.made = r.made[:0]
}

// settle makes the bytes before buf[to] ready to be handed on.
func (r *Reader) settle(to int) {
	if to > r.settled {
		r.out = append(r.out, r.buf[r.settled:to:to])
		r.settled = to
	}
}

// put makes new content ready to be handed on, in place of what is before buf[to].
func (r *Reader) put(content []byte, to int) {
	if len(content) > 0 {
		r.out = append(r.out, content)
	}
	r.settled = to
}
