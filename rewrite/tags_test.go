package rewrite_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/seed14307185/refract/rewrite"
)

// Start tags, and the name that each is marked with by the standard's
// tokenizer; -- where it isn't.
var markedTags = []struct{ tag, name string }{
	// Where attributes begin and end.
	{`<div data-surface=x0>`, "x0"},
	{`<div data-surface="x0">`, "x0"},
	{`<div data-surface='x0'>`, "x0"},
	{`<div title=">" data-surface=x0>`, "x0"},
	{`<div title='>' data-surface=x0>`, "x0"},
	{`<div title="'>" data-surface=x0>`, "x0"},
	{`<div title='">' data-surface=x0>`, "x0"},
	{`<div title="" data-surface=x0>`, "x0"},
	{`<div title="a"data-surface=x0>`, "x0"},
	{`<div title='a'data-surface='x0'>`, "x0"},
	{`<div title=a"b data-surface=x0>`, "x0"},
	{`<div title=a'b data-surface=x0>`, "x0"},
	{`<div title=a"b>c data-surface=x0>`, "--"},
	{`<div title=a<b data-surface=x0>`, "x0"},
	{"<div title=a`b data-surface=x0>", "x0"},
	{`<div title=a=b data-surface=x0>`, "x0"},
	{`<div title=a/ data-surface=x0>`, "x0"},
	{`<div title= data-surface=x0>`, "--"},
	{`<div title= "a" data-surface=x0>`, "x0"},
	{`<div title data-surface=x0>`, "x0"},
	{`<div <x data-surface=x0>`, "x0"},
	{`<div a<b=c data-surface=x0>`, "x0"},
	{`<div <data-surface=x0>`, "--"},
	{`<div " data-surface=x0 ">`, "x0"},
	{`<div "=' data-surface=x0 '>`, "--"},
	{`<div 'data-surface=x0'>`, "--"},
	{`<div =data-surface=x0>`, "--"},
	{`<div = data-surface=x0>`, "x0"},
	{`<div == data-surface=x0>`, "--"},
	{`<div a==data-surface=x0>`, "--"},

	// White space and slashes.
	{"<div\tdata-surface\t=\tx0\t>", "x0"},
	{"<div\ndata-surface\n=\nx0\n>", "x0"},
	{"<div\fdata-surface\f=\fx0\f>", "x0"},
	{"<div\rdata-surface\r=\rx0\r>", "x0"},
	{"<div\r\ndata-surface\r\n=\r\n'x0'\r\n>", "x0"},
	{"<div\vdata-surface=x0>", "--"},
	{"<div\u00a0data-surface=x0>", "--"},
	{"<div data-surface=\u00a0x0>", "--"},
	{"<div data-surface=\vx0>", "--"},
	{`<div/data-surface=x0>`, "x0"},
	{`<div / data-surface=x0>`, "x0"},
	{`<div//data-surface=x0>`, "x0"},
	{`<div a/data-surface=x0>`, "x0"},
	{`<div a/=data-surface=x0>`, "--"},
	{`<div data-surface/=x0>`, "--"},
	{`<div data-surface=/x0>`, "/x0"},
	{`<div data-surface=x0/>`, "x0/"},
	{`<div data-surface="x0"/>`, "x0"},
	{`<div data-surface=x0 />`, "x0"},
	{`<div data-surface=x0 / >`, "x0"},
	{`<div data-surface="x0"/ title=a>`, "x0"},

	// The value.
	{`<div data-surface>`, "--"},
	{`<div data-surface=>`, "--"},
	{`<div data-surface="">`, "--"},
	{`<div data-surface = x0>`, "x0"},
	{`<div data-surface==x0>`, "=x0"},
	{`<div data-surface=x0=>`, "x0="},
	{`<div data-surface=x0">`, `x0"`},
	{`<div data-surface=x"0>`, `x"0`},
	{`<div data-surface='x0">'>`, `x0">`},
	{`<div data-surface="x0 ">`, "x0 "},
	{"<div data-surface='x\n0'>", "x\n0"},
	{"<div data-surface='x\r\n0'>", "x\n0"},
	{`<div data-surface=X0>`, "X0"},
	{"<div data-surface=é>", "é"},
	{"<div data-surface=x\x000>", "x\ufffd0"},
	{"<div data-surface='x\x000'>", "x\ufffd0"},

	// Case.
	{`<DIV DATA-SURFACE=x0>`, "x0"},
	{`<dIv dAtA-sUrFaCe=x0>`, "x0"},
	{"<div data-\u017furface=x0>", "--"}, // a long s is no s

	// Of two, the first.
	{`<div data-surface=x0 data-surface=y>`, "x0"},
	{`<div data-surface=y data-surface=x0>`, "y"},
	{`<div DATA-SURFACE=y data-surface=x0>`, "y"},
	{`<div data-surface data-surface=x0>`, "--"},
	{`<div data-surface= data-surface=x0>`, "data-surface=x0"},
	{`<div data-surface="x0" Data-Surface='y'>`, "x0"},
	{`<div a=1 a=2 data-surface=x0>`, "x0"},

	// Not the attribute.
	{`<div data-surfaces=x0>`, "--"},
	{`<div xdata-surface=x0>`, "--"},
	{`<div data-surface:x=x0>`, "--"},
	{`<div title=data-surface=x0>`, "--"},
	{`<div title="data-surface=x0">`, "--"},
	{"<div data-surface\x00=x0>", "--"},
	{`<divdata-surface=x0>`, "--"},
	{`<div data-surface=x0`, "--"},
	{`<div data-surface="x0>`, "--"},
	{`<div data-surface='x0" >`, "--"},

	// Character references.
	{`<div data-surface=&#120;0>`, "x0"},
	{`<div data-surface="&#120;0">`, "x0"},
	{`<div data-surface='&#120;0'>`, "x0"},
	{`<div data-surface=&#x78;0>`, "x0"},
	{`<div data-surface=&#X78;&#x30;>`, "x0"},
	{`<div data-surface=&#0000120;0>`, "x0"},
	{`<div data-surface=x&#48>`, "x0"},
	{`<div data-surface="x&#48">`, "x0"},
	{`<div data-surface='x&#x30'>`, "x0"},
	{`<div data-surface=x&#48 a>`, "x0"},
	{`<div data-surface=x&#48/>`, "x0/"},
	{`<div data-surface=x&#48x>`, "x0x"},
	{`<div data-surface=&#1200>`, "\u04b0"},
	{`<div data-surface=&#x780>`, "\u0780"},
	{`<div data-surface=&#>`, "&#"},
	{`<div data-surface=&#x>`, "&#x"},
	{`<div data-surface=&#x;>`, "&#x;"},
	{`<div data-surface=&#;>`, "&#;"},
	{`<div data-surface=&>`, "&"},
	{`<div data-surface=&;>`, "&;"},
	{`<div data-surface=&#128;>`, "€"},
	{`<div data-surface=&#0;>`, "\ufffd"},
	{`<div data-surface=&#xd800;>`, "\ufffd"},
	{`<div data-surface=&#x110000;>`, "\ufffd"},
	{`<div data-surface=&#99999999999999999999;>`, "\ufffd"},
	{`<div data-surface=a&amp;b>`, "a&b"},
	{`<div data-surface=a&amp>`, "a&"},
	{`<div data-surface="a&amp">`, "a&"},
	{`<div data-surface="a&amp b">`, "a& b"},
	{`<div data-surface=a&ampb>`, "a&ampb"},
	{`<div data-surface="a&ampb">`, "a&ampb"},
	{`<div data-surface='a&amp=b'>`, "a&amp=b"},
	{`<div data-surface='a&amp1'>`, "a&amp1"},
	{`<div data-surface='a&amp-1'>`, "a&-1"},
	{`<div data-surface=a&AMP;b>`, "a&b"},
	{`<div data-surface=a&Amp;b>`, "a&Amp;b"},
	{`<div data-surface='a&b'>`, "a&b"},
	{`<div data-surface='&notit;'>`, "&notit;"},
	{`<div data-surface='&not;it'>`, "¬it"},
	{`<div data-surface='&notin;'>`, "∉"},
	{`<div data-surface='&eacute;'>`, "é"},
	{`<div data-surface='&eacute'>`, "é"},
	{`<div data-surface='&bne;'>`, "=\u20e5"},
	{`<div data-surface=&quot;x0&quot;>`, `"x0"`},
	{`<div data-surface='&lt;&gt;'>`, "<>"},
	{`<div data-surface=&period;>`, "."},
	{`<div data-surface=&period>`, "&period"},
	{`<div data-surface='&amp;#120;0'>`, "&#120;0"},
	{`<div &#100;ata-surface=x0>`, "--"},
	{`<div title='&quot;' data-surface=x0>`, "x0"},
}

