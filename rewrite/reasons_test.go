package rewrite_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/seed14307185/refract/rewrite"
)

// Each page has one region, x0, and "new" as its new content.
var pages = []struct {
	page string
	want outcome
}{
	// Plain ones, and optional end tags.
	{"<body><div data-surface=x0>old</div>", swapped},
	{"<body><DIV DATA-SURFACE='x0'>old</Div >", swapped},
	{"<body><div data-surface=&#120;0>old</div>", swapped},
	{"<body><div data-surface=x0 data-surface=other>old</div>", swapped},
	{"<body><div data-surface=other data-surface=x0>old</div>", missing},
	{"<body><div data-surface=X0>old</div>", missing},
	{"<body><div data-surface='x0 '>old</div>", missing},
	{"<body><div/data-surface='x0'/>old</div>", swapped},
	{"<div data-surface=x0>a fragment, not a page</div>", swapped},
	{"<body><div data-surface=x0><p>a<p>b<ul><li>c<li>d</ul><dl><dt>e<dd>f</dl></div>", swapped},
	{"<body><div data-surface=x0><table><tr><td>a<td>b<tr><td>c</table></div>", swapped},
	{"<body><div data-surface=x0><select><option>a<option>b</select><br><img src=x><input></div>", swapped},
	{"<body><div data-surface=x0><ruby>a<rp>(<rt>b<rp>)</ruby></div>", swapped},
	{"<body><div data-surface=x0><svg><title>a<!----></title><path d='x'/></svg><math><mi>x</mi></math></div>", swapped},
	{"<body><div data-surface=x0><div><div></div></div></div>", swapped},
	{"<body><div data-surface=x0><x-card><slot></slot></x-card></div>", swapped},
	{"<body><div data-surface=x0><a href=1>a</a><b><i>c</i></b></div>", swapped},
	{"<body><div data-surface=x0><form><button>a</button></form></div>", swapped},
	{"<body><div data-surface=x0><template><li>a</template></div>", swapped},
	{"<body><ul><li data-surface=x0>old</li><li></ul>", swapped},
	{"<body><h1 data-surface=x0>old</h1>", swapped},
	{"<body><p data-surface=x0>old</p>", swapped},
	{"<body><table><tr><td><div data-surface=x0>old</div></table>", swapped},
	{"<body><a href=1><div data-surface=x0>old</div></a>", swapped},
	{"<body><p>open<div data-surface=x0>old</div>", swapped},
	{"<body></span></div></td></p><div data-surface=x0>old</div>", swapped},
	{"<body><i><b></i></b><div><b></div>text</b><div data-surface=x0>old</div>", swapped},
	{"<body></body></html><div data-surface=x0>old</div>", swapped},

	// Text modes: what looks like a region there is none, what looks like an end there is none.
	{"<!-- <div data-surface=x0>old</div> -->", missing},
	{"<!-- > <div data-surface=x0>old</div> --!>", missing},
	{"<!--><body><div data-surface=x0>old</div> -->", swapped},
	{"<? <div data-surface=x0>old</div>", missing},
	{"<title><div data-surface=x0>old</div></title>", missing},
	{"<textarea><div data-surface=x0>old</div></textarea>", missing},
	{"<style><div data-surface=x0>old</div></style>", missing},
	{"<script><div data-surface=x0>old</div></script>", missing},
	{"<script><!-- <div data-surface=x0>old</div></script>", missing},
	{"<xmp><div data-surface=x0>old</div></xmp>", missing},
	{"<iframe><div data-surface=x0>old</div></iframe>", missing},
	{"<noembed><div data-surface=x0>old</div></noembed>", missing},
	{"<noframes><div data-surface=x0>old</div></noframes>", missing},
	{"<noscript><div data-surface=x0>old</div></noscript>", missing},
	{"<template><div data-surface=x0>old</div></template>", missing},
	{"<template><template></template><div data-surface=x0>old</div></template>", missing},
	{"<![CDATA[ <div data-surface=x0>old</div> ]]>", missing},
	{"<![CDATA[ > <div data-surface=x0>old</div> ]]>", swapped},
	{"<a title='<div data-surface=x0>old</div>'>", missing},
	{"<body><div data-surface=x0><!-- </div> --><title></div></title></div>", swapped},
	{"<body><div data-surface=x0><script>'</div>'</script><style></div></style></div>", swapped},
	{"<body><div data-surface=x0><textarea></div></textarea><xmp></div></xmp></div>", swapped},
	{"<body><div data-surface=x0><iframe></div></iframe><a title='</div>'></a></div>", swapped},
	{"<body><div data-surface=x0><noembed></div></noembed><noframes></div></noframes></div>", swapped},

	// Regions that the parser ends elsewhere, or perhaps.
	{"<body><div data-surface=x0>old", "unclosed"},
	{"<body><div data-surface=x0>old</div", "unclosed"},
	{"<body><div data-surface=x0>old</body></html>", "unclosed or ambiguous"},
	{"<body><section><div data-surface=x0>old</section>", "unclosed"},
	{"<body><p data-surface=x0>old<div></div></p>", "swapped or unclosed"},
	{"<body><dl><dt data-surface=x0>old<dt></dt></dl>", "swapped or unclosed"},
	{"<body><ul><li data-surface=x0>old<li></li></ul>", "swapped or unclosed"},
	{"<body><h1 data-surface=x0>old</h2>", "unclosed"},
	{"<body><h1 data-surface=x0>old<h2></h1>", "unclosed"},
	{"<body><table><tr><td><div data-surface=x0>old<td></div></table>", "unclosed"},
	{"<body><div data-surface=x0>old</span></div>", "swapped or ambiguous"},
	{"<body><div data-surface=x0><span>old</div>", "swapped or ambiguous"},
	{"<body><div data-surface=x0><b>old</div>", "swapped or ambiguous"},
	{"<body><div data-surface=x0><b><i>old</b></i></div>", "swapped or ambiguous"},
	{"<body><div data-surface=x0></p>old</div>", "swapped or ambiguous"},
	{"<body><div data-surface=x0><h1>old</h2></div>", "swapped or ambiguous"},
	{"<body><div data-surface=x0><a>old<a></a></div>", "swapped or ambiguous"},
	{"<body><a><div data-surface=x0><a>old</a></div>", "misnested"},
	{"<body><nobr><div data-surface=x0><nobr>old</nobr></div>", "misnested"},
	{"<body><button><div data-surface=x0><button>old</button></div>", "unclosed"},
	{"<body><form><div data-surface=x0><form>old</form></div>", "misnested or ambiguous"},
	{"<body><form><div data-surface=x0>old</form></div>", "misnested or unclosed"},
	{"<body><div data-surface=x0><form>old</div>", "swapped or ambiguous"},
	{"<body><div data-surface=x0><html a=b>old</div>", "ambiguous"},
	{"<body><div data-surface=x0><body a=b>old</div>", "ambiguous"},
	{"<body><div data-surface=x0><head>old</div>", "swapped or ambiguous"},
	{"<body><div data-surface=x0><frameset>old</div>", "swapped or ambiguous"},
	{"<body><div data-surface=x0><meta charset=x>old</div>", "swapped or ambiguous"},
	{"<body><div data-surface=x0><base href=x>old</div>", "swapped or ambiguous"},
	{"<body><div data-surface=x0><tr>old</div>", "swapped or ambiguous"},
	{"<body><div data-surface=x0></br>old</div>", "swapped or ambiguous"},
	{"<body><div data-surface=x0><table>old</table></div>", "swapped or ambiguous"},
	{"<body><p><b>open</p><div data-surface=x0>old</div>", "ambiguous"},
	{"<body><p><b>open</p><div data-surface=x0></div>", "ambiguous"},
	{"<p>mode unknown<table><tr><td><div data-surface=x0>old</div></table>", "swapped or ambiguous"},
	{"<!doctype html><p>mode known<table><tr><td><div data-surface=x0>old</div></table>", swapped},
	{"<!doctype html public ''><p>mode unknown<table><tr><td><div data-surface=x0>old</div></table>", "swapped or ambiguous"},
	{"<link><!doctype html><p>too late<table><tr><td><div data-surface=x0>old</div></table>", "swapped or ambiguous"},
	{"<p>recent<search><div data-surface=x0>old</div></search>", "ambiguous"},
	{"<body><div><b><div></b></div></div><div data-surface=x0>old</div>", "swapped or misnested"},
	{"<body><b><b><b><b></b></b></b></b><div data-surface=x0>old</div>", "swapped or misnested"},
	{"<body><div data-surface=x0><div><template shadowrootmode=open></template>old</div></div>", "swapped or shadow-root"},
	{"<body><span data-surface=x0>old</span>", "swapped or not-a-block"},
	{"<body><template data-surface=x0>old</template>", "template or not-a-block"},
	{"<body><pre data-surface=x0>old</pre>", "swapped or not-a-block"},
	{"<body><form data-surface=x0>old</form>", "swapped or not-a-block"},
	{"<body><table><tr><td data-surface=x0>old</td></table>", "swapped or not-a-block"},

	// What can't be followed, before the region or in it.
	{"<body><table><div data-surface=x0>old</div></table>", "table"},
	{"<body><div data-surface=x0><table><b>old</b></table></div>", "swapped or table"},
	{"<body><table><tr><form></form></table><div data-surface=x0>old</div>", "swapped or table"},
	{"<body><select><option data-surface=x0>old</option></select>", "select"},
	{"<body><select><div data-surface=x0>old</div></select>", "select"},
	{"<body><select><style></select><div data-surface=x0>old</div>", "select"},
	{"<body><div data-surface=x0><select><b></select>old</div>", "select"},
	{"<body><svg data-surface=x0></svg>", "foreign or not-a-block"},
	{"<body><svg><g data-surface=x0></g></svg>", "foreign"},
	{"<body><svg><div data-surface=x0>old</div></svg>", "swapped or foreign"},
	{"<body><svg><foreignObject><div data-surface=x0>old</div></foreignObject></svg>", "swapped or foreign"},
	{"<body><svg><style><a title='</style>'></style></svg><div data-surface=x0>old</div>", "swapped or foreign"},
	{"<body><svg><title><b></title></svg><div data-surface=x0>old</div>", "swapped or foreign"},
	{"<body><svg><![CDATA[ > </svg> ]]></svg><div data-surface=x0>old</div>", "swapped or foreign"},
	{"<body><svg><g a=1 a=/></svg><div data-surface=x0>old</div>", "swapped or foreign"},
	{"<body><svg><g a=1 a=''/></svg><div data-surface=x0>old</div>", swapped},
	{"<body><div data-surface=x0><svg><a></div></a></svg></div>tail", "swapped or foreign or ambiguous or unclosed"},
	{"<body><math><annotation-xml><svg></svg></annotation-xml></math><div data-surface=x0>old</div>", "swapped or foreign"},
	{"<template><select><title></select></template><div data-surface=x0>old</div>", "select or template"},
	{"<template><object></template><div data-surface=x0>old</div>", "swapped or template"},
	{"<template><td></template><div data-surface=x0>old</div>", "swapped or template"},
	{"<template><div></template><div data-surface=x0>old</div>", "swapped or template"},
	{"<template></b></template><div data-surface=x0>old</div>", "swapped or template"},
	{"<template><tr><td>a</td></tr></template><div data-surface=x0>old</div>", swapped},
	{"<script><!-- <script </script> --></script><body><div data-surface=x0>old</div>", "swapped"},
	{"<script><!-- <1 <script> </script><div data-surface=x0>old</div> --></script>", "missing"},
	{"<noscript><div></noscript><div data-surface=x0>old</div>", "noscript"},
	{"<noscript></div></noscript><div data-surface=x0>old</div>", "swapped or noscript"},
	{"<noscript><!--</noscript>--><div data-surface=x0>old</div>", "noscript"},
	{"<p><noscript><div></div></noscript><div data-surface=x0>old</div>", "noscript"},
	{"<x\x00></x\ufffd><div data-surface=x0>old</div>", swapped},
	{"<body><x\xff></x\xfe><div data-surface=x0>old</div>", "ambiguous"},
	{"<frameset><div data-surface=x0>old</div>", "frameset"},
	{"<div data-surface=x0></div><frameset>", "frameset"},
	{"<body><frameset><div data-surface=x0>old</div>", swapped},
	{"<plaintext><div data-surface=x0>old</div>", "plaintext"},
	{"<body><div data-surface=x0><plaintext>old</div>", "plaintext"},
	{strings.Repeat("<div>", 301) + "<div data-surface=x0>old</div>", "too-deep"},
	{strings.Repeat("<div>", 299) + "<div data-surface=x0>old</div>", "swapped or too-deep"},
	{strings.Repeat("<div>", 199) + "<div data-surface=x0>old</div>", swapped},
}

