package rewrite_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/seed14307185/refract/rewrite"
)

// The oracle: a swapped page must parse to the tree that the page parses to,
// with the children of the marked element replaced by those of the fragment
// parsed in its place.

// chunked reads n bytes at a time, or random numbers of bytes where n is 0.
type chunked struct {
	r   io.Reader
	n   int
	rnd *rand.Rand
}

func (c chunked) Read(p []byte) (int, error) {
	n := c.n
	if n == 0 {
		n = 1 + c.rnd.IntN(1<<c.rnd.IntN(13))
	}
	return c.r.Read(p[:min(n, len(p))])
}

// rewriteChunked rewrites a page whole, in chunks of all sizes and in random
// ones, and fails unless the outcome is always the same.
func rewriteChunked(t testing.TB, page string, plan rewrite.Plan) (string, []rewrite.Sighting) {
	t.Helper()
	whole, saw := rewriteOnce(t, strings.NewReader(page), plan)
	seed := rand.Uint64()
	for _, n := range []int{1, 2, 3, 7, 64, 4096, 0} {
		src := chunked{strings.NewReader(page), n, rand.New(rand.NewPCG(seed, 0))}
		got, gotSaw := rewriteOnce(t, src, plan)
		if got != whole || fmt.Sprint(gotSaw) != fmt.Sprint(saw) {
			t.Fatalf("chunks of %d (seed %d) differ\npage  %q\nwhole %q %v\ngot   %q %v", n, seed, page, whole, saw, got, gotSaw)
		}
	}
	return whole, saw
}

func rewriteOnce(t testing.TB, src io.Reader, plan rewrite.Plan) (string, []rewrite.Sighting) {
	t.Helper()
	r := rewrite.NewReader(src, plan)
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("reading: %v", err)
	}
	if r.Fault() != nil {
		t.Fatalf("fault: %v", r.Fault())
	}
	return string(got), r.Sightings()
}

// observing is the plan of the control arm.
func observing(plan rewrite.Plan) rewrite.Plan {
	var control []rewrite.Surface
	for _, s := range plan.Surfaces {
		s.Replace = false
		control = append(control, s)
	}
	plan.Surfaces = control
	return plan
}

func planFor(fragment string, names ...string) rewrite.Plan {
	plan := rewrite.Plan{ContentType: "text/html; charset=utf-8"}
	for _, name := range names {
		plan.Surfaces = append(plan.Surfaces, rewrite.Surface{Name: name, Replace: true, HTML: []byte(fragment)})
	}
	return plan
}

// verify rewrites a page in both arms and holds the outcome against the
// oracle. The page must not use one surface name twice.
func verify(t testing.TB, page string, plan rewrite.Plan) []rewrite.Sighting {
	t.Helper()
	got, saw := rewriteChunked(t, page, plan)
	same, sawSame := rewriteOnce(t, strings.NewReader(page), observing(plan))
	if same != page {
		t.Fatalf("control changed the page\nwas %q\nnow %q", page, same)
	}
	if fmt.Sprint(saw) != fmt.Sprint(sawSame) {
		t.Fatalf("the arms see differently: %v, control %v\npage %q", saw, sawSame, page)
	}
	swapped := map[string][]byte{}
	for i, s := range saw {
		if s.State == rewrite.Swappable {
			swapped[s.Name] = plan.Surfaces[i].HTML
		}
	}
	if len(swapped) == 0 {
		if got != page {
			t.Fatalf("nothing swapped, yet\nwas %q\nnow %q", page, got)
		}
		return saw
	}
	for _, scripting := range []bool{true, false} {
		before, err := parse(page, scripting)
		if err != nil {
			continue // nested deeper than the oracle goes
		}
		after, err := parse(got, scripting)
		if err != nil {
			t.Fatalf("the oracle takes %q, but not %q: %v", page, got, err)
		}
		met := map[string]int{}
		replaceInTree(before, swapped, met, scripting)
		for name := range swapped {
			if met[name] != 1 {
				t.Fatalf("%d elements are marked %q in the tree\npage %q\ngot  %q", met[name], name, page, got)
			}
		}
		if want, have := dump(before), dump(after); want != have {
			t.Fatalf("wrong splice (scripting %v)\npage %q\ngot  %q\nsaw  %v\nwant\n%s\nhave\n%s", scripting, page, got, saw, want, have)
		}
	}
	return saw
}

func parse(page string, scripting bool) (*html.Node, error) {
	page = strings.TrimPrefix(page, "\ufeff") // a browser's decoder takes it off
	return html.ParseWithOptions(strings.NewReader(page), html.ParseOptionEnableScripting(scripting))
}

func replaceInTree(n *html.Node, swapped map[string][]byte, met map[string]int, scripting bool) {
	for _, a := range n.Attr {
		fragment, ok := swapped[a.Val]
		if n.Type != html.ElementNode || a.Key != rewrite.DefaultAttribute || !ok {
			continue
		}
		met[a.Val]++
		for n.FirstChild != nil {
			n.RemoveChild(n.FirstChild)
		}
		context := &html.Node{Type: n.Type, DataAtom: n.DataAtom, Data: n.Data} // of its own: forms around it may be closed already
		children, err := html.ParseFragmentWithOptions(bytes.NewReader(fragment), context, html.ParseOptionEnableScripting(scripting))
		if err != nil {
			panic(err)
		}
		for _, c := range children {
			n.AppendChild(c)
		}
		return
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		replaceInTree(c, swapped, met, scripting)
	}
}

// dump writes a tree with adjacent texts as one.
func dump(n *html.Node) string {
	var b strings.Builder
	var walk func(n *html.Node, depth int)
	walk = func(n *html.Node, depth int) {
		indent := strings.Repeat(" ", depth)
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			switch c.Type {
			case html.TextNode:
				text := c.Data
				for c.NextSibling != nil && c.NextSibling.Type == html.TextNode {
					c = c.NextSibling
					text += c.Data
				}
				fmt.Fprintf(&b, "%s%q\n", indent, text)
			case html.CommentNode, html.DoctypeNode:
				fmt.Fprintf(&b, "%s<!%d %q\n", indent, c.Type, c.Data)
			default:
				fmt.Fprintf(&b, "%s<%s %s %q>\n", indent, c.Namespace, c.Data, c.Attr)
				walk(c, depth+1)
			}
		}
	}
	walk(n, 0)
	return b.String()
}

var marks = regexp.MustCompile(`(?i)data-surface\s*=\s*["']?x`)

// numbered makes the names of all regions marked x differ: x0, x1, …
func numbered(page string) (string, []string) {
	var names []string
	page = marks.ReplaceAllStringFunc(page, func(m string) string {
		names = append(names, fmt.Sprintf("x%d", len(names)))
		return m[:len(m)-1] + names[len(names)-1]
	})
	return page, names
}
