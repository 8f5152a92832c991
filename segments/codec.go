package segments

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// The encoding of a state is one byte of version; the account and its time;
// the number of traits, and of each its name, time and value; the number of
// leaves, that of the points of all of them together, and of each leaf its key,
// the number of its points, which fields they use, and the points.
//
// Strings are preceded by their length. A time is a signed varint of its
// distance from the time written before. A value is written once, with the
// number of points that share it, before these.
const stateVersion = 1

// Which fields the points of a leaf use.
const (
	usesValue = 1 << iota
	usesVisitor
	usesTag
	usesN
	usesAll = usesValue | usesVisitor | usesTag | usesN
)

// AppendState appends the state's encoding to b: nothing, if nothing is known
// of the unit. Equal states have equal encodings.
func (*Program) AppendState(b []byte, s *State) []byte {
	if s.Account == "" && len(s.traits) == 0 && len(s.leaves) == 0 {
		return b
	}
	w := stateWriter{b: append(b, stateVersion)}
	w.string(s.Account)
	if s.Account != "" {
		w.time(s.accountAt)
	}
	w.uint(len(s.traits))
	for _, t := range s.traits {
		w.string(t.name)
		w.time(t.at)
		w.string(t.value)
	}
	total := 0
	for _, l := range s.leaves {
		total += len(l.points)
	}
	w.uint(len(s.leaves))
	w.uint(total)
	for _, l := range s.leaves {
		w.hash(uint64(l.key))
		w.points(l.points)
	}
	return w.b
}

type stateWriter struct {
	b    []byte
	last int64 // the time written before
}

func (w *stateWriter) uint(n int)    { w.b = binary.AppendUvarint(w.b, uint64(n)) }
func (w *stateWriter) hash(h uint64) { w.b = binary.LittleEndian.AppendUint64(w.b, h) }

func (w *stateWriter) string(s string) {
	w.uint(len(s))
	w.b = append(w.b, s...)
}

func (w *stateWriter) time(at int64) {
	w.b = binary.AppendVarint(w.b, at-w.last)
	w.last = at
}

func (w *stateWriter) points(points []point) {
	uses := 0
	for _, p := range points {
		if p.value != 0 {
			uses |= usesValue
		}
		if p.visitor != 0 {
			uses |= usesVisitor
		}
		if p.tag != 0 {
			uses |= usesTag
		}
		if p.n != 0 {
			uses |= usesN
		}
	}
	w.uint(len(points))
	w.uint(uses)
	for len(points) > 0 {
		n := len(points)
		if uses&usesValue != 0 {
			n = sameValue(points)
			w.hash(points[0].value)
			w.uint(n)
		}
		for _, p := range points[:n] {
			w.time(p.at)
			if uses&usesVisitor != 0 {
				w.hash(p.visitor)
			}
			if uses&usesTag != 0 {
				w.b = append(w.b, p.tag)
			}
			if uses&usesN != 0 {
				w.b = binary.AppendUvarint(w.b, uint64(p.n))
			}
		}
		points = points[n:]
	}
}

// ErrDamaged is what DecodeState finds in bytes that AppendState did not write.
var ErrDamaged = errors.New("the state of a unit is damaged")

// DecodeState reads what AppendState wrote. An empty slice is the empty state.
// The state does not keep b.
func DecodeState(b []byte) (*State, error) {
	s := &State{}
	if len(b) == 0 {
		return s, nil
	}
	if b[0] != stateVersion {
		return nil, fmt.Errorf("%w: version %d is not known", ErrDamaged, b[0])
	}
	r := stateReader{b: b, text: string(b), at: 1}
	if s.Account = r.string(); s.Account != "" {
		s.accountAt = r.time()
	}
	r.traits(s)
	r.leaves(s)
	if r.bad || r.at != len(b) {
		return nil, fmt.Errorf("%w, at byte %d of %d", ErrDamaged, r.at, len(b))
	}
	return s, nil
}

