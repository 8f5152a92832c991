package rules

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/seed14307185/refract/rewrite"
)

// What a response and its surface hand to package rewrite.
func TestResponses(t *testing.T) {
	dir, _ := unpack(t, "testdata/good/operations.txtar")
	s := load(t, dir)
	const fragment = "<p>a</p>\n"
	for _, test := range []struct {
		rule string
		want Response
	}{
		{"a-inner", Response{Operation: rewrite.Inner, File: "plain.html", HTML: []byte(fragment)}},
		{"b-outer", Response{Operation: rewrite.Outer, File: "plain.html", HTML: []byte(fragment)}},
		{"g-text", Response{Operation: rewrite.Text, HTML: []byte("5 < 6 & more")}},
		{"h-attr", Response{Operation: rewrite.Attr, Attributes: []rewrite.Attribute{
			{Name: "aria-hidden", Value: "true"}, {Name: "disabled", Remove: true}, {Name: "hidden"}, {Name: "href", Value: "/new"},
			{Name: "style", Value: "color: red"}, {Name: "title", Value: "See what we <changed>"}, {Name: "width", Value: "100"},
		}}},
		{"i-remove", Response{Operation: rewrite.Remove}},
		{"k-slot", Response{Operation: rewrite.Shadow, File: "plain.html", HTML: []byte(fragment), Slot: true}},
		{"l-noslot", Response{Operation: rewrite.Shadow, File: "plain.html", HTML: []byte(fragment)}},
	} {
		got := s.Rule(test.rule).Response
		if len(got.Hash) != 12 {
			t.Errorf("%s: hash %q", test.rule, got.Hash)
		}
		got.Hash = ""
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", test.rule, got, test.want)
		}
	}
	for rule, want := range map[string]string{"a-inner": "main > .hero:first-child", "h-attr": `header [role="banner"]`, "n-marked": ""} {
		if got := s.Rule(rule).Surface.Select; got != want {
			t.Errorf("%s: select %q, want %q", rule, got, want)
		}
	}
	hashes := map[string]string{}
	for _, r := range s.Rules {
		if r.Name == "n-marked" {
			continue // the same change as m-auto's but for the file
		}
		if other := hashes[r.Response.Hash]; other != "" {
			t.Errorf("%s and %s are different responses with the same hash", other, r.Name)
		}
		hashes[r.Response.Hash] = r.Name
	}
}

// Every way in which two responses may differ is a difference of their hashes.
func TestResponseHash(t *testing.T) {
	hashes := map[string]int{}
	for i, r := range []Response{
		{Operation: rewrite.Shadow, HTML: []byte("a")},
		{Operation: rewrite.Shadow, HTML: []byte("a"), Slot: true},
		{Operation: rewrite.Auto, HTML: []byte("a")},
		{Operation: rewrite.Attr, Attributes: []rewrite.Attribute{{Name: "a"}}},
		{Operation: rewrite.Attr, Attributes: []rewrite.Attribute{{Name: "a", Value: "b"}}},
		{Operation: rewrite.Attr, Attributes: []rewrite.Attribute{{Name: "a", Remove: true}}},
		{Operation: rewrite.Attr, Attributes: []rewrite.Attribute{{Name: "a"}, {Name: "b"}}},
		{Operation: rewrite.Attr, Attributes: []rewrite.Attribute{{Name: "a", Value: "b"}, {Name: "b"}}},
		{Operation: rewrite.Attr, Attributes: []rewrite.Attribute{{Name: "a"}, {Name: "b", Remove: true}}},
	} {
		if other, same := hashes[r.hash()]; same {
			t.Errorf("%d and %d have the same hash", other, i)
		}
		hashes[r.hash()] = i
	}
	// Of the response that a text was before package rewrite escaped it: tests
	// that run go on.
	if got, want := (&Response{Operation: rewrite.Text, HTML: []byte("a < b")}).hash(), hash("text", "a &lt; b"); got != want {
		t.Errorf("text: %s, want %s", got, want)
	}
}

// A selector decides who is exposed, so another one is another test.
func TestVersionOfSelector(t *testing.T) {
	version := func(selector string) string {
		return load(t, site(t, "-- surfaces/project-home.card.yaml --\n"+selector+"pages: [/projects/*]\n")).Rules[0].Version
	}
	marked, a, b := version(""), version("select: main\n"), version("select: main > p\n")
	if marked == a || a == b || marked != load(t, site(t, "")).Rules[0].Version {
		t.Errorf("versions %s, %s, %s", marked, a, b)
	}
}

// As many selectors as one page can be searched for.
func TestSelectorsOfLiveRules(t *testing.T) {
	archive := func(n int, state string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "-- surfaces/s%d.yaml --\nselect: main\n-- rules/r%d.yaml --\nsegment: created-without-teammate\nsurface: s%d\nresponse: {remove: true}\n"+
				"metric: {event: A, within: 1d}\nguardrail: {event: B, within: 1d}\nstate: %s\n", i, i, i, state)
		}
		return b.String()
	}
	load(t, site(t, archive(64, "live")))
	load(t, site(t, archive(65, "draft")))
	if got := problems(t, site(t, archive(65, "live")))[0]; got.File != surfacesDir || !strings.Contains(got.Message, "65 surfaces with select") {
		t.Errorf("%v", got)
	}
}

// What there is to warn of a fragment in a shadow root, and what is fine there.
func TestOutOfReach(t *testing.T) {
	for src, want := range map[string]int{
		`<p>a</p><a href="/x">b</a><a href="#pricing">c</a><a href="#">d</a>`: 0,
		`<form action="/x"><input name="a"><button>b</button></form>`:         0,
		`<form action="/x"><label for="a">a</label><input id="a"></form>`:     0,
		`<svg><g id="i"></g><use xlink:href="#i"></use></svg>`:                0,
		`<p id="a">b</p>`:                        1,
		`<p id="a">b</p><a href="#a">c</a>`:      2,
		`<button>b</button>`:                     1,
		`<textarea></textarea><select></select>`: 2,
		`<p aria-describedby="a b">c</p>`:        2,
		`<input list="a" form="b">`:              3,
		`<svg><use href="#i"></use></svg>`:       1,
		`<script>refused anyhow</script>`:        0,
	} {
		if got := outOfReach("f", []byte(src)); len(got) != want {
			t.Errorf("%s\n%v\nwant %d", src, got, want)
		}
	}
}
