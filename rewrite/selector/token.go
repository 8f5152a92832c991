package selector

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/css"
)

// A token is one of CSS Syntax Level 3, section 4.
type token struct {
	kind css.TokenType
	text string // as written
	at   int    // offset in bytes
}

func (t token) is(delim string) bool { return t.kind == css.DelimToken && t.text == delim }

// ident reports whether the token is an identifier; the lexer has a kind of its
// own for those that begin with two hyphens.
func (t token) ident() bool {
	return t.kind == css.IdentToken || t.kind == css.CustomPropertyNameToken
}

// tokenize returns the tokens of s without comments, and one of kind ErrorToken
// at the end.
func tokenize(s string) ([]token, error) {
	if len(s) > maxLength {
		return nil, &Error{maxLength, fmt.Sprintf("a selector may have %d bytes, this one has %d", maxLength, len(s)), ""}
	}
	for i, r := range s {
		if _, n := utf8.DecodeRuneInString(s[i:]); r == utf8.RuneError && n == 1 {
			return nil, &Error{i, "the text is not UTF-8", ""}
		} else if r == 0 {
			return nil, &Error{i, "a NUL can't be in a selector", ""}
		}
	}
	var tokens []token
	lexer, at := css.NewLexer(parse.NewInputString(s)), 0
	for {
		kind, text := lexer.Next()
		t := token{kind, string(text), at}
		at += len(text)
		switch kind {
		case css.ErrorToken:
			return append(tokens, token{css.ErrorToken, "", len(s)}), nil
		case css.CommentToken:
			if len(t.text) < len("/**/") || !strings.HasSuffix(t.text, "*/") {
				return nil, &Error{t.at, "the comment has no end", ""}
			}
			continue
		case css.StringToken:
			if _, closed := unquote(t.text); !closed {
				return nil, &Error{t.at, "the string has no end", ""}
			}
		case css.BadStringToken:
			return nil, &Error{t.at, "a line ends within the string", `write \a for a line feed`}
		case css.UnicodeRangeToken: // u+a, which is a sibling combinator here
			tokens = append(tokens, token{css.IdentToken, t.text[:1], t.at}, token{css.DelimToken, "+", t.at + 1})
			continue
		}
		// CSS takes CR LF after a hexadecimal escape for one white space, the
		// lexer for two.
		if strings.HasSuffix(t.text, "\r") && kind != css.WhitespaceToken && strings.HasPrefix(s[at:], "\n") {
			return nil, &Error{at - 1, "a CR LF ends the escape", "end it with a space"}
		}
		tokens = append(tokens, t)
	}
}

// unquote returns the value of a string token, and whether its end is there.
func unquote(text string) (value string, closed bool) {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case text[0]:
			return unescape(text[1:i]), true
		}
	}
	return "", false
}

// unescape replaces the escapes of an identifier or a string (CSS Syntax Level
// 3, section 4.3.7).
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, `\`)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		digits := 0
		for digits < min(6, len(after)) && strings.IndexByte("0123456789abcdefABCDEF", after[digits]) >= 0 {
			digits++
		}
		switch {
		case digits > 0:
			code, _ := strconv.ParseUint(after[:digits], 16, 32)
			if code == 0 || !utf8.ValidRune(rune(code)) {
				code = utf8.RuneError
			}
			b.WriteRune(rune(code))
			s = skipSpace(after[digits:])
		case strings.HasPrefix(after, "\n"), strings.HasPrefix(after, "\r"), strings.HasPrefix(after, "\f"):
			s = skipSpace(after) // a string goes on in the next line
		default:
			_, n := utf8.DecodeRuneInString(after)
			b.WriteString(after[:n])
			s = after[n:]
		}
	}
}

// skipSpace cuts off one white space; CR LF is one.
func skipSpace(s string) string {
	switch {
	case strings.HasPrefix(s, "\r\n"):
		return s[2:]
	case s != "" && strings.IndexByte(" \t\n\r\f", s[0]) >= 0:
		return s[1:]
	}
	return s
}

// lower returns s with its ASCII letters in lower case.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}
