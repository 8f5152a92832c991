package rewrite_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/seed14307185/refract/rewrite"
)

// An outcome is what becomes of a region: swapped, missing or a reason. Where
// it lists several, the first is the best and the others are careful.
type outcome string

const (
	swapped outcome = "swapped"
	missing outcome = "missing"
)

func (o outcome) allows(s rewrite.Sighting) bool {
	is := outcome(s.Reason)
	switch s.State {
	case rewrite.Swappable:
		is = swapped
	case rewrite.Missing:
		is = missing
	}
	return slices.Contains(strings.Split(string(o), " or "), string(is))
}

// Markup that is not tags, or tags after which nothing is for a while. Each
// row's markup stands once before a region and once within one, and after one,
// where it changes nothing.
var textModes = []struct {
	markup         string
	within, behind outcome // of a region that has the markup in it, and of one that follows it
}{
	// Script data.
	{"<script>a<b && c>d</script>", swapped, swapped},
	{"<script></div></script>", swapped, swapped},
	{"<script><div data-surface=x0></script>", swapped, swapped},
	{"<script>'<div data-surface=x0>old</div>'</script>", swapped, swapped},
	{"<SCRIPT></div></sCRIPT >", swapped, swapped},
	{"<script></script a='>'>", swapped, swapped},
	{"<script></script/>", swapped, swapped},
	{"<script></script\f>", swapped, swapped},
	{"<script></script\r\n>", swapped, swapped},
	{"<script></scriptx></script>", swapped, swapped},
	{"<script></ script></script>", swapped, swapped},
	{"<script></scrip</script>", swapped, swapped},
	{"<script><</script>", swapped, swapped},
	{"<script></</script>", swapped, swapped},
	{"<script>\x00</script\x00></script>", swapped, swapped},
	{"<script src=a/></script>", swapped, swapped},
	{"<script/></script>", swapped, swapped},
	{"<script>", "unclosed", missing},
	{"<script/>", "unclosed", missing},
	{"<script></script", "unclosed", missing},
	{"<script></script/", "unclosed", missing}, // the end tag takes the next tag in
	{"<script>'</scr'+'ipt>", "unclosed", missing},

	// Script data, escaped and double escaped.
	{"<script><!-- </div> --></script>", swapped, swapped},
	{"<script><!-- </script>", swapped, swapped},
	{"<script><!-- x --!></script>", swapped, swapped},
	{"<script><!-</script>", swapped, swapped},
	{"<script><!-<script></script>", swapped, swapped},
	{"<script>< !--<script></script>", swapped, swapped},
	{"<script><script></script>", swapped, swapped},
	{"<script><!-- <script> </script> --></script>", "swapped", "swapped"},
	{"<script><!-- <script> </script> </script>", "swapped", "swapped"},
	{"<script><!-- <script> --></script>", "swapped", "swapped"},
	{"<script><!-- <SCRIPT\t></div></Script/></script>", "swapped", "swapped"},
	{"<script><!-- <scriptx></script>", "swapped", "swapped"},
	{"<script><!-- < script></script>", swapped, swapped},
	{"<script><!-- </scriptx></script>", swapped, swapped},
	{"<script><!--><script></script>", "swapped", "swapped"},
	{"<script><!---><script></script>", "swapped", "swapped"},
	{"<script><!-- --><script></script>", "swapped", "swapped"},
	{"<script><!-- <script></script><script></script></script>", "swapped", "swapped"},
	{"<script><!-- <script> <!-- </script> --></script>", "swapped", "swapped"},
	{"<script><script><!--</script>", "swapped", "swapped"},
	{"<script><!--<script></script>", "unclosed", "missing"},
	{"<script><!-- <script/</script>", "unclosed", "missing"},
	{"<script><!-- <script </script>", "unclosed", "missing"},
	{"<script><!-- --!><script></script>", "unclosed", "missing"},
	{"<script><!-- -- ><script></script>", "unclosed", "missing"},
	{"<script><!-- <script></scriptx></script>", "unclosed", "missing"},

	// Raw text and RCDATA.
	{"<style></div> a > b {} </style>", swapped, swapped},
	{"<style><!-- </style>", swapped, swapped},
	{"<style><!-- <style> </style>", swapped, swapped},
	{"<style></styles></style>", swapped, swapped},
	{"<style></sty</STYLE\n>", swapped, swapped},
	{"<style></style/>", swapped, swapped},
	{"<style></style x='</style>'>", swapped, swapped},
	{"<style><div data-surface=x0></style>", swapped, swapped},
	{"<style/>", "unclosed", missing},
	{"<style></ style>", "unclosed", missing},
	{"<xmp></div><!-- </xmp>", swapped, swapped},
	{"<xmp><xmp></xmp>", swapped, swapped},
	{"<XMP></xm></xmpx></xmp>", swapped, swapped},
	{"<xmp>", "unclosed", missing},
	{"<iframe></div><!-- </iframe>", swapped, swapped},
	{"<iframe><iframe></iframe>", swapped, swapped},
	{"<iframe srcdoc='</iframe>'></iframe>", swapped, swapped},
	{"<iframe/>", "unclosed", missing},
	{"<noembed></div><!-- </noembed>", swapped, swapped},
	{"<noembed>", "unclosed", missing},
	{"<noframes></div><!-- </noframes>", swapped, swapped},
	{"<noframes>", "unclosed", missing},
	{"<textarea></div><!-- </textarea>", swapped, swapped},
	{"<textarea>\n&lt;/textarea></textarea>", swapped, swapped},
	{"<textarea><textarea></textarea>", swapped, swapped},
	{"<textarea></textareas></textarea >", swapped, swapped},
	{"<textarea>\r\n\x00</textarea>", swapped, swapped},
	{"<textarea>", "unclosed", missing},
	{"<title></div><!-- </title>", swapped, swapped},
	{"<title>&lt;/title></title>", swapped, swapped},
	{"<title><div data-surface=x0></title>", swapped, swapped},
	{"<title/>", "unclosed", missing},
	{"<noscript><img src=x></noscript>", swapped, swapped},
	{"<noscript><p>x</p></noscript>", swapped, swapped},
	{"<noscript></div></noscript>", "swapped or noscript", "swapped or noscript"},
	{"<noscript><!-- </noscript>", "noscript", "noscript"},
	{"<noscript><style></noscript>", "noscript", "noscript"},
	{"<plaintext>", "plaintext", "plaintext"},
	{"<plaintext></plaintext>", "plaintext", "plaintext"},
	{"<listing>\n&lt;</listing>", swapped, swapped},
	{"<pre>\n<b></b></pre>", swapped, swapped},

	// Comments.
	{"<!-- </div> -->", swapped, swapped},
	{"<!-- <div data-surface=x0> -->", swapped, swapped},
	{"<!---->", swapped, swapped},
	{"<!-->", swapped, swapped},
	{"<!--->", swapped, swapped},
	{"<!--->-->", swapped, swapped},
	{"<!-- > -->", swapped, swapped},
	{"<!-- --!>", swapped, swapped},
	{"<!----!>", swapped, swapped},
	{"<!-- --!-->", swapped, swapped},
	{"<!-- --!--!>", swapped, swapped},
	{"<!-- -- > -->", swapped, swapped},
	{"<!-- --\n> -->", swapped, swapped},
	{"<!-- --- -->", swapped, swapped},
	{"<!-- --->", swapped, swapped},
	{"<!----->", swapped, swapped},
	{"<!-- - -> -->", swapped, swapped},
	{"<!-- -!> -->", swapped, swapped},
	{"<!--!>-->", swapped, swapped},
	{"<!---!>-->", swapped, swapped},
	{"<!--<!-->", swapped, swapped},
	{"<!--<!--->", swapped, swapped},
	{"<!--<!---->", swapped, swapped},
	{"<!--<!-- --!>", swapped, swapped},
	{"<!--<!>-->", swapped, swapped},
	{"<!--<!->-->", swapped, swapped},
	{"<!-- <!-- --> -->", swapped, swapped},
	{"<!--\x00-->", swapped, swapped},
	{"<!--[if IE]> </div> <![endif]-->", swapped, swapped},
	{"<!--", "unclosed", missing},
	{"<!---", "unclosed", missing},
	{"<!-- --", "unclosed", missing},
	{"<!-- --!", "unclosed", missing},
	{"<!-- ->", "unclosed", missing},
	{"<!-- --!x>", "unclosed", missing},

	// Bogus comments.
	{"<!>", swapped, swapped},
	{"<!x>", swapped, swapped},
	{"<!->", swapped, swapped},
	{"<!- ->", swapped, swapped},
	{"<! -- >-->", swapped, swapped},
	{"<!x '>'>", swapped, swapped},
	{"<!x", "unclosed", missing}, // the next tag is within
	{"<!-", "unclosed", missing},
	{"<!", "unclosed", missing},
	{"<?x>", swapped, swapped},
	{"<?>", swapped, swapped},
	{"<?php echo '>' ?>", swapped, swapped},
	{"<?x", "unclosed", missing},
	{"<?xml version='1.0'?>", swapped, swapped},
	{"</ x>", swapped, swapped},
	{"</ div>", swapped, swapped},
	{"</ x '>'>", swapped, swapped},
	{"</1>", swapped, swapped},
	{"</!-->", swapped, swapped},
	{"</>", swapped, swapped},
	{"</", "unclosed", missing},
	{"</\x00>", swapped, swapped},
	{"<![endif]>", swapped, swapped},

	// CDATA: bogus comments, but in svg and math.
	{"<![CDATA[x]]>", swapped, swapped},
	{"<![CDATA[>]]>", swapped, swapped},
	{"<![CDATA[ <div data-surface=x0> ]]>", swapped, swapped},
	{"<![CDATA[", "unclosed", missing},
	{"<svg><![CDATA[x]]></svg>", "swapped or foreign", "swapped or foreign"},
	{"<svg><![CDATA[ > </svg> ]]></svg>", "swapped or foreign", "swapped or foreign"},
	{"<svg><![CDATA[</svg></div>]]]></svg>", "swapped or foreign", "swapped or foreign"},
	{"<svg><![CDATA[<div data-surface=x0>]]></svg>", "swapped or foreign", "swapped or foreign"},
	{"<svg><title><![CDATA[</div>]]></title></svg>", "swapped or foreign", "swapped or foreign"},
	{"<math><mi><![CDATA[</div>]]></mi></math>", "swapped or foreign", "swapped or foreign"},
	{"<svg><![cdata[>]]></svg>", "swapped or foreign", "swapped or foreign"},

	// Doctypes.
	{"<!doctype html>", "swapped or ambiguous", swapped},
	{"<!DOCTYPE x PUBLIC \"a>b\">", "swapped or ambiguous", swapped},
	{"<!DOCTYPE x SYSTEM 'a>b'>", "swapped or ambiguous", swapped},
	{"<!DOCTYPE>", "swapped or ambiguous", swapped},
	{"<!doctypehtml>", "swapped or ambiguous", swapped},
	{"<!doctype html [ <!ENTITY x ''> ]>", "swapped or ambiguous", swapped},
	{"<!doctype", "unclosed", missing},
	{"<!doctyp>", swapped, swapped},

	// Text.
	{"<", swapped, swapped},
	{"<<", swapped, swapped},
	{"<1>", swapped, swapped},
	{"<>", swapped, swapped},
	{"< div data-surface=x0>", swapped, swapped},
	{"a\x00b", swapped, swapped},
	{"\x00", swapped, swapped},
	{"\r\n\r\n\r", swapped, swapped},
	{"&lt;div data-surface=x0&gt;", swapped, swapped},
	{"&am", swapped, swapped},
	{"\xff\xfe", swapped, swapped},
	{"\u2028\ufeff", swapped, swapped},

	// Tags.
	{"<br/>", swapped, swapped},
	{"</br>", "swapped or ambiguous", swapped},
	{"</p>", "swapped or ambiguous", swapped},
	{"<img src=a/>", swapped, swapped},
	{"<a title='</div>'></a>", swapped, swapped},
	{"<a title=\"<div data-surface=x0>\"></a>", swapped, swapped},
	{"<a title='", "unclosed", missing},
	{"<a b", "unclosed", "unclosed or not-a-block"}, // which is marked
	{"<div/>", "ambiguous or unclosed", swapped},
	{"<x\x00></x\ufffd>", swapped, swapped},
	{"<x<y></x<y>", swapped, swapped},
	{"<x/y></x/y>", swapped, swapped},
	{"<x></x a='>'/>", swapped, swapped},
	{"<svg/>", swapped, swapped},
	{"<SVG></Svg>", swapped, swapped},
	{"<svg><g/></svg>", swapped, swapped},
	{"<svg><g / ></g></svg>", swapped, swapped},
	{"<svg><g a=b/></g></svg>", swapped, swapped},
	{"<svg><style/></svg>", swapped, swapped},
	{"<svg><g></svg>", "swapped or ambiguous or foreign", "swapped or foreign"},
	{"<svg a=b/>", "swapped or ambiguous or foreign or unclosed", "swapped or foreign"},
	{"<svg><p></p></svg>", "swapped or ambiguous or foreign", "swapped or foreign"},
	{"<svg><style><a></a></style></svg>", "swapped or foreign", "swapped or foreign"},
	{"<svg><style></svg></style></svg>", "swapped or ambiguous or foreign", "swapped or foreign"},
	{"<svg><script></svg></script></svg>", "swapped or ambiguous or foreign", "swapped or foreign"},
	{"<svg><script/></svg>", "swapped or foreign", "swapped or foreign"},
	{"<svg><foreignObject><p></p></foreignObject></svg>", "swapped or foreign", "swapped or foreign"},
	{"<svg><desc>a</desc></svg>", swapped, swapped},
	{"<math><annotation-xml encoding='text/html'><p></p></annotation-xml></math>", "swapped or foreign", "swapped or foreign"},
	{"<math><mi>a</mi><mo/></math>", swapped, swapped},
}

