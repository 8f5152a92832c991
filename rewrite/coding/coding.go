// Package coding undoes and redoes the content codings of HTTP (RFC 9110,
// section 8.4.1) around something that changes the content: gzip, br, zstd and
// deflate.
//
// Both directions stream. A Decoder hands on what its source has sent as soon
// as it can be decoded; an Encoder hands on what its source has given within
// Linger. Both give what came before an error, then the error, and never a
// clean end for content that has none.
//
// A Decoder does not trust its source. Its window is bounded, and so is by how
// much the content may grow. As long as nothing of the content was read, the
// source's own bytes can be had back: a response in a coding that turns out to
// be broken can still go through untouched.
//
// Dictionaries (dcb, dcz, and zlib's) and more than one coding at a time are
// not supported.
package coding

import (
	"errors"
	"fmt"
	"strings"
)

// A Coding is a content coding.
type Coding uint8

// The codings that can be undone and redone.
const (
	Identity Coding = iota // no coding at all
	Gzip                   // RFC 1952
	Brotli                 // RFC 7932, without large windows
	Zstd                   // RFC 8878, with the window that RFC 9659 allows
	Deflate                // RFC 1950; when decoding, RFC 1951 too
	codings                // how many there are
)

// String returns the coding's name in HTTP.
func (c Coding) String() string {
	return [...]string{"identity", "gzip", "br", "zstd", "deflate"}[c]
}

// What can be wrong with a coding. An error of a Decoder is one of these,
// wrapped, or what its source failed with.
var (
	ErrUnsupported = errors.New("a content coding that is not supported")
	ErrCorrupt     = errors.New("not what the content coding says")
	ErrExpansion   = errors.New("the content is too large for its coded form")
)

// Of returns the coding that the lines of a Content-Encoding header name, or
// ErrUnsupported where that is an unknown one or more than one.
func Of(contentEncoding []string) (Coding, error) {
	found := Identity
	for _, line := range contentEncoding {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.Trim(name, " \t"); name == "" {
				continue
			}
			c, ok := named(name)
			if !ok || found != Identity && c != Identity {
				return Identity, fmt.Errorf("%w: %q", ErrUnsupported, strings.Join(contentEncoding, ", "))
			}
			found = max(found, c)
		}
	}
	return found, nil
}

// named returns the coding of that name. x-gzip is gzip: RFC 9110, section
// 8.4.1.3.
func named(name string) (Coding, bool) {
	for c := range codings {
		if strings.EqualFold(name, c.String()) {
			return c, true
		}
	}
	return Gzip, strings.EqualFold(name, "x-gzip")
}

// Accepted is what a client accepts: its Accept-Encoding header.
type Accepted struct {
	lines   []string
	weights [codings]int // in thousandths; 0: not acceptable
	members []string     // what the header says in favour of codings of ours
}

const unsaid = -1

// Accept reads the lines of an Accept-Encoding header, none if the client sent
// none. The rules are those of RFC 9110, section 12.5.3. Of what names a coding
// twice the first counts, and a weight that is none makes it not acceptable.
func Accept(acceptEncoding []string) Accepted {
	a := Accepted{lines: acceptEncoding}
	for c := range a.weights {
		a.weights[c] = unsaid
	}
	star, others := unsaid, ""
	for _, line := range acceptEncoding {
		for member := range strings.SplitSeq(line, ",") {
			member = strings.Trim(member, " \t")
			name, weight := weigh(member)
			c, ours := named(name)
			switch {
			case name == "*" && star == unsaid:
				star, others = weight, member
			case ours && a.weights[c] == unsaid:
				if a.weights[c] = weight; weight > 0 {
					a.members = append(a.members, member)
				}
			}
		}
	}
	for c := range codings {
		switch {
		case a.weights[c] != unsaid:
		case star != unsaid:
			if a.weights[c] = star; star > 0 && c != Identity {
				a.members = append(a.members, strings.Replace(others, "*", c.String(), 1))
			}
		case c == Identity:
			a.weights[c] = 1 // acceptable, and less than whatever was named
		case len(acceptEncoding) == 0:
			a.weights[c] = 1000
		default:
			a.weights[c] = 0
		}
	}
	return a
}

// Ask returns the lines of the Accept-Encoding header to ask an origin with, so
// that a Decoder can undo what it answers with: the client's own, less what
// can't be undone; "identity" where nothing is left; nil for no header, where
// the client sent none.
//
// It is silent about an identity that the client refuses, since Answer then
// finds another coding. Only where there is none, the lines are the client's.
func (a Accepted) Ask() []string {
	switch {
	case len(a.lines) == 0:
		return nil
	case len(a.members) > 0:
		return []string{strings.Join(a.members, ", ")}
	case a.weights[Identity] > 0:
		return []string{Identity.String()}
	}
	return a.lines
}

// Answer returns the coding to answer in: the origin's if the client accepts
// it, else the one it likes best; the origin's also if the client accepts none
// of ours, as it would have been without us.
func (a Accepted) Answer(origin Coding) Coding {
	if a.weights[origin] > 0 {
		return origin
	}
	best := origin
	for _, c := range [...]Coding{Zstd, Brotli, Gzip, Deflate, Identity} {
		if a.weights[c] > a.weights[best] {
			best = c
		}
	}
	return best
}

// weigh splits a member of an Accept-Encoding header into the coding's name and
// its weight in thousandths: RFC 9110, section 12.4.2.
func weigh(member string) (name string, weight int) {
	name, parameter, ok := strings.Cut(member, ";")
	name = strings.TrimRight(name, " \t")
	if !ok {
		return name, 1000
	}
	parameter = strings.TrimLeft(parameter, " \t")
	if len(parameter) < 3 || !strings.EqualFold(parameter[:2], "q=") {
		return name, 0
	}
	whole, fraction, _ := strings.Cut(parameter[2:], ".")
	if whole != "0" && whole != "1" || len(fraction) > 3 {
		return name, 0
	}
	for _, digit := range []byte(whole + fraction + "000"[len(fraction):]) {
		if digit < '0' || digit > '9' {
			return name, 0
		}
		weight = weight*10 + int(digit-'0')
	}
	if weight > 1000 {
		return name, 0
	}
	return name, weight
}
