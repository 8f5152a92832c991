package selector

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/tdewolff/parse/v2/css"
)

// Parse reads a selector list. The error is an *Error.
func Parse(s string) (*Selector, error) {
	tokens, err := tokenize(s)
	if err != nil {
		return nil, err
	}
	p := &parser{source: s, tokens: tokens}
	list, err := p.list("")
	if err != nil {
		return nil, err
	}
	return &Selector{s, list}, nil
}

type parser struct {
	source string
	tokens []token // the last is of kind ErrorToken and is never passed
}

func (p *parser) peek() token { return p.tokens[0] }

func (p *parser) next() token {
	t := p.tokens[0]
	if t.kind != css.ErrorToken {
		p.tokens = p.tokens[1:]
	}
	return t
}

// space passes white space and reports whether there was any.
func (p *parser) space() bool {
	found := false
	for p.peek().kind == css.WhitespaceToken {
		p.next()
		found = true
	}
	return found
}

// expected says what should have been where t is.
func expected(what string, t token, hint string) *Error {
	found := fmt.Sprintf("%.40q", t.text)
	if t.kind == css.ErrorToken {
		found = "the end"
	}
	return &Error{t.at, fmt.Sprintf("expected %s, found %s", what, found), hint}
}

// list reads selectors up to the end or, within a pseudo-class, its parenthesis.
func (p *parser) list(within string) ([]complexSelector, error) {
	var list []complexSelector
	for {
		c, err := p.complex(within)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
		switch t := p.next(); {
		case t.kind == css.CommaToken:
		case t.kind == css.RightParenthesisToken && within != "", t.kind == css.ErrorToken && within == "":
			return list, nil
		case within != "":
			return nil, expected("a comma or the parenthesis that closes "+within+"(", t, "")
		default:
			return nil, expected("a comma or the end", t, "")
		}
	}
}

func (p *parser) complex(within string) (complexSelector, error) {
	p.space()
	first, err := p.compound()
	if err != nil {
		return nil, err
	}
	chain := complexSelector{first}
	for {
		apart := p.space()
		t := p.peek()
		child := t.is(">")
		switch {
		case t.kind == css.CommaToken, t.kind == css.RightParenthesisToken, t.kind == css.ErrorToken:
			return chain, nil
		case t.is("+"), t.is("~"):
			return nil, &Error{t.at, "the combinator " + t.text + " is not possible here: on a stream only the elements still open are remembered, and earlier siblings are not among them", "count with :nth-child(), or give the element a class or an id"}
		case t.kind == css.ColumnToken:
			return nil, &Error{t.at, "the combinator || is not possible here: the columns of a table are known only when all of it was seen", ""}
		case !apart && !child:
			return nil, misplaced(t)
		case within != "":
			return nil, &Error{t.at, "no combinator is possible within " + within + "(): it tests one element", "put it before the " + within + "(), or write a list"}
		}
		if child {
			p.next()
			p.space()
		}
		next, err := p.compound()
		if err != nil {
			return nil, err
		}
		next.child = child
		chain = append(chain, next)
	}
}

// misplaced says why t cannot follow a compound selector.
func misplaced(t token) *Error {
	switch {
	case t.is("|"):
		return &Error{t.at, "there are no namespaces in selectors here", "leave the prefix out"}
	case t.ident(), t.is("*"):
		return &Error{t.at, "the type must come first, before classes, ids and the like", "put " + t.text + " first, or a space before it"}
	}
	return expected("a combinator, a comma or the end", t, digit(t))
}

// digit is the hint for a class or id that begins with a digit, which must be
// escaped.
func digit(t token) string {
	if len(t.text) > 1 && (t.text[0] == '.' || t.text[0] == '#') && '0' <= t.text[1] && t.text[1] <= '9' {
		return fmt.Sprintf(`a name begins with no digit; write %c\3%c %s`, t.text[0], t.text[1], t.text[2:])
	}
	return ""
}

func (p *parser) compound() (compound, error) {
	var c compound
	first := p.peek()
	switch {
	case first.ident():
		c.name = lower(unescape(p.next().text))
	case first.is("*"):
		p.next()
	}
	for {
		var err error
		switch t := p.peek(); {
		case t.kind == css.HashToken:
			err = p.id(&c)
		case t.is("."):
			err = p.class(&c)
		case t.kind == css.LeftBracketToken:
			err = p.attribute(&c)
		case t.kind == css.ColonToken:
			err = p.pseudo(&c)
		case t.at == first.at && t.is("|"):
			err = misplaced(t)
		case t.at == first.at:
			err = expected("a selector", t, digit(t))
		default:
			return c, nil
		}
		if err != nil {
			return c, err
		}
	}
}

func (p *parser) id(c *compound) error {
	t := p.next()
	// A hash is an id if what follows # is an identifier.
	if tokens, err := tokenize(t.text[1:]); err != nil || !tokens[0].ident() {
		return expected("an id", t, digit(t))
	}
	c.attributes = append(c.attributes, attribute{name: "id", test: equal, value: []byte(unescape(t.text[1:])), quirks: true})
	return nil
}

func (p *parser) class(c *compound) error {
	p.next()
	t := p.next()
	if !t.ident() {
		return expected("the name of a class", t, "")
	}
	c.attributes = append(c.attributes, attribute{name: "class", test: includes, value: []byte(unescape(t.text)), quirks: true})
	return nil
}

