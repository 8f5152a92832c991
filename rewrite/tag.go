package rewrite

import (
	"bytes"

	"golang.org/x/net/html"
)

// A tag is a whole start or end tag of the page.
type tag struct {
	raw  []byte // from '<' to '>'
	key  nameKey
	kind kind
	name int // where the name ends in raw
	end  bool
}

// Name is the tag's name in lower case.
func (t *tag) Name() []byte {
	from := 1
	if t.end {
		from = 2
	}
	name := t.raw[from:t.name]
	for _, c := range name {
		if c != lower(c) {
			return bytes.ToLower(name) // only ASCII matters: others are no letters of known names
		}
	}
	return name
}

// attributes walks the attributes of the tag.
func (t *tag) attributes() attributes { return attributes{raw: t.raw, at: t.name} }

// find is the raw value of an attribute, whose name is given in lower case. Of
// several with one name the first counts.
func (t *tag) find(name string) ([]byte, bool) {
	for a := t.attributes(); a.next(); {
		if foldedEqual(a.name, name) {
			return a.value, true
		}
	}
	return nil, false
}

// has says whether the tag has an attribute.
func (t *tag) has(name string) bool {
	_, ok := t.find(name)
	return ok
}

// Attribute is the value of an attribute after character references. The name
// is given in lower case.
func (t *tag) Attribute(name string) ([]byte, bool) {
	value, ok := t.find(name)
	if !ok || bytes.IndexByte(value, '&') < 0 && bytes.IndexByte(value, '\r') < 0 && bytes.IndexByte(value, 0) < 0 {
		return value, ok
	}
	z := html.NewTokenizer(bytes.NewReader(t.raw))
	z.Next()
	for more := true; more; {
		var key, val []byte
		key, val, more = z.TagAttr()
		if string(key) == name {
			return bytes.ReplaceAll(val, []byte{0}, []byte("\ufffd")), true
		}
	}
	return value, true
}

// is says whether an attribute has the value, in any case.
func (t *tag) is(attribute, value string) bool {
	v, ok := t.Attribute(attribute)
	return ok && foldedEqual(v, value)
}

// selfClosing says whether the tag ends with a slash that isn't of a value.
func (t *tag) selfClosing() bool {
	if n := len(t.raw); t.raw[n-2] != '/' {
		return false
	}
	a := t.attributes()
	for a.next() {
	}
	return a.slash
}

// foldedEqual compares in any case of ASCII letters; s is in lower case.
func foldedEqual(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		if lower(c) != s[i] {
			return false
		}
	}
	return true
}

// attributes walks over attributes by the tokenizer states 13.2.5.32 to 13.2.5.40.
type attributes struct {
	raw []byte // the tag up to its '>'
	at  int

	start, end  int // of the attribute in raw
	name, value []byte
	slash       bool // the tag's '>' follows a '/' outside of attributes
}

// next goes to the next attribute.
func (a *attributes) next() bool {
	i, b := a.at, a.raw
	for b[i] == '/' || isSpace(b[i]) {
		a.slash = b[i] == '/'
		i++
	}
	if b[i] == '>' {
		a.at = i
		return false
	}
	a.slash = false
	a.start = i
	for i++; b[i] != '=' && b[i] != '/' && b[i] != '>' && !isSpace(b[i]); { // the first may be a '='
		i++
	}
	a.name, a.value, a.end = b[a.start:i], nil, i
	for isSpace(b[i]) {
		i++
	}
	if b[i] != '=' {
		a.at = i
		return true
	}
	for i++; isSpace(b[i]); {
		i++
	}
	from := i
	switch q := b[i]; q {
	case '"', '\'':
		from++
		for i++; b[i] != q; {
			i++
		}
		a.value = b[from:i]
		i++
	default:
		for b[i] != '>' && !isSpace(b[i]) {
			i++
		}
		a.value = b[from:i]
	}
	a.at, a.end = i, i
	return true
}

// A tagState is where the search for a tag's end is.
type tagState uint8

const (
	inTagName tagState = iota
	beforeAttribute
	inAttributeName
	afterAttributeName
	beforeValue
	inDoubleQuotes
	inSingleQuotes
	inUnquoted
)

// findTagEnd goes on with the search for the '>' that ends a tag, at i. If b
// ends before, at is len(b), and state is what to go on with.
func findTagEnd(b []byte, i int, state tagState) (at int, _ tagState, found bool) {
	for ; i < len(b); i++ {
		c := b[i]
		if c == '>' && state != inDoubleQuotes && state != inSingleQuotes {
			return i, state, true
		}
		switch state {
		case inTagName:
			if c == '/' || isSpace(c) {
				state = beforeAttribute
			}
		case beforeAttribute:
			if c != '/' && !isSpace(c) {
				state = inAttributeName
			}
		case inAttributeName, afterAttributeName:
			switch {
			case c == '=':
				state = beforeValue
			case c == '/':
				state = beforeAttribute
			case isSpace(c):
				state = afterAttributeName
			default:
				state = inAttributeName
			}
		case beforeValue:
			switch {
			case c == '"':
				state = inDoubleQuotes
			case c == '\'':
				state = inSingleQuotes
			case !isSpace(c):
				state = inUnquoted
			}
		case inDoubleQuotes:
			k := bytes.IndexByte(b[i:], '"')
			if k < 0 {
				return len(b), state, false
			}
			i += k
			state = beforeAttribute
		case inSingleQuotes:
			k := bytes.IndexByte(b[i:], '\'')
			if k < 0 {
				return len(b), state, false
			}
			i += k
			state = beforeAttribute
		case inUnquoted:
			if isSpace(c) {
				state = beforeAttribute
			}
		}
	}
	return len(b), state, false
}

// isSpace says whether a byte is white space to the tokenizer.
func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f' }

func isLetter(c byte) bool { return c|0x20-'a' < 26 }
