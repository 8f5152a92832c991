package rewrite

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/seed14307185/refract/rewrite/selector"
)

// A Program is a compiled Plan. It is safe for concurrent use.
type Program struct {
	attribute string
	marks     markSearch
	marked    map[string]int // name → index of the surface that the mark finds
	surfaces  []surface
	selectors []*selector.Selector
	selects   []int // selector → index of its surface
	maxRegion int
	auto      bool // some operation depends on the framework
	shadows   bool // some operation needs the page's style sheets

	readers   sync.Pool
	charsets  sync.Map     // Content-Type → encoding, of the first maxCharsets
	offered   atomic.Int64 // how many were offered to it
	fragments sync.Map     // charset → [][]byte by surface, nil where it can't be put in
}

// A surface is a Surface made ready.
type surface struct {
	Surface
	only   bool // looked for, without content that takes part in the decision
	shadow *shadow
}

// Compile checks a plan and prepares it. The plan and what it refers to must
// not be changed afterwards. An error says which surface it is about.
func Compile(plan Plan) (*Program, error) {
	p := &Program{attribute: DefaultAttribute, marked: map[string]int{}, maxRegion: DefaultMaxRegion}
	if plan.Attribute != "" {
		p.attribute = strings.ToLower(plan.Attribute)
		if strings.ContainsAny(p.attribute, " \t\r\n\f/>=\x00") {
			return nil, fmt.Errorf("%q is not an attribute's name", plan.Attribute)
		}
	}
	if plan.MaxRegion > 0 {
		p.maxRegion = plan.MaxRegion
	}
	p.marks = newMarkSearch(p.attribute)
	names := map[string]bool{}
	for i, s := range plan.Surfaces {
		if names[s.Name] {
			return nil, fmt.Errorf("surface %q: it is in the plan twice", s.Name)
		}
		names[s.Name] = true
		ready, err := prepare(s)
		if err != nil {
			return nil, fmt.Errorf("surface %q: %w", s.Name, err)
		}
		if s.Select == "" {
			p.marked[s.Name] = i
		} else {
			parsed, err := selector.Parse(s.Select)
			if err != nil {
				return nil, fmt.Errorf("surface %q: %w", s.Name, err)
			}
			p.selectors = append(p.selectors, parsed)
			p.selects = append(p.selects, i)
		}
		p.auto = p.auto || ready.Operation == Auto
		p.shadows = p.shadows || ready.shadow != nil
		p.surfaces = append(p.surfaces, ready)
	}
	if len(p.selectors) > 64 {
		return nil, errors.New("more than 64 surfaces are found by a selector")
	}
	p.readers.New = func() any { return newReader(p) }
	return p, nil
}

// prepare checks a surface's operation.
func prepare(s Surface) (surface, error) {
	if s.Operation == "" {
		s.Operation = Inner
	}
	ready := surface{Surface: s, only: s.HTML == nil && !s.Replace}
	if !utf8.Valid(s.HTML) {
		return ready, errors.New("the content is not UTF-8")
	}
	if bytes.IndexByte(s.HTML, 0) >= 0 {
		return ready, errors.New("the content has a NUL")
	}
	switch s.Operation {
	case Attr:
		ready.only = false
		return ready, checkAttributes(s.Attributes)
	case Remove:
		ready.HTML, ready.only = nil, false
		return ready, nil
	case Text:
		if !ready.only {
			ready.HTML = escapeText(nil, s.HTML)
		}
	case Shadow, Auto:
		if !ready.only {
			var err error
			if ready.shadow, err = newShadow(s.HTML, s.Slot); err != nil {
				return ready, err
			}
		}
	case Inner, Outer, Before, After, Prepend, Append:
	default:
		return ready, fmt.Errorf("there is no operation %q", s.Operation)
	}
	if bytes.IndexByte(ready.HTML, '\r') >= 0 { // as the parser would
		ready.HTML = bytes.ReplaceAll(bytes.ReplaceAll(ready.HTML, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
	}
	switch s.Operation {
	case Outer, After, Prepend:
		if endsInReference(ready.HTML) {
			return ready, errors.New("the content ends like a character reference: write &amp; for its last &")
		}
	}
	return ready, nil
}

// endsInReference says whether what follows the content could become part of a
// character reference in it.
func endsInReference(content []byte) bool {
	i := len(content)
	for i > 0 && isOfReference(content[i-1]) {
		i--
	}
	return i > 0 && content[i-1] == '&'
}

func isOfReference(c byte) bool { return isLetter(c) || '0' <= c && c <= '9' || c == '#' }

// NewReader returns a Reader for the page that src gives. contentType is the
// value of the response's Content-Type header, for its charset parameter; it
// may be empty. It reads nothing yet.
func (p *Program) NewReader(src io.Reader, contentType string) *Reader {
	r := p.readers.Get().(*Reader)
	r.begin(src, contentType)
	return r
}

// maxCharsets is how many Content-Type values are remembered. An app has a few;
// one that makes them up must not fill the memory.
const maxCharsets = 64

// headerEncoding is what a Content-Type value declares.
func (p *Program) headerEncoding(contentType string) encoding {
	if e, ok := p.charsets.Load(contentType); ok {
		return e.(encoding)
	}
	e := headerEncoding(contentType)
	if len(contentType) < 100 && p.offered.Add(1) <= maxCharsets {
		p.charsets.Store(contentType, e)
	}
	return e
}

// encoded is each surface's content in the page's charset; nil where it can't be.
func (p *Program) encoded(page encoding) [][]byte {
	key := page
	key.certain = false
	if all, ok := p.fragments.Load(key); ok {
		return all.([][]byte)
	}
	all := make([][]byte, len(p.surfaces))
	for i := range p.surfaces {
		if b, ok := encodeFragment(p.surfaces[i].HTML, page); ok {
			all[i] = append([]byte{}, b...)
		}
	}
	p.fragments.Store(key, all)
	return all
}
