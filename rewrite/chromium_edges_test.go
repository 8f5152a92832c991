package rewrite_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed14307185/refract/rewrite"
)

// edgePages have a region where parsers do something that is easily forgotten.
var edgePages = []string{
	// The end of the page, and a text that is not known to be one yet.
	`<!doctype html><body><table data-surface="x">text<a title="</table>`,
	`<!doctype html><body><b data-surface="x">old<i></b>`,
	`<!doctype html><body><b data-surface="x">old<i></b></body></html>`,
	`<!doctype html><body><p data-surface="x">old<b></p>`,
	`<!doctype html><body><div data-surface="x">old<b></div></body> </html>`,
	`<!doctype html><body><div data-surface="x">old<p></body> </div> </html> `,
	`<!doctype html><body><div data-surface="x">old<!-- </div>`,
	`<!doctype html><body><div data-surface="x">old<select><option></div>`,
	`<!doctype html><body><div data-surface="x">old</div`,
	`<!doctype html><body><div data-surface="x">old</div/>tail`,
	`<!doctype html><body><div data-surface="x">old</div a="</div>">tail`,
	`<!doctype html><table><tr><td data-surface="x">old<b></td>`,
	`<!doctype html><body><form data-surface="x">old<b></form>`,

	// What is left behind: formatting elements, modes, the form pointer.
	`<!doctype html><p><b><b><b/><b>old</p><p data-surface="x">text</p>tail`,
	`<!doctype html><p><b        ><b><b><b>old</p><div data-surface="x"><p>text</p></div>tail`,
	`<!doctype html><p><font color=a><font color=a><font color="a"><font color=a>old</p><div data-surface="x"><p>text</p></div>tail`,
	`<!doctype html><table><tr><td data-surface="x"><b>1<nobr></b><i><nobr>2</i></td><td>tail</table>`,
	`<!doctype html><body><div data-surface="x">old</body><!-- c --></div>tail`,
	`<!doctype html><body><div data-surface="x">old</body> text</div>tail`,
	`<!doctype html><body><form data-surface="x"><div></form></div>tail`,
	`<!doctype html><body><form><div data-surface="x">old</form></div>tail<form>`,
	`<!doctype html><body><div data-surface="x"><form>old</div><form>tail</form>`,
	`<!doctype html><body><b>1<div data-surface="x">2</b>3</div>4`,
	`<!doctype html><body><a href=1>1<div data-surface="x">2<a href=2>3</div>4`,
	`<!doctype html><body><a data-surface="x">1<a>2</a>tail`,
	`<!doctype html><body><nobr data-surface="x">1<nobr>2</nobr>tail`,
	`<!doctype html><body><b data-surface="x">1<p>2</b>3</p>tail`,
	`<!doctype html><body><b><i data-surface="x">1</b>2</i>tail`,
	`<!doctype html><body><button data-surface="x">1<button>2</button>tail`,
	`<!doctype html><body><h1 data-surface="x">1<h2>2</h1>tail</h2>`,
	`<!doctype html><body><object data-surface="x"><b>1</object>2</b>tail`,
	`<!doctype html><body><marquee data-surface="x"><b>1</marquee>2</b>tail`,
	`<!doctype html><pre><!-- c -->` + "\n" + `<div data-surface="x">old</div>tail</pre>`,
	`<!doctype html><pre data-surface="x"></pre>tail`,
	`<!doctype html><pre data-surface="x">` + "\r\n\n" + `old</pre>tail`,
	`<!doctype html><listing data-surface="x">` + "\r" + `</listing>tail`,

	// Implied ends.
	`<!doctype html><ul><li data-surface="x">1<p>2<li>3</ul>`,
	`<!doctype html><ul><li data-surface="x">1<span>2<li>3</ul>`,
	`<!doctype html><ul><li data-surface="x">1<li data-surface="y">2</ul>`,
	`<!doctype html><dl><dt data-surface="x"><p>1<dd>2<dt>3</dl>`,
	`<!doctype html><dl><dd><p data-surface="x">1<dt>2</dl>`,
	`<!doctype html><body><p data-surface="x">1<hr>2`,
	`<!doctype html><body><p data-surface="x">1<xmp>2</xmp>3`,
	`<p data-surface="x">1<table><tr><td>2</table>3</p>4`,
	`<!doctype html><p data-surface="x">1<table><tr><td>2</table>3</p>4`,
	`<!doctype html><ruby data-surface="x">1<rt>2<rp>3</ruby>4`,
	`<!doctype html><ruby>1<rt data-surface="x">2<rp>3</ruby>4`,
	`<!doctype html><body><option data-surface="x">1<option>2</option>3`,
	`<!doctype html><body><p>1<search data-surface="x">2</search>3`,
	`<!doctype html><body><dialog data-surface="x"><p>2</dialog>3`,

	// Tables.
	`<!doctype html><table data-surface="x"><tbody><tr>text</tr></tbody></table>tail, and more of it`,
	`<!doctype html><table data-surface="x"><tr><td>1</table>tail`,
	`<!doctype html><table><tbody data-surface="x"><tr><td>1</tbody><tfoot><tr><td>2</table>`,
	`<!doctype html><table><tr data-surface="x"><td>1<tr><td>2</table>`,
	`<!doctype html><table><tr><th data-surface="x">1<td>2</table>`,
	`<!doctype html><table><caption data-surface="x">1<b></caption><tr><td>2</table>`,
	`<!doctype html><table><caption><div data-surface="x">1</caption><tr><td>2</table>`,
	`<!doctype html><table><tr><td>1<div data-surface="x">2</td><td>3</table>`,
	`<!doctype html><div data-surface="x"><table>1<tr>2<td>3</table></div>4`,
	`<!doctype html><div data-surface="x"><table>1<tr>2<td>3</div>4</table>5`,
	`<!doctype html><table><div data-surface="x">1</div><tr><td>2</table>`,
	`<!doctype html><b><table><i data-surface="x">1</b></i><tr><td>2</table>`,
	`<!doctype html><table><input type=hidden data-surface="x"><tr><td>2</table>`,

	// Foreign content.
	`<!doctype html><svg><font color=red data-surface="x" title=t>1</font></svg>2`,
	`<!doctype html><svg><foreignObject><div data-surface="x">1</div></foreignObject></svg>2`,
	`<!doctype html><svg><title><div data-surface="x">1</div></title></svg>2`,
	`<!doctype html><svg><desc><div data-surface="x">1<p>2</svg>3</div>4`,
	`<!doctype html><svg><g data-surface="x">1</g></svg>2`,
	`<!doctype html><svg><script></svg><div data-surface="x">1</div>2</script>`,
	`<!doctype html><svg><![CDATA[</svg><div data-surface="x">]]></svg><div data-surface="x">1</div>2`,
	`<!doctype html><math><mi><div data-surface="x">1</div></mi></math>2`,
	`<!doctype html><math><annotation-xml encoding="text/html"><div data-surface="x">1</div></annotation-xml></math>2`,
	`<!doctype html><p><b><svg><desc><i></b></desc><desc>` + "\x00" + `</desc></svg><div data-surface="x">1</div>2`,
	`<!doctype html><b><svg><desc><i></desc><desc>` + "\x00" + `<p></desc></svg></b><div data-surface="x">1</div>2`,
	`<!doctype html><div data-surface="x"><svg><p>1</svg>2</div>3`,

	// Templates, shadow roots, noscript, frames.
	`<!doctype html><div data-surface="x"><p>1</p><template shadowrootmode=open>2</template></div>3`,
	`<!doctype html><div data-surface="x"><template shadowrootmode=open>1</template>2</div>3`,
	`<!doctype html><div data-surface="x"><div><template shadowrootmode=open>1</template></div>2</div>3`,
	`<!doctype html><div><div data-surface="x">1</div><template shadowrootmode=open>2</template></div>3`,
	`<!doctype html><template><div data-surface="x">1</div></template>2`,
	`<!doctype html><div data-surface="x"><template><tr><td>1</template></div>2`,
	`<!doctype html><div data-surface="x">1</template>2</div>3`,
	`<!doctype html><div data-surface="x"><template><b></template>1</div>2`,
	`<!doctype html><body><noscript><select></noscript><div data-surface="x">1</div>2`,
	`<!doctype html><body><noscript><div><form></div></noscript><form data-surface="x">1</form>2`,
	`<!doctype html><body><div data-surface="x"><noscript><form></noscript></div>1<form>2</form>`,
	`<!doctype html><head><noscript><img></noscript><title>t</title></head><body><div data-surface="x">1</div>2`,
	`<div data-surface="x"><noscript>1</noscript></div><frameset>`,
	`<div data-surface="x"><input type=hidden></div><frameset>`,
	`<div data-surface="x"></div><frameset>`,
	`<p data-surface="x">1</p><frameset>`,

	`<!doctype html><head><template></template><link><ul data-surface="x">1</ul><frameset>`,
	`<!doctype html><body><div data-surface="x">1</body><html><!-- c --></div>2`,
	`<!doctype html><body>1</body><img data-surface="x"><!-- c -->`,
	`<!doctype html><body>1</body></html><hr data-surface="x"></ c>`,

	// White space beside text in a table.
	`<!doctype html><table data-surface="x">1<tr><td>2</tr>3</table>4`,
	`<!doctype html><table><tbody>1<tr data-surface="x"><td>2</tr> <tr><td>3</table>4`,
	`<!doctype html><table><tbody> <tr data-surface="x"><td>2</tr>1<tr><td>3</table>4`,
	`<!doctype html><table><tr>1<td data-surface="x">2</td> </tr></table>3`,
	`<!doctype html><table><tr> <td data-surface="x">2</td>1</tr></table>3`,
	`<!doctype html><table><tbody> </><tr data-surface="x"><td>2</tr>1</table>3`,

	// A '/' that is of a value.
	`<!doctype html><body><p>1</p><g data-surface="x"><svg><g a=b'/></g>2</svg>3</g>4, and more of it`,
	`<!doctype html><body><p>1</p><g data-surface="x"><svg><g a=b"/></g>2</svg>3</g>4, and more of it`,
	`<!doctype html><body><p>1</p><g data-surface="x"><svg><g a="b"/></g>2</svg>3</g>4, and more of it`,

	// What stands beside.
	`<!doctype html><body>&am<div data-surface="x">1</div>p;`,
	`<!doctype html><body>&#3<b data-surface="x">1</b>8;`,
	`<!doctype html><body><<b data-surface="x">1</b>i>2`,
	`<!doctype html><body>1` + "\r" + `<b data-surface="x">1</b>` + "\n" + `2`,
	`<!doctype html><body><image data-surface="x">1`,
	`<!doctype html><body><p>1<img data-surface="x">&amp`,
	`<!doctype html><body>1<br data-surface="x">2`,
	`<!doctype html><body><p>1<hr data-surface="x">2`,
	`<!doctype html><body><embed data-surface="x">1`,
	`<!doctype html><body><div data-surface="y" data-surface="x">1</div><div data-surface="&#120;">2</div>3`,
	`<!doctype html><body><div data-surface=x/>1</div><div data-surface=x />2</div>3`,
	`<!doctype html><body><?a "1>2"?><div data-surface="x">1<?</div>2>3</div>4`,
	`<!doctype html><body></ div><div data-surface="x">1<//div>2</></div>3`,
	`<!doctype html><body><div data-surface="x">1<!--></div>--><!--->2</div>--!>3`,
	`<!doctype html><html class=a><body><div data-surface="x">1<body class=b><html id=c></div>2`,
}

