package rewrite

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

func TestSetAttributes(t *testing.T) {
	set := func(name, value string) Attribute { return Attribute{Name: name, Value: value} }
	remove := func(name string) Attribute { return Attribute{Name: name, Remove: true} }
	tests := []struct {
		tag   string
		attrs []Attribute
		want  string
	}{
		{`<a>`, []Attribute{set("href", "/x")}, `<a href="/x">`},
		{`<BR/>`, []Attribute{set("class", "x")}, `<BR class="x"/>`},
		{`<a HREF=/old class='y'>`, []Attribute{set("href", "/x")}, `<a HREF="/x" class='y'>`},
		{`<a href="1" href="2">`, []Attribute{set("href", "3")}, `<a href="3" href="2">`},
		{`<a href="1" x href="2">`, []Attribute{remove("href")}, `<a  x >`},
		{`<a href = 'a>b' x>`, []Attribute{set("Href", `"<&>`)}, `<a href="&quot;&lt;&amp;&gt;" x>`},
		{`<a href x=1>`, []Attribute{set("href", "é\r\n")}, `<a href="&#233;` + "\r\n" + `" x=1>`},
		{`<a href= >`, []Attribute{set("href", "x"), set("b", "y")}, `<a b="y" href="x">`},
		{`<a x= >`, []Attribute{set("href", "y")}, `<a href="y" x= >`},
		{`<a b="2"c="3">`, []Attribute{remove("b")}, `<a c="3">`},
		{`<a x=1/ b/>`, []Attribute{remove("b")}, `<a x=1/ />`},
		{`<a/b>`, []Attribute{remove("b")}, `<a/ >`},
		{`<a/b/>`, []Attribute{remove("b")}, `<a//>`},
		{`<a x b="2"="3">`, []Attribute{remove("b")}, `<a x /="3">`},
		{`<a x b="2" ="3">`, []Attribute{remove("b")}, `<a x / ="3">`},
		{`<a =b>`, []Attribute{set("b", "1")}, `<a b="1" =b>`},
		{`<a/b=c/>`, []Attribute{set("b", "1")}, `<a/b="1">`},
		{"<p\fclass=\"a\"\tid=b\n>", []Attribute{remove("class"), set("id", "c")}, "<p\f\tid=\"c\"\n>"},
	}
	for _, test := range tests {
		if got := string(setAttributes([]byte("…"), []byte(test.tag), test.attrs)); got != "…"+test.want {
			t.Errorf("%s with %v\ngives %s\nwant  %s", test.tag, test.attrs, got[len("…"):], test.want)
		}
		if want, have := edited(t, test.tag, test.attrs), attributesOf(test.want); !maps.Equal(want, have) {
			t.Errorf("the test wants %s, which has %v and should have %v", test.want, have, want)
		}
	}
}

// attributesOf is what x/net/html makes of a tag; the names are "<" for the
// tag's own and "/" for whether it closes itself. It is nil if that isn't one
// start tag.
func attributesOf(tag string) map[string]string {
	z := html.NewTokenizer(strings.NewReader(tag))
	kind := z.Next()
	if kind != html.StartTagToken && kind != html.SelfClosingTagToken || len(z.Raw()) != len(tag) || !strings.HasSuffix(tag, ">") {
		return nil
	}
	name, more := z.TagName()
	all := map[string]string{"<": string(name), "/": fmt.Sprint(kind == html.SelfClosingTagToken)}
	for more {
		var key, value []byte
		key, value, more = z.TagAttr()
		all["@"+string(key)] = string(value)
	}
	return all
}

// edited is attributesOf, with the attributes set and removed.
func edited(t *testing.T, tag string, attrs []Attribute) map[string]string {
	all := attributesOf(tag)
	if all == nil {
		t.Fatalf("%q is not one start tag", tag)
	}
	for _, a := range attrs {
		if a.Remove {
			delete(all, "@"+strings.ToLower(a.Name))
		} else {
			all["@"+strings.ToLower(a.Name)] = lineFeeds.Replace(a.Value)
		}
	}
	return all
}

var lineFeeds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// hostileTag writes a tag that is hard to read, with few names so that they
// often come twice.
func hostileTag(r *rand.Rand) string {
	parts := []string{"a", "b", "B", "c", "a", "b", "=", "=", "'", `"`, `"x"`, "'y'", " ", " ", "\n", "/", "/", "<", "&lt", "&amp;", "\x00", "é", "`"}
	var tag strings.Builder
	tag.WriteString([]string{"<g", "<G ", "<g/", "<x-y\t"}[r.IntN(4)])
	for range r.IntN(14) {
		tag.WriteString(parts[r.IntN(len(parts))])
	}
	return tag.String() + []string{">", "/>", " />", "=>"}[r.IntN(4)]
}

func hostileEdits(r *rand.Rand) []Attribute {
	all := []Attribute{{Name: "a", Value: "1"}, {Name: "b", Value: `"&lt;` + "\r\n>é"}, {Name: "C", Value: ""}, {Name: "d", Value: "='"}}
	for i := range all {
		if r.IntN(2) == 0 {
			all[i].Value, all[i].Remove = "", true
		}
	}
	return all[:1+r.IntN(len(all))]
}