// stateReader reads the parts of an encoding. Once bad is true it stays so,
// and what is read is of no meaning.
type stateReader struct {
	b    []byte
	text string // b, for strings to be parts of
	at   int
	last int64
	bad  bool
}

func (r *stateReader) traits(s *State) {
	n := r.count()
	if n > 0 {
		s.traits = make([]trait, 0, min(n, maxTraits))
	}
	for range n {
		t := trait{name: r.string(), at: r.time()}
		from := r.at
		t.value = r.string()
		if n := len(s.traits); r.bad || n == maxTraits || n > 0 && s.traits[n-1].name >= t.name || !json.Valid(r.b[r.at-len(t.value):r.at]) {
			r.fail(from)
			return
		}
		s.traits = append(s.traits, t)
	}
}

// leaves reads the points of all leaves into one array.
func (r *stateReader) leaves(s *State) {
	n, total := r.count(), r.count()
	s.leaves = make([]leafState, 0, n)
	all := make([]point, 0, total)
	for range n {
		start, from := len(all), r.at
		key := LeafKey(r.hash())
		all = r.points(all)
		if n := len(s.leaves); r.bad || n > 0 && s.leaves[n-1].key >= key {
			r.fail(from)
			return
		}
		s.leaves = append(s.leaves, leafState{key, all[start:len(all):len(all)]})
	}
	if len(all) != total {
		r.fail(r.at)
	}
}

// points appends the points of one leaf, as far as dst has room.
func (r *stateReader) points(dst []point) []point {
	start, n, uses := len(dst), r.count(), r.count()
	if n == 0 || n > cap(dst)-start || uses > usesAll {
		r.fail(r.at)
	}
	var value uint64
	group := n
	for len(dst)-start < n && !r.bad {
		if uses&usesValue != 0 {
			value, group = r.hash(), r.count()
			if group == 0 || group > n-(len(dst)-start) {
				r.fail(r.at)
			}
		}
		for range group {
			if r.bad {
				break
			}
			p := point{value: value, at: r.time()}
			if uses&usesVisitor != 0 {
				p.visitor = r.hash()
			}
			if uses&usesTag != 0 {
				p.tag = r.byte()
			}
			if uses&usesN != 0 {
				p.n = r.number()
			}
			if len(dst) > start && dst[len(dst)-1].compare(p) > 0 {
				r.fail(r.at)
			}
			dst = append(dst, p)
		}
	}
	return dst
}

func (r *stateReader) fail(at int) { r.at, r.bad = at, true }

// take returns where the next n bytes begin.
func (r *stateReader) take(n int) (from int, ok bool) {
	if r.bad || n > len(r.b)-r.at {
		r.bad = true
		return 0, false
	}
	from = r.at
	r.at += n
	return from, true
}

// count reads a number of things of at least one byte each.
func (r *stateReader) count() int {
	if r.bad {
		return 0
	}
	n, used := binary.Uvarint(r.b[r.at:])
	if used <= 0 || n > uint64(len(r.b)) {
		r.bad = true
		return 0
	}
	r.at += used
	return int(n)
}

func (r *stateReader) string() string {
	n := r.count()
	if from, ok := r.take(n); ok {
		return r.text[from : from+n]
	}
	return ""
}

func (r *stateReader) time() int64 {
	if r.bad {
		return 0
	}
	d, used := binary.Varint(r.b[r.at:])
	if used <= 0 {
		r.bad = true
		return 0
	}
	r.at += used
	r.last += d
	return r.last
}

func (r *stateReader) hash() uint64 {
	if from, ok := r.take(8); ok {
		return binary.LittleEndian.Uint64(r.b[from:])
	}
	return 0
}

func (r *stateReader) number() uint32 {
	if r.bad {
		return 0
	}
	n, used := binary.Uvarint(r.b[r.at:])
	if used <= 0 || n > math.MaxUint32 {
		r.bad = true
		return 0
	}
	r.at += used
	return uint32(n)
}

func (r *stateReader) byte() byte {
	if from, ok := r.take(1); ok {
		return r.b[from]
	}
	return 0
}
