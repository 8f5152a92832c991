package first

import (
	"bytes"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// token is what the tracker and the Reader need to know of a token.
type token struct {
	kind        html.TokenType // self-closing tags are start tags here
	name        string         // of a tag, in lower case
	selfClosing bool
	marked      bool   // has the marking attribute
	mark        string // its value, after character references
	shadow      bool   // has shadowrootmode
	raw         []byte // of text, comments and doctypes only; the tokenizer's
}

// readToken reads the token that z.Next has just returned. attribute is the
// marking attribute in lower case; without one nothing is marked. It spoils
// z.Raw for tags.
func readToken(z *html.Tokenizer, kind html.TokenType, attribute string) token {
	tok := token{kind: kind}
	switch kind {
	case html.StartTagToken, html.SelfClosingTagToken:
		tok.kind = html.StartTagToken
		raw := z.Raw()
		if raw[len(raw)-2] == '/' {
			_, tok.selfClosing = scanTag(raw)
		}
		may := mayContain(raw, attribute)
		name, more := z.TagName()
		tok.name = atom.String(name)
		for more && (may || tok.name == "template") {
			var key, value []byte
			key, value, more = z.TagAttr()
			switch string(key) { // duplicates are dropped by the tokenizer
			case attribute:
				tok.marked, tok.mark = true, string(value)
			case "shadowrootmode", "shadowroot":
				tok.shadow = true
			}
		}
	case html.EndTagToken:
		name, _ := z.TagName()
		tok.name = atom.String(name)
	default:
		tok.raw = z.Raw()
	}
	return tok
}

// plainName says whether a tag's name is the same to all. A browser's decoder
// makes any broken character U+FFFD, and so equal what isn't.
func plainName(name string) bool { return utf8.ValidString(name) }

// mayContain says whether a tag could have the attribute; it spares most tags
// the decoding of their attributes.
func mayContain(tag []byte, attribute string) bool {
	if attribute == "" {
		return false
	}
	for i := 0; i+len(attribute) <= len(tag); i++ {
		if tag[i]|0x20 == attribute[0]|0x20 && bytes.EqualFold(tag[i:i+len(attribute)], []byte(attribute)) {
			return true
		}
	}
	return false
}

// scanTag walks the tag that b begins with, by the tokenizer states of the
// standard (13.2.5.8 and 13.2.5.32 to 40). Its size is 0 if the tag is not
// complete. It is exact where x/net/html is not: a '/' at the end of an
// unquoted value of a repeated attribute closes nothing.
func scanTag(b []byte) (size int, selfClosing bool) {
	i := 1
	for i < len(b) && !isSpace(b[i]) && b[i] != '/' && b[i] != '>' {
		i++
	}
	for i < len(b) {
		switch c := b[i]; {
		case isSpace(c):
			i++
			continue
		case c == '>':
			return i + 1, false
		case c == '/':
			if i++; i < len(b) && b[i] == '>' {
				return i + 1, true
			}
			continue
		}
		i++ // whatever it is, an equals sign too, it begins a name
		for i < len(b) && !isSpace(b[i]) && b[i] != '/' && b[i] != '>' && b[i] != '=' {
			i++
		}
		i = skipSpace(b, i)
		if i == len(b) || b[i] != '=' {
			continue
		}
		i = skipSpace(b, i+1)
		if i == len(b) || b[i] == '>' {
			continue
		}
		if c := b[i]; c == '"' || c == '\'' {
			end := bytes.IndexByte(b[i+1:], c)
			if end < 0 {
				return 0, false
			}
			i += end + 2
			continue
		}
		for i < len(b) && !isSpace(b[i]) && b[i] != '>' {
			i++
		}
	}
	return 0, false
}

// complete says whether b certainly holds a whole token after data, so that the
// tokenizer needs to read nothing for it.
func complete(b []byte) bool {
	if len(b) < 2 {
		return false
	}
	if b[0] == '<' {
		switch c := b[1]; {
		case isLetter(c), c == '/' && len(b) > 2 && isLetter(b[2]):
			size, _ := scanTag(b)
			return size > 0
		case bytes.HasPrefix(b, []byte("<!--")):
			return bytes.Contains(b[2:], []byte("-->"))
		case c == '!' && len(b) < 4, c == '/' && len(b) < 3: // it may still become anything
			return false
		case c == '!', c == '?', c == '/':
			return bytes.IndexByte(b[2:], '>') >= 0
		}
	}
	for {
		i := bytes.IndexByte(b, '<')
		if i < 0 || i+1 == len(b) {
			return false
		}
		if c := b[i+1]; isLetter(c) || c == '/' || c == '!' || c == '?' {
			return true
		}
		b = b[i+1:]
	}
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f'
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

func skipSpace(b []byte, i int) int {
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	return i
}

// isBlank says whether a text is only white space and NULs, which set nothing
// in motion.
func isBlank(b []byte) bool {
	for _, c := range b {
		if !isSpace(c) && c != 0 {
			return false
		}
	}
	return true
}