// Each tag's name is found, and no other that another row has.
func TestMarks(t *testing.T) {
	var names []string
	for _, c := range markedTags {
		if c.name != "--" && !slices.Contains(names, c.name) {
			names = append(names, c.name)
		}
	}
	for _, c := range markedTags {
		page := "<!doctype html><body>" + c.tag + "old</div>tail"
		saw, err := check(page, planFor("new", names...))
		if err != nil {
			t.Errorf("%s: %v", c.tag, err)
			continue
		}
		for _, s := range saw {
			want := rewrite.Missing
			if s.Name == c.name {
				want = rewrite.Swappable
			}
			if s.State != want {
				t.Errorf("%q: %q is %s %s, should be %s", page, s.Name, s.State, s.Reason, want)
			}
		}
	}
}

// A name is matched in full, and as it is.
func TestNamesAreExact(t *testing.T) {
	for _, c := range []struct{ name, other string }{
		{"x0", "x"}, {"x0", "x00"}, {"x0", "X0"}, {"x0", " x0"}, {"é", "e\u0301"}, {"a.b", "a-b"},
	} {
		page := "<body><div data-surface='" + c.other + "'>old</div><div data-surface='" + c.name + "'>old</div>"
		got, saw := rewriteChunked(t, page, inUTF8, planFor("new", c.name))
		if want := "<body><div data-surface='" + c.other + "'>old</div><div data-surface='" + c.name + "'>new</div>"; got != want || saw[0].Count != 1 {
			t.Errorf("got %s %+v", got, saw)
		}
	}
}

func TestOtherAttribute(t *testing.T) {
	for _, attribute := range []string{"Data-Region", "data-region", "r", "data-surface-x"} {
		plan := planFor("new", "x0")
		plan.Attribute = attribute
		page := "<body><p data-surface=x0></p><p " + strings.ToUpper(attribute) + "=x0></p>"
		saw := verify(t, page, plan)
		got, _ := rewriteOnce(t, strings.NewReader(page), inUTF8, plan)
		if want := strings.TrimSuffix(page, "</p>") + "new</p>"; got != want || saw[0].Count != 1 {
			t.Errorf("got %s %+v", got, saw)
		}
	}
}
