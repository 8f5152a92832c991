package rewrite_test

import (
	"strings"
	"testing"

	"github.com/seed14307185/refract/rewrite"
)

// Each page has one region, x0, and "new" as its new content. A page with no
// reason is swapped.
var pages = []struct {
	page   string
	state  rewrite.State
	reason rewrite.Reason
}{
	// Plain ones, and optional end tags.
	{"<body><div data-surface=x0>old</div>", rewrite.Swappable, ""},
	{"<body><DIV DATA-SURFACE='x0'>old</Div >", rewrite.Swappable, ""},
	{"<body><div data-surface=&#120;0>old</div>", rewrite.Swappable, ""},
	{"<body><div data-surface=x0 data-surface=other>old</div>", rewrite.Swappable, ""},
	{"<body><div data-surface=other data-surface=x0>old</div>", rewrite.Missing, ""},
	{"<body><div data-surface=X0>old</div>", rewrite.Missing, ""},
	{"<body><div data-surface='x0 '>old</div>", rewrite.Missing, ""},
	{"<body><div/data-surface='x0'/>old</div>", rewrite.Swappable, ""},
	{"<div data-surface=x0>a fragment, not a page</div>", rewrite.Swappable, ""},
	{"<body><div data-surface=x0><p>a<p>b<ul><li>c<li>d</ul><dl><dt>e<dd>f</dl></div>", rewrite.Swappable, ""},
	{"<body><div data-surface=x0><table><tr><td>a<td>b<tr><td>c</table></div>", rewrite.Swappable, ""},
	{"<body><div data-surface=x0><select><option>a<option>b</select><br><img src=x><input></div>", rewrite.Swappable, ""},
	{"<body><div data-surface=x0><ruby>a<rp>(<rt>b<rp>)</ruby></div>", rewrite.Swappable, ""},
	{"<body><div data-surface=x0><svg><title>a<!----></title><path d='x'/></svg><math><mi>x</mi></math></div>", rewrite.Swappable, ""},
	{"<body><div data-surface=x0><div><div></div></div></div>", rewrite.Swappable, ""},
	{"<body><div data-surface=x0><x-card><slot></slot></x-card></div>", rewrite.Swappable, ""},
	{"<body><div data-surface=x0><a href=1>a</a><b><i>c</i></b></div>", rewrite.Swappable, ""},
	{"<body><div data-surface=x0><form><button>a</button></form></div>", rewrite.Swappable, ""},
	{"<body><div data-surface=x0><template><li>a</template></div>", rewrite.Swappable, ""},
	{"<body><ul><li data-surface=x0>old</li><li></ul>", rewrite.Swappable, ""},
	{"<body><h1 data-surface=x0>old</h1>", rewrite.Swappable, ""},
	{"<body><p data-surface=x0>old</p>", rewrite.Swappable, ""},
	{"<body><table><tr><td><div data-surface=x0>old</div></table>", rewrite.Swappable, ""},
	{"<body><a href=1><div data-surface=x0>old</div></a>", rewrite.Swappable, ""},
	{"<body><p>open<div data-surface=x0>old</div>", rewrite.Swappable, ""},
	{"<body></span></div></td></p><div data-surface=x0>old</div>", rewrite.Swappable, ""},
	{"<body><i><b></i></b><div><b></div>text</b><div data-surface=x0>old</div>", rewrite.Swappable, ""},
	{"<body></body></html><div data-surface=x0>old</div>", rewrite.Swappable, ""},

	// Text modes: what looks like a region there is none, what looks like an end there is none.
	{"<!-- <div data-surface=x0>old</div> -->", rewrite.Missing, ""},
	{"<!-- > <div data-surface=x0>old</div> --!>", rewrite.Missing, ""},
	{"<!--><body><div data-surface=x0>old</div> -->", rewrite.Swappable, ""},
	{"<? <div data-surface=x0>old</div>", rewrite.Missing, ""},
	{"<title><div data-surface=x0>old</div></title>", rewrite.Missing, ""},
	{"<textarea><div data-surface=x0>old</div></textarea>", rewrite.Missing, ""},
	{"<style><div data-surface=x0>old</div></style>", rewrite.Missing, ""},
	{"<script><div data-surface=x0>old</div></script>", rewrite.Missing, ""},
	{"<script><!-- <div data-surface=x0>old</div></script>", rewrite.Missing, ""},
	{"<xmp><div data-surface=x0>old</div></xmp>", rewrite.Missing, ""},
	{"<iframe><div data-surface=x0>old</div></iframe>", rewrite.Missing, ""},
	{"<noembed><div data-surface=x0>old</div></noembed>", rewrite.Missing, ""},
	{"<noframes><div data-surface=x0>old</div></noframes>", rewrite.Missing, ""},
	{"<noscript><div data-surface=x0>old</div></noscript>", rewrite.Missing, ""},
	{"<template><div data-surface=x0>old</div></template>", rewrite.Missing, ""},
	{"<template><template></template><div data-surface=x0>old</div></template>", rewrite.Missing, ""},
	{"<![CDATA[ <div data-surface=x0>old</div> ]]>", rewrite.Missing, ""},
	{"<![CDATA[ > <div data-surface=x0>old</div> ]]>", rewrite.Swappable, ""},
	{"<a title='<div data-surface=x0>old</div>'>", rewrite.Missing, ""},
	{"<body><div data-surface=x0><!-- </div> --><title></div></title></div>", rewrite.Swappable, ""},
	{"<body><div data-surface=x0><script>'</div>'</script><style></div></style></div>", rewrite.Swappable, ""},
	{"<body><div data-surface=x0><textarea></div></textarea><xmp></div></xmp></div>", rewrite.Swappable, ""},
	{"<body><div data-surface=x0><iframe></div></iframe><a title='</div>'></a></div>", rewrite.Swappable, ""},
	{"<body><div data-surface=x0><noembed></div></noembed><noframes></div></noframes></div>", rewrite.Swappable, ""},

	// Regions that the parser ends elsewhere, or perhaps.
	{"<body><div data-surface=x0>old", rewrite.Untouched, rewrite.Unclosed},
	{"<body><div data-surface=x0>old</div", rewrite.Untouched, rewrite.Unclosed},
	{"<body><div data-surface=x0>old</body></html>", rewrite.Untouched, rewrite.Ambiguous},
	{"<body><section><div data-surface=x0>old</section>", rewrite.Untouched, rewrite.Unclosed},
	{"<body><p data-surface=x0>old<div></div></p>", rewrite.Untouched, rewrite.Unclosed},
	{"<body><dl><dt data-surface=x0>old<dt></dt></dl>", rewrite.Untouched, rewrite.Unclosed},
	{"<body><ul><li data-surface=x0>old<li></li></ul>", rewrite.Untouched, rewrite.Unclosed},
	{"<body><h1 data-surface=x0>old</h2>", rewrite.Untouched, rewrite.Unclosed},
	{"<body><h1 data-surface=x0>old<h2></h1>", rewrite.Untouched, rewrite.Unclosed},
	{"<body><table><tr><td><div data-surface=x0>old<td></div></table>", rewrite.Untouched, rewrite.Unclosed},
	{"<body><div data-surface=x0>old</span></div>", rewrite.Untouched, rewrite.Ambiguous},
	{"<body><div data-surface=x0><span>old</div>", rewrite.Untouched, rewrite.Ambiguous},
	{"<body><div data-surface=x0><b>old</div>", rewrite.Untouched, rewrite.Ambiguous},
	{"<body><div data-surface=x0><b><i>old</b></i></div>", rewrite.Untouched, rewrite.Ambiguous},
	{"<body><div data-surface=x0></p>old</div>", rewrite.Untouched, rewrite.Ambiguous},
	{"<body><div data-surface=x0><h1>old</h2></div>", rewrite.Untouched, rewrite.Ambiguous},
	{"<body><div data-surface=x0><a>old<a></a></div>", rewrite.Untouched, rewrite.Ambiguous},
	{"<body><a><div data-surface=x0><a>old</a></div>", rewrite.Untouched, rewrite.Misnested},
	{"<body><nobr><div data-surface=x0><nobr>old</nobr></div>", rewrite.Untouched, rewrite.Misnested},
	{"<body><button><div data-surface=x0><button>old</button></div>", rewrite.Untouched, rewrite.Unclosed},
	{"<body><form><div data-surface=x0><form>old</form></div>", rewrite.Untouched, rewrite.Ambiguous},
	{"<body><form><div data-surface=x0>old</form></div>", rewrite.Untouched, rewrite.Unclosed},
	{"<body><div data-surface=x0><form>old</div>", rewrite.Untouched, rewrite.Ambiguous},
	{"<body><div data-surface=x0><html a=b>old</div>", rewrite.Untouched, rewrite.Ambiguous},
	{"<body><div data-surface=x0><body a=b>old</div>", rewrite.Untouched, rewrite.Ambiguous},
	{"<body><div data-surface=x0><head>old</div>", rewrite.Untouched, rewrite.Ambiguous},
	{"<body><div data-surface=x0><frameset>old</div>", rewrite.Untouched, rewrite.Ambiguous},
	{"<body><div data-surface=x0><meta charset=x>old</div>", rewrite.Untouched, rewrite.Ambiguous},
	{"<body><div data-surface=x0><base href=x>old</div>", rewrite.Untouched, rewrite.Ambiguous},
	{"<body><div data-surface=x0><tr>old</div>", rewrite.Untouched, rewrite.Ambiguous},
	{"<body><div data-surface=x0></br>old</div>", rewrite.Untouched, rewrite.Ambiguous},
	{"<body><div data-surface=x0><table>old</table></div>", rewrite.Untouched, rewrite.Ambiguous},
	{"<body><p><b>open</p><div data-surface=x0>old</div>", rewrite.Untouched, rewrite.Ambiguous},
	{"<body><p><b>open</p><div data-surface=x0></div>", rewrite.Untouched, rewrite.Ambiguous},
	{"<p>mode unknown<table><tr><td><div data-surface=x0>old</div></table>", rewrite.Untouched, rewrite.Ambiguous},
	{"<!doctype html><p>mode known<table><tr><td><div data-surface=x0>old</div></table>", rewrite.Swappable, ""},
	{"<!doctype html public ''><p>mode unknown<table><tr><td><div data-surface=x0>old</div></table>", rewrite.Untouched, rewrite.Ambiguous},
	{"<link><!doctype html><p>too late<table><tr><td><div data-surface=x0>old</div></table>", rewrite.Untouched, rewrite.Ambiguous},
	{"<p>recent<search><div data-surface=x0>old</div></search>", rewrite.Untouched, rewrite.Ambiguous},
	{"<body><div><b><div></b></div></div><div data-surface=x0>old</div>", rewrite.Untouched, rewrite.Misnested},
	{"<body><b><b><b><b></b></b></b></b><div data-surface=x0>old</div>", rewrite.Untouched, rewrite.Misnested},
	{"<body><div data-surface=x0><div><template shadowrootmode=open></template>old</div></div>", rewrite.Untouched, rewrite.ShadowRoot},
	{"<body><span data-surface=x0>old</span>", rewrite.Untouched, rewrite.NotABlock},
	{"<body><template data-surface=x0>old</template>", rewrite.Untouched, rewrite.NotABlock},
	{"<body><pre data-surface=x0>old</pre>", rewrite.Untouched, rewrite.NotABlock},
	{"<body><form data-surface=x0>old</form>", rewrite.Untouched, rewrite.NotABlock},
	{"<body><table><tr><td data-surface=x0>old</td></table>", rewrite.Untouched, rewrite.NotABlock},

	// What can't be followed, before the region or in it.
	{"<body><table><div data-surface=x0>old</div></table>", rewrite.Untouched, rewrite.Table},
	{"<body><div data-surface=x0><table><b>old</b></table></div>", rewrite.Untouched, rewrite.Table},
	{"<body><table><tr><form></form></table><div data-surface=x0>old</div>", rewrite.Untouched, rewrite.Table},
	{"<body><select><option data-surface=x0>old</option></select>", rewrite.Untouched, rewrite.Select},
	{"<body><select><div data-surface=x0>old</div></select>", rewrite.Untouched, rewrite.Select},
	{"<body><select><style></select><div data-surface=x0>old</div>", rewrite.Untouched, rewrite.Select},
	{"<body><div data-surface=x0><select><b></select>old</div>", rewrite.Untouched, rewrite.Select},
	{"<body><svg data-surface=x0></svg>", rewrite.Untouched, rewrite.NotABlock},
	{"<body><svg><g data-surface=x0></g></svg>", rewrite.Untouched, rewrite.Foreign},
	{"<body><svg><div data-surface=x0>old</div></svg>", rewrite.Untouched, rewrite.Foreign},
	{"<body><svg><foreignObject><div data-surface=x0>old</div></foreignObject></svg>", rewrite.Untouched, rewrite.Foreign},
	{"<body><svg><style><a title='</style>'></style></svg><div data-surface=x0>old</div>", rewrite.Untouched, rewrite.Foreign},
	{"<body><svg><title><b></title></svg><div data-surface=x0>old</div>", rewrite.Untouched, rewrite.Foreign},
	{"<body><svg><![CDATA[ > </svg> ]]></svg><div data-surface=x0>old</div>", rewrite.Untouched, rewrite.Foreign},
	{"<body><svg><g a=1 a=/></svg><div data-surface=x0>old</div>", rewrite.Untouched, rewrite.Foreign},
	{"<body><svg><g a=1 a=''/></svg><div data-surface=x0>old</div>", rewrite.Swappable, ""},
	{"<body><math><annotation-xml><svg></svg></annotation-xml></math><div data-surface=x0>old</div>", rewrite.Untouched, rewrite.Foreign},
	{"<template><select><title></select></template><div data-surface=x0>old</div>", rewrite.Untouched, rewrite.Template},
	{"<template><object></template><div data-surface=x0>old</div>", rewrite.Untouched, rewrite.Template},
	{"<template><td></template><div data-surface=x0>old</div>", rewrite.Untouched, rewrite.Template},
	{"<template><div></template><div data-surface=x0>old</div>", rewrite.Untouched, rewrite.Template},
	{"<template></b></template><div data-surface=x0>old</div>", rewrite.Untouched, rewrite.Template},
	{"<template><tr><td>a</td></tr></template><div data-surface=x0>old</div>", rewrite.Swappable, ""},
	{"<script><!-- <script </script> --></script><body><div data-surface=x0>old</div>", rewrite.Untouched, rewrite.Script},
	{"<script><!-- <1 <script> </script><div data-surface=x0>old</div> --></script>", rewrite.Untouched, rewrite.Script},
	{"<noscript><div></noscript><div data-surface=x0>old</div>", rewrite.Untouched, rewrite.Noscript},
	{"<noscript></div></noscript><div data-surface=x0>old</div>", rewrite.Untouched, rewrite.Noscript},
	{"<noscript><!--</noscript>--><div data-surface=x0>old</div>", rewrite.Untouched, rewrite.Noscript},
	{"<p><noscript><div></div></noscript><div data-surface=x0>old</div>", rewrite.Untouched, rewrite.Noscript},
	{"<x\x00></x\ufffd><div data-surface=x0>old</div>", rewrite.Swappable, ""},
	{"<body><x\xff></x\xfe><div data-surface=x0>old</div>", rewrite.Untouched, rewrite.Ambiguous},
	{"<frameset><div data-surface=x0>old</div>", rewrite.Untouched, rewrite.Frameset},
	{"<div data-surface=x0></div><frameset>", rewrite.Untouched, rewrite.Frameset},
	{"<body><frameset><div data-surface=x0>old</div>", rewrite.Swappable, ""},
	{"<plaintext><div data-surface=x0>old</div>", rewrite.Untouched, rewrite.Plaintext},
	{"<body><div data-surface=x0><plaintext>old</div>", rewrite.Untouched, rewrite.Plaintext},
	{strings.Repeat("<div>", 301) + "<div data-surface=x0>old</div>", rewrite.Untouched, rewrite.TooDeep},
	{strings.Repeat("<div>", 299) + "<div data-surface=x0>old</div>", rewrite.Swappable, ""},
}

