package selector

import "fmt"

// MaxSelectors is how many selectors a Matcher takes.
const MaxSelectors = 64

// maxLength bounds the text of one selector list, in bytes.
const maxLength = 4 << 10

// A Selector is a parsed selector list. It does not change and may be used by
// any number of matchers at once.
type Selector struct {
	source string
	list   []complexSelector
}

// String returns the text that was parsed.
func (s *Selector) String() string { return s.source }

// An Error says what is wrong with the text of a selector, or why it cannot be
// matched on a stream.
type Error struct {
	Offset  int // in the text, in bytes
	Message string
	Hint    string // what to do about it, or empty
}

// Error returns the message with its place, and the hint, if there is one, on a
// line of its own.
func (e *Error) Error() string {
	s := fmt.Sprintf("at byte %d: %s", e.Offset, e.Message)
	if e.Hint != "" {
		s += "\nhint: " + e.Hint
	}
	return s
}

// A complexSelector is a chain of compound selectors, the subject last.
type complexSelector []compound

// A compound is what one start tag must say and where it must stand.
type compound struct {
	child      bool   // the compound before it must match the parent; else, any ancestor
	name       string // the type in lower case; empty: any
	root       bool
	positions  []position
	attributes []attribute
	choices    []choice
}

// A position is an+b among the siblings, from 1.
type position struct {
	a, b   int
	ofType bool
}

// A choice is :is() or, negated, :not().
type choice struct {
	not  bool
	list []compound
}

// An attribute is one attribute selector; classes and ids are too.
type attribute struct {
	name   string // in lower case
	test   test
	value  []byte
	fold   bool // without regard to ASCII case
	quirks bool // without regard to ASCII case in quirks mode
	slot   int  // of the name in Matcher.values
}

// A test is the way in which a value is compared.
type test byte

const (
	present  test = iota // [name]
	equal                // [name=value]
	includes             // [name~=value]
	dash                 // [name|=value]
	prefix               // [name^=value]
	suffix               // [name$=value]
	contains             // [name*=value]
	never                // what is impossible
)
