package proxy

import (
	"crypto/sha256"
	"hash"
	"io"
	"net/http"
	"slices"

	"github.com/seed14307185/refract/rules"
)

// Proof is what a page of control was when it came from the origin, and what it
// was when it was sent: without their codings, which are the bytes on the wire
// where neither has one.
type Proof struct {
	Received, Sent           [sha256.Size]byte // SHA-256
	ReceivedBytes, SentBytes int64
	// Fields are the response's header fields that were changed and should not
	// have been. See touchedFields.
	Fields []string
}

// Holds says whether the page that was sent is the origin's.
func (p *Proof) Holds() bool {
	return p.Received == p.Sent && p.ReceivedBytes == p.SentBytes && len(p.Fields) == 0
}

// proving takes the hashes while a page passes.
type proving struct {
	received, sent hashed
	fields         []string
}

// hashed passes on what it reads, and hashes it.
type hashed struct {
	from io.Reader
	sum  hash.Hash
	n    int64
}

// Read implements io.Reader.
func (h *hashed) Read(p []byte) (int, error) {
	n, err := h.from.Read(p)
	h.sum.Write(p[:n])
	h.n += int64(n)
	return n, err
}

// control says whether every placement of a decision is control's.
func control(d rules.Decision) bool {
	return !slices.ContainsFunc(d, func(p rules.Placement) bool { return p.Arm != rules.Control })
}

func (p *proving) proof() *Proof {
	return &Proof{
		Received: [sha256.Size]byte(p.received.sum.Sum(nil)), ReceivedBytes: p.received.n,
		Sent: [sha256.Size]byte(p.sent.sum.Sum(nil)), SentBytes: p.sent.n,
		Fields: p.fields,
	}
}

// touchedFields are the header fields that may differ from the origin's on a
// page that a rule could touch, in either arm: those that keep it out of shared
// caches, and those that are about the origin's bytes or their coding. A line
// may be added to Set-Cookie, Vary and Server-Timing; fields of identity.traits
// are taken off.
var touchedFields = slices.Concat(integrity[:], targeted[:], []string{
	"Cache-Control", "Expires", "Last-Modified", "Accept-Ranges", "Content-Length", "Content-Encoding", "Use-As-Dictionary",
})

// wronglyChanged returns the fields that differ and must not.
func wronglyChanged(before, after http.Header, traits []rules.IdentitySource) (names []string) {
	differs := func(name string) bool {
		was, is := before[name], after[name]
		switch name {
		case "Set-Cookie", "Vary", "Server-Timing":
			return len(is) < len(was) || !slices.Equal(is[:len(was)], was)
		}
		return !slices.Equal(was, is) && !slices.Contains(touchedFields, name) &&
			!slices.ContainsFunc(traits, func(s rules.IdentitySource) bool { return s.Name == name })
	}
	for name := range before {
		if differs(name) {
			names = append(names, name)
		}
	}
	for name := range after {
		if _, both := before[name]; !both && differs(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
