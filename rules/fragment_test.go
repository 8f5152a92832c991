package rules

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"golang.org/x/net/html"
)

// Fragments as teams write them.
var goodFragments = []string{
	`Just a word`,
	"<h2>Invite a teammate</h2>\r\n<p class=\"lead\">Two see <b>more</b> than <i>one</i>.<br>Really.<br/></p>\r\n",
	`<a class=button href=/invitations/new?a=1&copy=2>Invite</a> &amp; <a href="mailto:a@example.com">ask</a>`,
	`<a href="https://example.com/a:b" target="_blank" rel="noopener">a</a><img src="/a.png" srcset="/a.png 1x, /b.png 2x" alt="x > y">`,
	`<ul><li>a</li><li>b<ol><li>c</li></ol></li></ul><dl><div><dt>a</dt><dd>b</dd></div></dl>`,
	`<table><caption>c</caption><colgroup><col></colgroup><thead><tr><th>a</th></tr></thead><tbody><tr><td>b</td></tr></tbody></table>`,
	`<form action="/a" method="post"><label>Name <input name="n" required></label><select name="s"><optgroup label="g"><option value="1" selected>a</option></optgroup></select><textarea name="t">
 x</textarea><button>Go</button></form>`,
	`<svg viewBox="0 0 10 10" width="10"><defs><linearGradient id="g"><stop offset="0"/></linearGradient></defs><path d="M0 0L10 10" fill="url(#g)"/><use xlink:href="#a"/></svg>`,
	`<details open><summary>More</summary><pre>
  x
</pre></details><!-- reviewed by design --><my-card data-x='{"a": 1}'>y</my-card>`,
	`<picture><source srcset="/a.avif" type="image/avif"><img src="/a.jpg" alt=""></picture><video controls poster="/p.jpg"><source src="/a.mp4"><track src="/a.vtt"></video>`,
	`<a href=" https://example.com/ ">a</a>`,
	`<p style="color: red; margin: 0 auto">a</p><ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp></ruby>`,
	`<div aria-label="javascript is optional" data-note="data: x" title="5 < 6">a</div>`,
}

func TestGoodFragments(t *testing.T) {
	for _, src := range goodFragments {
		if ps := checkFragment("f", []byte(src), DefaultAttribute); len(ps) > 0 {
			t.Errorf("%s\n%v", src, ps)
		}
		if err := harmless([]byte(src)); err != nil {
			t.Errorf("%s\n%v", src, err)
		}
	}
}

// Every sanitiser has met these. What they try is told in the golden files of
// testdata/bad; here it counts that none of them passes.
func TestHostileFragments(t *testing.T) {
	for _, src := range []string{
		`<svg><script>a</script></svg>`, `<svg><style>*{}</style></svg>`, `<svg><a xlink:href="javascript:a()"><text>x</text></a></svg>`,
		`<svg><animate attributeName="href" to="javascript:a()"/></svg>`, `<svg><set attributeName="onload" to="a()"/></svg>`,
		`<math><mtext><table><mglyph><style><img src=x onerror=a()></style></mglyph></table></mtext></math>`,
		`<svg></p><style><a id="</style><img src=1 onerror=a()>">`, `<noscript><p title="</noscript><img src=x onerror=a()>"></noscript>`,
		`<form><math><mtext></form><form><mglyph><style></math><img src onerror=a()>`, `<xmp><p title="</xmp><img src=x onerror=a()>"></xmp>`,
		`<textarea><p title="</textarea><img src=x onerror=a()>"></p></textarea>`, `<select><template><style><!--</style><a rel="--></style></template></select>">`,
		`<img src=x onerror=a()>`, `<img/src=x/onerror=a()>`, `<img src="x" onerror="a()"`, "<img src=`x` onerror=a()>", `<a href="java&Tab;script:a()">x</a>`,
		`<a href="&#x6A&#x61&#x76&#x61&#x73&#x63&#x72&#x69&#x70&#x74&#x3A;a()">x</a>`, "<a href=\"\u00a0javascript:a()\">x</a>", "<a href=\"java\u00adscript:a()\">x</a>",
		`<a href="data:text/html,x">x</a>`, `<a href=data:,x>x</a>`, `<object data="data:text/html,x"></object>`, `<input type=image formaction=javascript:a()>`,
		`<p style="background:url(javascript:a())">x</p>`, `<p style="b\61 ckground:u\72l(x)">x</p>`, `<div style="behavior:url(x)">x</div>`,
		`</div><div>`, `</section>`, `x</div>`, `<div>`, `<p>a<p>b</p>`, `<b><p>x</b></p>`, `<a>x<a>y</a></a>`, `<tr><td>x</td></tr>`, `<li>x</li>`,
		`<body onload=a()>x</body>`, `<plaintext>`, `<!-- `, `<!--x--!><img src=x onerror=a()>-->`, `<!--x--->`, `<![CDATA[<img>]]>`, `<!x>`, `</ x>`, `<%x%>`,
		`<button>a<button>b</button></button>`, `<table><p>x</p></table>`, `<h1>a<h2>b</h2></h1>`, `<nobr>x</nobr>`, `<isindex>`, `<image src=x>`,
		`<iframe srcdoc="x"></iframe>`, `<p srcdoc="x">x</p>`, `<div data-surface=y>x</div>`, `<p/onclick=a()>x</p>`, `<p "onclick=a()>x</p>`,
		"<p>\x0bx</p>", `<p data-href="java&Tab;script:a()">x</p>`, "<p data-href=\"java\u00adscript:a()\">x</p>", `<base href=//x>`, `<meta http-equiv=refresh content=0>`, `<link rel=stylesheet href=x>`, `<template shadowrootmode=open><p>x</p></template>`, `<slot></slot>`,
		`<frameset><frame src=x></frameset>`, `<font-face>x`, `<annotation-xml>x</annotation-xml>`, `<a href="//x" ping="javascript:a() /b">x</a>`,
		`<p @click="a">x</p>`, `<p [x]="a">x</p>`, `<p onclick>x</p>`, `<p ONCLICK=a>x</p>`, strings.Repeat("<div>", 100) + strings.Repeat("</div>", 100),
	} {
		if ps := checkFragment("f", []byte(src), DefaultAttribute); len(ps) == 0 {
			t.Errorf("%s passes", src)
		}
	}
}