// Pages and plans that come to reasons that no page of the table above has.
var otherReasons = []struct {
	page, contentType string
	operation         rewrite.Operation
	content           string
	maxRegion         int
	reason            rewrite.Reason
}{
	{page: "<body><div data-surface=x0>old</div>", contentType: "text/html; charset=utf-16", content: "new", reason: rewrite.Charset},
	{page: "<meta charset=iso-2022-jp><body><div data-surface=x0>old</div>", content: "new", reason: rewrite.Charset},
	{page: "<body><div data-surface=x0>old</div>", contentType: inUTF8, content: "</div>", reason: rewrite.Fragment},
	{page: "<body><div data-surface=x0>" + strings.Repeat("x", 41) + "</div>", contentType: inUTF8, content: "new", maxRegion: 40, reason: rewrite.TooLarge},
	{page: "<body><div data-surface=x1><p data-surface=x0>old</p></div>", contentType: inUTF8, content: "new", reason: rewrite.Nested},
	{page: "<body><ul><li data-surface=x0>old</li></ul>", contentType: inUTF8, operation: rewrite.Shadow, content: "new", reason: rewrite.Host},
	{page: "<body><a data-surface=x0>old</a>", contentType: inUTF8, operation: rewrite.Shadow, content: "new", reason: rewrite.Host},
	{page: "<body><div data-surface=x0><template shadowrootmode=open>old</template></div>", contentType: inUTF8, operation: rewrite.Shadow, content: "new", reason: rewrite.ShadowRoot},
	{page: "<body><div data-surface=x0>" + strings.Repeat("x", 40) + "</div>", contentType: inUTF8, content: "new", maxRegion: 40},
}

