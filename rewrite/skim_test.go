package rewrite

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// The short way through a page and the long one come to the same state after
// any number of bytes.
func TestSkim(t *testing.T) {
	seed := Seed()
	rnd := rand.New(rand.NewPCG(seed, 0))
	pick := func(from ...string) string { return from[rnd.IntN(len(from))] }
	for range 60 {
		var b strings.Builder
		b.WriteString(pick("<!doctype html><body>", "<!doctype html><title>x</title><body class=x>text", "text<table><tbody>"))
		var open []string
		for limit := 1 + rnd.IntN(40000); b.Len() < limit; {
			switch rnd.IntN(12) {
			case 0, 1, 2, 3:
				name := pick("div", "p", "span", "a", "b", "i", "code", "ul", "li", "li", "dl", "dt", "dd", "h1", "h2", "table", "tr", "td", "td", "th",
					"tbody", "svg", "path", "g", "desc", "button", "form", "section", "x-card", "font", "em", "br", "img", "input", "hr", "DIV", "select")
				open = append(open, name)
				b.WriteString("<" + name)
				for range rnd.IntN(4) {
					b.WriteString(pick(" class=\"a b\"", " id='x>y'", " href=/a?b=c", " a", " data-suffix=\"x\"", " data-surface=other", "\n title=\"a > b = 'c'\"",
						" a = \"b\"", "/", " =x", " \"", " x=\"", " d=\""+strings.Repeat("M0 0h24v24H0z ", rnd.IntN(400))+"\""))
				}
				b.WriteString(pick(">", ">", ">", "/>", " />"))
			case 4, 5, 6, 7:
				if len(open) > 0 {
					b.WriteString("</" + open[len(open)-1] + ">")
					open = open[:len(open)-1]
				}
			case 8:
				b.WriteString("</" + pick("div", "p", "span", "a", "b", "li", "tr", "td", "table", "form", "svg") + pick(">", " >", " x=\">\">"))
			case 9:
				b.WriteString(pick("<table><tbody><tr>text</tr></tbody></table>", "<table><tbody><tr> </tr><tr><td>1</td><th>2</th>x</tr>", "<!-- > -->", "<!x>", "<?php ?>", "<3", "< ", "<script>a<b</script>", "<style>a>b</style>", "<textarea><p></textarea>", "\x00"))
			default:
				b.WriteString(pick(" ", "\n\n", "text = \"quoted\" > ", strings.Repeat("some words ", rnd.IntN(200))))
			}
		}
		page := []byte(b.String())
		var short, long machine
		var w window
		for _, m := range []*machine{&short, &long} {
			m.begin()
			m.maxToken = 1 << 20
			m.attribute, m.mark = DefaultAttribute, newMarkSearch(DefaultAttribute)
		}
		long.every = true // so that it stops after every token, the short way too
		at, marks := [2]int{}, [2]string{}
		for to := 0; to < len(page) && short.lost == ""; {
			to = min(len(page), to+1+rnd.IntN(1+rnd.IntN(9000)))
			for k, m := range []*machine{&short, &long} {
				w.size = 0
				for {
					next, ev := m.advance(&w, page[:to], at[k])
					at[k] = next
					if ev == evMarked {
						marks[k] += fmt.Sprint(m.at, " ")
					}
					if ev == evMore || ev == evLost {
						break
					}
				}
			}
			if short.lost != long.lost || short.lost == "" && (at[0] != at[1] || !alike(&short.tree, &long.tree)) || marks[0] != marks[1] {
				t.Fatalf("-seed %d: after %d bytes (at %v): lost %q and %q, marks %q and %q\nshort %v\nlong  %v\npage %.300q", seed, to, at, short.lost, long.lost,
					marks[0], marks[1], short.open[:short.depth], long.open[:long.depth], page[max(0, at[0]-150):min(at[0]+150, len(page))])
			}
		}
	}
}

// alike compares two trees without regard to the numbers of their elements.
func alike(a, b *tree) bool {
	if a.depth != b.depth || a.actives != b.actives || a.nested != b.nested || a.mode != b.mode || a.pending != b.pending ||
		a.framesetOK != b.framesetOK || a.paragraphs != b.paragraphs || (a.form == 0) != (b.form == 0) || (a.loose == 0) != (b.loose == 0) {
		return false
	}
	for i := range a.depth {
		x, y := a.open[i], b.open[i]
		if x.id, y.id = 0, 0; x != y {
			return false
		}
	}
	for i := range a.actives {
		x, y := a.active[i], b.active[i]
		if a.indexOf(x.id) != b.indexOf(y.id) || x.key != y.key || x.attributes != y.attributes {
			return false
		}
	}
	return true
}

// Text in a row is put before the table: with the table a region, out of it.
func TestTextOfARow(t *testing.T) {
	program, err := Compile(Plan{Surfaces: []Surface{{Name: "x", Replace: true, HTML: []byte("<caption>new</caption>")}}})
	if err != nil {
		t.Fatal(err)
	}
	for rows, state := range map[string]State{"<tr>text</tr>": Untouched, "<tr> </tr>": Swappable, "<tr><td>text</td></tr>": Swappable} {
		r := program.NewReader(strings.NewReader("<!doctype html><body>text<table data-surface=x><tbody>"+rows+"</tbody></table>, and more of it"), "text/html; charset=utf-8")
		if _, err := io.ReadAll(r); err != nil || r.Sightings()[0].State != state {
			t.Errorf("%q: %v, %v", rows, r.Sightings(), err)
		}
		r.Close()
	}
}