// The attribute that marks surfaces can be another one.
func TestFragmentAttribute(t *testing.T) {
	src := []byte(`<p data-region="a" data-surface="b">x</p>`)
	ps := checkFragment("f", src, "data-region")
	if len(ps) != 1 || ps[0].Column != 4 {
		t.Errorf("%v", ps)
	}
}

// FuzzFragment: whatever passes stays in its region and brings nothing that
// acts, in any place of a page where a region may be.
func FuzzFragment(f *testing.F) {
	for _, src := range goodFragments {
		f.Add([]byte(src))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		for _, src := range [][]byte{src, assembled(src)} {
			if notText(src) >= 0 || len(src) > 64<<10 || len(checkFragment("f", src, DefaultAttribute)) > 0 {
				continue
			}
			if err := harmless(src); err != nil {
				t.Errorf("%s\n%v", src, err)
			}
		}
	})
}

// assembled is a fragment whose tags are balanced, made from any bytes: each
// opens an element, closes the last one or is a text, so that a fuzzer gets
// past the check's grammar.
func assembled(b []byte) []byte {
	names := slices.Concat(htmlElements, svgElements, []string{"x-card", "math", "template"})
	var out, open []string
	for _, c := range b {
		switch c := int(c); {
		case c < len(names) && void(names[c]):
			out = append(out, "<"+names[c]+">")
		case c < len(names):
			out, open = append(out, "<"+names[c]+">"), append(open, names[c])
		case c < 200 && len(open) > 0:
			out, open = append(out, "</"+open[len(open)-1]+">"), open[:len(open)-1]
		case c < 220:
			out = append(out, "text")
		default:
			out = append(out, []string{" ", "\n", "<!-- c -->", "&lt;p&gt;", "&amp"}[c%5])
		}
	}
	for _, name := range slices.Backward(open) {
		out = append(out, "</"+name+">")
	}
	return []byte(strings.Join(out, ""))
}

// harmless looks at a fragment as a browser meets it, with nothing of the
// check's own code.
func harmless(src []byte) error {
	for _, around := range []string{
		"@", "<section>@</section>", "<ul><li>@</li></ul>", "<table><tbody><tr><td>@</td></tr></tbody></table>",
		"<dl><dd>@</dd></dl>", "<main><article>@</article></main>", "<details><summary>s</summary>@</details>", "<b><i>@</i></b>",
	} {
		page := func(content []byte) (*goquery.Document, error) {
			region := `<div data-surface="x">` + string(content) + `</div><p id="after">after</p>`
			return goquery.NewDocumentFromReader(strings.NewReader("<!DOCTYPE html><html><head></head><body>" + strings.Replace(around, "@", region, 1) + "</body></html>"))
		}
		empty, err := page(nil)
		if err != nil {
			return err
		}
		full, err := page(src)
		if err != nil {
			return err
		}
		region := full.Find(`[data-surface="x"]`)
		if region.Length() != 1 {
			return fmt.Errorf("in %s: there are %d regions", around, region.Length())
		}
		if err := inert(region); err != nil {
			return err
		}
		region.Empty()
		var a, b bytes.Buffer
		if err := html.Render(&a, empty.Nodes[0]); err != nil {
			return err
		}
		if err := html.Render(&b, full.Nodes[0]); err != nil {
			return err
		}
		if !bytes.Equal(a.Bytes(), b.Bytes()) {
			return fmt.Errorf("in %s: outside of the region is\n%s\nand was\n%s", around, &b, &a)
		}
	}
	return contained(src)
}

