package selector_test

import (
	"math/rand/v2"
	"testing"

	"golang.org/x/net/html"

	"github.com/seed14307185/refract/rewrite/selector"
)

var benchSelectors = map[string][]string{
	"one-id":       {"#checkout"},
	"one-class":    {".hero"},
	"one-type":     {"main > section.hero"},
	"typical":      {"main .hero", "#pricing > h2", "nav ul.menu > li:first-child a", "[data-testid=cta]", "footer section:nth-of-type(2)"},
	"twenty-types": {"div.a", "div.b", "div.c", "section.a", "section.b", "p.a", "p.b", "ul.a", "ul.b", "li.a", "li.b", "a.a", "a.b", "h1.a", "h2.b", "h3.a", "form.a", "main.a", "nav.b", "aside.c"},
	"everything":   {"main .hero", ".a .b .c > .d", ":first-of-type", "li:nth-child(2n+1):not(.a, [hidden])", "p:nth-of-type(3)", "[type=TEXT i]", ":is(h1, h2, h3).t", "#x, #y, #z"},
}

// A flat is a start tag whose attributes cost nothing to find.
type flat struct {
	depth int
	name  []byte
	attr  []html.Attribute
	value [][]byte
}

func (f *flat) Name() []byte { return f.name }

func (f *flat) Attribute(name string) ([]byte, bool) {
	for i := range f.attr {
		if f.attr[i].Key == name {
			return f.value[i], true
		}
	}
	return nil, false
}

// benchPage is a tree of 2000 elements as pages have them: 10 deep and more,
// half of them with a class.
func benchPage(testing.TB) *html.Node {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	document := &html.Node{Type: html.DocumentNode}
	at := document
	for i := range 2000 {
		n := &html.Node{Type: html.ElementNode, Data: pick("div", "div", "div", "span", "a", "p", "li", "ul", "section", "h2", "img", "button")}
		if r.IntN(2) == 0 {
			n.Attr = append(n.Attr, html.Attribute{Key: "class", Val: pick("a", "flex items-center justify-between px-4 py-2 text-sm", "btn btn-primary", "c d", "hero", "css-1x2y3z")})
		}
		if r.IntN(10) == 0 {
			n.Attr = append(n.Attr, html.Attribute{Key: "id", Val: pick("x", "checkout", "section-12")})
		}
		at.AppendChild(n)
		if at = n; i > 10 {
			for range r.IntN(3) {
				if at.Parent.Parent != document {
					at = at.Parent
				}
			}
		}
	}
	return document
}

func flatten(root *html.Node) []flat {
	var tags []flat
	var visit func(n *html.Node, depth int)
	visit = func(n *html.Node, depth int) {
		for c := range n.ChildNodes() {
			f := flat{depth: depth, name: []byte(c.Data), attr: c.Attr}
			for _, a := range c.Attr {
				f.value = append(f.value, []byte(a.Val))
			}
			tags = append(tags, f)
			visit(c, depth+1)
		}
	}
	visit(root, 0)
	return tags
}

func run(m *selector.Matcher, tags []flat) (all uint64) {
	m.Reset()
	for i := range tags {
		all |= m.Open(tags[i].depth, &tags[i])
	}
	return all
}

// BenchmarkOpen reports the time for one element, without that for finding
// attributes in a tag.
func BenchmarkOpen(b *testing.B) {
	tags := flatten(benchPage(b))
	for name, selectors := range benchSelectors {
		b.Run(name, func(b *testing.B) {
			m := matcher(b, selectors...)
			b.ReportAllocs()
			for b.Loop() {
				run(m, tags)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(tags)), "ns/element")
		})
	}
}