// Each reason that there is can come about.
func TestReasons(t *testing.T) {
	met := map[rewrite.Reason]bool{rewrite.Internal: true} // see TestFaultLosesNothing
	for _, c := range pages {                              // held by TestPages
		for reason := range strings.SplitSeq(string(c.want), " or ") {
			met[rewrite.Reason(reason)] = true
		}
	}
	for _, c := range otherReasons {
		met[c.reason] = true
		if c.operation != "" && !slices.Contains(supported, c.operation) {
			continue
		}
		plan := planOf(c.operation, c.content, "x0", "x1")
		plan.MaxRegion = c.maxRegion
		got, saw, err := rewriteAllWays(c.page, c.contentType, plan)
		if err != nil {
			t.Error(err)
			continue
		}
		met[saw[0].Reason] = true
		if err := checkControl(c.page, c.contentType, plan, saw); err != nil {
			t.Error(err)
		}
		if saw[0].Reason != c.reason || (c.reason == "") != (saw[0].State == rewrite.Swappable) {
			t.Errorf("%s: %+v, should be %s", c.page, saw[0], c.reason)
		}
		if c.reason != "" && saw[1].State != rewrite.Swappable && got != c.page {
			t.Errorf("%s: changed to %s", c.page, got)
		}
	}
	for _, reason := range declaredReasons(t) {
		if !met[reason] {
			t.Errorf("no page comes to %s", reason)
		}
	}
}

// declaredReasons are the constants of type Reason.
func declaredReasons(t *testing.T) []rewrite.Reason {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "plan.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []rewrite.Reason
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); ok && name.Name == "Reason" {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, rewrite.Reason(value))
		}
		return true
	})
	if len(all) < 10 {
		t.Fatalf("only %q", all)
	}
	return all
}

func TestPages(t *testing.T) {
	for _, c := range pages {
		saw, err := check(c.page, planFor("new", "x0"))
		if err != nil {
			t.Error(err)
			continue
		}
		if !c.want.allows(saw[0]) {
			t.Errorf("%s\nis %s %s, should be %s", c.page, saw[0].State, saw[0].Reason, c.want)
		}
	}
}
