package rules

import (
	"fmt"
	"html"
	"slices"
	"strings"

	"github.com/seed14307185/refract/rewrite"
)

// operations are those of package rewrite, as files write them.
var operations = words("inner outer before after prepend append text attr remove shadow auto")

// Operations are the operations that a response may be.
func Operations() []string { return slices.Clone(operations) }

// None is the operation of a response that changes nothing, in either arm: an
// A/A test, of the measurement itself. A surface can't forbid it.
const None rewrite.Operation = "none"

func (s *Surface) allows(op rewrite.Operation) bool {
	return len(s.Allow) == 0 || slices.Contains(s.Allow, op)
}

func (r *Rule) readResponse(v value, known *parts) {
	if v.present() && v.node.Value == string(None) && !v.isMapping() && !v.isList() {
		r.Response = Response{Operation: None}
		r.Response.Hash = r.Response.hash()
		return
	}
	f, ok := v.fields("a mapping such as {inner: FILE}, or none", append(Operations(), "slot")...)
	if !ok {
		return
	}
	slot := f.get("slot")
	f.pairs = slices.DeleteFunc(f.pairs, func(p pair) bool { return p.value.name == "slot" })
	if len(f.pairs) != 1 {
		v.refuse("", "a response is one operation, such as {inner: FILE} or {text: TEXT}")
		return
	}
	v = f.pairs[0].value
	response := &r.Response
	response.Operation = rewrite.Operation(v.name)
	if !r.Surface.allows(response.Operation) {
		f.pairs[0].key.refuse("", "surface %q does not allow %s", r.Surface.Name, response.Operation)
	}
	if slot.present() && response.Operation != rewrite.Shadow {
		slot.refuse("leave it out", "slot belongs to shadow, not to %s", response.Operation)
	}
	set(&response.Slot)(slot.boolean())
	switch response.Operation {
	case rewrite.Text:
		text, read := v.text()
		response.HTML, ok = []byte(text), read
	case rewrite.Attr:
		response.Attributes, ok = readAttributes(v, known.mark)
	case rewrite.Remove:
		var yes bool
		if yes, ok = v.boolean(); ok && !yes {
			v.refuse("to change nothing, leave the rule out", "remove must be true")
		}
	default:
		response.File, response.HTML, ok = readFragment(v, known)
	}
	if !ok {
		return
	}
	if response.Operation == rewrite.Shadow || response.Operation == rewrite.Auto {
		*v.doc.warnings = append(*v.doc.warnings, outOfReach(responsesDir+"/"+response.File, response.HTML)...)
	}
	if n := response.size(); n > r.Surface.MaxBytes {
		v.refuse("shorten it, or raise max_bytes of the surface", "the response has %d bytes, and surface %q takes at most %d", n, r.Surface.Name, r.Surface.MaxBytes)
	}
	if _, err := rewrite.Compile(rewrite.Plan{Surfaces: []rewrite.Surface{r.Change(Treatment)}}); err != nil {
		v.refuse("", "%v", err)
	}
	response.Hash = response.hash()
}

// Change is what package rewrite is to do for a unit in an arm. But for Replace
// it is the same in both: the content takes part in the decision whether a
// region can be changed, which must not depend on the arm.
// One that changes nothing is looked for alone, in both.
func (r *Rule) Change(arm Arm) rewrite.Surface {
	if r.Response.Operation == None {
		return rewrite.Surface{Name: r.Surface.Name, Select: r.Surface.Select}
	}
	return rewrite.Surface{
		Name: r.Surface.Name, Select: r.Surface.Select, Replace: arm == Treatment,
		Operation: r.Response.Operation, HTML: r.Response.HTML, Attributes: r.Response.Attributes, Slot: r.Response.Slot,
	}
}

