package first

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/net/html"
)

// A panic of this package at any token loses no byte, and the rest follows.
func TestPanicLosesNothing(t *testing.T) {
	const page = "\ufeff<body><p data-surface=a>x</p><!-- c --><div data-surface=b><p>x</p></div><script>x</script>tail"
	for at := range 14 {
		for _, src := range []io.Reader{strings.NewReader(page), iotest.OneByteReader(strings.NewReader(page))} {
			r := NewReader(src, Plan{Surfaces: []Surface{{Name: "a"}, {Name: "b"}, {Name: "c"}}})
			for range at {
				r.step()
			}
			r.z = nil // the next step panics
			got, err := io.ReadAll(r)
			if string(got) != page || err != nil || r.Fault() == nil {
				t.Fatalf("fault at token %d: got %q, %v, fault %v", at, got, err, r.Fault())
			}
			if s := r.Sightings()[2]; s.State != Untouched || s.Reason != Internal {
				t.Fatalf("fault at token %d: %v", at, r.Sightings())
			}
		}
	}
}

// complete must never say that a token is there when the tokenizer would wait
// for more: settled bytes would wait with it.
func FuzzComplete(f *testing.F) {
	for _, s := range []string{"<a b='>'>", "<!-->", "<!--->", "<!-- --!>", "</ x>", "</>", "<?>", "<!x>", "a<b", "a<1<b", "<a/b=/>", "<!DOCTYPE>", "<!-", "<![CDATA[x>"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if !complete(b) {
			return
		}
		r := NewReader(io.MultiReader(strings.NewReader(string(b)), waits{t, b}), Plan{Surfaces: []Surface{{Name: "a"}}})
		r.prelude = false
		r.z.Next()
	})
}

type waits struct {
	t *testing.T
	b []byte
}

func (w waits) Read([]byte) (int, error) {
	w.t.Errorf("%q is not complete", w.b)
	return 0, io.EOF
}

// scanTag must find the end of a tag where the tokenizer finds it, and the same
// about self-closing, unless an attribute is repeated.
func FuzzScanTag(f *testing.F) {
	for _, s := range []string{"<a>", "<a/>", "<a b=c/>", "<a b='/>'/>", "<a / =x/>", "<a b= />", "<a b=\"c\"d/ >", "<a b==>", "</a b/>", "<a b c b=/>"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 2 || b[0] != '<' || !isLetter(b[1]) {
			return
		}
		size, selfClosing := scanTag(b)
		z := newTokenizer(b)
		kind := z.Next()
		if size == 0 {
			if kind != errorToken {
				t.Fatalf("%q: not complete, but the tokenizer has %q", b, z.Raw())
			}
			return
		}
		if got := len(z.Raw()); kind == errorToken || got != size {
			t.Fatalf("%q: %d bytes, the tokenizer says %d", b, size, got)
		}
		if (kind == selfClosingToken) != selfClosing && (selfClosing || !slashOfValue.Match(b[:size])) {
			t.Fatalf("%q: self-closing %v, the tokenizer says %v", b, selfClosing, kind)
		}
	})
}

const (
	errorToken       = html.ErrorToken
	selfClosingToken = html.SelfClosingTagToken
)

func newTokenizer(b []byte) *html.Tokenizer { return html.NewTokenizer(bytes.NewReader(b)) }

// slashOfValue matches the one place where the tokenizer may take for
// self-closing what isn't: it forgets the value of a repeated attribute.
var slashOfValue = regexp.MustCompile(`=\s*[^\s>]*/>$`)
