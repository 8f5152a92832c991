package outcomes

import (
	"fmt"
	"math/big"
	"math/bits"
	"strings"
)

// Exact is a whole number below 2^128, of which sums are made that come to the
// same whatever the order, and to nothing when everything is taken away again.
// Its text, in JSON too, is decimal.
type Exact struct{ hi, lo uint64 }

// product returns a·b.
func product(a, b uint64) Exact {
	hi, lo := bits.Mul64(a, b)
	return Exact{hi, lo}
}

// plus returns e + times·o, for times +1 or -1. What is taken away must have
// been added.
func (e Exact) plus(o Exact, times int64) Exact {
	var carry uint64
	if times < 0 {
		e.lo, carry = bits.Sub64(e.lo, o.lo, 0)
		e.hi, _ = bits.Sub64(e.hi, o.hi, carry)
		return e
	}
	e.lo, carry = bits.Add64(e.lo, o.lo, 0)
	e.hi, _ = bits.Add64(e.hi, o.hi, carry)
	return e
}

// Float returns the nearest float64, within a unit in the last place.
func (e Exact) Float() float64 { return float64(e.hi)*(1<<64) + float64(e.lo) }

func (e Exact) big() *big.Int {
	b := new(big.Int).SetUint64(e.hi)
	return b.Lsh(b, 64).Or(b, new(big.Int).SetUint64(e.lo))
}

// String returns the number in decimal.
func (e Exact) String() string { return e.big().String() }

// Decimal returns the number divided by 10 to the places, in decimal, without
// trailing zeros.
func (e Exact) Decimal(places int) string {
	s := e.String()
	if len(s) <= places {
		s = strings.Repeat("0", places+1-len(s)) + s
	}
	whole, rest := s[:len(s)-places], strings.TrimRight(s[len(s)-places:], "0")
	if rest == "" {
		return whole
	}
	return whole + "." + rest
}

// MarshalText implements encoding.TextMarshaler.
func (e Exact) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (e *Exact) UnmarshalText(b []byte) error {
	n, ok := new(big.Int).SetString(string(b), 10)
	if !ok || n.Sign() < 0 || n.BitLen() > 128 {
		return fmt.Errorf("%q is not a whole number below 2^128", b)
	}
	e.lo = new(big.Int).And(n, new(big.Int).SetUint64(1<<64-1)).Uint64()
	e.hi = new(big.Int).Rsh(n, 64).Uint64()
	return nil
}