// edgeFragments are what goes there: closed and unclosed, and what reaches
// beyond itself.
var edgeFragments = []string{
	"new", "", "\nnew", " ", "\n<tr><td>new\n", "<td>new</td> ", "p;x", "8;x", "i>x", "&amp;", "é", "<p>new", "<b>new", "<b>new</b>", "<i><p></i>new</p>", "<button>new", "<a href=1>new</a>", "<li>new", "<tr><td>new",
	"<td>new</td>", "<table><tr><td>new", "<select>", "<select><option>new</select>", "</div>new", "</p>", "</br>", "</b>", "</body>new", "</form>", "<form>new</form>",
	"<body class=z>", "<!-- c -->", "<frameset>", "<plaintext>", "<template shadowrootmode=open>new</template>", "<div><template shadowrootmode=open>new</template></div>",
	"<template>new</template>", "</template>", "<noscript><select></noscript>", "<noscript>off</noscript>", "<svg><p>new</p>", "<svg><title><b></svg>",
	"<math><mi>new</math>", "<nobr>new</nobr>", "<hr>", "<h1>new</h1>", "<pre>\n\nnew</pre>", "<textarea>\nnew</textarea>", "<script>1</script>", "<object><b>new</object>", "<input type=hidden>", "<option>new",
	"<caption>new</caption>", "<image>", "<rt>new", "<p><table></p></table>", "<dialog>new</dialog>", "</",
}