func TestSetAttributesHostile(t *testing.T) {
	seed := Seed()
	r := rand.New(rand.NewPCG(seed, 0))
	tried := 0
	for range 50_000 {
		tag := hostileTag(r)
		if attributesOf(tag) == nil {
			continue
		}
		tried++
		checkSetAttributes(t, tag, hostileEdits(r))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if tried < 20_000 {
		t.Errorf("only %d tags were tried", tried)
	}
}

func checkSetAttributes(t *testing.T, tag string, attrs []Attribute) {
	t.Helper()
	got := string(setAttributes(nil, []byte(tag), attrs))
	have, want := attributesOf(got), edited(t, tag, attrs)
	if repeats(tag) && have != nil { // x/net/html takes a slash that ends the unquoted value of a repeated attribute for the tag's
		have["/"] = want["/"]
	}
	if !maps.Equal(have, want) {
		t.Errorf("%q with %+v\nis %q\nhas  %q\nwant %q", tag, attrs, got, have, want)
	}
	if twice := string(setAttributes(nil, []byte(got), attrs)); twice != got {
		t.Errorf("%q with %+v\nis first %q\nthen     %q", tag, attrs, got, twice)
	}
}

// A HostileTag is one case for the test with a browser.
type HostileTag struct {
	Tag, Edited string
	Attributes  []Attribute
}

// HostileTags makes n cases.
func HostileTags(seed uint64, n int) (all []HostileTag) {
	for r := rand.New(rand.NewPCG(seed, 0)); len(all) < n; {
		if tag := hostileTag(r); attributesOf(tag) != nil {
			edits := hostileEdits(r)
			all = append(all, HostileTag{tag, string(setAttributes(nil, []byte(tag), edits)), edits})
		}
	}
	return all
}

func repeats(start string) bool {
	met := map[string]bool{}
	for a := (attributes{raw: []byte(start), at: nameEnd([]byte(start), 1)}); a.next(); {
		name := strings.ToLower(string(a.name))
		if met[name] {
			return true
		}
		met[name] = true
	}
	return false
}

func FuzzSetAttributes(f *testing.F) {
	for i := range uint64(20) {
		r := rand.New(rand.NewPCG(i, 1))
		f.Add(hostileTag(r), "b", `x"`, i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, tag, name, value string, remove bool) {
		if len(tag) < 2 || tag[0] != '<' || attributesOf(tag) == nil {
			return
		}
		a := Attribute{Name: name, Value: value, Remove: remove}
		if remove {
			a.Value = ""
		}
		if checkAttributes([]Attribute{a}) != nil {
			return
		}
		checkSetAttributes(t, tag, []Attribute{a})
	})
}

func TestCheckAttributes(t *testing.T) {
	good := []Attribute{{Name: "href", Value: "/a:b"}, {Name: "HREF", Value: "HTTPS://x/"}, {Name: "href", Value: "mailto:a@b"}, {Name: "class", Value: "a:b"},
		{Name: "href", Value: "#x:y"}, {Name: "href", Value: "?a=b:c"}, {Name: "title", Value: "Note: \"x\" & <y>\n"}, {Name: "data-x.y_z", Value: "data:"},
		{Name: "srcset", Value: "/a.png 1x, https://x/b.png 2x"}, {Name: "style", Value: "color: red"}, {Name: "onclick", Remove: true}, {Name: "src", Value: "//x/y"}}
	for _, a := range good {
		if err := checkAttributes([]Attribute{a}); err != nil {
			t.Error(err)
		}
	}
	bad := []Attribute{{}, {Name: "a b"}, {Name: "a\x00"}, {Name: "1a"}, {Name: "@click"}, {Name: "x-on:click"}, {Name: "é"}, {Name: "a=b"}, {Name: "a/"},
		{Name: "onclick", Value: "x"}, {Name: "OnX"}, {Name: "srcdoc"}, {Name: "shadowrootmode"}, {Name: "class", Value: "\x00"}, {Name: "class", Value: "\u0085"}, {Name: "class", Value: "\xff"},
		{Name: "href", Value: "javascript:x"}, {Name: "HREF", Value: " \x0cJava\tScript\n:x"}, {Name: "href", Value: "java\u00adscript:x"}, {Name: "action", Value: "data:text/html,x"},
		{Name: "href", Value: "vbscript:x"}, {Name: "href", Value: "blob:x"}, {Name: "src", Value: "file:///x"}, {Name: "srcset", Value: "/a 1x,javascript:x 2x"}, {Name: "ping", Value: "/a data:x"},
		{Name: "data-link", Value: "javascript:x"}, {Name: "formaction", Value: "x:y"}, {Name: "style", Value: "background: URL (x)"}, {Name: "style", Value: `c\6flor: red`},
		{Name: "class", Value: "x", Remove: true}}
	for _, a := range bad {
		if checkAttributes([]Attribute{a}) == nil {
			t.Errorf("%+v is taken", a)
		}
	}
	if checkAttributes(nil) == nil {
		t.Error("no attributes are taken")
	}
	if checkAttributes([]Attribute{{Name: "a"}, {Name: "A", Remove: true}}) == nil {
		t.Error("one attribute set and removed is taken")
	}
	if checkAttributes(make([]Attribute, maxAttributes+1)) == nil {
		t.Error("too many attributes are taken")
	}
}

func TestEscapeText(t *testing.T) {
	for _, text := range []string{"", "a", "</p><script>&amp;é\"'\n"} {
		nodes, err := html.ParseFragment(strings.NewReader(string(escapeText(nil, []byte(text)))), &html.Node{Type: html.ElementNode, Data: "p", DataAtom: atom.P})
		if err != nil || text != "" && (len(nodes) != 1 || nodes[0].Data != text) {
			t.Errorf("%q: %v %v", text, nodes, err)
		}
	}
}