// contained looks at a fragment in a declarative shadow root: as the content of
// a template it must not get out of it.
func contained(src []byte) error {
	page := func(content []byte) (string, error) {
		doc, err := goquery.NewDocumentFromReader(strings.NewReader(`<!DOCTYPE html><body><div><template shadowrootmode="open">` + string(content) + `</template><b>app</b></div><p>after</p>`))
		if err != nil {
			return "", err
		}
		template := doc.Find("template")
		if template.Length() != 1 {
			return "", fmt.Errorf("there are %d templates", template.Length())
		}
		template.Empty()
		return doc.Html()
	}
	empty, err := page(nil)
	if err != nil {
		return err
	}
	full, err := page(src)
	if err != nil {
		return err
	}
	if full != empty {
		return fmt.Errorf("in a shadow root: outside of it is\n%s\nand was\n%s", full, empty)
	}
	return nil
}

// inert says what in a region could act by itself.
func inert(region *goquery.Selection) error {
	for _, name := range []string{"script", "style", "iframe", "frame", "object", "embed", "base", "meta", "link", "template", "applet", "title", "noscript", "math", "foreignObject", "animate", "set", "[data-surface]", "[srcdoc]"} {
		if region.Find(name).Length() > 0 {
			return fmt.Errorf("there is a %s", name)
		}
	}
	var found error
	region.Find("*").Each(func(_ int, s *goquery.Selection) {
		for _, a := range s.Nodes[0].Attr {
			if strings.HasPrefix(strings.ToLower(a.Key), "on") {
				found = fmt.Errorf("there is a handler %s", a.Key)
			}
			// As the URL standard reads it: white space and control characters
			// around are cut, tabs and newlines within are dropped.
			v := strings.Trim(a.Val, "\x00\x01\x02\x03\x04\x05\x06\x07\x08\t\n\x0b\x0c\r\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f ")
			v = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(v)
			scheme, _, _ := strings.Cut(v, ":")
			bad := []string{"javascript", "vbscript", "data"}
			linked := []string{"href", "src", "action", "formaction", "poster", "srcset", "cite", "data", "ping", "background"}
			if !slices.Contains(linked, a.Key) {
				bad = bad[:2]
			}
			if slices.Contains(bad, strings.ToLower(scheme)) {
				found = fmt.Errorf("%s is %q", a.Key, a.Val)
			}
			if u, err := url.Parse(v); err == nil && slices.Contains(bad, u.Scheme) {
				found = fmt.Errorf("%s is %q", a.Key, a.Val)
			}
		}
	})
	return found
}

func BenchmarkCheckFragment(b *testing.B) {
	src := []byte(strings.Repeat(goodFragments[1], 20))
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		checkFragment("f", src, DefaultAttribute)
	}
}

// Random trees of everything that has a name, well-formed as text: what HTML
// makes of them is another matter, and what passes must not reach its page.
func TestRandomFragments(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	names := slices.Concat(htmlElements, svgElements, slices.Sorted(maps.Keys(refused)), []string{"x-card", "nobr", "image", "select", "table", "tbody", "tr", "td", "a", "a", "p", "p", "div", "div", "b", "svg", "ul", "li"})
	var tree func(b *strings.Builder, depth int)
	tree = func(b *strings.Builder, depth int) {
		for range random.IntN(3) + 1 {
			name := names[random.IntN(len(names))]
			switch {
			case random.IntN(4) == 0:
				b.WriteString("text ")
			case void(name):
				b.WriteString("<" + name + ">")
			default:
				b.WriteString("<" + name + ">")
				if depth > 0 {
					tree(b, depth-1)
				}
				b.WriteString("</" + name + ">")
			}
		}
	}
	passed := 0
	for range 5_000 {
		var b strings.Builder
		tree(&b, random.IntN(4))
		src := []byte(b.String())
		if len(checkFragment("f", src, DefaultAttribute)) > 0 {
			continue
		}
		passed++
		if err := harmless(src); err != nil {
			t.Fatalf("%s\n%v", src, err)
		}
	}
	if passed < 1000 {
		t.Errorf("only %d fragments pass: the test proves little", passed)
	}
	t.Log(passed, "pass")
}
