package selector

import (
	"slices"
	"strings"
)

// The reasons why a pseudo-class is not possible, after its name.
const (
	later   = " is not possible on a stream: it depends on what comes after the start tag"
	dynamic = " is not possible: it depends on what goes on in the browser, and a page on its way has no such state"
	tree    = " is not possible: it depends on more than the element, its place and those it is in"
	absent  = " is not among the pseudo-classes here"
	drawn   = " is not possible: it is nothing in the page, but drawn by the browser"
)

// A refusal is a pseudo-class that CSS knows and a stream doesn't allow, or
// this package doesn't offer.
type refusal struct{ names, reason, hint string }

var refusals = []refusal{
	{":has", later, "select the outer element by its own class, id or attributes"},
	{":last-child :only-child :nth-last-child", later, "count from the front with :nth-child()"},
	{":last-of-type :only-of-type :nth-last-of-type", later, "count from the front with :nth-of-type()"},
	{":empty", later, ""},

	{":hover :active :focus :focus-within :focus-visible :visited :local-link :target :target-within", dynamic, ""},
	{":current :past :future :playing :paused :seeking :buffering :stalled :muted :volume-locked", dynamic, ""},
	{":fullscreen :modal :picture-in-picture :popover-open :defined :autofill :user-valid :user-invalid", dynamic, ""},
	{":valid :invalid :in-range :out-of-range :indeterminate :default :blank", dynamic, ""},
	{":link", dynamic, "write a[href]"},
	{":any-link", absent, "write a[href]"},
	{":checked", dynamic, "write [checked], or [selected] for an option, to match what the page says at first"},
	{":disabled", dynamic, "write [disabled] to match what the page says at first"},
	{":enabled", dynamic, "write :not([disabled]) to match what the page says at first"},
	{":open", dynamic, "write [open] to match what the page says at first"},
	{":required", dynamic, "write [required] to match what the page says at first"},
	{":optional", dynamic, "write :not([required]) to match what the page says at first"},
	{":read-only", dynamic, "write [readonly] to match what the page says at first"},
	{":read-write", dynamic, "write :not([readonly]) to match what the page says at first"},
	{":placeholder-shown", dynamic, "write [placeholder] to match what the page says at first"},

	{":scope", " means nothing here: a selector is about the whole page", "write :root"},
	{":lang", tree, "write [lang|=en] for an element that says so itself"},
	{":dir", tree, "write [dir=rtl] for an element that says so itself"},
	{":host :host-context", tree, ""},

	{":before :after :first-line :first-letter", drawn, "select the element itself"},
}

// known is the hint for a name that means nothing to us.
const known = "they are :not(), :is(), :where(), :root, :first-child, :nth-child(), :first-of-type and :nth-of-type()"

// refuse says why there is no such pseudo-class, or pseudo-element, here. The
// name has its colons.
func refuse(at int, name string) *Error {
	if strings.HasPrefix(name, "::") {
		return &Error{at, name + drawn, "select the element itself"}
	}
	for _, r := range refusals {
		if slices.Contains(strings.Fields(r.names), name) {
			return &Error{at, name + r.reason, r.hint}
		}
	}
	return &Error{at, name + absent, known}
}
