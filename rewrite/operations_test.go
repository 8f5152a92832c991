package rewrite_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/seed14307185/refract/rewrite"
)

// supported are the operations that the engine has. Every test with random
// pages and every fuzz target goes through them.
var supported = []rewrite.Operation{
	rewrite.Inner, rewrite.Outer, rewrite.Before, rewrite.After, rewrite.Prepend, rewrite.Append, rewrite.Text, rewrite.Remove,
	rewrite.Attr, rewrite.Shadow, rewrite.Auto,
}

// fragments are new contents that are closed in themselves, for most places.
var fragments = []string{
	"",
	"new",
	"<p>new <b>and</b> <a href=#>more</a>",
	"<h2>new</h2><ul><li>one<li>two</ul><img src=x>",
	"<form><label><input></label><button>go</button></form>",
	"<table><tr><td>1<td>2</table>",
	"<svg viewBox='0 0 1 1'><title>x</title><path d='M0'/></svg><select><option>1<option>2</select>",
	"<style>a > b {}</style><li>new</li>",
}

// surfaceFor is a surface that an operation changes to, or by, the content.
func surfaceFor(operation rewrite.Operation, name, content string) rewrite.Surface {
	s := rewrite.Surface{Name: name, Operation: operation, Replace: true}
	switch operation {
	case rewrite.Remove:
	case rewrite.Attr:
		s.Attributes = []rewrite.Attribute{{Name: "title", Value: content}, {Name: "Class", Value: "new"}, {Name: "id", Remove: true}}
	default:
		s.HTML = []byte(content)
	}
	return s
}

// planFor is a plan to replace the inner content of each name.
func planFor(content string, names ...string) rewrite.Plan {
	return planOf(rewrite.Inner, content, names...)
}

func planOf(operation rewrite.Operation, content string, names ...string) rewrite.Plan {
	var plan rewrite.Plan
	for _, name := range names {
		plan.Surfaces = append(plan.Surfaces, surfaceFor(operation, name, content))
	}
	return plan
}

// mixedPlan does something else with each name.
func mixedPlan(rnd *rand.Rand, names ...string) rewrite.Plan {
	var plan rewrite.Plan
	for _, name := range names {
		operation := supported[rnd.IntN(len(supported))]
		s := surfaceFor(operation, name, fragments[rnd.IntN(len(fragments))])
		s.Slot = operation == rewrite.Shadow && rnd.IntN(3) == 0
		plan.Surfaces = append(plan.Surfaces, s)
	}
	return plan
}

