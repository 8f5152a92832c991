package rewrite_test

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/PuerkitoBio/goquery"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/seed14307185/refract/rewrite"
)

// The oracle's half that knows trees: what the operations mean, said of nodes.

// An edit is a change that was made, according to the sightings.
type edit struct {
	surface   rewrite.Surface
	operation rewrite.Operation // never Auto
	offset    int
	element   string
}

// editsMade are the changes of a rewritten page, in the order of the plan.
func editsMade(plan rewrite.Plan, saw []rewrite.Sighting) []edit {
	var edits []edit
	for i, s := range saw {
		if surface := plan.Surfaces[i]; surface.Replace && s.State == rewrite.Swappable {
			edits = append(edits, edit{surface, s.Operation, int(s.Offset), s.Element})
		}
	}
	return edits
}

func parse(page string, scripting bool) (*html.Node, error) {
	page = strings.TrimPrefix(page, "\ufeff") // a browser's decoder takes it off
	return html.ParseWithOptions(strings.NewReader(page), html.ParseOptionEnableScripting(scripting))
}

// met is the element that a surface means: the first of the source among the
// matching ones. In the tree that is the first too, unless a table expelled
// some; pages that may do that number their marked elements by an attribute n.
// What is in a template is in another document, and what is in a noscript is
// none for most browsers: neither counts.
func met(root *html.Node, attribute string, surface rewrite.Surface) *html.Node {
	var all []*html.Node
	if surface.Select != "" {
		all = goquery.NewDocumentFromNode(root).Find(surface.Select).Nodes
	} else {
		for n := range root.Descendants() {
			if n.Type == html.ElementNode && attr(n, attribute) == surface.Name && hasAttr(n, attribute) {
				all = append(all, n)
			}
		}
	}
	all = slices.DeleteFunc(all, func(n *html.Node) bool {
		for a := range n.Ancestors() {
			if a.Data == "template" && a.Namespace == "" || a.Data == "noscript" {
				return true
			}
		}
		return false
	})
	if len(all) == 0 {
		return nil
	}
	number := func(n *html.Node) int { i, _ := strconv.Atoi(attr(n, "n")); return i }
	slices.SortStableFunc(all, func(a, b *html.Node) int { return cmp.Compare(number(a), number(b)) })
	return all[0]
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key && a.Namespace == "" {
			return a.Val
		}
	}
	return ""
}

func hasAttr(n *html.Node, key string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == key && a.Namespace == "" })
}

// apply makes the change in a tree, but for Shadow, which is taken out of the
// changed page's tree instead.
func (e edit) apply(n *html.Node, scripting bool) error {
	parent := n.Parent
	switch e.operation {
	case rewrite.Inner:
		empty(n)
		return insert(n, nil, n, e.surface.HTML, scripting)
	case rewrite.Prepend:
		return insert(n, n.FirstChild, n, e.surface.HTML, scripting)
	case rewrite.Append:
		return insert(n, nil, n, e.surface.HTML, scripting)
	case rewrite.Before:
		return insert(parent, n, parent, e.surface.HTML, scripting)
	case rewrite.After:
		return insert(parent, n.NextSibling, parent, e.surface.HTML, scripting)
	case rewrite.Outer:
		if err := insert(parent, n, parent, e.surface.HTML, scripting); err != nil {
			return err
		}
		parent.RemoveChild(n)
	case rewrite.Remove:
		parent.RemoveChild(n)
	case rewrite.Text:
		empty(n)
		if len(e.surface.HTML) > 0 {
			n.AppendChild(&html.Node{Type: html.TextNode, Data: newlines.Replace(string(e.surface.HTML))})
		}
	case rewrite.Attr:
		for _, a := range e.surface.Attributes {
			key := strings.ToLower(a.Name)
			value := newlines.Replace(a.Value)
			i := slices.IndexFunc(n.Attr, func(o html.Attribute) bool { return o.Key == key && o.Namespace == "" })
			switch {
			case a.Remove && i >= 0:
				n.Attr = slices.Delete(n.Attr, i, i+1)
			case a.Remove:
			case i >= 0:
				n.Attr[i].Val = value
			default:
				n.Attr = append(n.Attr, html.Attribute{Key: key, Val: value})
			}
		}
	case rewrite.Shadow:
	default:
		return fmt.Errorf("the sightings say %q was done", e.operation)
	}
	return nil
}

