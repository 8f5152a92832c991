package selector_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/seed14307185/refract/rewrite/selector"
)

var update = flag.Bool("update", false, "rewrite the golden files of testdata")

// TestErrors: what each text that is no selector here gets to hear. The golden
// file holds the texts too: a Go string on a line, then the error, indented.
func TestErrors(t *testing.T) {
	const name = "testdata/errors.golden"
	golden, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(golden)) {
		if line[0] == ' ' {
			continue
		}
		s, err := strconv.Unquote(strings.TrimSpace(line))
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		_, err = selector.Parse(s)
		var e *selector.Error
		if !errors.As(err, &e) {
			t.Errorf("%.80q: %v, want an *Error", s, err)
			continue
		}
		if e.Offset < 0 || e.Offset > len(s) {
			t.Errorf("%.80q: an error at byte %d", s, e.Offset)
		}
		fmt.Fprintf(&b, "%s    %s\n", line, strings.ReplaceAll(e.Error(), "\n", "\n    "))
	}
	if *update {
		if err := os.WriteFile(name, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if b.String() != string(golden) {
		t.Errorf("the errors are not those of %s; see what -update changes. They are:\n%s", name, &b)
	}
}

func TestLength(t *testing.T) {
	if _, err := selector.Parse(strings.Repeat(":not(a)", 4<<10/7)); err != nil {
		t.Errorf("a selector of nearly 4096 bytes: %v", err)
	}
	if _, err := selector.Parse(strings.Repeat("a", 4<<10+1)); err == nil {
		t.Error("a selector of 4097 bytes is taken")
	}
	deep := strings.Repeat(":not(", 600) + "a" + strings.Repeat(")", 600)
	if got := matching(t, `<a>`, deep); got != "a" {
		t.Errorf("600 times :not() of a matches %q", got)
	}
}

// TestFlagS: Chromium doesn't know it, Cascadia neither.
func TestFlagS(t *testing.T) {
	const page = `<i type=a></i><b type=A></b><u lang=EN></u><s lang=en></s>`
	for s, want := range map[string]string{
		"[type=a]": "i b", "[type=a s]": "i", "[type='A'S]": "b", "[lang|=EN s]": "u", "[lang|=EN]": "html u s",
	} {
		if got := matching(t, "<html lang=en>"+page, s); got != want {
			t.Errorf("%s matches %s, want %s", s, got, want)
		}
	}
}

// matching returns the names of the elements of a page that match.
func matching(t *testing.T, page, s string) string {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	walk(selector.NewMatcher([]*selector.Selector{parse(t, s)}), root, 0, func(n *html.Node, set uint64) {
		if set != 0 {
			names = append(names, n.Data)
		}
	})
	return strings.Join(names, " ")
}

func TestString(t *testing.T) {
	if s := " a > .b , c "; parse(t, s).String() != s {
		t.Errorf("String returns %q for %q", parse(t, s), s)
	}
}

// element makes an element: its name, then name and value of each attribute.
func element(words ...string) tag {
	n := &html.Node{Data: words[0]}
	for pair := range slices.Chunk(words[1:], 2) {
		n.Attr = append(n.Attr, html.Attribute{Key: pair[0], Val: pair[1]})
	}
	return tag{n, map[string]int{}}
}

// TestRemove: a form's end tag closes the form, not what is within.
func TestRemove(t *testing.T) {
	m := matcher(t, "form p", "form > p", "div > p", "body > p:nth-of-type(2)", "div > p:nth-of-type(2)", "body > :nth-child(3)")
	m.Open(0, element("html"))
	m.Open(1, element("body"))
	m.Open(2, element("p"))
	m.Open(2, element("form"))
	m.Open(3, element("p"))
	m.Open(3, element("div"))
	if got := m.Open(4, element("p")); got != 0b000101 {
		t.Errorf("in the div in the form: %06b", got)
	}
	m.Remove(2)
	if got := m.Open(3, element("p")); got != 0b010101 {
		t.Errorf("still in the div, which stays in the form: %06b", got)
	}
	if got := m.Open(2, element("p")); got != 0b101000 {
		t.Errorf("after the div, in the body: %06b", got)
	}
}

func matcher(t testing.TB, selectors ...string) *selector.Matcher {
	t.Helper()
	var list []*selector.Selector
	for _, s := range selectors {
		list = append(list, parse(t, s))
	}
	return selector.NewMatcher(list)
}

// TestAsked: attributes are looked for only where a selector is possible.
func TestAsked(t *testing.T) {
	for _, c := range []struct {
		selectors string
		path      []string // of names, the element asked last
		want      string
	}{
		{"div.a", []string{"html", "body", "p"}, "map[]"},
		{"div.a", []string{"html", "body", "div"}, "map[class:1]"},
		{"div.a.b#c, div#c.d, .e", []string{"html", "body", "div"}, "map[class:1 id:1]"},
		{"main div[x]", []string{"html", "body", "div"}, "map[]"},
		{"main div[x]", []string{"html", "main", "div"}, "map[x:1]"},
		{"main > div[x]", []string{"html", "main", "p", "div"}, "map[]"},
		{"div[x]:nth-child(2)", []string{"html", "div"}, "map[]"},
		{"div:not(.a):not(p#b)", []string{"html", "div"}, "map[class:1]"},
		{"#none .a", []string{"html", "div"}, "map[id:1]"},
	} {
		m := matcher(t, c.selectors)
		var asked map[string]int
		for depth, name := range c.path {
			e := element(name)
			asked = e.asked
			m.Open(depth, e)
		}
		if got := fmt.Sprint(asked); got != c.want {
			t.Errorf("%s at %v asks for %s, want %s", c.selectors, c.path, got, c.want)
		}
	}
}

// TestWide: a chain goes on across the words of a set.
func TestWide(t *testing.T) {
	long := strings.Repeat("a ", 100) + "> b"
	m := matcher(t, "i", long, "a b", strings.Repeat("x,", 500)+"b")
	for depth := range 99 {
		m.Open(depth, element("a"))
	}
	if got := m.Open(99, element("b")); got != 0b1100 {
		t.Errorf("in 99: %04b", got)
	}
	m.Open(99, element("a"))
	if got := m.Open(100, element("b")); got != 0b1110 {
		t.Errorf("in 100: %04b", got)
	}
	m.Open(100, element("i"))
	if got := m.Open(101, element("b")); got != 0b1100 {
		t.Errorf("a grandchild of the last: %04b", got)
	}
	m.Reset()
	if got := m.Open(0, element("b")); got != 0b1000 {
		t.Errorf("on the next page: %04b", got)
	}
}

func TestMaxSelectors(t *testing.T) {
	all := slices.Repeat([]string{"a"}, selector.MaxSelectors)
	if got := matcher(t, all...).Open(0, element("a")); got != 1<<64-1 {
		t.Errorf("64 selectors: %b", got)
	}
	if got := matcher(t).Open(0, element("a")); got != 0 {
		t.Errorf("no selectors: %b", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("65 selectors are taken")
		}
	}()
	matcher(t, append(all, "a")...)
}

// TestManyTypes: that a page has types without end costs that page alone.
func TestManyTypes(t *testing.T) {
	m := matcher(t, ":nth-of-type(2)", "p:nth-of-type(2)")
	for range 2 {
		m.Open(0, element("html"))
		for i := range 3000 {
			m.Open(1, element("x-"+strconv.Itoa(i)))
		}
		if m.Open(1, element("p")) != 0 || m.Open(1, element("p")) != 0b11 || m.Open(1, element("x-7")) != 0b01 {
			t.Error("miscounted")
		}
		m.Reset()
	}
}

func TestAllocations(t *testing.T) {
	root, m := benchPage(t), matcher(t, benchSelectors["everything"]...)
	tags := flatten(root)
	if n := testing.AllocsPerRun(10, func() { run(m, tags) }); n != 0 {
		t.Errorf("%v allocations a page", n)
	}
}