// Each page has one region, x0, and "new", or what the row says, as content.
// Without a page of what is wanted the oracle alone decides.
var operations = []struct {
	operation  rewrite.Operation
	page, want string
	content    string
	attributes []rewrite.Attribute
}{
	{operation: rewrite.Inner, page: "<body>a.<p data-surface=x0>old</p>-b", want: "<body>a.<p data-surface=x0>new</p>-b"},
	{operation: "", page: "<body>a.<p data-surface=x0>old</p>-b", want: "<body>a.<p data-surface=x0>new</p>-b"},
	{operation: rewrite.Inner, page: "<body><p data-surface=x0></p>", want: "<body><p data-surface=x0>new</p>"},
	{operation: rewrite.Inner, page: "<body><p data-surface=x0>old</p\n>b", want: "<body><p data-surface=x0>new</p\n>b"},
	{operation: rewrite.Inner, page: "<body><p data-surface=x0>old</p><p data-surface=x0>old</p>", want: "<body><p data-surface=x0>new</p><p data-surface=x0>old</p>"},

	{operation: rewrite.Outer, page: "<body>a.<p data-surface=x0>old</p>-b", want: "<body>a.new-b"},
	{operation: rewrite.Outer, page: "<body>a.<P data-surface=x0 id=p>old</P >-b", want: "<body>a.new-b"},
	{operation: rewrite.Outer, page: "<body><ul><li>1</li><li data-surface=x0>old</li><li>3</li></ul>", content: "<li>a</li><li>b</li>", want: "<body><ul><li>1</li><li>a</li><li>b</li><li>3</li></ul>"},
	{operation: rewrite.Outer, page: "<body><div>a<div data-surface=x0><div>old</div></div>b</div>", content: "<p>new</p>", want: "<body><div>a<p>new</p>b</div>"},

	{operation: rewrite.Before, page: "<body>a.<p data-surface=x0>old</p>-b", want: "<body>a.new<p data-surface=x0>old</p>-b"},
	{operation: rewrite.Before, page: "<body><ul><li data-surface=x0>old</li></ul>", content: "<li>new</li>", want: "<body><ul><li>new</li><li data-surface=x0>old</li></ul>"},
	{operation: rewrite.After, page: "<body>a.<p data-surface=x0>old</p>-b", want: "<body>a.<p data-surface=x0>old</p>new-b"},
	{operation: rewrite.After, page: "<body><div>a<div data-surface=x0><div>old</div></div></div>b", content: "<hr>", want: "<body><div>a<div data-surface=x0><div>old</div></div><hr></div>b"},

	{operation: rewrite.Prepend, page: "<body>a.<p data-surface=x0>old</p>-b", want: "<body>a.<p data-surface=x0>newold</p>-b"},
	{operation: rewrite.Prepend, page: "<body><ul data-surface=x0><li>old</li></ul>", content: "<li>new</li>", want: "<body><ul data-surface=x0><li>new</li><li>old</li></ul>"},
	{operation: rewrite.Append, page: "<body>a.<p data-surface=x0>old.</p>-b", want: "<body>a.<p data-surface=x0>old.new</p>-b"},
	{operation: rewrite.Append, page: "<body><ul data-surface=x0><li>old</li></ul>", content: "<li>new</li>", want: "<body><ul data-surface=x0><li>old</li><li>new</li></ul>"},

	{operation: rewrite.Text, page: "<body>a.<p data-surface=x0>o<b>l</b>d</p>-b", content: "1 < 2 & 3", want: "<body>a.<p data-surface=x0>1 &lt; 2 &amp; 3</p>-b"},
	{operation: rewrite.Text, page: "<body>a.<p data-surface=x0>old</p>-b", content: "</p><script>x</script>"},
	{operation: rewrite.Text, page: "<body>a.<p data-surface=x0>old</p>-b", content: "&amp; &lt; &am \"'`"},
	{operation: rewrite.Text, page: "<body>a.<p data-surface=x0>old</p>-b", content: "\u00a0 é € \U0001f600"},
	{operation: rewrite.Text, page: "<body>a<h1 data-surface=x0>old</h1>-b", content: "\n two\nlines\n"},
	{operation: rewrite.Text, page: "<body>a<h1 data-surface=x0>old</h1>-b", content: "<!-- x"},

	{operation: rewrite.Attr, page: "<body>a.<p data-surface=x0 title=old>old</p>-b", attributes: []rewrite.Attribute{{Name: "title", Value: "new"}}},
	{operation: rewrite.Attr, page: "<body>a.<p data-surface=x0>old</p>-b", attributes: []rewrite.Attribute{{Name: "title", Value: ""}}},
	{operation: rewrite.Attr, page: "<body>a.<p data-surface=x0 title='>'>old</p>-b", attributes: []rewrite.Attribute{{Name: "TITLE", Value: `a"b'c<d>&amp;` + "`"}}},
	{operation: rewrite.Attr, page: "<body>a.<p title=1 data-surface=x0 TITLE=2 title=3>old</p>-b", attributes: []rewrite.Attribute{{Name: "title", Remove: true}}},
	{operation: rewrite.Attr, page: "<body>a.<p title=1 data-surface=x0 TITLE=2 title=3>old</p>-b", attributes: []rewrite.Attribute{{Name: "title", Value: "new"}}},
	{operation: rewrite.Attr, page: "<body>a.<p id data-surface='x0'/ class = 'a' class=b/>old</p>-b", attributes: []rewrite.Attribute{{Name: "class", Remove: true}}},
	{operation: rewrite.Attr, page: "<body>a.<p id class = 'a'data-surface=x0>old</p>-b", attributes: []rewrite.Attribute{{Name: "class", Remove: true}, {Name: "id", Value: "new"}}},
	{operation: rewrite.Attr, page: "<body>a.<p id/data-surface=x0 />old</p>-b", attributes: []rewrite.Attribute{{Name: "id", Value: "new"}}},
	{operation: rewrite.Attr, page: "<body>a.<p data-surface='x0'/class=a/>old</p>-b", attributes: []rewrite.Attribute{{Name: "hidden"}}},
	{operation: rewrite.Attr, page: "<body>a.<p =id data-surface=x0 <id a=>old</p>-b", attributes: []rewrite.Attribute{{Name: "id", Value: "new"}, {Name: "a", Remove: true}}},
	{operation: rewrite.Attr, page: "<body>a.<p data-surface=x0 a=1 b=2 c=3>old</p>-b", attributes: []rewrite.Attribute{{Name: "a", Remove: true}, {Name: "b", Remove: true}, {Name: "c", Remove: true}, {Name: "none", Remove: true}}},
	{operation: rewrite.Attr, page: "<body>a.<p data-surface=x0>old</p>-b", attributes: []rewrite.Attribute{{Name: "data-x", Value: "é €\n\t"}}},
	{operation: rewrite.Attr, page: "<body>a<b><div data-surface=x0>old</div></b>b", attributes: []rewrite.Attribute{{Name: "title", Value: "new"}}},

	{operation: rewrite.Remove, page: "<body>a.<p data-surface=x0>old</p>-b", want: "<body>a.-b"},
	{operation: rewrite.Remove, page: "<body><ul><li>1</li><li data-surface=x0>old</li></ul>", want: "<body><ul><li>1</li></ul>"},

	{operation: rewrite.Shadow, page: "<body>a.<p data-surface=x0>old</p>-b"},
	{operation: rewrite.Shadow, page: "<body>a<section data-surface=x0 class='hero wide'><h1>old</h1><p>old</p></section>b", content: "<h1>new</h1><p>new</p>"},
	{operation: rewrite.Shadow, page: "<!doctype html><head><link rel=stylesheet href=/a.css><link rel=stylesheet href='/b.css?x&amp;y'></head><body><div data-surface=x0>old</div>", content: "<style>p { color: red }</style><p>new</p>"},
	{operation: rewrite.Auto, page: "<body>a.<p data-surface=x0>old</p>-b"},
	{operation: rewrite.Auto, page: "<body>a.<p data-surface=x0>old</p>b<script id=__NEXT_DATA__ type=application/json>{}</script>"},
	{operation: rewrite.Auto, page: "<body><script>self.__next_f=[]</script>a<p data-surface=x0>old</p>-b"},
}

