package rewrite_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/seed14307185/refract/rewrite"
)

// selectors, each for an element of servedPage, with the name of the element.
var selectors = []struct{ selector, element string }{
	{"section", "section"},
	{".hero", "section"},
	{"section.hero[data-surface=x]", "section"},
	{"#main", "main"},
	{"main > section h1", "h1"},
	{"main > h1", ""},
	{"ul.menu > li:nth-child(2)", "li"},
	{"ul.menu li.current", "li"},
	{"header *", "nav"},
	{"article td div", "div"},
	{"tbody tr:first-child td:nth-of-type(2) > div", "div"},
	{"tbody tr:nth-child(2n) td", "td"},
	{"dl > dd:nth-of-type(2)", "dd"},
	{"dd:not(:first-of-type)", "dd"},
	{"ol > li:first-child", "li"},
	{"ol > li:nth-child(2)", "li"},
	{"LI P", "p"},
	{"p:first-of-type", "p"},
	{"blockquote, address", "blockquote"},
	{"address, blockquote", "blockquote"},
	{"footer address", "address"},
	{"body > footer > address", "address"},
	{"[data-surface]", "section"},
	{"[data-surface^=x]:not(section):not(div)", "dd"},
	{"img[alt~='>']", "img"},
	{"a[href$='/1']", "a"},
	{"a[href*='Y=2' i]", "a"},
	{"[class|=no]", "html"},
	{"textarea div", ""},
	{"script div", ""},
	{"template td", ""},
	{"noscript link", ""},
	{"article > p", "p"},
	{"article > p > table", ""},
	{"svg title", "title"},
	{".absent", ""},
}

// Selectors find what they find in the tree, on the page as it is, by each
// operation.
func TestSelect(t *testing.T) {
	var all bailouts
	for _, c := range selectors {
		for _, operation := range supported {
			s := surfaceFor(operation, "s", "<p>new</p>")
			s.Select = c.selector
			saw, err := check(servedPage, rewrite.Plan{Surfaces: []rewrite.Surface{s}})
			if err != nil {
				t.Errorf("%s %s: %v", operation, c.selector, err)
				continue
			}
			all.add(saw)
			if saw[0].Element != c.element || (c.element == "") != (saw[0].State == rewrite.Missing) {
				t.Errorf("%s: found <%s>, should be <%s>: %+v", c.selector, saw[0].Element, c.element, saw[0])
			}
		}
	}
	t.Logf("%s", &all)
}

// The same on pages that are broken, several at once.
func TestSelectOnMutants(t *testing.T) {
	t.Logf("-seed %d", seed())
	n := uint64(2000)
	if testing.Short() {
		n = 200
	}
	var all bailouts
	for i := range n {
		rnd := rand.New(rand.NewPCG(seed(), i+1<<34))
		page := mutate(rnd, servedPage)
		plan := mixedPlan(rnd, "s0", "s1", "s2")
		for i := range plan.Surfaces {
			plan.Surfaces[i].Select = selectors[rnd.IntN(len(selectors))].selector
		}
		saw, err := check(page, plan)
		if err != nil {
			t.Fatal(fmt.Errorf("%w\nplan %+v", err, plan))
		}
		all.add(saw)
	}
	t.Logf("%s", &all)
}

// Where surfaces meet on an element, the one that the plan has first is done,
// however it is found.
func TestOrderOfThePlan(t *testing.T) {
	const page = "<body><p class=a data-surface=mark>old</p><p>rest</p>"
	mark := rewrite.Surface{Name: "mark", Replace: true, HTML: []byte("by mark")}
	class := rewrite.Surface{Name: "class", Select: ".a", Replace: true, HTML: []byte("by class")}
	name := rewrite.Surface{Name: "name", Select: "p", Replace: true, HTML: []byte("by name")}
	for _, surfaces := range [][]rewrite.Surface{
		{mark, class, name}, {mark, name, class}, {class, mark, name}, {name, mark, class}, {class, name, mark}, {name, class, mark},
	} {
		plan := rewrite.Plan{Surfaces: surfaces}
		got, saw := rewriteChunked(t, page, inUTF8, plan)
		if want := strings.Replace(page, "old", string(surfaces[0].HTML), 1); got != want {
			t.Errorf("got %s\nshould be %s", got, want)
		}
		for i, s := range saw {
			want := rewrite.Sighting{Name: surfaces[i].Name, State: rewrite.Swappable, Operation: rewrite.Inner, Element: "p", Offset: 6, Count: 1}
			if i > 0 {
				want.State, want.Reason = rewrite.Untouched, rewrite.Nested
			}
			if s.Count = 1; s != want {
				t.Errorf("%+v, should be %+v", s, want)
			}
		}
		if err := checkControl(page, inUTF8, plan, saw); err != nil {
			t.Error(err)
		}
	}
}