func TestPages(t *testing.T) {
	for _, c := range pages {
		saw := verify(t, c.page, planFor("new", "x0"))[0]
		if saw.State != c.state || saw.Reason != c.reason {
			t.Errorf("%s\nis %s (%s), should be %s (%s)", c.page, saw.State, saw.Reason, c.state, c.reason)
		}
	}
}

// Each new content is given for a div in a link in a form in a list item.
func TestContentThatReachesBeyondItsRegion(t *testing.T) {
	const page = "<!doctype html><body><ul><li><form><button><a href=1><div data-surface=x0>old</div></a></button></form></ul>"
	for fragment, reason := range map[string]rewrite.Reason{
		"":                               "",
		"<p>one<p>two":                   "",
		"<ul><li>one<li>two</ul>":        "",
		"<b>bold</b><!-- c --><br>":      "",
		"<":                              "",
		"&am":                            "",
		"<table><tr><td>1</table>":       "",
		"</div>":                         rewrite.Fragment,
		"</div><div>":                    rewrite.Fragment,
		"<div>":                          rewrite.Fragment,
		"<b>":                            rewrite.Fragment,
		"</":                             rewrite.Fragment,
		"<p class=":                      rewrite.Fragment,
		"<!-- ":                          rewrite.Fragment,
		"<style>":                        rewrite.Fragment,
		"<script>":                       rewrite.Fragment,
		"<plaintext>":                    rewrite.Fragment,
		"<svg>":                          rewrite.Fragment,
		"<select>":                       rewrite.Fragment,
		"<template>":                     rewrite.Fragment,
		"<template shadowrootmode=open>": rewrite.Fragment,
		"<a href=2>in a link</a>":        rewrite.Fragment,
		"<form></form>":                  rewrite.Fragment,
		"</form>":                        rewrite.Fragment,
		"<button></button>":              rewrite.Fragment,
		"<td>no table</td>":              rewrite.Fragment,
		"<base href=x>":                  rewrite.Fragment,
		"<body class=x>":                 rewrite.Fragment,
	} {
		want := rewrite.Untouched
		if reason == "" {
			want = rewrite.Swappable
		}
		if saw := verify(t, page, planFor(fragment, "x0"))[0]; saw.State != want || saw.Reason != reason {
			t.Errorf("%q is %s (%s), should be %s (%s)", fragment, saw.State, saw.Reason, want, reason)
		}
	}
}

