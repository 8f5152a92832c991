package first

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// handOn is how many settled bytes are enough to hand on, although more could
// be settled without reading.
const handOn = 32 << 10

// A Reader gives a page with the regions of its plan swapped. It is not safe
// for concurrent use, and need not be closed.
type Reader struct {
	src       io.Reader
	attribute string
	maxRegion int
	surfaces  []Surface
	sightings []Sighting     // in plan order
	wanted    map[string]int // name → index of its first surface
	missing   int            // of wanted, how many are Missing

	// The bytes of the page are, in order: handed on; out[handed:], which is
	// settled; window, which is received and not settled. The first scanned
	// bytes of window have been tokens. The tokenizer's own buffer is never asked
	// what was received, so that a fault there costs no byte.
	out     []byte
	handed  int
	window  []byte
	store   []byte // an array for window to begin in
	scanned int
	offset  int // of window in the page

	z        *html.Tokenizer
	tracker  tracker
	encoding encoding
	prescan  []byte // the first bytes of the page, if its charset isn't certain
	sniffed  bool   // the prescan has been used
	prelude  bool   // no byte was received yet
	region   *region

	plain  bool  // what is left of src is copied unread
	srcErr error // what src said last; the bytes before it may not be settled yet
	err    error // what Read says once out is handed on; sticky
	fault  error
}

// NewReader returns a Reader for the page that src gives. It reads nothing yet.
func NewReader(src io.Reader, plan Plan) *Reader {
	r := &Reader{
		src:       src,
		attribute: DefaultAttribute,
		maxRegion: DefaultMaxRegion,
		surfaces:  plan.Surfaces,
		sightings: make([]Sighting, len(plan.Surfaces)),
		wanted:    make(map[string]int, len(plan.Surfaces)),
		encoding:  headerEncoding(plan.ContentType),
		prelude:   true,
	}
	if plan.Attribute != "" {
		r.attribute = strings.ToLower(plan.Attribute)
	}
	if plan.MaxRegion > 0 {
		r.maxRegion = plan.MaxRegion
	}
	for i, s := range plan.Surfaces {
		r.sightings[i] = Sighting{Name: s.Name, State: Missing}
		if _, ok := r.wanted[s.Name]; !ok {
			r.wanted[s.Name] = i
		}
	}
	r.missing = len(r.wanted)
	r.plain = r.missing == 0
	r.z = html.NewTokenizer(readerFunc(r.feed))
	r.z.SetMaxBuf(MaxToken)
	return r
}

// Sightings tells what has become of each surface so far, in the order of the
// plan. It is final once Read has returned an error, io.EOF included.
func (r *Reader) Sightings() []Sighting {
	all := slices.Clone(r.sightings)
	for i, s := range all {
		if first := r.wanted[s.Name]; first != i && all[first].State != Missing {
			all[i].State, all[i].Reason = Untouched, Duplicate
		}
	}
	return all
}

// Fault is the panic that stopped the rewriting, or nil. The page is whole all
// the same.
func (r *Reader) Fault() error { return r.fault }

// Read implements io.Reader. What is settled is returned first; only when
// nothing is does it read from the source.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if r.handed == len(r.out) && !r.plain && r.err == nil {
		r.out, r.handed = r.out[:0], 0
		r.fill()
	}
	if r.handed < len(r.out) {
		n := copy(p, r.out[r.handed:])
		r.handed += n
		return n, nil
	}
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.src.Read(p)
	r.err = err
	return n, err
}

// fill settles bytes: some, and then as many as need no further reading.
func (r *Reader) fill() {
	defer func() {
		if fault := recover(); fault != nil {
			r.fault = fmt.Errorf("rewrite: %v", fault)
			r.stop(Internal)
		}
	}()
	for !r.plain && r.err == nil {
		if n := len(r.out); n >= handOn || n > 0 && (r.tracker.raw != "" || !complete(r.window[r.scanned:])) {
			return
		}
		r.step()
	}
}