func TestTextModes(t *testing.T) {
	const (
		open = "<!doctype html><body><p>"
		old  = "<div data-surface=x0>old</div>"
		tail = "tail"
	)
	count := map[rewrite.State]int{}
	for _, c := range textModes {
		for _, page := range []struct {
			text string
			want outcome
			new  string
		}{
			{"<!doctype html><body><div data-surface=x0>" + c.markup + "</div>tail", c.within, "<!doctype html><body><div data-surface=x0>new</div>tail"},
			{"<!doctype html><body>" + c.markup + old + tail, c.behind, "<!doctype html><body>" + c.markup + "<div data-surface=x0>new</div>" + tail},
			{open + old + c.markup, swapped, open + "<div data-surface=x0>new</div>" + c.markup},
		} {
			saw, err := check(page.text, planFor("new", "x0"))
			if err != nil {
				t.Errorf("%v", err)
				continue
			}
			got, _ := rewriteOnce(t, strings.NewReader(page.text), inUTF8, planFor("new", "x0"))
			if saw[0].State == rewrite.Swappable && got != page.new {
				t.Errorf("page %q\nwant %q\ngot  %q", page.text, page.new, got)
			}
			if !page.want.allows(saw[0]) {
				t.Errorf("%q: %s %s, should be %s", page.text, saw[0].State, saw[0].Reason, page.want)
			}
			count[saw[0].State]++
		}
	}
	t.Logf("%d pages: %v", 3*len(textModes), count)
}