// edges tries each operation with each fragment in each of the pages; all of
// them with -chromium=all, else each fragment takes its turn.
func (c *chromium) edges(t *testing.T) {
	count := &tally{name: "all", reasons: map[rewrite.Reason]int{}}
	var trials []trial
	every := sampled(31, 11, 1)
	for i, page := range edgePages {
		for j, op := range chromiumOperations {
			for k, fragment := range edgeFragments {
				if (i+j+k)%every != 0 {
					continue
				}
				surface := rewrite.Surface{Name: "x", Operation: op, HTML: []byte(fragment)}
				switch op {
				case rewrite.Attr:
					surface.HTML, surface.Attributes = nil, []rewrite.Attribute{{Name: "title", Value: fragment}, {Name: "color", Remove: true}, {Name: "type", Value: "text"}}
				case rewrite.Remove:
					surface.HTML = nil
				}
				if _, err := rewrite.Compile(rewrite.Plan{Surfaces: []rewrite.Surface{surface}}); err == nil {
					trials = append(trials, trial{tally: count, page: page, surface: surface})
				}
			}
		}
	}
	made, wrong := c.judge(t, trials, engine)
	for _, w := range wrong[:min(len(wrong), 10)] {
		t.Errorf("wrong splice: %s", strings.TrimSpace(w))
	}
	t.Logf("%d comparisons in Chromium %s, %d wrong splices\n%s", made, c.version, len(wrong),
		table("\tregions\tswapped\tmissing\toverlooked\tleft alone %\tby reason %", []fmt.Stringer{count}...))
}
