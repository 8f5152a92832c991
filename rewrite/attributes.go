package rewrite

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxAttributes is how many attributes one surface may set and remove.
const maxAttributes = 32

// setAttributes appends a start tag, of which attributes are set and removed.
// start is all of it, from '<' to '>', in any ASCII-compatible charset; attrs has
// passed checkAttributes. Every byte that belongs to none of the attributes
// stays, in its order, the slash of a self-closing tag too.
//
// A value goes to the first attribute of that name, the only one that parsers
// heed; where there is none, the attribute follows the tag's name, the one place
// where it can't become part of something else. All attributes of a name are
// removed, for each would take the place of the one before.
func setAttributes(dst, start []byte, attrs []Attribute) []byte {
	attrs = attrs[:min(len(attrs), maxAttributes)]
	var first [maxAttributes]int // where the first of that name starts; 0: there is none
	at := nameEnd(start, 1)
	for a := (attributes{raw: start, at: at}); a.next(); {
		if i := indexAttribute(attrs, a.name); i >= 0 && first[i] == 0 {
			first[i] = a.start
		}
	}
	dst = append(dst, start[:at]...)
	for i := range attrs {
		if first[i] == 0 && !attrs[i].Remove {
			dst = append(append(dst, ' '), attrs[i].Name...)
			dst = appendValue(dst, attrs[i].Value)
		}
	}
	for a := (attributes{raw: start, at: at}); a.next(); {
		i := indexAttribute(attrs, a.name)
		switch {
		case i < 0:
		case attrs[i].Remove:
			dst = append(dst, start[at:a.start]...)
			dst = appendPlaceholder(dst, start[a.end:])
			at = a.end
		case a.start == first[i]:
			dst = append(dst, start[at:a.start+len(a.name)]...)
			dst = appendValue(dst, attrs[i].Value)
			at = a.end
		}
	}
	return append(dst, start[at:]...)
}

// appendPlaceholder appends what a removed attribute leaves behind before rest,
// so that its neighbours stay what they were.
func appendPlaceholder(dst, rest []byte) []byte {
	next := 0
	for next < len(rest) && isSpace(rest[next]) {
		next++
	}
	switch {
	case next < len(rest) && rest[next] == '=':
		return append(dst, '/') // else the attribute that begins so were the value of the one before
	case dst[len(dst)-1] == '/' && hasPrefix(rest, ">"):
		return append(dst, ' ') // else the tag were self-closing
	}
	return dst
}

func indexAttribute(attrs []Attribute, name []byte) int {
	for i := range attrs {
		if foldedEqual(name, strings.ToLower(attrs[i].Name)) {
			return i
		}
	}
	return -1
}

// appendValue appends an equals sign and a value in double quotes. What is not
// ASCII becomes character references, so that it fits any charset. A parser
// makes line feeds of all line ends, here as elsewhere.
func appendValue(dst []byte, value string) []byte {
	dst = append(dst, '=', '"')
	for _, r := range value {
		switch {
		case r == '"':
			dst = append(dst, "&quot;"...)
		case r >= utf8.RuneSelf:
			dst = strconv.AppendInt(append(dst, "&#"...), int64(r), 10)
			dst = append(dst, ';')
		default:
			dst = appendEscaped(dst, byte(r))
		}
	}
	return append(dst, '"')
}

// escapeText appends plain text as HTML, wherever that takes text and character
// references: not in a script or a style.
func escapeText(dst, text []byte) []byte {
	for _, c := range text {
		dst = appendEscaped(dst, c)
	}
	return dst
}

func appendEscaped(dst []byte, c byte) []byte {
	switch c {
	case '&':
		return append(dst, "&amp;"...)
	case '<':
		return append(dst, "&lt;"...)
	case '>':
		return append(dst, "&gt;"...)
	}
	return append(dst, c)
}

