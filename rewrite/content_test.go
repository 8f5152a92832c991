package rewrite_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"golang.org/x/net/html/charset"

	"github.com/seed14307185/refract/rewrite"
)

// Each new content is given for a div in a link in a form in a list item.
func TestContentThatReachesBeyondItsRegion(t *testing.T) {
	const page = "<!doctype html><body><ul><li><form><button><a href=1><div data-surface=x0>old</div></a></button></form></ul>"
	for content, want := range map[string]outcome{
		"":                               swapped,
		"<p>one<p>two":                   swapped,
		"<ul><li>one<li>two</ul>":        swapped,
		"<b>bold</b><!-- c --><br>":      swapped,
		"<":                              "swapped or fragment",
		"&am":                            swapped,
		"<table><tr><td>1</table>":       swapped,
		"</div>":                         "fragment",
		"</div><div>":                    "fragment",
		"<div>":                          "fragment",
		"<b>":                            "fragment",
		"</":                             "fragment",
		"<p class=":                      "fragment",
		"<!-- ":                          "fragment",
		"<style>":                        "fragment",
		"<script>":                       "fragment",
		"<plaintext>":                    "fragment",
		"<svg>":                          "swapped or fragment",
		"<select>":                       "fragment",
		"<template>":                     "fragment",
		"<template shadowrootmode=open>": "fragment",
		"<a href=2>in a link</a>":        "fragment",
		"<form></form>":                  "fragment",
		"</form>":                        "fragment",
		"<button></button>":              "fragment",
		"<td>no table</td>":              "swapped or fragment",
		"<base href=x>":                  "swapped or fragment",
		"<body class=x>":                 "fragment",
	} {
		saw, err := check(page, planFor(content, "x0"))
		if err != nil {
			t.Error(err)
			continue
		}
		if !want.allows(saw[0]) {
			t.Errorf("%q is %s %s, should be %s", content, saw[0].State, saw[0].Reason, want)
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

// The new content is put into the page's charset, or stands there as numeric
// references.
func TestCharsets(t *testing.T) {
	const content = "€ \u4e00 <b title=é>\U0001f600</b>"
	meta := func(charset string) string {
		return "<meta charset=" + charset + "><body><div data-surface=x0>old</div>"
	}
	far := "<!--" + strings.Repeat("x", 1000) + "-->"
	for _, c := range []struct {
		page, contentType, charset string // none: not for rewriting
	}{
		{meta("gbk"), "text/html; charset=utf-8", "utf-8"},
		{meta("gbk"), "text/html; charset=\"UTF8\"", "utf-8"},
		{meta("gbk"), "text/html;charset=utf-8;x=y", "utf-8"},
		{meta("gbk"), "TEXT/HTML; CHARSET=UTF-8", "utf-8"},
		{"\ufeff" + meta("gbk"), "text/html; charset=iso-8859-1", "utf-8"},
		{meta("utf-8"), "", "utf-8"},
		{meta("utf-8"), "text/html", "utf-8"},
		{meta("utf-16"), "", "utf-8"}, // of an ASCII page, so it isn't
		{meta("utf-8"), "text/html; charset=iso-8859-1", "windows-1252"},
		{meta("utf-8"), "text/html; charset=latin1", "windows-1252"},
		{meta("utf-8"), "text/html; charset=us-ascii", "windows-1252"},
		{meta("utf-8"), "text/html; charset=koi8-r", "koi8-r"},
		{meta("windows-1251"), "", "windows-1251"},
		{meta("shift_jis"), "", "shift_jis"},
		{meta("euc-jp"), "", "euc-jp"},
		{meta("euc-kr"), "", "euc-kr"},
		{meta("big5"), "", "big5"},
		{meta("gbk"), "", "gbk"},
		{meta("gb18030"), "", "gb18030"},
		{meta("x-user-defined"), "", "windows-1252"},
		{meta("nonsense"), "", "windows-1252"},
		{far + meta("utf-8"), "", "windows-1252"},
		{"<body><div data-surface=x0>old</div>", "", "windows-1252"},
		{"<p>h\u00e9<div data-surface=x0>old</div>", "", "windows-1252"},
		{"<div data-surface=x0>old</div><meta charset=utf-8>", "", "windows-1252"},
		{meta("utf-8"), "text/html; charset=utf-16", ""},
		{meta("utf-8"), "text/html; charset=utf-16be", ""},
		{meta("utf-8"), "text/html; charset=utf-32", ""},
		{meta("utf-8"), "text/html; charset=iso-2022-jp", ""},
		{meta("utf-8"), "text/html; charset=hz-gb-2312", ""},
		{meta("utf-8"), "text/html; charset=utf-7", ""},
		{meta("utf-8"), "text/html; charset=nonsense", ""},
		{meta("utf-8"), "text/html; charset=utf-8; charset=utf-16", ""},
		{meta("iso-2022-jp"), "", ""},
		{meta("iso-2022-kr"), "", ""},
		{"\xff\xfe" + meta("utf-8"), "text/html; charset=utf-8", ""},
		{"\xfe\xff" + meta("utf-8"), "text/html; charset=utf-8", ""},
		{"<p>\x1b$B" + meta("utf-8"), "", ""},
		{"<body><div data-surface=x0>\x1b$B</div>", "", ""},
		{"<body><p>\x1b$B<div data-surface=x0>old</div>", "text/html; charset=utf-8", "utf-8"},
	} {
		plan := planFor(content, "x0")
		got, saw := rewriteChunked(t, c.page, c.contentType, plan)
		if err := checkControl(c.page, c.contentType, plan, saw); err != nil {
			t.Error(err)
		}
		if c.charset == "" {
			if got != c.page || saw[0].Reason != rewrite.Charset {
				t.Errorf("page %q as %q: %+v, got %q", c.page, c.contentType, saw, got)
			}
			continue
		}
		before, after, _ := strings.Cut(c.page, "old")
		added, okBefore := strings.CutPrefix(got, before)
		added, okAfter := strings.CutSuffix(added, after)
		if !okBefore || !okAfter || saw[0].State != rewrite.Swappable || !sameContent(t, added, c.charset, content) {
			t.Errorf("page %q as %q: %+v, got %q", c.page, c.contentType, saw, got)
		}
	}
}

// sameContent says whether bytes in a charset mean the same HTML as the content.
func sameContent(t *testing.T, added, label, content string) bool {
	t.Helper()
	if label == "utf-8" {
		return added == content
	}
	r, err := charset.NewReaderLabel(label, strings.NewReader(added))
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := io.ReadAll(r)
	return err == nil && html.UnescapeString(string(decoded)) == content
}

// Where a numeric reference can't stand, a character that the charset hasn't
// keeps the content out.
func TestContentThatCannotBeEncoded(t *testing.T) {
	for content, ok := range map[string]bool{
		"<style>.a::after{content:'a'}</style><p>\u4e00": true,
		"<style>.a::after{content:'\u4e00'}</style>":     false,
		"<script>'\u4e00'</script>":                      false,
		"<!-- \u4e00 -->":                                true,
		"<p \u4e00=1>":                                   false,
		"<\u4e00></\u4e00>":                              true, // text, and a comment
		"<x-\u4e00></x-\u4e00>":                          false,
	} {
		_, saw := rewriteChunked(t, "<body><div data-surface=x0></div>", "text/html; charset=windows-1252", planFor(content, "x0"))
		if (saw[0].Reason != rewrite.Charset) != ok {
			t.Errorf("%q: %v", content, saw)
		}
	}
}

// In the multi-byte charsets a second byte may look like an ASCII letter, and
// never like markup; what is broken comes out as broken as it was.
func TestMultiByteCharsets(t *testing.T) {
	for _, c := range []struct{ charset, text string }{
		{"shift_jis", "\x83\x5c\x95\x5c\x83"}, {"big5", "\xa5\x5c\xb3\x7c\xa5"}, {"gbk", "\x81\x5c\x81\x7c\x81"},
		{"gb18030", "\x81\x30\x81\x30\x81"}, {"euc-kr", "\x81\x41\x81"}, {"euc-jp", "\x8f\xa1\xa1\x8f"},
	} {
		page := "<body title='" + c.text + "'>" + c.text + "<div data-surface=x0>" + c.text + "</div>" + c.text
		got, saw := rewriteChunked(t, page, "text/html; charset="+c.charset, planFor("new", "x0"))
		want := "<body title='" + c.text + "'>" + c.text + "<div data-surface=x0>new</div>" + c.text
		if !bytes.Equal([]byte(got), []byte(want)) {
			t.Errorf("%s: got %q, want %q, %+v", c.charset, got, want, saw)
		}
	}
}
