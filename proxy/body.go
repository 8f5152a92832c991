package proxy

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/seed14307185/refract/rewrite"
	"github.com/seed14307185/refract/rewrite/coding"
)

// countEvery is of how many pages one, drawn at random, is searched to its end
// for a second element of a surface: some 1 µs a KB more than a learned page
// takes.
const countEvery = 8

// page is a response body on its way through the rewriter: decoded before, if
// it is coded, and encoded after.
type page struct {
	origin   io.Closer
	response *http.Response
	decoder  *coding.Decoder // nil: the origin's body has no coding
	html     *rewrite.Reader
	watch    stopwatch       // around html
	out      io.Reader       // of html, by the watch
	proving  *proving        // nil: what passes is not hashed
	encoder  *coding.Encoder // nil: the visitor's has none
	complete bool            // the whole page was read
	err      error           // what broke it off
	closed   bool
}

// open puts the rewriter into a response's body. If the body turns out not to
// be in the coding that it is said to be in, it stays as it is, and open
// returns false.
//
// For that it waits for the first bytes of a coded page, after which only the
// visitor's own connection can tell that something is wrong.
func (p *Proxy) open(x *Exchange, program *rewrite.Program, resp *http.Response, from, to coding.Coding) bool {
	b := &page{origin: resp.Body, response: resp, watch: stopwatch{origin: resp.Body}}
	var src io.Reader = &b.watch
	if from != coding.Identity {
		b.decoder = p.codings.NewDecoder(src, from)
		src = b.decoder
	}
	b.out = rewritten{&b.watch}
	if p.Prove != nil && control(x.Decision) && p.Prove(x.Decision, x.Start) {
		b.proving = &proving{received: hashed{from: src, sum: sha256.New()}, sent: hashed{from: b.out, sum: sha256.New()}}
		src, b.out = &b.proving.received, &b.proving.sent
	}
	contentType := resp.Header.Get("Content-Type")
	b.html = program.NewReader(src, contentType)
	b.watch.html = b.html
	if rand.N(countEvery) == 0 {
		b.html.CountAll()
	} else {
		b.html.Learn(&p.pages, x.Request.URL.Path, contentType)
	}
	if b.decoder != nil {
		// Nothing that could panic may come after this.
		if err := b.decoder.Peek(); err != nil {
			resp.Body = struct {
				io.Reader
				io.Closer
			}{b.decoder.Original(), resp.Body}
			b.decoder.Close()
			b.html.Close()
			if errors.Is(err, coding.ErrCorrupt) { // else the origin broke off: it will again
				x.Passthrough, x.Broken = ReasonCoding, err
			}
			return false
		}
	}
	if to != coding.Identity {
		b.encoder = p.codings.NewEncoder(b.out, to)
	}
	x.body, resp.Body = b, b
	return true
}

// Read implements io.Reader. What is wrong with the page, or with its coding,
// is an error after all that is right: then the response is broken off.
func (b *page) Read(to []byte) (n int, err error) {
	if b.encoder != nil {
		n, err = b.encoder.Read(to)
	} else {
		n, err = b.out.Read(to)
	}
	if err == io.EOF {
		b.complete = true
		withoutIntegrity(b.response.Trailer) // now they are there
	} else {
		b.err = cmp.Or(err, b.err)
	}
	return n, err
}

// Close ends the origin's response. It may be called again.
func (b *page) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	err := b.origin.Close() // first: the encoder waits for a read of it
	if b.encoder != nil {
		b.encoder.Close()
	}
	if b.decoder != nil {
		b.decoder.Close()
	}
	return err
}

// done closes the page, and says what was found on it and what was wrong with
// the rewriter, and how long that took. It is called once, at the end.
func (b *page) done() ([]rewrite.Sighting, time.Duration, error) {
	_ = b.Close() // what of the origin's answer wasn't read isn't wanted
	defer b.html.Close()
	return slices.Clone(b.html.Sightings()), b.watch.working, b.html.Fault()
}

// ruledOut is what the rewriter would find on a page whose charset, by its
// Content-Type alone, it can't change. Of all others it is nothing.
func ruledOut(program *rewrite.Program, contentType string) []rewrite.Sighting {
	r := program.NewReader(http.NoBody, contentType)
	defer r.Close()
	if whyUntouched(r.Sightings()) == "" {
		return nil
	}
	return slices.Clone(r.Sightings())
}

// whyUntouched says what kept the rewriter from a whole page, or nothing.
func whyUntouched(found []rewrite.Sighting) Reason {
	var why Reason
	for _, s := range found {
		switch {
		case s.State == rewrite.Swappable:
			return ""
		case s.Reason == rewrite.Internal:
			why = ReasonInternal
		case s.Reason == rewrite.Charset && why == "":
			why = ReasonCharset
		}
	}
	return why
}