func TestOperations(t *testing.T) {
	for _, c := range operations {
		if c.operation != "" && !slices.Contains(supported, c.operation) {
			continue
		}
		if c.content == "" {
			c.content = "new"
		}
		plan := planOf(c.operation, c.content, "x0")
		if c.attributes != nil {
			plan.Surfaces[0].Attributes = c.attributes
		}
		saw, err := check(c.page, plan)
		if err != nil {
			t.Errorf("%s: %v", c.operation, err)
			continue
		}
		if saw[0].State != rewrite.Swappable {
			t.Errorf("%s: %q is %s %s", c.operation, c.page, saw[0].State, saw[0].Reason)
		}
		if got, _ := rewriteOnce(t, strings.NewReader(c.page), inUTF8, plan); c.want != "" && got != c.want {
			t.Errorf("%s\npage %q\nwant %q\ngot  %q", c.operation, c.page, c.want, got)
		}
	}
}

// Changes that reach beyond their element, in the oracle's eyes: if one is made
// at all, it must come out as in the tree.
var delicate = []struct{ page, content string }{
	{"<div data-surface=x0>old</div>", " "},
	{"<div data-surface=x0>old</div><link>", ""},
	{"<div data-surface=x0>old</div><meta><title>a</title>", "<link>"},
	{"<div data-surface=x0>old</div><frameset>", "<!-- -->"},
	{"<html><div data-surface=x0>old</div><body class=a>", "<style></style>"},
	{"<head><title>a</title></head> <div data-surface=x0>old</div>", "<script></script>"},
	{"<head></head><div data-surface=x0>old</div> tail", "<template></template>"},
	{"<body> <div data-surface=x0>old</div></body> tail", " "},
	{"<body></body><div data-surface=x0>old</div>", "<p>new"},
	{"<body></html><div data-surface=x0>old</div>", "<!-- new -->"},
	{"<body><p>a<div data-surface=x0>old</div>b</p>", "new"},
	{"<body><p>a<div data-surface=x0>old</div>b", "<i>new</i>"},
	{"<body><p>a<p data-surface=x0>old</p>b", "<span>new</span>"},
	{"<body><ul><li>a<li data-surface=x0>old</li>b</ul>", "new"},
	{"<body><ul><li>a<li data-surface=x0>old<li>b</ul>", "<li>new"},
	{"<body><ul><li data-surface=x0>old</ul>", "<li>new</li>"},
	{"<body><dl><dt>a<dd data-surface=x0>old</dd><dt>b</dl>", "<dt>new"},
	{"<body><h1>a<h2 data-surface=x0>old</h2>b</h1>", "new"},
	{"<body><p><b>a</p><div data-surface=x0>old</div>b</b>", "new"},
	{"<body><b><div data-surface=x0>old</div></b>", "</b>"},
	{"<body><a href=1>a<div data-surface=x0>old</div>b</a>", "<a href=2>new</a>"},
	{"<body><a>1<a data-surface=x0>old</a>2</a>", "new"},
	{"<body><b data-surface=x0>old<p>a</b>b", "new"},
	{"<body><p><i data-surface=x0>old</p><p>a</i>b", "new"},
	{"<body><b><b><b><b data-surface=x0>old</b></b></b></b>", "new"},
	{"<body><form><div data-surface=x0>old</div></form>", "<form>new</form>"},
	{"<body><form data-surface=x0>old</form>b", "<form>new</form>"},
	{"<body><form data-surface=x0><div></form></div>b", "new"},
	{"<body><button>a<div data-surface=x0>old</div></button>", "<button>new</button>"},
	{"<body><button data-surface=x0>old</button>b", "<p>new"},
	{"<body><nobr>a<div data-surface=x0>old</div></nobr>", "<nobr>new</nobr>"},
	{"<body><table><tr><td data-surface=x0>old</td></tr></table>", "new"},
	{"<body><table><tr data-surface=x0><td>old</td></tr></table>", "<td>new</td>"},
	{"<body><table><tr data-surface=x0><td>old</td></tr></table>", "<tr><td>new</td></tr>"},
	{"<body><table><tr><td>a</td></tr><tbody data-surface=x0></tbody></table>", "<tr><td>new"},
	{"<body><table data-surface=x0><tr><td>old</td></tr></table>", "<caption>new</caption>"},
	{"<body><table><caption data-surface=x0>old</caption><td>a</table>", "<p>new</p>"},
	{"<body><table><div data-surface=x0>old</div><tr><td>a</table>", "new"},
	{"<body><p><table data-surface=x0><tr><td>old</table>b", "<table></table>"},
	{"<body><select data-surface=x0><option>old</select>", "<option>new"},
	{"<body><select><option data-surface=x0>old</option></select>", "<option>new</option>"},
	{"<body><pre data-surface=x0>old</pre>", "\nnew"},
	{"<body><pre data-surface=x0>\nold</pre>", "new"},
	{"<body><pre><div data-surface=x0>old</div></pre>", "\nnew"},
	{"<body><pre>\n<div data-surface=x0>old</div></pre>", "\n"},
	{"<body><textarea data-surface=x0>\nold</textarea>", "new"},
	{"<body><title data-surface=x0>old</title>", "</title>"},
	{"<body><style data-surface=x0>old</style>", "a > b {}"},
	{"<body><script data-surface=x0>old</script>", "<!-- <script>"},
	{"<body><iframe data-surface=x0>old</iframe>", "</iframe>"},
	{"<body><img data-surface=x0>b", "new"},
	{"<body><img data-surface=x0 />b", "<br>"},
	{"<body><input type=hidden data-surface=x0>b", "new"},
	{"<body><span data-surface=x0>old</span>b", "<p>new</p>"},
	{"<body><x-card data-surface=x0>old</x-card>b", "<p>new</p>"},
	{"<body><object data-surface=x0><b>old</object>b", "</b>"},
	{"<body><ruby>a<rt data-surface=x0>old</rt></ruby>", "<rt>new"},
	{"<body><svg data-surface=x0><g/></svg>b", "<p>new</p>"},
	{"<body><svg><g data-surface=x0></g></svg>b", "<path/>"},
	{"<body><svg><title data-surface=x0>old</title></svg>b", "<p>new</p>"},
	{"<body><svg><foreignObject><div data-surface=x0>old</div></foreignObject></svg>b", "</svg>"},
	{"<body><template data-surface=x0>old</template>b", "new"},
	{"<body><noscript><p data-surface=x0>old</p></noscript>b", "new"},
	{"<body data-surface=x0>old</body>b", "new"},
	{"<html data-surface=x0>old</html>b", "new"},
	{"<head data-surface=x0><title>old</title></head>b", "<link>"},
	{"<body><div data-surface=x0><template shadowrootmode=open></template>old</div>", "new"},
	{"<body><div data-surface=x0></div>", "</template>"},
	{"<body><div data-surface=x0></div>", "<slot></slot><template>a</template>"},
	{"<body><div data-surface=x0>old</div>", "<!--"},
	{"<body><div data-surface=x0>old</div>b-->", "<!--"},
	{"<body><div data-surface=x0>old</div>b", "\x00\r\n\r"},
	{"<body><div data-surface=x0>old</div>&lt;", "&"},
	{"<body><div data-surface=x0>old</div>lt;", "&"},
	{"<body>&am<div data-surface=x0>old</div>p;", "p;"},
	{"<body>&am<div data-surface=x0>old</div>p;", ""},
	{"<body><<div data-surface=x0>old</div>p>", ""},
	{"<body><<div data-surface=x0>old</div>/p>", "b"},
	{"<body>\r<div data-surface=x0>old</div>\n", ""},
	{"<body><div data-surface=x0>old</div>\n", "\r"},
	{"<body><div data-surface=x0>old</div>p>", "<"},
	{"<body><div data-surface=x0>\nold</div>", "\r"},
	{"<body><div data-surface=x0>&lt;</div>", "&am"},
	{"<body><div data-surface=x0>amp;</div>", "&"},
}

