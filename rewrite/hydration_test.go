package rewrite

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// What frameworks serve, in short; of those that could be run, as they wrote it.
var served = []struct{ framework, page string }{
	{"next", `<head><script src="/_next/static/chunks/webpack-1.js" async=""></script>`},
	{"next", `<script>self.__next_f.push([1,"0:1"])</script>`},
	{"next", `<body><div id="__next"><main>`},
	{"next", `<script id="__NEXT_DATA__" type="application/json">{}</script>`},
	{"nuxt", `<div id="__nuxt"><!--[--><p></p><!--]--></div>`},
	{"nuxt", `<script>window.__NUXT__={}</script>`},
	{"gatsby", `<div id="___gatsby"><div data-reactroot="">`},
	{"docusaurus", `<div id="__docusaurus">`},
	{"remix", `<script>window.__remixContext = {}</script>`},
	{"react-router", `<script>window.__reactRouterContext = {}</script>`},
	{"tanstack", `<script class="$tsr">self.$_TSR={}</script>`},
	{"sveltekit", `<body data-sveltekit-preload-data="hover"><div style="display: contents"><!--[-->`},
	{"astro", `<astro-island uid="1" component-url="/_astro/x.js">`},
	{"qwik", `<html q:container="paused" q:version="1">`},
	{"angular", `<app-root ng-version="19.0.0" ng-server-context="ssr">`},
	{"angular", `<li class="x" ngh="0">`},
	{"inertia", `<div id="app" data-page="{&quot;component&quot;:&quot;Home&quot;}">`},
	{"liveview", `<div data-phx-main data-phx-session="x">`},
	{"blazor", `<!--Blazor:{"type":"server"}-->`},
	{"solid", `<div data-hk="0">a</div>`},
	{"solid", `<script>window._$HY||(e=>{})()</script>`},
	{"svelte", `<h1 data-svelte-h="svelte-1zuaex">`},
	{"vue", `<div id="app" data-server-rendered="true">`},
	{"lit", `<!--lit-part AlggVv6HqTI=--><!--lit-node 0-->`},
	{"react", `<div data-reactroot="">`},
	{"react", `<section class="hero" id="_R_0_"><h1>Old`},
	{"react", `<section class="hero" id=":R0:"><h1>Old`},
	{"react", `<h1>Old</h1><!--$?--><template id="B:0"></template>..<!--/$-->`},
	{"react", `<script>$RC("B:0","S:0")</script>`},

	// Without a marker that tells which.
	{"", `<h1>Old <!-- -->2</h1>`},
	{"", `<!--$--><i>slow</i>`},
	{"", `<div><!--[--><h1>a</h1><p>b</p><!--]-->`},
	{"", `<div><!--[0--><h1>a 1</h1><!--]-->`},
	{"", `<div v-if><!----><p>x</p>`},
	{"", `<body><div id="root"><h1>`},
	{"", "<body><div\nclass=x id=app>"},
	{"", `<script type="module" src="/x">`},
	{"", `<script type=module>`},
	{"", `<link rel="modulepreload" href="/x">`},
	{"", `<script defer src="/static/js/main.0a1b2c.js"></script>`},
	{"", `<script src=client.js>`},
	{"", `<script src="https://cdn.example/x/app-bundle.min.js">`},
	{"", `<p data-v-7ba5bd90>`},
	{"", `<script>window.__PRELOADED_STATE__ = {}</script>`},
}

var static = []string{
	"", "<", `<!doctype html><title>x</title><link rel=stylesheet href=/main.css><script src="/js/jquery-3.7.1.min.js"></script>` +
		`<!--[if lt IE 9]><script src="html5shiv.js"></script><![endif]--><body class="home page">` +
		`<div id="page" data-id="root"><!-- header --><a id="top" href="/x">price: $5, a__b, q: and a:</a><form id=application type="text">`,
	`<script src="/js/remain.js"></script><script src="/js/mainly.js"></script><p grid="root" data-type="module">`,
}

func TestDetectFramework(t *testing.T) {
	for _, s := range served {
		if got := DetectFramework([]byte(s.page)); got != s.framework {
			t.Errorf("%s\nis of %q, want %q", s.page, got, s.framework)
		}
		if !scanned(s.page).mayHydrate() {
			t.Errorf("%s\nis taken for static", s.page)
		}
	}
	for _, page := range static {
		if scanned(page).mayHydrate() || DetectFramework([]byte(page)) != "" {
			t.Errorf("%s\nis not taken for static", page)
		}
	}
	if got := DetectFramework([]byte(`<div data-reactroot=""><script src="/_next/x.js">`)); got != "next" {
		t.Errorf("React below Next is %q", got)
	}
}

// The sign is found, or not, wherever a page is cut.
func TestDetectorChunks(t *testing.T) {
	seed := Seed()
	r := rand.New(rand.NewPCG(seed, 0))
	pages := append([]string(nil), static...)
	for _, s := range served {
		pages = append(pages, s.page, strings.Repeat("<p>", 30)+s.page+strings.Repeat(" x", r.IntN(50)))
	}
	for _, page := range pages {
		whole := scanned(page)
		for _, size := range []int{1, 2, 3, 7, 64, 1 + r.IntN(100)} {
			d := detector{}
			for at := 0; at < len(page); at += size {
				d.scan([]byte(page[at:min(len(page), at+size)]))
			}
			if d.mayHydrate() != whole.mayHydrate() {
				t.Errorf("seed %d: in chunks of %d: %v, whole: %v\n%s", seed, size, d.mayHydrate(), whole.mayHydrate(), page)
			}
		}
	}
}

func FuzzDetector(f *testing.F) {
	for i, s := range served {
		f.Add([]byte(s.page), uint64(i))
	}
	f.Fuzz(func(t *testing.T, page []byte, seed uint64) {
		whole, d, r := scanned(string(page)), detector{}, rand.New(rand.NewPCG(seed, 0))
		for at := 0; at < len(page); {
			n := min(len(page)-at, r.IntN(90))
			d.scan(page[at : at+n])
			at += n
		}
		if d.mayHydrate() != whole.mayHydrate() || !whole.mayHydrate() && DetectFramework(page) != "" {
			t.Errorf("in chunks: %v, whole: %v, by name: %q", d.mayHydrate(), whole.mayHydrate(), DetectFramework(page))
		}
	})
}

func scanned(page string) *detector {
	d := &detector{}
	d.scan([]byte(page))
	return d
}

// MayHydrate is for the tests with a browser.
func MayHydrate(page string) bool { return scanned(page).mayHydrate() }

func TestChooseOperation(t *testing.T) {
	for _, test := range []struct {
		hydrates bool
		element  string
		want     Operation
		reason   Reason
	}{
		{false, "section", Inner, ""}, {false, "li", Inner, ""}, {false, "x-card", Inner, ""},
		{true, "section", Shadow, ""}, {true, "li", Shadow, Host}, {true, "td", Shadow, Host}, {true, "x-card", Shadow, Host},
	} {
		if got, reason := chooseOperation(test.hydrates, test.element); got != test.want || reason != test.reason {
			t.Errorf("%v: %s %q", test, got, reason)
		}
	}
}

func BenchmarkDetector(b *testing.B) {
	page := []byte(strings.Repeat(static[1]+"<p class='lead text-x'>Some text as pages have it, of a few words. <a href='/some/address?x=1'>more</a></p>\n", 100))
	b.SetBytes(int64(len(page)))
	b.ReportAllocs()
	for b.Loop() {
		d := detector{}
		if d.scan(page); d.mayHydrate() {
			b.Fatal("not static")
		}
	}
}
