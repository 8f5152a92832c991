package selector_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/andybalholm/cascadia"
	"golang.org/x/net/html"

	"github.com/seed14307185/refract/rewrite/selector"
)

// tag is a node of a tree as a start tag. It says how often it was asked.
type tag struct {
	*html.Node
	asked map[string]int
}

func (t tag) Name() []byte { return []byte(t.Data) }

func (t tag) Attribute(name string) ([]byte, bool) {
	if t.asked != nil {
		t.asked[name]++
	}
	for _, a := range t.Attr {
		if a.Key == name && a.Val == "" {
			return nil, true
		} else if a.Key == name {
			return []byte(a.Val), true
		}
	}
	return nil, false
}

func parse(t testing.TB, s string) *selector.Selector {
	t.Helper()
	sel, err := selector.Parse(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return sel
}

// walk opens the elements of a tree in document order.
func walk(m *selector.Matcher, n *html.Node, depth int, visit func(n *html.Node, set uint64)) {
	for c := range n.ChildNodes() {
		if c.Type == html.ElementNode {
			visit(c, m.Open(depth, tag{Node: c}))
			walk(m, c, depth+1, visit)
		}
	}
}

// A pair is a selector in two spellings: ours, and one that Cascadia
// understands as a browser would understand ours.
type pair struct{ ours, theirs string }

func (p pair) plus(q pair) pair { return pair{p.ours + q.ours, p.theirs + q.theirs} }

func both(s string) pair { return pair{s, s} }

var (
	types  = []string{"div", "p", "ul", "li", "span", "x-card"}
	values = []string{"a", "b", "A", "ab", "a-b", "A-B", "a b", " b  a", "", "é", "\ta\nb"}
	wants  = []string{"a", "b", "A", "ab", "a-b", "a b", "é"} // never empty: see chromium.txt for that
	names  = []string{"class", "id", "type", "lang", "data-x"}
)

// A writer writes trees and selectors.
type writer struct {
	*rand.Rand
	quirks bool
}

func (w writer) pick(from []string) string { return from[w.IntN(len(from))] }

func (w writer) node() *html.Node {
	n := &html.Node{Type: html.ElementNode, Data: w.pick(types)}
	for _, name := range names {
		if w.IntN(2) == 0 {
			n.Attr = append(n.Attr, html.Attribute{Key: name, Val: w.pick(values)})
		}
	}
	return n
}

func (w writer) list(depth int) pair {
	p := w.complex(depth)
	for w.IntN(4) == 0 {
		p = p.plus(both(w.pick([]string{",", " , "}))).plus(w.complex(depth))
	}
	return p
}

func (w writer) complex(depth int) pair {
	p := w.compound(depth)
	for depth > 0 && w.IntN(2) == 0 {
		p = p.plus(both(w.pick([]string{" ", ">", " > ", "\n"}))).plus(w.compound(depth))
	}
	return p
}

func (w writer) compound(depth int) pair {
	p := both(w.pick(append(types, "*", "DIV")))
	if w.IntN(3) == 0 {
		p = w.simple(depth)
	}
	for w.IntN(3) == 0 {
		p = p.plus(w.simple(depth))
	}
	return p
}

func (w writer) simple(depth int) pair {
	ident := w.pick([]string{"a", "b", "A", "ab", "a-b", `a\ b`, "\\61 ", "\\e9 ", "é"})
	quirk := func(name, op string) pair {
		if !w.quirks {
			return pair{}
		}
		return pair{"", fmt.Sprintf("[%s%s%s  i]", name, op, ident)}
	}
	pick := func(ours, quirky pair) pair {
		if quirky.theirs != "" {
			return pair{ours.ours, quirky.theirs}
		}
		return ours
	}
	switch n := w.IntN(9); {
	case n == 0:
		return pick(both("#"+ident), quirk("id", "="))
	case n <= 2:
		return pick(both("."+ident), quirk("class", "~="))
	case n <= 4:
		return w.attribute()
	case n == 5:
		return both(":root")
	case n <= 7 || depth == 0:
		count := w.pick([]string{"odd", "even", "1", "2", "+3", "n", "-n+2", "2n", "2n+1", "3n - 1", "-2n+5", "0n+2", "n+2", "EVEN", "2N"})
		return both(w.pick([]string{":first-child", ":first-of-type", ":nth-child(" + count + ")", ":nth-of-type( " + count + " )"}))
	}
	alternatives := []pair{w.compound(depth - 1), w.compound(depth - 1)}[:1+w.IntN(2)]
	ours, not, is := []string{}, []string{}, ""
	for _, a := range alternatives {
		ours = append(ours, a.ours)
		not = append(not, a.theirs)
		is += ":not(" + a.theirs + ")"
	}
	if w.IntN(2) == 0 {
		return pair{":not(" + strings.Join(ours, ",") + ")", ":not(" + strings.Join(not, ",") + ")"}
	}
	return pair{w.pick([]string{":is(", ":where("}) + strings.Join(ours, ", ") + ")", ":not(" + is + ")"}
}

func (w writer) attribute() pair {
	name, want, flag := w.pick(names), w.pick(wants), w.pick([]string{"", " i", " s", "I"})
	if w.IntN(4) == 0 {
		return both("[" + strings.ToUpper(name) + "]")
	}
	head := "[" + name + w.pick([]string{"=", "~=", "|=", "^=", "$=", "*="}) + `"` + want + `"`
	theirs := flag
	if flag == " s" {
		theirs = ""
	} else if flag == "" && (name == "type" || name == "lang") {
		theirs = " i"
	}
	return pair{head + flag + "]", head + theirs + "]"}
}

// TestOracle: what matches while a tree is built at random is what Cascadia
// finds in the tree when it is complete.
func TestOracle(t *testing.T) {
	const seed = 1
	rounds, matches, elements := 3000, 0, 0
	for i := range rounds {
		w := writer{Rand: rand.New(rand.NewPCG(seed, uint64(i)))}
		w.quirks = w.IntN(4) == 0
		var pairs []pair
		var ours []*selector.Selector
		var theirs []cascadia.SelectorGroup
		for range 1 + w.IntN(selector.MaxSelectors) {
			p := w.list(2)
			pairs = append(pairs, p)
			ours = append(ours, parse(t, p.ours))
			group, err := cascadia.ParseGroup(p.theirs)
			if err != nil {
				t.Fatalf("seed %d: %q: %v", seed, p.theirs, err)
			}
			theirs = append(theirs, group)
		}
		m := selector.NewMatcher(ours)
		m.Quirks = w.quirks
		for range 2 {
			m.Reset()
			saw := w.grow(t, m)
			for n, set := range saw {
				elements++
				for j, group := range theirs {
					if got, want := set>>j&1 == 1, group.Match(n); got != want {
						t.Fatalf("seed %d, round %d, quirks %v: %q matches %v, Cascadia says %v of %q\n%s", seed, i, w.quirks, pairs[j].ours, got, want, pairs[j].theirs, path(n))
					} else if got {
						matches++
					}
				}
			}
		}
	}
	if matches < elements {
		t.Errorf("seed %d: only %d matches of %d elements: this shows nothing", seed, matches, elements)
	}
	t.Logf("seed %d: %d elements, %d matches, none wrong", seed, elements, matches)
}

// grow builds a tree and opens each of its elements, now and then taking one out
// of the stack of open elements.
func (w writer) grow(t *testing.T, m *selector.Matcher) map[*html.Node]uint64 {
	stack := []*html.Node{{Type: html.DocumentNode}}
	saw := map[*html.Node]uint64{}
	for range w.IntN(40) {
		depth := min(len(stack)-1, w.IntN(2*len(stack)))
		if depth == 0 && len(saw) > 0 {
			depth = 1 // one root
		}
		stack = stack[:depth+1]
		n := w.node()
		stack[depth].AppendChild(n)
		stack = append(stack, n)
		asked := map[string]int{}
		saw[n] = m.Open(depth, tag{n, asked})
		for name, times := range asked {
			if times > 1 {
				t.Fatalf("%s was asked for %d times", name, times)
			}
		}
		if open := len(stack) - 1; open > 2 && w.IntN(8) == 0 {
			gone := 1 + w.IntN(open-1)
			m.Remove(gone)
			stack = slices.Delete(stack, gone+1, gone+2)
		}
	}
	return saw
}

// path describes a node by its ancestors and their places.
func path(n *html.Node) string {
	s := ""
	for ; n != nil && n.Type == html.ElementNode; n = n.Parent {
		place := 1
		for b := n.PrevSibling; b != nil; b = b.PrevSibling {
			place++
		}
		s = fmt.Sprintf("%s %q, child %d\n%s", n.Data, n.Attr, place, s)
	}
	return s
}
