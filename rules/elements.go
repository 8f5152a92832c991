package rules

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/net/html"
)

// words splits a table's cell.
func words(s string) []string { return strings.Fields(s) }

// The elements that a response may hold. Custom elements (with a hyphen) may
// be added: they are inert unless the page defines them.
var (
	htmlElements = words(`a abbr address area article aside audio b bdi bdo big blockquote br button caption center cite
		code col colgroup data datalist dd del details dfn dialog div dl dt em fieldset figcaption figure font footer form
		h1 h2 h3 h4 h5 h6 header hgroup hr i img input ins kbd label legend li main map mark menu meter nav ol optgroup
		option output p picture pre progress q rp rt ruby s samp search section select small source span strike strong
		sub summary sup svg table tbody td textarea tfoot th thead time tr track tt u ul var video wbr`)
	// voidElements have no end tag: those above, and those that are refused.
	voidElements = words(`area br col hr img input source track wbr
		base basefont bgsound embed frame keygen link meta param`)
	svgElements = words(`circle clippath defs ellipse g line lineargradient mask path polygon polyline radialgradient
		rect stop svg text tspan use`)
)

// parents are elements that an element must be in, with nothing in between
// but <div>: outside of them its start tag can close elements of the page.
var parents = map[string][]string{
	"li": {"ul", "ol", "menu"}, "dt": {"dl"}, "dd": {"dl"},
	"option": {"select", "optgroup", "datalist"}, "optgroup": {"select"},
	"rt": {"ruby"}, "rp": {"ruby"},
}

// refused says why some elements are, for those who ask.
var refused = map[string]string{
	"script": "a response brings no script", "noscript": "a response brings no script",
	"style": "it would style the whole page: use classes or style attributes",
	"base":  "it would change the whole page", "meta": "it would change the whole page",
	"link": "it would change the whole page", "title": "it would change the whole page",
	"html": "a response is a part of a page", "head": "a response is a part of a page",
	"body": "a response is a part of a page", "frameset": "a response is a part of a page",
	"iframe": "it would load another page", "frame": "it would load another page", "object": "it would load another page",
	"embed": "it would load another page", "applet": "it would load another page", "portal": "it would load another page",
	"template": "browsers don't show its content", "slot": "browsers don't show its content where it stands",
	"plaintext": "it never ends", "math": "browsers read its content differently",
}

func void(name string) bool { return slices.Contains(voidElements, name) }

// drawn says whether an element is <svg> or in one, where "/>" closes.
func drawn(n *html.Node) bool { return inside(n, "svg") }

// element checks an element's name and place.
func (f *fragment) element(n *html.Node, at int) {
	known := htmlElements
	if n.Parent != nil && drawn(n.Parent) {
		known = svgElements
	}
	reason := refused[n.Data]
	switch {
	case reason != "":
		f.refuse(at, reason, "<%s> is not allowed in a response", n.Data)
		return
	case slices.Contains(known, n.Data), strings.Contains(n.Data, "-") && !drawn(n) && n.Data != "annotation-xml":
	case drawn(n):
		f.refuse(at, "known are "+strings.Join(known, ", "), "<%s> is not allowed in an <svg>", n.Data)
		return
	default:
		f.refuse(at, didYouMean(n.Data, known, "it is not an element that responses may hold"), "<%s> is not allowed in a response", n.Data)
		return
	}
	if want := parents[n.Data]; want != nil {
		p := n.Parent
		for p.Parent != nil && p.Data == "div" {
			p = p.Parent
		}
		if !slices.Contains(want, p.Data) {
			f.refuse(at, "elsewhere it can close elements of the page", "<%s> must be in <%s>", n.Data, strings.Join(want, "> or <"))
		}
	}
}

var (
	urlAttributes   = words(`action archive background cite classid codebase data formaction href icon longdesc lowsrc manifest ping poster profile src usemap xlink:href`)
	urlsAttributes  = words(`archive imagesrcset ping srcset`) // several URLs in one
	colonAttributes = words(`xlink:href xlink:title xml:lang xml:space xmlns:xlink`)
	urlSchemes      = words(`http https mailto tel sms`)
	cssRefused      = words(`\ /* url( expression( javascript: vbscript: -moz-binding behavior: @import`)
)

// checkAttribute refuses an attribute that acts by itself. value is as browsers
// read it; mark is the attribute that marks regions.
func checkAttribute(name, value, mark string, refuse func(hint, format string, args ...any)) {
	squeezed := squeeze(value)
	switch {
	case strings.HasPrefix(name, "on"):
		refuse("a response brings no script", "the attribute %s is not allowed", name)
	case name == "srcdoc":
		refuse("it would load another page", "the attribute srcdoc is not allowed")
	case name == mark:
		refuse("a surface can't hold another", "the attribute %s marks surfaces and is not allowed in a response", name)
	case strings.Contains(name, ":") && !slices.Contains(colonAttributes, name):
		refuse("frameworks take such attributes for code", "the attribute %s is not allowed", name)
	case name == "style":
		for _, word := range cssRefused {
			if strings.Contains(squeezed, word) {
				refuse("use a class of the app", "%q is not allowed in a style attribute", word)
			}
		}
	case slices.Contains(urlsAttributes, name):
		for _, part := range strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r <= ' ' }) {
			checkURL(name, squeeze(part), refuse)
		}
	case slices.Contains(urlAttributes, name):
		checkURL(name, squeezed, refuse)
	case strings.HasPrefix(squeezed, "javascript:"), strings.HasPrefix(squeezed, "vbscript:"):
		checkURL(name, squeezed, refuse)
	}
}

// squeeze leaves out what browsers skip in front of and within a scheme, and
// everything else that can't be seen, and turns the rest to small letters.
func squeeze(s string) string {
	return strings.Map(func(r rune) rune {
		if isControl(r) || unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return unicode.ToLower(r)
	}, s)
}

// checkURL refuses schemes. What looks like one to anybody counts as one.
func checkURL(name, squeezed string, refuse func(hint, format string, args ...any)) {
	head := squeezed
	if i := strings.IndexAny(head, "/?#\\"); i >= 0 {
		head = head[:i]
	}
	scheme, _, has := strings.Cut(head, ":")
	if has && !slices.Contains(urlSchemes, scheme) {
		refuse("addresses are relative or begin with http:, https:, mailto:, tel: or sms:", "%s has the address %s:…, which is not allowed", name, fmt.Sprintf("%.20s", scheme))
	}
}
