package segments_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/segments"
)

// everything has a leaf of every kind, so that a state written by it can be
// damaged in every way.
func everything() []segments.Segment {
	const h = time.Hour
	return []segments.Segment{{Name: "everything", Who: segments.Account, Condition: segments.Any{
		segments.Trait{Match: []segments.Match{is("k", "x"), is("o.k", 1.0)}},
		segments.Did{Event: "A", Times: segments.Between(2, 3), InLast: 9 * h, Visitors: segments.AtLeast(2)},
		segments.Did{Event: "A", Times: segments.Exactly(0), Visitors: segments.AtMost(2)},
		segments.Without{Event: "A", Without: "B", Within: h},
		segments.Before{Event: "A", Before: "B"},
		segments.Repeats{Event: "A", Same: "k", Times: segments.AtLeast(2), InLast: 9 * h, Visitors: segments.AtLeast(2)},
		segments.Days{Event: "A", Is: segments.AtLeast(3)},
		segments.Stopped{Event: "A", Active: 9 * h, Quiet: h},
		segments.First{Event: "A", InLast: h},
		segments.Regularly{Event: "A", On: 2, Of: 4, Every: h},
		segments.Resumed{Event: "A", Quiet: h, InLast: 9 * h},
	}}}
}

// FuzzDecodeState: bytes are refused, or are a state that every method takes,
// and that is written and read again as it is.
func FuzzDecodeState(f *testing.F) {
	p := compile(f, everything()...)
	c := newTrial(1)
	c.late = 3 * c.Unit
	s := &segments.State{}
	for i := range 40 {
		c.now = c.now.Add(c.Unit)
		p.Fold([]segments.Who{segments.Visitor, segments.Account}[c.IntN(2)], s, c.Event(c.now, c.late))
		if i%4 == 0 {
			f.Add(p.AppendState(nil, s))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := segments.DecodeState(b)
		if err != nil {
			if !errors.Is(err, segments.ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		written := p.AppendState(nil, s)
		again, err := segments.DecodeState(written)
		if err != nil {
			t.Fatalf("%x was written as %x: %v", b, written, err)
		}
		if b := p.AppendState(nil, again); !bytes.Equal(b, written) {
			t.Fatalf("%x is read and written as %x", written, b)
		}
		now := start.UnixMilli()
		p.Record(segments.Account, s, now)
		p.Explain("everything", s, now)
		s.Traits()
		e := done{0, "v", "A", events.Properties{"k": "x"}}.event()
		p.Fold(segments.Account, s, e)
		p.Merge(s, again, now)
		p.Record(segments.Account, s, now)
		if _, err := segments.DecodeState(p.AppendState(nil, s)); err != nil {
			t.Fatal(err)
		}
	})
}

// A state that lost its end, or gained one, is refused.
func TestDamagedStates(t *testing.T) {
	p := compile(t, everything()...)
	s := &segments.State{}
	for i := range 5 {
		p.Fold(segments.Account, s, done{time.Duration(i) * time.Hour, "v", "A", events.Properties{"k": "x"}}.event())
	}
	e := done{0, "v", "", nil}.event()
	e.Kind, e.Traits = events.Group, events.Properties{"plan": "trial"}
	p.Fold(segments.Account, s, e)
	b := p.AppendState(nil, s)
	if _, err := segments.DecodeState(b); err != nil {
		t.Fatal(err)
	}
	for n := 1; n < len(b); n++ {
		if _, err := segments.DecodeState(b[:n]); !errors.Is(err, segments.ErrDamaged) {
			t.Errorf("%d of %d bytes are read: %v", n, len(b), err)
		}
	}
	if _, err := segments.DecodeState(append(b, 0)); !errors.Is(err, segments.ErrDamaged) {
		t.Errorf("a byte more is read: %v", err)
	}
	leaf := []byte{1, 2, 3, 4, 5, 6, 7, 8, 1, 0, 20} // a key, one point, without further fields, at 10
	for _, tt := range []struct {
		name string
		b    []byte
	}{
		{"a leaf twice", slices.Concat([]byte{1, 0, 0, 2, 2}, leaf, leaf)},
		{"points out of order", slices.Concat([]byte{1, 0, 0, 1, 2}, leaf[:8], []byte{2, 0, 20, 1})},
		{"a leaf without points", slices.Concat([]byte{1, 0, 0, 1, 0}, leaf[:8], []byte{0, 0})},
		{"more points than announced", slices.Concat([]byte{1, 0, 0, 1, 0}, leaf)},
		{"fewer points than announced", slices.Concat([]byte{1, 0, 0, 1, 2}, leaf)},
		{"fields that are not known", slices.Concat([]byte{1, 0, 0, 1, 1}, leaf[:8], []byte{1, 8, 20})},
		{"a trait that is no JSON", []byte{1, 0, 1, 1, 'k', 20, 1, 'x', 0, 0}},
		{"traits out of order", []byte{1, 0, 2, 1, 'k', 20, 1, '1', 1, 'a', 0, 1, '1', 0, 0}},
	} {
		if s, err := segments.DecodeState(tt.b); !errors.Is(err, segments.ErrDamaged) {
			t.Errorf("%s is read: %v, %v", tt.name, s, err)
		}
	}
	for _, whole := range [][]byte{
		slices.Concat([]byte{1, 0, 0, 1, 1}, leaf),
		{1, 0, 1, 1, 'k', 20, 1, '1', 0, 0},
	} {
		if _, err := segments.DecodeState(whole); err != nil {
			t.Errorf("%x is not read, so that the cases above say nothing: %v", whole, err)
		}
	}
	b[0]++
	if _, err := segments.DecodeState(b); !errors.Is(err, segments.ErrDamaged) {
		t.Errorf("another version is read: %v", err)
	}
}
