package first

// DefaultAttribute is the marking attribute when a Plan names none.
const DefaultAttribute = "data-surface"

// DefaultMaxRegion is Plan.MaxRegion when that is zero: 256 KiB.
const DefaultMaxRegion = 256 << 10

// MaxToken is the most that one token (a text, a tag, a whole script) may
// have, in bytes. From a longer one on, the page flows untouched.
const MaxToken = 1 << 20

// A Plan says which regions are wanted. A Reader keeps it, so neither it nor
// the bytes it refers to may be changed while the Reader is in use.
type Plan struct {
	// Attribute is the name of the marking attribute, in any case. Empty:
	// DefaultAttribute.
	Attribute string

	// Surfaces are the regions wanted. Of two with one name the first counts.
	Surfaces []Surface

	// MaxRegion bounds the inner content of a region, in bytes. A larger region
	// is left alone. Zero or less: DefaultMaxRegion.
	MaxRegion int

	// ContentType is the value of the response's Content-Type header, for its
	// charset parameter. It may be empty.
	ContentType string
}

// A Surface is one region wanted.
type Surface struct {
	// Name is what the marking attribute's value must be, after character
	// references, exactly.
	Name string

	// Replace tells a swap from an observation, and nothing else: the Sightings
	// do not depend on it.
	Replace bool

	// HTML is the inner content to put in, as UTF-8. It takes part in the
	// decision whether a region can be swapped, so the control arm must be given
	// the same as the treatment arm. Nil, without Replace: the region is only
	// looked for, and its own end alone decides.
	HTML []byte
}

// A State says what became of a surface.
type State string

// The states of a surface.
const (
	Missing   State = "missing"   // never met
	Swappable State = "swappable" // met whole, its end proven: swapped if Surface.Replace, else observed
	Untouched State = "untouched" // met and left alone, or not looked for because rewriting had stopped
)

// A Reason says why a surface is Untouched.
type Reason string

// The reasons. Those under the second heading stop the rewriting of the page:
// they are also the reason of each surface that had not been met by then,
// whether it comes later or not.
const (
	Unclosed   Reason = "unclosed"    // the region's own end tag is not what ends it
	Ambiguous  Reason = "ambiguous"   // content that the parser tolerates or rearranges
	Nested     Reason = "nested"      // within another wanted region
	NotABlock  Reason = "not-a-block" // the mark is on an element whose content isn't swapped
	ShadowRoot Reason = "shadow-root" // the region has a declarative shadow root in it
	TooLarge   Reason = "too-large"   // more than MaxRegion, or stopped at a token of more than MaxToken
	Duplicate  Reason = "duplicate"   // a second entry of the plan with the same name
	Fragment   Reason = "fragment"    // the new content is not closed in itself at this place

	Charset   Reason = "charset"   // not ASCII-compatible, unknown, or the new content cannot be put into it
	Foreign   Reason = "foreign"   // svg or math that the tokens don't settle, or a region within
	Table     Reason = "table"     // content that a table expels, or a region among it
	Select    Reason = "select"    // a select with more than options, or a region within
	Template  Reason = "template"  // a template that the tokens don't settle
	Script    Reason = "script"    // a script that could hide its end tag
	Noscript  Reason = "noscript"  // noscript content that isn't closed in itself
	Frameset  Reason = "frameset"  // a frameset may take the place of the body
	Plaintext Reason = "plaintext" // nothing after it is markup
	Misnested Reason = "misnested" // formatting elements closed across blocks
	TooDeep   Reason = "too-deep"  // more than maxDepth elements open
	Internal  Reason = "internal"  // a fault of this package: see Reader.Fault
)

// A Sighting is what became of one surface of the plan.
type Sighting struct {
	Name   string
	State  State
	Reason Reason // why it is Untouched (the first, if several); else empty

	// Count is the number of regions of this name that are as State says. It is
	// zero for a surface that was not met.
	Count int
}