// checkAttributes returns what is wrong with attributes to set and remove: what
// can't be written as one, what runs script, loads another page or changes how
// the page is read, and addresses with any but a few schemes. To remove one its
// name alone must be right.
func checkAttributes(attrs []Attribute) error {
	if len(attrs) == 0 {
		return fmt.Errorf("no attributes to set or remove")
	}
	if len(attrs) > maxAttributes {
		return fmt.Errorf("%d attributes; at most %d can be set and removed", len(attrs), maxAttributes)
	}
	for i, a := range attrs {
		name := strings.ToLower(a.Name)
		if !wordName(name) {
			return fmt.Errorf("attribute %q: a name is a letter, then letters, digits, '-', '_' and '.'", a.Name)
		}
		if slices.ContainsFunc(attrs[:i], func(b Attribute) bool { return strings.EqualFold(a.Name, b.Name) }) {
			return fmt.Errorf("attribute %s is there twice", a.Name)
		}
		if a.Remove {
			if a.Value != "" {
				return fmt.Errorf("attribute %s is removed and has a value", a.Name)
			}
			continue
		}
		if why := refuseValue(name, a.Value); why != "" {
			return fmt.Errorf("attribute %s: %s", a.Name, why)
		}
	}
	return nil
}

// wordName leaves out names that frameworks take for code (@click,
// x-on:click, (click)) along with those that can't be written.
func wordName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c-'a' >= 26 && (i == 0 || c-'0' >= 10 && c != '-' && c != '_' && c != '.') {
			return false
		}
	}
	return name != ""
}

// refuseValue says why an attribute must not be set to a value, or "".
func refuseValue(name, value string) string {
	if !utf8.ValidString(value) || strings.ContainsFunc(value, unwritable) {
		return "its value has a control character or is not UTF-8"
	}
	switch name {
	case "srcdoc":
		return "it would load another page"
	case "http-equiv", "shadowroot", "shadowrootmode":
		return "it would change how the page is read"
	case "style":
		return refuseStyle(value)
	case "archive", "imagesrcset", "ping", "srcset": // several addresses, with sizes
		for part := range strings.FieldsFuncSeq(value, func(r rune) bool { return r == ',' || r <= ' ' }) {
			if why := refuseURL(part); why != "" {
				return why
			}
		}
	case "action", "background", "cite", "classid", "codebase", "data", "formaction", "href", "icon", "longdesc", "lowsrc", "manifest",
		"poster", "profile", "src", "usemap":
		return refuseURL(value)
	}
	switch seen := visible(value); {
	case strings.HasPrefix(name, "on"):
		return "an event handler runs script"
	case strings.HasPrefix(seen, "javascript:"), strings.HasPrefix(seen, "vbscript:"): // some script may make it an address
		return refuseURL(value)
	}
	return ""
}

// unwritable says whether a parser would not read a character reference to r as
// r, or drop it.
func unwritable(r rune) bool {
	return unicode.IsControl(r) && r != '\t' && r != '\n' && r != '\r' && r != '\f'
}

// refuseURL says why an address is refused, or "". It is stricter than a URL
// parser: what looks like a scheme to anybody counts as one.
func refuseURL(value string) string {
	head := visible(value)
	if i := strings.IndexAny(head, `/?#\`); i >= 0 {
		head = head[:i]
	}
	switch scheme, _, has := strings.Cut(head, ":"); {
	case !has, slices.Contains([]string{"http", "https", "mailto", "tel", "sms"}, scheme):
		return ""
	default:
		return fmt.Sprintf("the address begins with %.20q; it may be relative or begin with http:, https:, mailto:, tel: or sms:", scheme+":")
	}
}

// refuseStyle keeps out of a style attribute what loads something, and what
// could hide that it does.
func refuseStyle(value string) string {
	seen := visible(value)
	for _, word := range []string{`\`, "/*", "url(", "image(", "image-set(", "src(", "expression(", "javascript:", "-moz-binding", "behavior:", "@import"} {
		if strings.Contains(seen, word) {
			return fmt.Sprintf("%q is not allowed in a style", word)
		}
	}
	return ""
}

// visible is a value in lower case without what URL parsers drop (control
// characters, white space) and without what can't be seen.
func visible(value string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return unicode.ToLower(r)
	}, value)
}
