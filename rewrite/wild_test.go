package rewrite_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/seed14307185/refract/rewrite"
)

// A wild writes what no author would: tokens of all kinds in any order, with
// one region in the midst, its end tag somewhere after it.
type wild struct {
	*rand.Rand
	open []string // that were begun and not ended
}

var (
	wildNames = strings.Fields(`div div div p p span span b b i a nobr font em code big section ul li ol dl dt dd h1 h3 table tbody thead
		tr td th caption colgroup col form button select option optgroup hr input textarea title style script xmp iframe noembed
		noframes noscript template svg math g foreignObject desc mi mo mtext annotation-xml mglyph object marquee applet ruby rb rt rp rtc
		pre listing br img image wbr embed keygen label details summary dialog search center menu address main body html head frameset
		plaintext meta link base param source x-a longname-element selectedcontent datalist legend fieldset video area`)
	wildHosts  = strings.Fields("div div div div section p li td tr tbody table caption span b a i nobr font h1 ul form button pre dd dt x-a g object option rt ruby label th label em br img input hr")
	wildAround = map[string][2]string{
		"td": {"<table><tbody><tr>", "</tr></table>"}, "th": {"<table><tr>", "</table>"}, "tr": {"<table><tbody>", "</tbody></table>"},
		"tbody": {"<table>", "</table>"}, "caption": {"<table>", "<tr><td>c</table>"}, "li": {"<ul>", "</ul>"},
		"dd": {"<dl>", "</dl>"}, "dt": {"<dl>", "</dl>"}, "rt": {"<ruby>", "</ruby>"},
	}
	wildAttributes = []string{"", "", "", "", " a", " a=1", " A='2' a=3", ` a="x y"`, " a=b'/", ` a=b"/`, " /", "/", " a = b", " a=", " =x", " type=hidden",
		" color=red", " encoding=text/html", ` a=">"`, " a='<b>'", " data-surface", " data-surface=y", " DATA-SURFACE=&#121;", " a\x00=1", "\n", "\f/a", " a='\r\n'", ` a="b"c="d"/`}
	wildTexts  = []string{"text", "a bit more of text", " ", "\n", "\r", "\r\n\n", "\x00", "&amp", "&am", "&", "p;", "38;", "&#3", "<", "</", "< b", ">", "]]>", "-->", "é", "\t \f", "1\x00"}
	wildPieces = []string{"<!---->", "<!-->", "<!--->", "<!-- x --!>", "<!-- <b> -->", "<!--\x00-->", "<!x>", "<?php x ?>", "<?x>", "</ x>", "</>", "<![CDATA[x]]>", "<![CDATA[<b>",
		"<!doctype html>", "</br>", "</p>", "</body>", "</html>", "</body></html>", "</head>", "<svg/>", "<math/>", "<svg><title>", "<svg><desc>", "<svg><foreignObject>", "<math><mi>", "<math><annotation-xml encoding=text/html>",
		"<script><!--<script></script>--></script>", "<script><!--</script>", "<script><!--<script >x</script>", "<script>--></script>", "<textarea>\n</textarea>", "<textarea></textareax></textarea >",
		"<title></titl</title>", "<select><option>1<hr><option>2</select>", "<select><optgroup><option>1</optgroup>2</select>", "<select></select>", "<noscript><p></noscript>", "<noscript><b></b></noscript>",
		"<template></template>", "<template><tr></template>", "<table>", "<table><tr>", "<table><tr><td>", "</td></tr></table>", "<b><b><b><b>", "<i><b><p></b>", "<a><div><a>", "<font size=1><font size=1>",
		"<p><b></p>", "<ul><li>", "<form><form>", "<body><frameset>", "<iframe></iframe>", "<style><!--</style>"}
)

func pickOf(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }

func (w *wild) token(b *strings.Builder) {
	switch n := w.IntN(20); {
	case n < 5:
		b.WriteString(pickOf(w.Rand, wildTexts))
	case n < 8:
		b.WriteString(pickOf(w.Rand, wildPieces))
	case n < 14 && len(w.open) > 0 || n < 9:
		name := pickOf(w.Rand, wildNames)
		if k := len(w.open); k > 0 && w.IntN(4) > 0 {
			at := k - 1 - min(k-1, w.IntN(1+w.IntN(4)))
			name = w.open[at]
			w.open = append(w.open[:at], w.open[at+1:]...)
		}
		b.WriteString("</" + name + ">")
	default:
		name := pickOf(w.Rand, wildNames)
		if w.IntN(6) == 0 {
			name = strings.ToUpper(name)
		}
		fmt.Fprintf(b, "<%s%s>", name, pickOf(w.Rand, wildAttributes))
		w.open = append(w.open, strings.ToLower(name))
	}
}