func (p *parser) attribute(c *compound) error {
	p.next()
	p.space()
	t := p.next()
	switch {
	case t.is("*"), t.is("|"), t.ident() && p.peek().is("|"):
		return &Error{t.at, "there are no namespaces in selectors here", "leave the prefix out"}
	case !t.ident():
		return expected("the name of an attribute", t, "")
	}
	a := attribute{name: lower(unescape(t.text))}
	p.space()
	switch t = p.next(); {
	case t.kind == css.RightBracketToken:
		c.attributes = append(c.attributes, a)
		return nil
	case t.is("="):
		a.test = equal
	case t.kind == css.IncludeMatchToken:
		a.test = includes
	case t.kind == css.DashMatchToken:
		a.test = dash
	case t.kind == css.PrefixMatchToken:
		a.test = prefix
	case t.kind == css.SuffixMatchToken:
		a.test = suffix
	case t.kind == css.SubstringMatchToken:
		a.test = contains
	case t.is("!"):
		return &Error{t.at, "CSS has no operator !=", fmt.Sprintf("write :not([%s=…])", a.name)}
	default:
		return expected("an operator or ]", t, "the operators are = ~= |= ^= $= *=")
	}
	p.space()
	switch t = p.next(); {
	case t.ident():
		a.value = []byte(unescape(t.text))
	case t.kind == css.StringToken:
		value, _ := unquote(t.text)
		a.value = []byte(value)
	default:
		return expected("a value", t, "put it in quotes, if it is more than an identifier")
	}
	p.space()
	a.fold = slices.Contains(caseless, a.name)
	if t = p.peek(); t.ident() {
		switch lower(p.next().text) {
		case "i":
			a.fold = true
		case "s":
			a.fold = false
		default:
			return expected("] or one of the flags i and s", t, "")
		}
		p.space()
	}
	if t = p.next(); t.kind != css.RightBracketToken {
		return expected("]", t, "")
	}
	c.attributes = append(c.attributes, a)
	return nil
}

// caseless are the attributes whose values are compared without regard to case
// (HTML standard, 4.16.2 "Case-sensitivity of selectors").
var caseless = strings.Fields(`accept accept-charset align alink axis bgcolor charset checked clear codetype color compact
	declare defer dir direction disabled enctype face frame hreflang http-equiv lang language link media method multiple
	nohref noresize noshade nowrap readonly rel rev rules scope scrolling selected shape target text type valign valuetype
	vlink`)

func (p *parser) pseudo(c *compound) error {
	colon := p.next()
	t := p.next()
	element := t.kind == css.ColonToken
	if element {
		t = p.next()
	}
	function := t.kind == css.FunctionToken
	if !function && !t.ident() {
		return expected("the name of a pseudo-class", t, "")
	}
	name := lower(unescape(strings.TrimSuffix(t.text, "(")))
	switch name {
	case "not", "is", "where", "nth-child", "nth-of-type":
		if !element && !function {
			return &Error{t.at, ":" + name + " needs an argument", fmt.Sprintf("write :%s(…)", name)}
		}
	case "root", "first-child", "first-of-type":
		if !element && function {
			return &Error{t.at, ":" + name + " takes no argument", ""}
		}
	}
	switch {
	case element:
		return refuse(colon.at, "::"+name)
	case name == "not", name == "is", name == "where":
		return p.choice(c, name)
	case name == "nth-child", name == "nth-of-type":
		return p.nth(c, name)
	case name == "root":
		c.root = true
	case name == "first-child", name == "first-of-type":
		c.positions = append(c.positions, position{b: 1, ofType: name == "first-of-type"})
	default:
		return refuse(colon.at, ":"+name)
	}
	return nil
}

func (p *parser) choice(c *compound, name string) error {
	list, err := p.list(":" + name)
	if err != nil {
		return err
	}
	ch := choice{not: name == "not"}
	for _, alternative := range list {
		ch.list = append(ch.list, alternative[0]) // list leaves no chains in here
	}
	c.choices = append(c.choices, ch)
	return nil
}

// anb is CSS Syntax Level 3, section 6. It is compiled when it is first used.
var anb = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:([+-]?\d*)n(?:[ \t\r\n\f]*([+-])[ \t\r\n\f]*(\d+))?|([+-]?\d+))$`)
})

func (p *parser) nth(c *compound, name string) error {
	start := p.peek()
	t := p.next()
	for ; t.kind != css.RightParenthesisToken; t = p.next() {
		if t.kind == css.ErrorToken {
			return expected("the parenthesis that closes :"+name+"(", t, "")
		} else if t.ident() && lower(t.text) == "of" {
			return &Error{t.at, "of is not possible in :" + name + "(): only the children are counted, and those of each type", ""}
		}
	}
	argument := lower(strings.Trim(p.source[start.at:t.at], " \t\r\n\f"))
	switch argument {
	case "odd":
		argument = "2n+1"
	case "even":
		argument = "2n"
	}
	m := anb().FindStringSubmatch(argument)
	if m == nil {
		return &Error{start.at, fmt.Sprintf(":%s() can't count by %.40q", name, argument), "write a number, odd, even, or a step and an offset such as 3n+1"}
	}
	at := position{ofType: name == "nth-of-type"}
	var err error
	if m[4] != "" {
		at.b, err = integer(m[4])
	} else {
		at.a, err = integer(cmp.Or(strings.TrimLeft(m[1], "+-"), "1"))
		if m[1] != "" && m[1][0] == '-' {
			at.a = -at.a
		}
		if err == nil && m[3] != "" {
			at.b, err = integer(m[2] + m[3])
		}
	}
	if err != nil {
		return &Error{start.at, fmt.Sprintf("no page has as many elements as :%s(%.40s) counts", name, argument), ""}
	}
	c.positions = append(c.positions, at)
	return nil
}

func integer(s string) (int, error) {
	n, err := strconv.ParseInt(s, 10, 32)
	return int(n), err
}