func TestContentThatEndsItsRegion(t *testing.T) {
	for page, fragment := range map[string]string{
		"<ul><li><div data-surface=x0>old</div></ul>":                "<li>another</li>",
		"<dl><dt data-surface=x0>old</dt></dl>":                      "text<dd>another",
		"<p data-surface=x0>old</p>":                                 "<div>block</div>",
		"<h1 data-surface=x0>old</h1>":                               "<h2>heading</h2>",
		"<table><tr><td><div data-surface=x0>old</div></td></table>": "<td>cell",
	} {
		if saw := verify(t, "<body>"+page, planFor(fragment, "x0"))[0]; saw.Reason != rewrite.Fragment {
			t.Errorf("%s in %s: %v", fragment, page, saw)
		}
	}
}

func TestCharsets(t *testing.T) {
	const asIs, asReferences = "€ <b title=é>", "&#8364; <b title=&#233;>"
	meta := func(charset string) string {
		return "<meta charset=" + charset + "><body><div data-surface=x0>old</div>"
	}
	far := "<!--" + strings.Repeat("x", 1000) + "-->"
	for _, c := range []struct {
		page, contentType, want string
	}{
		{meta("gbk"), "text/html; charset=utf-8", asIs},
		{meta("gbk"), "text/html; charset=\"UTF8\"", asIs},
		{"\ufeff" + meta("gbk"), "text/html; charset=iso-8859-1", asIs},
		{meta("utf-8"), "", asIs},
		{meta("utf-8"), "text/html", asIs},
		{meta("utf-16"), "", asIs}, // of an ASCII page, so it isn't
		{meta("utf-8"), "text/html; charset=iso-8859-1", asReferences},
		{meta("windows-1251"), "", asReferences},
		{meta("shift_jis"), "", asReferences},
		{meta("nonsense"), "", asReferences},
		{far + meta("utf-8"), "", asReferences},
		{"<body><div data-surface=x0>old</div>", "", asReferences},
		{"<p>h\u00e9<div data-surface=x0>old</div>", "", asReferences},
		{"<div data-surface=x0>old</div><meta charset=utf-8>", "", asReferences},
		{meta("utf-8"), "text/html; charset=utf-16", ""},
		{meta("utf-8"), "text/html; charset=utf-16be", ""},
		{meta("utf-8"), "text/html; charset=utf-32", ""},
		{meta("utf-8"), "text/html; charset=iso-2022-jp", ""},
		{meta("utf-8"), "text/html; charset=hz-gb-2312", ""},
		{meta("utf-8"), "text/html; charset=nonsense", ""},
		{meta("utf-8"), "text/html; charset=utf-8; charset=utf-16", ""},
		{meta("iso-2022-jp"), "", ""},
		{meta("iso-2022-kr"), "", ""},
		{"\xff\xfe" + meta("utf-8"), "text/html; charset=utf-8", ""},
		{"\xfe\xff" + meta("utf-8"), "text/html; charset=utf-8", ""},
		{"<p>\x1b$B" + meta("utf-8"), "", ""},
		{"<body><div data-surface=x0>\x1b$B</div>", "", ""},
		{"<body><p>\x1b$B<div data-surface=x0>old</div>", "text/html; charset=utf-8", asIs},
	} {
		plan := planFor(asIs+"</b>", "x0")
		plan.ContentType = c.contentType
		got, saw := rewriteChunked(t, c.page, plan)
		want, reason := c.page, rewrite.Charset
		if c.want != "" {
			want, reason = strings.Replace(c.page, "old", c.want+"</b>", 1), ""
		}
		if got != want || saw[0].Reason != reason {
			t.Errorf("page %q as %q: %v\nwant %q\ngot  %q", c.page, c.contentType, saw, want, got)
		}
	}
}

// A style can't have numeric references: such content is for UTF-8 pages only.
func TestContentThatCannotBeEncoded(t *testing.T) {
	for fragment, ok := range map[string]bool{
		"<style>.a::after{content:'a'}</style><p>é": true,
		"<style>.a::after{content:'é'}</style>":     false,
		"<p é=1>":                                   false,
		"<é-é></é-é>":                               true, // text
		"<x-é></x-é>":                               false,
	} {
		plan := planFor(fragment, "x0")
		plan.ContentType = "text/html; charset=windows-1252"
		if _, saw := rewriteChunked(t, "<body><div data-surface=x0></div>", plan); (saw[0].Reason != rewrite.Charset) != ok {
			t.Errorf("%q: %v", fragment, saw)
		}
	}
}