// some writes up to n tokens.
func (w *wild) some(n int) string {
	var b strings.Builder
	for range w.IntN(n + 1) {
		w.token(&b)
	}
	return b.String()
}

// wildPage is the page of a number in this run's seed, and what is done to it.
func wildPage(i uint64) (page string, surface rewrite.Surface) {
	w := &wild{Rand: rand.New(rand.NewPCG(seed(), i))}
	var b strings.Builder
	b.WriteString(pickOf(w.Rand, []string{"", "<!doctype html>", "<!doctype html>", "<!doctype html><body>", "<!doctype html><body>", "<!doctype html><body><p>enough text for all</p>", "<!doctype html><head>"}))
	if w.IntN(60) == 0 {
		fmt.Fprintf(&b, "<p>%s</p>", strings.Repeat("x", []int{4096, 32768, 65536}[w.IntN(3)]-60-w.IntN(120)))
	}
	b.WriteString(w.some(6))
	host := pickOf(w.Rand, wildHosts)
	around := wildAround[host]
	b.WriteString(around[0])
	if w.IntN(8) == 0 {
		b.WriteString(w.some(1))
	}
	fmt.Fprintf(&b, "<%s%s data-surface=x%s>", host, pickOf(w.Rand, wildAttributes[:8]), pickOf(w.Rand, []string{"", "", " b=1", " data-surface=z"}))
	outer := w.open
	w.open = nil
	b.WriteString(w.some(5))
	if w.IntN(2) == 0 { // ended in order
		for i := len(w.open) - 1; i >= 0; i-- {
			fmt.Fprintf(&b, "</%s>", w.open[i])
		}
	}
	if w.IntN(8) > 0 && !(host == "td" && w.IntN(3) == 0) {
		fmt.Fprintf(&b, "</%s>", host)
	}
	w.open = append(w.open, outer...)
	if w.IntN(3) > 0 {
		b.WriteString(w.some(6))
	}
	b.WriteString(around[1])
	b.WriteString(pickOf(w.Rand, []string{"", "tail", "<p>tail", "</body></html>", " \n"}))

	surface = rewrite.Surface{Name: "x", Operation: chromiumOperations[w.IntN(len(chromiumOperations))]}
	switch surface.Operation {
	case rewrite.Attr:
		surface.Attributes = chromiumAttributes
		if w.IntN(2) == 0 {
			surface.Attributes = []rewrite.Attribute{{Name: "a", Remove: true}, {Name: "b", Remove: true}}
		}
	case rewrite.Remove:
	case rewrite.Text:
		surface.HTML = []byte(pickOf(w.Rand, chromiumTexts))
	default:
		w.open = nil
		switch w.IntN(4) {
		case 0:
			surface.HTML = []byte(pickOf(w.Rand, chromiumFragments))
		case 1:
			surface.HTML = []byte(pickOf(w.Rand, edgeFragments))
		case 2:
			surface.HTML = []byte(pickOf(w.Rand, []string{" ", "<tr><td>n</td></tr> ", " <td>n</td>", "\n<!-- c -->\n", "<tbody></tbody>\n", "\n"}))
		default:
			surface.HTML = []byte(w.some(4))
		}
		if _, err := rewrite.Compile(rewrite.Plan{Surfaces: []rewrite.Surface{surface}}); err != nil {
			surface.HTML = []byte("new <b>text</b>")
		}
	}
	return b.String(), surface
}

// Wild pages come out as in the tree of x/net/html.
func TestWild(t *testing.T) {
	pages := soups(t)
	changed := 0
	for i := range pages {
		page, surface := wildPage(i)
		surface.Replace = true
		quirks := !strings.HasPrefix(page, "<!doctype html>") && strings.Contains(string(surface.HTML), "<table") // x/net/html takes a fragment in one way alone
		if surface.Operation != rewrite.Shadow && !quirks {
			saw, err := check(page, rewrite.Plan{Surfaces: []rewrite.Surface{surface}})
			if err != nil {
				t.Errorf("page %d, %s of %q: %v", i, surface.Operation, surface.HTML, err)
			}
			if len(saw) > 0 && saw[0].State == rewrite.Swappable {
				changed++
			}
		}
		if t.Failed() {
			break
		}
	}
	if t.Logf("-seed %d: %d of %d changed", seed(), changed, pages); changed < 500 {
		t.Error("this shows nothing")
	}
}
