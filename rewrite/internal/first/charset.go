package first

import (
	"bytes"
	"mime"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/charset"
)

// prescanSize is how far into a page the standard looks for a meta charset.
const prescanSize = 1024

// encoding is what the rewriter must know of a page's charset.
type encoding struct {
	utf8    bool
	certain bool // by byte order mark or header: no meta can change it
	refused bool // its bytes can't be read as ASCII, or it isn't known
}

func namedEncoding(label string, certain bool) encoding {
	_, name := charset.Lookup(label)
	e := encoding{utf8: name == "utf-8", certain: certain}
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
	_, name, _ := charset.DetermineEncoding(head, "")
	return namedEncoding(name, false)
}

// asReferences gives UTF-8 HTML with every character outside ASCII as a numeric
// reference, or false where none can stand: in names, scripts and styles.
func asReferences(src []byte) ([]byte, bool) {
	if isASCII(src) {
		return src, true
	}
	var out []byte
	rawText := false
	z := html.NewTokenizer(bytes.NewReader(src))
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			return out, z.Raw() == nil || len(z.Raw()) == 0
		}
		raw := bytes.Clone(z.Raw())
		ascii := isASCII(raw)
		switch kind {
		case html.TextToken:
			if rawText && !ascii {
				return nil, false
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := z.TagName()
			ascii := isASCII(name)
			switch string(name) {
			case "script", "style", "xmp", "iframe", "noembed", "noframes", "noscript", "plaintext":
				rawText = true
			}
			for more {
				var key []byte
				key, _, more = z.TagAttr()
				ascii = ascii && isASCII(key)
			}
			if !ascii {
				return nil, false
			}
		case html.EndTagToken:
			if rawText = false; !ascii {
				return nil, false
			}
		}
		for len(raw) > 0 {
			c, size := utf8.DecodeRune(raw)
			if c < utf8.RuneSelf {
				out = append(out, raw[0])
			} else {
				out = append(out, "&#"...)
				out = strconv.AppendInt(out, int64(c), 10)
				out = append(out, ';')
			}
			raw = raw[size:]
		}
	}
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