// step takes one token.
func (r *Reader) step() {
	kind := r.z.Next()
	if kind == html.ErrorToken {
		r.ended(r.z.Err())
		return
	}
	raw := r.z.Raw()
	size := len(raw)
	r.scanned += size
	if !r.encoding.certain && bytes.IndexByte(raw, escape) >= 0 {
		r.stop(Charset)
		return
	}
	t := &r.tracker
	inert, foreign, inSelect := len(t.template) > 0, len(t.foreign) > 0, t.inSelect
	tok := readToken(r.z, kind, r.attribute)
	t.take(r.z, tok)

	surface, wanted := r.wanted[tok.mark]
	wanted = wanted && tok.marked && !inert
	switch {
	case t.lost != "":
		if wanted {
			r.note(surface, t.lost)
		}
		r.stop(t.lost)
		return
	case r.region != nil:
		if wanted {
			r.note(surface, Nested)
		}
		r.hold(tok, size)
	case wanted && foreign:
		r.note(surface, Foreign)
	case wanted && inSelect:
		r.note(surface, Select)
	case wanted:
		r.meet(surface, tok.name)
	}
	if r.region == nil && !r.plain {
		r.settle(r.scanned)
		if r.missing == 0 {
			r.rest()
		}
	}
}

// ended is called when the tokenizer has no more tokens.
func (r *Reader) ended(err error) {
	switch {
	case r.encoding.refused:
		r.stop(Charset)
	case r.srcErr == nil && errors.Is(err, html.ErrBufferExceeded):
		r.stop(TooLarge)
	default:
		r.srcErr = err
		r.release(Unclosed)
		r.rest()
	}
}

// stop ends the rewriting of this page.
func (r *Reader) stop(why Reason) {
	r.release(why)
	for _, i := range r.wanted {
		if s := &r.sightings[i]; s.State == Missing {
			s.State, s.Reason = Untouched, why
		}
	}
	r.rest()
}

// rest hands on all that was received, and then what the source has left.
func (r *Reader) rest() {
	r.settle(len(r.window))
	r.plain = true
	r.err = r.srcErr
}

// settle makes the first bytes of the window ready to be handed on.
func (r *Reader) settle(n int) {
	r.out = append(r.out, r.window[:n]...)
	r.drop(n)
}

func (r *Reader) drop(n int) {
	r.window = r.window[n:]
	r.scanned -= n
	r.offset += n
}

// note puts one region on record: swappable if there is no reason against it.
func (r *Reader) note(surface int, why Reason) {
	s := &r.sightings[surface]
	switch {
	case s.State == Missing:
		r.missing--
		s.State, s.Reason, s.Count = Untouched, why, 1
		if why == "" {
			s.State = Swappable
		}
	case s.State == Untouched && why == "":
		s.State, s.Reason, s.Count = Swappable, "", 1
	case (s.State == Swappable) == (why == ""):
		s.Count++
	}
}

// escape is the byte that ISO-2022-JP switches its codes with.
const escape = 0x1b

// feed is what the tokenizer reads from: the source, without a byte order mark.
func (r *Reader) feed(p []byte) (int, error) {
	n, err := r.src.Read(p)
	for tries := 0; r.prelude && err == nil && tries < 100; tries++ {
		if _, _, more := markEncoding(p[:n]); !more {
			break
		}
		var m int
		m, err = r.src.Read(p[n:])
		n += m
	}
	r.srcErr = err
	if len(r.window) == 0 {
		r.window = append(r.store[:0], p[:n]...)
		r.store = r.window[:0]
	} else {
		r.window = append(r.window, p[:n]...)
	}
	if r.prelude && n > 0 {
		r.prelude = false
		if e, size, _ := markEncoding(p[:n]); size > 0 {
			r.encoding = e
			r.scanned = size
			r.settle(size)
			n = copy(p, p[size:n])
		}
	}
	if room := prescanSize - len(r.prescan); room > 0 && !r.encoding.certain {
		r.prescan = append(r.prescan, p[:min(n, room)]...)
	}
	if r.encoding.refused {
		return 0, errors.New("rewrite: charset not for rewriting")
	}
	return n, err
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
