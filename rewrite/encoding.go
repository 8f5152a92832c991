package rewrite

import (
	"bytes"
	"mime"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding/htmlindex"
)

// prescanSize is how far into a page the standard looks for a meta charset.
const prescanSize = 1024

// escape is the byte that ISO-2022-JP switches its codes with.
const escape = 0x1b

// encoding is what the rewriter must know of a page's charset.
type encoding struct {
	name     string // of the standard; empty: not declared
	declared bool   // by byte order mark, header or meta: browsers don't guess
	certain  bool   // by byte order mark or header: no meta can change it
	refused  bool   // its bytes can't be read as ASCII, or it isn't known
}

func namedEncoding(label string, certain bool) encoding {
	_, name := charset.Lookup(label)
	e := encoding{name: name, declared: true, certain: certain}
	switch name {
	case "", "utf-16be", "utf-16le", "iso-2022-jp", "replacement":
		e.refused = true
	}
	return e
}

// headerEncoding is that of a Content-Type value. Without a charset parameter
// it isn't certain; one that can't be read may say anything.
func headerEncoding(contentType string) encoding {
	_, params, err := mime.ParseMediaType(contentType)
	if label, ok := params["charset"]; ok && err == nil {
		return namedEncoding(label, true)
	}
	return encoding{refused: err != nil && strings.Contains(strings.ToLower(contentType), "charset")}
}

// markEncoding is that of a byte order mark that head begins with, and the
// mark's size. more says that head is too short to tell.
func markEncoding(head []byte) (e encoding, size int, more bool) {
	for _, m := range [...]struct{ mark, label string }{{"\xef\xbb\xbf", "utf-8"}, {"\xfe\xff", "utf-16be"}, {"\xff\xfe", "utf-16le"}} {
		if bytes.HasPrefix(head, []byte(m.mark)) {
			return namedEncoding(m.label, true), len(m.mark), false
		}
		more = more || bytes.HasPrefix([]byte(m.mark), head)
	}
	return encoding{}, 0, more
}

// metaEncoding is what a meta element in the first bytes of a page declares,
// else windows-1252.
func metaEncoding(head []byte) encoding {
	head = bytes.Clone(head)
	for i, c := range head {
		if c >= utf8.RuneSelf {
			head[i] = '?' // or the library guesses UTF-8 from the text
		}
	}
	_, name, certain := charset.DetermineEncoding(head, "")
	e := namedEncoding(name, false)
	e.declared = certain || name != "windows-1252"
	return e
}

// encodeFragment gives UTF-8 HTML in the page's charset. What that can't say
// becomes a numeric reference; where none can stand (in names, scripts and
// styles), it fails. Where the charset is not declared, browsers guess, so only
// ASCII is certain.
func encodeFragment(src []byte, page encoding) ([]byte, bool) {
	if page.name == "utf-8" && page.declared || isASCII(src) {
		return src, true
	}
	encode := func(s []byte) []byte { // nil if it can't be said
		if !page.declared {
			return nil
		}
		e, err := htmlindex.Get(page.name)
		if err != nil {
			return nil
		}
		b, err := e.NewEncoder().Bytes(s)
		if err != nil {
			return nil
		}
		return b
	}
	out := make([]byte, 0, len(src)+len(src)/2)
	rawText := false
	z := html.NewTokenizer(bytes.NewReader(src))
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			return out, len(z.Raw()) == 0
		}
		raw := bytes.Clone(z.Raw())
		strict := false
		switch kind {
		case html.TextToken:
			strict = rawText
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := z.TagName()
			strict = !isASCII(name)
			switch string(name) {
			case "script", "style", "xmp", "iframe", "noembed", "noframes", "noscript", "plaintext":
				rawText = true
			}
			for more {
				var key []byte
				key, _, more = z.TagAttr()
				strict = strict || !isASCII(key)
			}
		case html.EndTagToken:
			rawText, strict = false, true
		}
		if strict && !isASCII(raw) {
			b := encode(raw)
			if b == nil {
				return nil, false
			}
			out = append(out, b...)
			continue
		}
		for len(raw) > 0 {
			c, size := utf8.DecodeRune(raw)
			if c < utf8.RuneSelf {
				out = append(out, raw[0])
			} else if b := encode(raw[:size]); b != nil {
				out = append(out, b...)
			} else {
				out = append(out, "&#"...)
				out = strconv.AppendInt(out, int64(c), 10)
				out = append(out, ';')
			}
			raw = raw[size:]
		}
	}
}

// neverTrails says whether a byte is no later byte of a character in any charset
// that is rewritten.
func neverTrails(c byte) bool { return c < 0x40 && (c < '0' || c > '9') }

// whole says whether a text, which begins with a character, ends with one: what
// follows it is not read together with its last bytes.
func (e encoding) whole(text []byte) bool {
	switch e.name {
	case "utf-8":
		for n := 1; n <= min(len(text), utf8.UTFMax); n++ {
			if tail := text[len(text)-n:]; utf8.RuneStart(tail[0]) {
				return utf8.FullRune(tail)
			}
		}
		return true
	case "shift_jis", "euc-jp", "euc-kr", "big5", "gbk", "gb18030":
		name := e.name
		if name == "gbk" {
			name = "gb18030" // by the standard GBK is decoded as that
		}
		known, err := htmlindex.Get(name)
		if err != nil {
			return false
		}
		decoded := make([]byte, 4*len(text)+utf8.UTFMax)
		_, taken, _ := known.NewDecoder().Transform(decoded, text, false)
		return taken == len(text)
	}
	return e.declared // else browsers guess
}

// firstRune is the first character of a text in a charset, and its size there.
func firstRune(text []byte, e encoding) (rune, int) {
	known, err := htmlindex.Get(e.name)
	if err != nil {
		return utf8.RuneError, 1
	}
	for size := 1; size <= min(len(text), utf8.UTFMax); size++ {
		var decoded [16]byte
		if n, taken, _ := known.NewDecoder().Transform(decoded[:], text[:size], false); n > 0 && taken == size {
			c, _ := utf8.DecodeRune(decoded[:n])
			return c, size
		}
	}
	return utf8.RuneError, 1
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
