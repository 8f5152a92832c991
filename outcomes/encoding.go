package outcomes

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"github.com/seed14307185/refract/rules"
)

// The bits of an encoded enrolment's first byte, and of a second one that
// follows if the first has bitMore.
const (
	bitTreatment = 1 << iota
	bitMetricClosed
	bitGuardrailClosed
	bitMoved
	bitMixed
	bitMore
	bitBrowser
	bitsEnd

	bitEarly     = 1
	bitLate      = 2
	bitDropped   = 4
	bitNoValue   = 8
	bitNotNumber = 16
	bitNegative  = 32
	bitSums      = 64
	moreEnd      = 128
)

var errEnrolment = errors.New("not an enrolment")

// AppendBinary appends the enrolment's encoding to b: one or two bytes of flags,
// the probability (8 bytes, big-endian IEEE 754), At (varint), and how many
// milliseconds later Converted and Harmed came (uvarints, 0: never). Some 20
// bytes. Where bitSums is set, Sum and Per follow (uvarints), and
// where bitBrowser is, the number of the browser's class in rules.Browsers, from
// 1 (a byte). It refuses what no fold makes: an unknown arm, a probability outside
// [0, 1], an outcome that is not after the exposure.
func (n *Enrolment) AppendBinary(b []byte) ([]byte, error) {
	if !n.valid() {
		return b, errEnrolment
	}
	browser := slices.Index(rules.Browsers[:], n.Browser) + 1
	flags := bitIf(n.Arm == rules.Treatment, bitTreatment) | bitIf(n.MetricClosed, bitMetricClosed) |
		bitIf(n.GuardrailClosed, bitGuardrailClosed) | bitIf(n.Moved, bitMoved) | bitIf(n.Mixed, bitMixed) |
		bitIf(browser != 0, bitBrowser)
	more := bitIf(n.Early, bitEarly) | bitIf(n.Late, bitLate) | bitIf(n.Dropped, bitDropped) |
		bitIf(n.NoValue, bitNoValue) | bitIf(n.NotNumber, bitNotNumber) | bitIf(n.Negative, bitNegative) |
		bitIf(n.Sum != 0 || n.Per != 0, bitSums)
	if more != 0 {
		b = append(b, flags|bitMore, more)
	} else {
		b = append(b, flags)
	}
	after := func(at int64) uint64 {
		if at == 0 {
			return 0
		}
		return uint64(at - n.At)
	}
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(n.Treatment))
	b = binary.AppendVarint(b, n.At)
	b = binary.AppendUvarint(b, after(n.Converted))
	b = binary.AppendUvarint(b, after(n.Harmed))
	if more&bitSums != 0 {
		b = binary.AppendUvarint(b, uint64(n.Sum))
		b = binary.AppendUvarint(b, uint64(n.Per))
	}
	if browser != 0 {
		b = append(b, byte(browser))
	}
	return b, nil
}

func bitIf(set bool, bit byte) byte {
	if set {
		return bit
	}
	return 0
}

// UnmarshalBinary reads what AppendBinary wrote, of earlier releases too, and
// nothing else. It does not keep b. After an error n is undefined.
func (n *Enrolment) UnmarshalBinary(b []byte) error {
	if len(b) < 10 || b[0] >= bitsEnd {
		return errEnrolment
	}
	flags, more := b[0], byte(0)
	if flags&bitMore != 0 {
		if more, b = b[1], b[1:]; more == 0 || more >= moreEnd {
			return errEnrolment
		}
	}
	if len(b) < 9 {
		return errEnrolment
	}
	*n = Enrolment{
		Arm:             rules.Control,
		Treatment:       math.Float64frombits(binary.BigEndian.Uint64(b[1:])),
		MetricClosed:    flags&bitMetricClosed != 0,
		GuardrailClosed: flags&bitGuardrailClosed != 0,
		Moved:           flags&bitMoved != 0,
		Mixed:           flags&bitMixed != 0,
		Early:           more&bitEarly != 0,
		Late:            more&bitLate != 0,
		Dropped:         more&bitDropped != 0,
		NoValue:         more&bitNoValue != 0,
		NotNumber:       more&bitNotNumber != 0,
		Negative:        more&bitNegative != 0,
	}
	if flags&bitTreatment != 0 {
		n.Arm = rules.Treatment
	}
	at, k := binary.Varint(b[9:])
	if k <= 0 {
		return errEnrolment
	}
	n.At, b = at, b[9+k:]
	for _, outcome := range []*int64{&n.Converted, &n.Harmed} {
		after, k := binary.Uvarint(b)
		if k <= 0 || after > math.MaxInt64 {
			return errEnrolment
		}
		if b = b[k:]; after != 0 {
			*outcome = n.At + int64(after)
		}
	}
	if more&bitSums != 0 {
		for _, sum := range []*int64{&n.Sum, &n.Per} {
			v, k := binary.Uvarint(b)
			if k <= 0 || v > math.MaxInt64 {
				return errEnrolment
			}
			*sum, b = int64(v), b[k:]
		}
		if n.Sum == 0 && n.Per == 0 {
			return errEnrolment
		}
	}
	if flags&bitBrowser != 0 {
		if len(b) == 0 || b[0] == 0 || int(b[0]) > len(rules.Browsers) {
			return errEnrolment
		}
		n.Browser, b = rules.Browsers[b[0]-1], b[1:]
	}
	if len(b) != 0 || !n.valid() {
		return errEnrolment
	}
	return nil
}

// valid says whether a fold could have made it.
func (n *Enrolment) valid() bool {
	return (n.Arm == rules.Treatment || n.Arm == rules.Control) &&
		n.Treatment >= 0 && n.Treatment <= 1 &&
		(n.Converted == 0 || n.Converted > n.At) &&
		(n.Harmed == 0 || n.Harmed > n.At) &&
		n.Sum >= 0 && n.Sum <= rules.MaxMetricValue*millionths && n.Per >= 0 && n.Per <= rules.MaxMetricValue*millionths &&
		(n.Browser == "" || slices.Contains(rules.Browsers[:], n.Browser))
}
