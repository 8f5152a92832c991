package rewrite

// DefaultAttribute is the marking attribute when a Plan names none.
const DefaultAttribute = "data-surface"

// DefaultMaxRegion is Plan.MaxRegion when that is zero: 256 KiB.
const DefaultMaxRegion = 256 << 10

// A Plan says which regions are wanted and what is to become of them.
type Plan struct {
	// Attribute is the name of the marking attribute, in any case. Empty:
	// DefaultAttribute.
	Attribute string

	// Surfaces are the regions wanted. Names must differ.
	Surfaces []Surface

	// MaxRegion bounds what is held of a page: a region's inner content, or one
	// tag, in bytes. Beyond it the original flows on. Zero: DefaultMaxRegion.
	MaxRegion int
}

// A Surface is one region wanted: the first element of the page, in document
// order, that is marked with the name or matches the selector.
type Surface struct {
	// Name is what the marking attribute's value must be, after character
	// references, exactly.
	Name string

	// Select is a CSS selector that finds the region instead of the marking
	// attribute. Package selector says which selectors there are.
	Select string

	// Operation is what is done with the region. Empty: Inner.
	Operation Operation

	// Replace tells a change from an observation, and nothing else: the
	// Sightings do not depend on it.
	Replace bool

	// HTML is the content of an operation that takes one, as UTF-8; for Text it
	// is plain text. It takes part in the decision whether a region can be
	// changed, so the control arm must be given the same as the treatment arm.
	// Nil, without Replace: the region is only looked for, and its own end alone
	// decides.
	HTML []byte

	// Attributes are what Attr sets and removes.
	Attributes []Attribute

	// Slot keeps the app's own children visible behind the content of a Shadow.
	Slot bool
}

// An Operation is a way of changing a region.
type Operation string

// The operations.
const (
	Inner   Operation = "inner"   // HTML takes the place of the element's content
	Outer   Operation = "outer"   // HTML takes the place of the element
	Before  Operation = "before"  // HTML goes before the element
	After   Operation = "after"   // HTML goes after the element
	Prepend Operation = "prepend" // HTML goes before the element's content
	Append  Operation = "append"  // HTML goes after the element's content
	Text    Operation = "text"    // HTML, as text, takes the place of the content
	Attr    Operation = "attr"    // Attributes are set and removed, the content stays
	Remove  Operation = "remove"  // the element is taken out
	Shadow  Operation = "shadow"  // HTML goes into a declarative shadow root, the content stays behind it
	Auto    Operation = "auto"    // Inner, or Shadow where the page may hydrate and the element can carry one
)

// An Attribute is one that Attr sets, or removes.
type Attribute struct {
	Name   string
	Value  string // plain text
	Remove bool
}

// A State says what became of a surface.
type State string

// The states of a surface.
const (
	Missing   State = "missing"   // never met
	Swappable State = "swappable" // met, and the change is safe: made if Surface.Replace, else observed
	Untouched State = "untouched" // met and left alone, or not looked for because rewriting had stopped
)

// A Reason says why a surface is Untouched.
type Reason string

// The reasons. Those under the second heading, Ambiguous and TooLarge can stop
// the rewriting of the page: then they are also the reason of each surface that
// had not been met, whether it comes later or not.
const (
	Unclosed   Reason = "unclosed"    // the region's own end tag is not what ends it
	Ambiguous  Reason = "ambiguous"   // content, or an operation on it, whose effect reaches beyond the region
	Nested     Reason = "nested"      // within another wanted region
	NotABlock  Reason = "not-a-block" // the operation can't be done on such an element
	ShadowRoot Reason = "shadow-root" // the region has a declarative shadow root in it
	Host       Reason = "host"        // the element cannot carry a shadow root
	TooLarge   Reason = "too-large"   // more than MaxRegion
	Fragment   Reason = "fragment"    // the new content is not closed in itself at this place

	Charset   Reason = "charset"   // not ASCII-compatible, unknown, or the new content cannot be put into it
	Foreign   Reason = "foreign"   // svg or math that parsers disagree on, or a region within
	Table     Reason = "table"     // content that a table expels, or a region among it
	Select    Reason = "select"    // a select with more than options, or a region within
	Template  Reason = "template"  // the element is a template, which nobody sees
	Noscript  Reason = "noscript"  // noscript content that isn't closed in itself
	Frameset  Reason = "frameset"  // a frameset may take the place of the body
	Plaintext Reason = "plaintext" // nothing after it is markup
	Misnested Reason = "misnested" // formatting elements that overlap with the region's borders
	TooDeep   Reason = "too-deep"  // more than maxDepth elements open
	Internal  Reason = "internal"  // a fault of this package: see Reader.Fault
)

// A Sighting is what became of one surface of the plan.
type Sighting struct {
	Name      string
	State     State
	Reason    Reason    // why it is Untouched; else empty
	Operation Operation // what was or would be done: for Auto, what it came to
	Element   string    // the name of the element met
	Offset    int64     // of its start tag in the page, in bytes

	// Count is how many elements were met that are marked so. Only the first is
	// changed. Unless the page was searched to its end, which Whole says, none is
	// looked for after the last surface wanted was met: see Reader.CountAll.
	Count int
	Whole bool
}