func TestDelicateChanges(t *testing.T) {
	made := map[rewrite.Operation]int{}
	for _, operation := range supported {
		for _, c := range delicate {
			plan := planOf(operation, c.content, "x0")
			if _, err := rewrite.Compile(plan); err != nil {
				continue
			}
			saw, err := check(c.page, plan)
			if err != nil {
				t.Errorf("%s %q: %v", operation, c.content, err)
				continue
			}
			if saw[0].State == rewrite.Swappable {
				made[operation]++
			}
		}
	}
	t.Logf("of %d each: %v", len(delicate), made)
}

func TestCompileRefuses(t *testing.T) {
	surface := func(change func(*rewrite.Surface)) rewrite.Plan {
		plan := planFor("new", "x0")
		change(&plan.Surfaces[0])
		return plan
	}
	for name, plan := range map[string]rewrite.Plan{
		"a name twice":                           planFor("new", "x0", "x1", "x0"),
		"an unknown operation":                   surface(func(s *rewrite.Surface) { s.Operation = "explode" }),
		"no selector":                            surface(func(s *rewrite.Surface) { s.Select = "p >" }),
		"a selector that needs what comes later": surface(func(s *rewrite.Surface) { s.Select = "p:last-child" }),
	} {
		if _, err := rewrite.Compile(plan); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// What could run a script or leave its shadow root is refused, early or late.
func TestEscapes(t *testing.T) {
	for _, s := range []rewrite.Surface{
		{Operation: rewrite.Attr, Attributes: []rewrite.Attribute{{Name: "href", Value: "javascript:alert(1)"}}},
		{Operation: rewrite.Attr, Attributes: []rewrite.Attribute{{Name: "HREF", Value: " java\nscript:alert(1)"}}},
		{Operation: rewrite.Attr, Attributes: []rewrite.Attribute{{Name: "a b", Value: ""}}},
		{Operation: rewrite.Attr, Attributes: []rewrite.Attribute{{Name: "a>", Value: ""}}},
		{Operation: rewrite.Attr, Attributes: []rewrite.Attribute{{Name: "a=b", Value: ""}}},
		{Operation: rewrite.Attr, Attributes: []rewrite.Attribute{{Name: "a/", Value: ""}}},
		{Operation: rewrite.Attr, Attributes: []rewrite.Attribute{{Name: "", Value: "a"}}},
		{Operation: rewrite.Shadow, HTML: []byte("a</template>b")},
		{Operation: rewrite.Shadow, HTML: []byte("<template>")},
		{Operation: rewrite.Shadow, HTML: []byte("<style>")},
		{Operation: rewrite.Shadow, HTML: []byte("<!--")},
		{Operation: rewrite.Shadow, HTML: []byte("<plaintext>")},
	} {
		if !slices.Contains(supported, s.Operation) {
			continue
		}
		s.Name, s.Replace = "x0", true
		plan := rewrite.Plan{Surfaces: []rewrite.Surface{s}}
		if _, err := rewrite.Compile(plan); err != nil {
			continue
		}
		if _, saw := rewriteOnce(t, strings.NewReader("<!doctype html><body><div data-surface=x0>old</div>"), inUTF8, plan); saw[0].State == rewrite.Swappable {
			t.Errorf("%+v was done", s)
		}
	}
}