// newlines are what becomes of line ends in any page.
var newlines = strings.NewReplacer("\r\n", "\n", "\r", "\n")

func empty(n *html.Node) {
	for n.FirstChild != nil {
		n.RemoveChild(n.FirstChild)
	}
}

// insert parses a fragment as content of the context and puts it before a
// child of the parent, or last.
func insert(parent, before, context *html.Node, fragment []byte, scripting bool) error {
	if context == nil || context.Type != html.ElementNode {
		return errors.New("the change is outside of the root element")
	}
	context = &html.Node{Type: context.Type, DataAtom: context.DataAtom, Data: context.Data, Namespace: context.Namespace} // of its own: forms around it may be closed already
	children, err := html.ParseFragmentWithOptions(strings.NewReader(string(fragment)), context, html.ParseOptionEnableScripting(scripting))
	if err != nil {
		return err
	}
	for _, c := range children {
		parent.InsertBefore(c, before)
	}
	return nil
}

// takeShadow removes the declarative shadow root that a Shadow put into an
// element, if it is as it should be: its first child, open, with the new
// content in it, and beside that only style sheets, a box without a box of its
// own and, where asked for, a slot.
func (e edit) takeShadow(n *html.Node, scripting bool) error {
	root := n.FirstChild
	if root == nil || root.Data != "template" || !strings.EqualFold(attr(root, "shadowrootmode"), "open") {
		return errors.New("the first child is no open shadow root")
	}
	want := &html.Node{Type: html.ElementNode, DataAtom: atom.Div, Data: "div"}
	if err := insert(want, nil, want, e.surface.HTML, scripting); err != nil {
		return err
	}
	content := slices.Collect(root.ChildNodes())
	is := func(n *html.Node, names ...string) bool {
		return n.Type == html.ElementNode && slices.Contains(names, n.Data)
	}
	slots := 0
	holds := func(nodes []*html.Node) bool {
		if e.surface.Slot {
			slots = 0
			nodes = slices.DeleteFunc(slices.Clone(nodes), func(n *html.Node) bool {
				if is(n, "slot") {
					slots++
				}
				return is(n, "slot")
			})
		}
		return dumpAll(nodes) == dump(want)
	}
	for first := range len(content) + 1 {
		rest := content[first:]
		if holds(rest) || len(rest) > 0 && strings.Contains(strings.ReplaceAll(attr(rest[0], "style"), " ", ""), "display:contents") &&
			holds(append(slices.Collect(rest[0].ChildNodes()), rest[1:]...)) {
			if e.surface.Slot != (slots == 1) {
				return fmt.Errorf("%d slots", slots)
			}
			n.RemoveChild(root)
			return nil
		}
		if len(rest) > 0 && !is(rest[0], "link", "style") {
			break
		}
	}
	return fmt.Errorf("the shadow root has\n%s\nrather than\n%s", dump(root), dump(want))
}

// dump writes what is below a node, with adjacent texts as one and attributes
// in order.
func dump(n *html.Node) string { return dumpAll(slices.Collect(n.ChildNodes())) }

func dumpAll(nodes []*html.Node) string {
	var b strings.Builder
	var walk func(nodes []*html.Node, depth int)
	walk = func(nodes []*html.Node, depth int) {
		indent := strings.Repeat(" ", depth)
		for i := 0; i < len(nodes); i++ {
			switch n := nodes[i]; n.Type {
			case html.TextNode:
				text := n.Data
				for i+1 < len(nodes) && nodes[i+1].Type == html.TextNode {
					i++
					text += nodes[i].Data
				}
				fmt.Fprintf(&b, "%s%q\n", indent, newlines.Replace(text))
			case html.CommentNode, html.DoctypeNode:
				fmt.Fprintf(&b, "%s<!%d %q %q>\n", indent, n.Type, n.Data, n.Attr)
			default:
				attrs := slices.SortedFunc(slices.Values(n.Attr), func(a, b html.Attribute) int {
					return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Key, b.Key))
				})
				for i := range attrs {
					attrs[i].Val = newlines.Replace(attrs[i].Val)
				}
				fmt.Fprintf(&b, "%s<%s %s %q>\n", indent, n.Namespace, n.Data, attrs)
				walk(slices.Collect(n.ChildNodes()), depth+1)
			}
		}
	}
	walk(nodes, 0)
	return b.String()
}
