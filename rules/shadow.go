package rules

import (
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// Elements and attributes whose effect ends at the border of a shadow root.
var (
	formControls = words("button input output select textarea")
	idReferences = words("aria-activedescendant aria-controls aria-describedby aria-details aria-flowto aria-labelledby aria-owns for form headers list popovertarget")
)

// outOfReach warns of what works in the page's own tree and not in a shadow
// root, where a fragment may come to stand: ids are found from within the root
// only, and the other way round, and a form does not see its controls there
// (DOM, tree scopes; HTML, form owner). A fragment that is refused has none.
func outOfReach(file string, src []byte) Problems {
	f := &fragment{file: file, src: src, places: map[*html.Node]int{}}
	root := &html.Node{Type: html.ElementNode, Data: "div"}
	if !f.read(root) || len(f.problems) > 0 {
		return nil
	}
	ids, meant := map[string]bool{}, map[string]bool{} // those there are, those that are referred to
	for n := range root.Descendants() {
		for _, a := range n.Attr {
			if a.Key == "id" {
				ids[a.Val] = true
			}
			for _, id := range references(n, a) {
				meant[id] = true
			}
		}
	}
	for n := range root.Descendants() {
		at := f.places[n]
		if slices.Contains(formControls, n.Data) && !inside(n, "form") {
			f.refuse(at, "put the form into the response, or show a link", "<%s> may come to stand in a shadow root, where no form of the page sends it", n.Data)
		}
		for _, a := range n.Attr {
			switch {
			case a.Key == "id" && !meant[a.Val]:
				f.refuse(at, "leave it out", "id %q may come to stand in a shadow root, where the page's links, labels and scripts don't find it", a.Val)
			case n.Data == "a" && a.Key == "href" && len(a.Val) > 1 && a.Val[0] == '#' && ids[a.Val[1:]]:
				f.refuse(at, "link to an id of the page", "the link to %s may come to stand in a shadow root, whose ids a link doesn't reach", a.Val)
			}
			for _, id := range references(n, a) {
				if !ids[id] {
					f.refuse(at, "what it names must be in the response", "%s %q may come to stand in a shadow root, from where the page's ids are not found", a.Key, id)
				}
			}
		}
	}
	return f.problems
}

// references are the ids that an attribute looks for in its own tree.
func references(n *html.Node, a html.Attribute) []string {
	if slices.Contains(idReferences, a.Key) {
		return strings.Fields(a.Val)
	}
	if id, ok := strings.CutPrefix(a.Val, "#"); ok && id != "" && (n.Data == "use" || a.Key == "usemap") {
		return []string{id}
	}
	return nil
}
