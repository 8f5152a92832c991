package rewrite_test

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/seed14307185/refract/rewrite"
)

// A page such as servers render, with something of everything that real pages
// have; and what becomes of it when a template, an editor or a proxy spoils it.
const servedPage = `<!DOCTYPE html>
<html lang="en" class="no-js">
<head>
<meta charset="utf-8">
<title>Projects &amp; people — Example</title>
<link rel="stylesheet" href="/app.css?v=1&amp;x=2">
<style>.a > .b::before { content: "<div>"; }</style>
<script>window.app = {html: "<div data-surface=\"x\">", n: 1 < 2 && 3 > 2};</script>
<script type="application/ld+json">{"@type": "Thing", "name": "</p>"}</script>
<noscript><link rel="stylesheet" href="/noscript.css"></noscript>
<!--[if lt IE 9]><script src="/html5.js"></script><![endif]-->
</head>
<body class="page" onload="if (1 > 0) start()">
<a class="skip" href="#main">Skip</a>
<header><nav><ul class="menu"><li><a href="/">Home</a><li class=current><a href="/p?x=1&y=2">Projects</a></ul></nav>
<form action="/search" method="get"><label>Search <input name=q value='"a" > b' required></label><button>Go</button></form></header>
<main id="main">
<section class="hero" data-surface=x><h1>Welcome <b>back</b></h1><p>One<br>two <img src="/i.png" alt="a > b"><p>three</section>
<article><h2>Table</h2><p>Before the table
<table border=0><caption>Numbers</caption><thead><tr><th>a<th>b</thead><tbody><tr><td>1<td><div data-surface="x"><a href="/1">one</a></div><tr><td>2<td>&nbsp;</tbody></table>
<dl><dt>Term<dd>One<dd data-surface=x>Two <i>too</i></dd></dl></article>
<svg width=24 height=24 viewBox="0 0 24 24" aria-hidden=true><title>Icon</title><g fill=none><path d="M0 0h24v24H0z"/><circle cx=1 r=1 /></g></svg>
<select name=s><optgroup label=a><option value=1>one<option value=2 selected>two</optgroup></select>
<textarea name=t>
<div data-surface=x></textarea>
<template id=row><tr><td data-surface=x>cell</td></tr></template>
<pre>
code &lt;b&gt;</pre>
<ol><li data-surface=x><p>First</li><li>Second <em>one <strong>two</strong></em></li></ol>
<p>Formatted <b>bold <i>both</i></b> <code>code</code> <small>small</small><hr>
<blockquote data-surface=x><p>Quote<footer>Who</footer></blockquote>
<iframe src="/frame" title="x"></iframe><object data="/o"><param name=a value=b><p>fallback</object>
<math><mi>x</mi><mo>=</mo><mn>1</mn></math>
</main>
<footer><address data-surface=x>Street 1</address><!-- served by a > b --></footer>
<script>document.write('<scr' + 'ipt>x</scr' + 'ipt>')</script>
</body>
</html>
`

var tagLike = regexp.MustCompile(`<[^>]*>`)

// mutate spoils a page in a few places.
func mutate(rnd *rand.Rand, page string) string {
	for range 1 + rnd.IntN(4) {
		tags := tagLike.FindAllStringIndex(page, -1)
		if len(tags) == 0 {
			return page
		}
		tag := tags[rnd.IntN(len(tags))]
		other := tags[rnd.IntN(len(tags))]
		at, size := rnd.IntN(len(page)), rnd.IntN(1<<rnd.IntN(7))
		size = min(size, len(page)-at)
		switch rnd.IntN(7) {
		case 0: // a tag is lost
			page = page[:tag[0]] + page[tag[1]:]
		case 1: // a tag is there twice
			page = page[:tag[1]] + page[tag[0]:]
		case 2: // a tag is somewhere else
			page = page[:other[0]] + page[tag[0]:tag[1]] + page[other[0]:]
		case 3: // something strange comes in
			page = page[:tag[0]] + strays[rnd.IntN(len(strays))] + page[tag[0]:]
		case 4: // bytes are lost
			page = page[:at] + page[at+size:]
		case 5: // bytes are repeated
			page = page[:at+size] + page[at:]
		case 6: // one byte is another
			page = page[:at] + string("<>/\"'=-! \n\x00&x"[rnd.IntN(13)]) + page[at+size:]
		}
	}
	return page
}

func TestMutants(t *testing.T) {
	t.Logf("-seed %d", seed())
	n := uint64(3000)
	if testing.Short() {
		n = 300
	}
	page, names := numbered(servedPage)
	var whole, all bailouts
	for _, operation := range supported {
		saw := verify(t, page, planOf(operation, "<p>new</p>", names...))
		if operation == rewrite.Inner || operation == rewrite.Attr {
			whole.add(saw)
		}
	}
	for i := range n {
		rnd := rand.New(rand.NewPCG(seed(), i))
		mutant, names := numbered(mutate(rnd, servedPage))
		if strings.Count(mutant, "data-surface") < len(names) || len(names) == 0 {
			continue
		}
		saw, err := check(mutant, mixedPlan(rnd, names...))
		if err != nil {
			t.Fatal(err)
		}
		all.add(saw)
	}
	t.Logf("%s  unspoilt", &whole)
	t.Logf("%s  spoilt", &all)
	if whole.reasons[rewrite.Unclosed]+whole.reasons[rewrite.Ambiguous] > 0 {
		t.Error("a region of the page itself was not changed")
	}
}
