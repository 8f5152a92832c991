package outcomes

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
)

// Nothing but a whole encoding is read: neither a part, nor more, nor times
// that wrap around.
func TestEnrolmentRefusesDamage(t *testing.T) {
	n := Enrolment{Arm: rules.Treatment, Treatment: .5, At: 1, Converted: 300, Harmed: 70_000}
	b, err := n.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	with := n
	with.Browser = rules.App
	c, err := with.AppendBinary(nil)
	if err != nil || len(c) != len(b)+1 {
		t.Fatalf("%x, %v: a browser takes %d bytes", c, err, len(c)-len(b))
	}
	damaged := [][]byte{append(slices.Clone(b), 0), append([]byte{255}, b[1:]...), c[:len(c)-1],
		append(slices.Clone(c[:len(c)-1]), 0), append(slices.Clone(c[:len(c)-1]), 6), append(slices.Clone(b), 5)}
	for i := range b {
		damaged = append(damaged, b[:i])
	}
	damaged = append(damaged, append(binary.AppendUvarint(slices.Clone(b[:10]), math.MaxUint64), 0)) // 1 − 1: never
	for _, d := range damaged {
		if n.UnmarshalBinary(d) == nil {
			t.Errorf("%x was read as %+v", d, n)
		}
	}
	for _, n := range []Enrolment{{}, {Arm: "other", Treatment: .5}, {Arm: rules.Control, Treatment: math.NaN()}, {Arm: rules.Control, Treatment: .5, At: 5, Harmed: 5},
		{Arm: rules.Control, Treatment: .5, Browser: "netscape"}} {
		if b, err := n.AppendBinary(nil); err == nil {
			t.Errorf("%+v was written as %x", n, b)
		}
	}
}

func FuzzEnrolment(f *testing.F) {
	for _, n := range []Enrolment{
		{Arm: rules.Treatment, Treatment: .5, At: 1_790_000_000_000, Converted: 1_790_000_000_001, Harmed: 1_790_604_800_000, MetricClosed: true},
		{Arm: rules.Control, Treatment: .9, At: 1, Mixed: true},
		{Arm: rules.Control, Treatment: .9, At: 1, Late: true, Dropped: true},
		{Arm: rules.Control, Treatment: .9, At: 1, Sum: 3, Per: 1, Browser: rules.Firefox},
	} {
		b, err := n.AppendBinary(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var n, again Enrolment
		if n.UnmarshalBinary(b) != nil {
			return
		}
		c, err := n.AppendBinary(nil)
		if err != nil {
			t.Fatalf("%+v was read, but can't be written", n)
		}
		if err := again.UnmarshalBinary(c); err != nil || again != n {
			t.Fatalf("%+v came back as %+v, %v", n, again, err)
		}
		// Whatever was read can be folded on, and a tally of it emptied again.
		tally, r := NewTally(), testRule()
		tally.count(&n, +1)
		Due(&n, r)
		Close(tally, &n, r, 1<<40)
		Observe(tally, &n, r, &events.Event{Kind: events.Track, Name: "Abandoned", Time: time.UnixMilli(1 << 40)})
		tally.count(&n, -1)
		if len(tally.Epochs) != 0 || tally.Mixed != 0 {
			t.Fatalf("%+v left %+v", n, tally)
		}
	})
}

// What an earlier release wrote is read.
func TestEnrolmentOfEarlierRelease(t *testing.T) {
	b, err := hex.DecodeString("033fe00000000000000ad20f00")
	if err != nil {
		t.Fatal(err)
	}
	var n Enrolment
	want := Enrolment{Arm: rules.Treatment, Treatment: .5, At: 5, Converted: 5 + 0x7d2, MetricClosed: true}
	if err := n.UnmarshalBinary(b); err != nil || n != want {
		t.Errorf("%x was read as %+v, %v", b, n, err)
	}
	if again, err := want.AppendBinary(nil); err != nil || string(again) != string(b) {
		t.Errorf("%+v was written as %x, %v", want, again, err)
	}
}