// readFragment returns the file that a response names, which is checked
// already, and its content.
func readFragment(v value, known *parts) (name string, fragment []byte, ok bool) {
	if name, ok = v.word(200); !ok {
		return "", nil, false
	}
	if fragment, ok = known.responses[name]; !ok {
		v.refuse(didYouMean(name, keys(known.responses), "write it to responses/"+name), "there is no response %q", name)
		return "", nil, false
	}
	known.shown[name] = true
	return name, fragment, true
}

// attributeName is what an attribute's name looks like in responses. HTML allows
// more, of which frameworks take some for code.
var attributeName = syntax(`^[a-z][a-z0-9_.-]*$`)

// guarded are attributes by which a page says what may run in it, and what an
// element is.
var guarded = words("csp http-equiv integrity is nonce sandbox shadowrootmode")

// readAttributes reads what attr sets and removes, sorted by name. The checks
// are those of an attribute in a fragment, also where one is removed.
func readAttributes(v value, mark string) ([]rewrite.Attribute, bool) {
	f, ok := v.open(`a mapping such as {href: /pricing, title: "See prices", disabled: null}`)
	if !ok {
		return nil, false
	}
	if len(f.pairs) == 0 {
		v.refuse("for example {href: /pricing}", "attr is empty")
		return nil, false
	}
	before := len(*v.doc.problems)
	var all []rewrite.Attribute
	for _, p := range f.pairs {
		a, ok := readAttribute(p, mark)
		if slices.ContainsFunc(all, func(b rewrite.Attribute) bool { return a.Name == b.Name }) {
			p.key.refuse("case makes no difference", "the attribute %s is there twice", a.Name)
		}
		if ok {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, func(a, b rewrite.Attribute) int { return strings.Compare(a.Name, b.Name) })
	return all, len(*v.doc.problems) == before
}

func readAttribute(p pair, mark string) (rewrite.Attribute, bool) {
	v := p.value
	a := rewrite.Attribute{Name: strings.ToLower(v.name)}
	switch {
	case !attributeName().MatchString(a.Name):
		p.key.refuse("a name is a letter, then letters, digits, '-', '_' and '.'", "%q can't be the name of an attribute", v.name)
		return a, false
	case slices.Contains(guarded, a.Name):
		p.key.refuse("it guards what a page may do", "the attribute %s is not allowed", a.Name)
		return a, false
	case isNothing(v.node):
		v.refuse(`write null to remove it, "" to set it without a value`, "%s has no value", v.name)
		return a, false
	}
	if a.Remove = v.node.ShortTag() == "!!null"; !a.Remove {
		var ok bool
		if a.Value, ok = v.scalar("text, or null to remove the attribute"); !ok {
			return a, false
		}
		if v.node.ShortTag() == "!!bool" {
			v.refuse(fmt.Sprintf(`write "" to set it without a value, null to remove it, %q if that is its text`, a.Value),
				"%s: %s may mean a text, or that the attribute is there or not", v.name, a.Value)
			return a, false
		}
		if strings.ContainsFunc(a.Value, isControl) {
			v.refuse("", "%s has a control character", v.name)
		}
	}
	checkAttribute(a.Name, a.Value, mark, v.refuse)
	return a, true
}

// written is the content as it is written into pages.
func (r *Response) written() string {
	if r.Operation == rewrite.Text {
		return html.EscapeString(string(r.HTML))
	}
	return string(r.HTML)
}

// size is how many bytes the response brings into a page.
func (r *Response) size() int {
	n := len(r.written())
	for _, a := range r.Attributes {
		if !a.Remove {
			n += len(a.Name) + len(html.EscapeString(a.Value))
		}
	}
	return n
}

func (r *Response) hash() string { return hash(r.parts()...) }

// parts is all that decides what is shown.
func (r *Response) parts() []string {
	parts := []string{string(r.Operation), r.written()}
	if r.Slot {
		parts = append(parts, "slot")
	}
	for _, a := range r.Attributes {
		if a.Remove {
			parts = append(parts, "remove", a.Name)
		} else {
			parts = append(parts, "set", a.Name, a.Value)
		}
	}
	return parts
}
