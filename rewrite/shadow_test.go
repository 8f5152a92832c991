package rewrite

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

func TestCanHostShadow(t *testing.T) {
	for _, name := range strings.Fields("article aside blockquote body div footer h1 h2 h3 h4 h5 h6 header main nav p section span x-card a-b-c x-1.2_3") {
		if !canHostShadow(name) {
			t.Errorf("%s is refused", name)
		}
	}
	for _, name := range strings.Fields("a button li ul td table form img figure label strong html head h7 template slot font-face annotation-xml missing-glyph -x 1-x X-card x-é") {
		if canHostShadow(name) {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestNewShadow(t *testing.T) {
	for _, content := range []string{
		"", "text & more &lt; &copy", "<p>a</p><br><img src=x>", "<B CLASS='a>b'>x</b>", "<div><template><tr><td>x</td></tr></template></div>",
		"<template><template></template></template>", `<div><template shadowrootmode="open"><slot></slot></template>x</div>`,
		"<!-- a > b -->x", "<script>if (a < b) '</div>'</script>", "<style>a > b {}</style>", "<textarea></p></textarea>",
		"<svg viewBox='0 0 1 1'><title>t</title><style>a{}</style><linearGradient/><path d=''></path></svg>x", "<math><mi>x</mi></math>",
		"<table><tr><td>1<td>2</table>", "<select><option>1<option>2</select>", "<x-y>z</x-y>", "<a href=x>y</a\n>", "<p a=b/ >x</p>",
		"<ul><li>1<li>2</ul>", "<p>a<p>b", "<dl><dt>a<dd>b</dl><p>c", "<noscript><p>x</p></noscript>", "<title></p></title>", "a <p>b<div>c</div></p>",
		`<a title="</template>">x</a>`, "<table><tbody><div>x</div></table>", "<tr><td>x",
	} {
		if _, err := newShadow([]byte(content), false); err != nil {
			t.Errorf("%s\nis refused: %v", content, err)
		}
	}
	const malformed, apart = "this comment is not well-formed or not closed", "1:1: parsers don't keep this content together"
	for content, want := range map[string]string{
		"</template>":                          "1:1: </template> closes nothing",
		"a\n<p></template></p>":                "2:4: </template> closes nothing",
		"a\n<b></template></b>":                "2:4: </template> stands where </b> is due",
		"<template>":                           "1:1: <template> is not closed",
		"x<div><template></div>":               "1:17: </div> stands where </template> is due",
		"</slot>":                              "1:1: </slot> closes nothing",
		"<b>a":                                 "1:1: <b> is not closed",
		"<div/>":                               "1:1: <div> is not closed",
		"<!-- a":                               "1:1: " + malformed,
		"<!-- a --!>":                          "1:1: " + malformed,
		"<!--> a -->":                          "1:1: " + malformed,
		"<!-- a -- b -->":                      "1:1: " + malformed,
		"<!x>":                                 "1:1: " + malformed,
		"<?php ?>":                             "1:1: " + malformed,
		"</ x>":                                "1:1: " + malformed,
		"<svg><![CDATA[</b>]]></svg>":          "1:6: " + malformed,
		"<!doctype html>":                      "1:1: a doctype can't be within a page",
		"<plaintext>":                          "1:1: <plaintext> can't be in a shadow root",
		"<body></body>":                        "1:1: <body> can't be in a shadow root",
		"<script>":                             "1:1: <script> is not closed",
		"<script><!--<script></script>":        "1:1: <script> is not closed",
		"<style>":                              "1:1: <style> is not closed",
		"<textarea>a":                          "1:1: <textarea> is not closed",
		"<title></b>":                          "1:1: <title> is not closed",
		"<textarea></template></textarea>":     "1:11: there is a </template in what is no tag",
		"<!-- </TEMPLATE> -->":                 "1:1: there is a </template in what is no tag",
		"<br":                                  "1:1: this tag is not closed",
		"<br a=\">":                            "1:1: this tag is not closed",
		"<p>x</p a=\">":                        "1:5: this tag is not closed",
		"<p>x</p a=\"\">":                      "1:5: this end tag is not well-formed",
		"<p>x</p/>":                            "1:5: this end tag is not well-formed",
		"x <":                                  `1:3: a "<" that begins no tag: write &lt;`,
		"x </":                                 `1:3: a "<" that begins no tag: write &lt;`,
		"a\x00":                                "1:2: there is a NUL byte",
		"<svg><title><template></title></svg>": "1:23: </title> stands where </template> is due",
		"<svg><p><div/></svg>":                 apart,
		"<noscript><!-- </noscript>":           apart,
		"<noscript><div></noscript>":           apart,
		"<table><tr><td></table><b></b></td>":  "1:31: </td> closes nothing",
		strings.Repeat("<i>", 65):              "1:193: elements are nested more than 64 deep",
		"<a\"b></a\"b>":                        `1:1: "a\"b" is no name of an element`,
	} {
		if _, err := newShadow([]byte(content), false); err == nil || err.Error() != want {
			t.Errorf("%s\ngives %v\nwant  %s", content, err, want)
		}
	}
}

// Content that is taken stays in its template, whatever comes after.
func FuzzShadow(f *testing.F) {
	for _, s := range []string{"<p>x", "<svg><title>a</title></svg>", "<template></template>", "<!-- x -->", "<script><!--<script></script></script>", "</template>",
		"<select><option>1<option></select>", "<table><tr><td>x</table>", "<noscript>x</noscript>", "<math><mi>", "<ruby>x<rt>y</ruby>", "<form><button>a</button></form>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, content string) {
		s, err := newShadow([]byte(content), true)
		if err != nil {
			return
		}
		host := []byte(`<div class="a'b&quot;">`)
		shadow := s.append(nil, []byte(content), &tag{raw: host, name: 4}, [][]byte{[]byte(`<link rel=stylesheet nonce='"' href=x>`)})
		for _, scripting := range []bool{true, false} {
			page := "<!doctype html><body>" + string(host) + string(shadow) + "<i>default</i></div><hr>"
			doc, err := html.ParseWithOptions(strings.NewReader(page), html.ParseOptionEnableScripting(scripting))
			if err != nil {
				t.Skip(err)
			}
			body := doc.LastChild.LastChild
			want := []string{"link", "slot", "slot"}
			if s.text {
				want = nil
			} else if s.hide != "" {
				want = slices.Insert(want, 1, "style")
			}
			if !children(body, "div", "hr") || !children(body.FirstChild, "template", "i") || !children(body.FirstChild.LastChild, "default") ||
				!s.text && !children(body.FirstChild.FirstChild, want...) {
				var b strings.Builder
				html.Render(&b, doc)
				t.Errorf("scripting %v: %s\ngives %s", scripting, page, b.String())
			}
		}
	})
}

func TestAppendShadow(t *testing.T) {
	sheets := [][]byte{[]byte(`<link rel=stylesheet href=/a.css>`), []byte(`<link nonce='n"1' rel="stylesheet" href="/b.css"/>`)}
	for _, test := range []struct {
		content, host string
		slot          bool
		sheets        [][]byte
		want          string
	}{
		{"New &amp; better<br>", `<h1 class="x">`, false, sheets, `New &amp; better<br>`},
		{"New", `<h1 class="x">`, true, sheets, `New<slot></slot>`},
		{"<p>New", `<section>`, false, nil, `<slot name="refract" style="display:contents!important"><p>New</p></slot>`},
		{"<h1>New</h1>", `<section class='hero "x" &amp;'>`, false, sheets[:1], `<link rel=stylesheet href=/a.css>` +
			`<slot name="refract" style="display:contents!important" class="hero &quot;x&quot; &amp;"><h1>New</h1></slot>`},
		{"<h1>New</h1>x<H1></H1><p><b>x</b></p>", `<section id=a>`, true, sheets, string(bytes.Join(sheets, nil)) +
			`<style nonce="n&quot;1">::slotted(h1),::slotted(p){display:none!important}</style>` +
			`<slot name="refract" style="display:contents!important"><h1>New</h1>x<H1></H1><p><b>x</b></p></slot><slot></slot>`},
	} {
		s, err := newShadow([]byte(test.content), test.slot)
		if err != nil {
			t.Fatal(err)
		}
		want := `…<template shadowrootmode="open">` + test.want + `</template>`
		host := &tag{raw: []byte(test.host), name: nameEnd([]byte(test.host), 1)}
		if got := string(s.append([]byte("…"), []byte(test.content), host, test.sheets)); got != want {
			t.Errorf("%s\ngives %s\nwant  %s", test.content, got, want)
		}
	}
}

func TestLinksStyleSheet(t *testing.T) {
	for raw, want := range map[string]bool{
		`<link rel=stylesheet href=x>`: true, `<LINK REL="StyleSheet preload">`: true, `<link rel="alternate stylesheet">`: false,
		`<link rel=preload as=style>`: false, `<link rel=stylesheet disabled>`: false, `<linkx rel=stylesheet>`: false, `<link>`: false, "<link rel=\"a\nstylesheet\">": true,
	} {
		if linksStyleSheet(&tag{raw: []byte(raw), name: nameEnd([]byte(raw), 1)}) != want {
			t.Errorf("%s: %v", raw, !want)
		}
	}
}

// ShadowTemplate is for the tests with a browser.
func ShadowTemplate(t testing.TB, content string, slot bool, host string, sheets ...string) string {
	t.Helper()
	s, err := newShadow([]byte(content), slot)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for _, sheet := range sheets {
		all = append(all, []byte(sheet))
	}
	return string(s.append(nil, []byte(content), &tag{raw: []byte(host), name: nameEnd([]byte(host), 1)}, all))
}
