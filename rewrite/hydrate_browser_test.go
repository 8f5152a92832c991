package rewrite_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/seed14307185/refract/rewrite"
)

const shadowCSS = `
* { box-sizing: border-box } body { font: 16px/1.5 serif }
.hero { border: 3px solid #135; padding: 20px; color: #246; gap: 9px } .flex { display: flex !important; flex-wrap: wrap }
.hero h1 { color: #a00; margin: 1px 2px } .hero > p { font-style: italic; width: 50% } p { letter-spacing: 2px } .hero > :first-child { order: 2 }
.hero > * + * { text-decoration: underline } .btn { background: #cde; padding: 4px }`

const shadowResponse = `<h1>New <em>headline</em></h1><p class="lead">Some words <a class="btn" href="/x">go</a></p><svg width="20" height="20"><path d="M0 0h9v9z"></path></svg>`

// What the response looks like: every computed style and the place of every
// element of it.
const measure = `(root => [...root.querySelectorAll('h1, h1 *, p, p *, svg')].map(e => {
	const style = getComputedStyle(e), box = e.getBoundingClientRect()
	return e.localName + JSON.stringify(box) + [...style].map(p => p + ':' + style.getPropertyValue(p)).join(';')
}).join('\n'))`

// In a shadow root a response looks as it does in the page, and the page's own
// content is all there.
func TestShadowLooks(t *testing.T) {
	c := startChromium(t)
	const own = `<h1>Default</h1><button>Own</button>`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/page.css" {
			w.Header().Set("Content-Type", "text/css")
			io.WriteString(w, shadowCSS)
			return
		}
		w.Header().Set("Content-Security-Policy", r.FormValue("policy"))
		const link = `<link rel="stylesheet" nonce="abc" href="/page.css">`
		host := `<section class='` + r.FormValue("class") + `'>`
		content := shadowResponse
		if r.FormValue("shadow") != "" {
			content = rewrite.ShadowTemplate(t, shadowResponse, r.FormValue("slot") != "", host, link) + own
		}
		fmt.Fprintf(w, `<!doctype html>%s<body>%s%s</section><hr>`, link, host, content)
	}))
	defer server.Close()
	open := func(query string) {
		t.Helper()
		if err := chromedp.Do(c.ctx, chromedp.Navigate(server.URL+"/?"+query)); err != nil {
			t.Fatal(err)
		}
	}
	nonce := url.QueryEscape("default-src 'none'; style-src 'nonce-abc'")
	for _, query := range []string{"", "class=hero", "class=hero+flex", "class=hero&policy=" + nonce} {
		open(query)
		want := evaluate[string](t, c, measure+"(document.querySelector('section'))")
		open(query + "&shadow=1")
		if got := evaluate[string](t, c, measure+"(document.querySelector('section').shadowRoot)"); got != want || len(got) < 10_000 {
			t.Errorf("%s: as it is and in a shadow root:\n%.1000s\n%.1000s", query, want, got)
		}
		if got := evaluate[string](t, c, "document.querySelector('section').innerHTML"); got != own {
			t.Errorf("%s: the page's own content is %s", query, got)
		}
	}
	for _, policy := range []string{"", nonce} {
		open("class=hero&shadow=1&slot=1&policy=" + policy)
		if got := evaluate[string](t, c, "['h1', 'button'].map(e => document.querySelector(e).getClientRects().length).join()"); got != "0,1" {
			t.Errorf("policy %q: boxes of the own headline and button: %s", policy, got)
		}
		if got := evaluate[string](t, c, "document.querySelector('section').shadowRoot.querySelector('h1').innerText"); got != "New headline" {
			t.Errorf("policy %q: the response's headline is %q", policy, got)
		}
	}
}

// A tag with attributes set and removed has those in Chromium that it should.
func TestSetAttributesInChromium(t *testing.T) {
	c := startChromium(t)
	seed := seed()
	cases := rewrite.HostileTags(seed, 5000)
	var tags []string
	for _, e := range cases {
		tags = append(tags, e.Tag, e.Edited)
	}
	list, err := json.Marshal(tags)
	if err != nil {
		t.Fatal(err)
	}
	// In an <svg> the slash of a self-closing tag counts.
	read := evaluate[[]map[string]string](t, c, string(list)+`.map(tag => {
		const e = new DOMParser().parseFromString('<svg>' + tag + 'X', 'text/html').querySelector('svg').firstChild
		return Object.fromEntries([['<', e.localName], ['/', String(!e.firstChild)], ...[...e.attributes].map(a => ['@' + a.name, a.value])])
	})`)
	for i, e := range cases {
		want, have := read[2*i], read[2*i+1]
		for _, a := range e.Attributes {
			if a.Remove {
				delete(want, "@"+strings.ToLower(a.Name))
			} else {
				want["@"+strings.ToLower(a.Name)] = strings.ReplaceAll(a.Value, "\r\n", "\n")
			}
		}
		if !maps.Equal(want, have) {
			t.Fatalf("seed %d: %q with %+v\nis %q\nhas  %q\nwant %q", seed, e.Tag, e.Attributes, e.Edited, have, want)
		}
	}
}

// An app with what hydration trips over: state next to text, and an element
// that is only there later. It says what went wrong in errors.
const hydrationApp = `
globalThis.errors = []
const consoleError = console.error
console.error = (...all) => { errors.push(all.join(' ')); consoleError(...all) }
const app = (h, n, click) => h('main', null, [h('section', {key: 0, id: 'region'}, [
	h('h1', {key: 1}, ['Default ', String(n)]),
	n > 0 ? h('em', {key: 2}, ['more']) : null,
	h('button', {key: 3, id: 'own', onClick: click}, ['Own'])])])
const server = typeof document === 'undefined'
`

var hydrations = []struct {
	name, packages, script string
}{
	{"react18", "react@18.3.1 react-dom@18.3.1", reactScript},
	{"react19", "react@19.3.1 react-dom@19.3.1", reactScript},
	{"vue3", "vue@3.5.45", `
import {createSSRApp, h, ref} from 'vue'
const root = createSSRApp({setup() { const n = ref(0); return () => app(h, n.value, () => n.value++) }})
if (server) import('vue/server-renderer').then(r => r.renderToString(root)).then(html => process.stdout.write(html))
else { root.mount('#root'); globalThis.hydrated = true }`},
}

const reactScript = `
import {createElement, useEffect, useState} from 'react'
const h = (type, props, children) => createElement(type, props, ...children)
const App = () => {
	const [n, set] = useState(0)
	useEffect(() => { globalThis.hydrated = true }, [])
	return app(h, n, () => set(n + 1))
}
if (server) import('react-dom/server').then(r => process.stdout.write(r.renderToString(createElement(App))))
else import('react-dom/client').then(r =>
	r.hydrateRoot(document.getElementById('root'), createElement(App), {onRecoverableError: e => errors.push(String(e))}))`

// Apps hydrate over a page with a shadow root in it as if it weren't there, and
// over one whose content was exchanged they do not.
func TestHydration(t *testing.T) {
	if testing.Short() {
		t.Skip("installs packages from the npm registry")
	}
	for _, name := range []string{"node", "npm"} {
		if _, err := exec.LookPath(name); err != nil {
			lacking(t, "no %s in PATH: hydration is not tested", name)
		}
	}
	c := startChromium(t)
	for _, app := range hydrations {
		t.Run(app.name, func(t *testing.T) {
			page, client := hydratingPage(t, app.packages, app.script)
			if !rewrite.MayHydrate(page) {
				t.Errorf("taken for static: %s", page)
			}
			const region = `<section id="region">`
			shadow := rewrite.ShadowTemplate(t, "<h1>New</h1>", true, region)
			pages := map[string]string{
				"/none": page, "/shadow": strings.Replace(page, region, region+shadow, 1), "/inner": strings.Replace(page, "Default", "New", 1),
			}
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/client.js":
					w.Header().Set("Content-Type", "text/javascript")
					w.Write(client)
				default:
					io.WriteString(w, pages[r.URL.Path])
				}
			}))
			defer server.Close()
			for path, want := range map[string]string{
				"/none":   "kept true, errors false, light Default 1, more true, shadow , boxes 1",
				"/shadow": "kept true, errors false, light Default 1, more true, shadow New, boxes 0",
			} {
				if got := hydrate(t, c, server.URL+path); got != want {
					t.Errorf("%s: %s\nwant %s", path, got, want)
				}
			}
			if got := hydrate(t, c, server.URL+"/inner"); !strings.Contains(got, "errors true, light Default 1") {
				t.Errorf("an exchanged content was not reverted, so this shows nothing: %s", got)
			}
		})
	}
}

// hydratingPage installs packages and gives the page that the script renders on
// the server and its bundle for the browser.
func hydratingPage(t *testing.T, packages, script string) (page string, client []byte) {
	t.Helper()
	dir := t.TempDir()
	run := func(name string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "NODE_ENV=production")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			err = fmt.Errorf("%s: %w\n%s", name, err, stderr.String())
		}
		return string(out), err
	}
	for name, content := range map[string]string{"package.json": `{"type":"module"}`, "app.js": hydrationApp + script} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	install := append([]string{"install", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=3", "esbuild@0.28.2"}, strings.Fields(packages)...)
	if _, err := run("npm", install...); err != nil {
		lacking(t, "the packages can't be had: hydration is not tested: %v", err)
	}
	if _, err := run("node_modules/.bin/esbuild", "app.js", "--bundle", "--minify", "--platform=browser", "--outfile=client.js", "--log-level=error",
		`--define:process.env.NODE_ENV="production"`, "--external:*/server", "--external:vue/server-renderer", "--external:react-dom/server"); err != nil {
		t.Fatal(err)
	}
	html, err := run("node", "app.js")
	if err != nil {
		t.Fatal(err)
	}
	client, err = os.ReadFile(filepath.Join(dir, "client.js"))
	if err != nil {
		t.Fatal(err)
	}
	return `<!doctype html><body><div id="root">` + html + `</div><script>document.querySelector('main').kept = true</script><script src="/client.js"></script>`, client
}

// hydrate opens a page, waits for its app, clicks the app's own button with the
// mouse and says what is there then.
func hydrate(t *testing.T, c *chromium, url string) string {
	t.Helper()
	if err := chromedp.Do(c.ctx, chromedp.Navigate(url)); err != nil {
		t.Fatal(err)
	}
	const settled = `new Promise((done, fail) => {
		let frames = 0
		const look = () => CONDITION ? done(true) : frames++ < 300 ? requestAnimationFrame(look) : done(false)
		look()
	})`
	wait := func(condition string) {
		if !evaluate[bool](t, c, strings.Replace(settled, "CONDITION", condition, 1)) {
			t.Errorf("%s: %s did not come true: %s", url, condition, evaluate[string](t, c, "errors.join() + document.body.innerHTML"))
		}
	}
	wait("globalThis.hydrated && frames > 5")
	at := evaluate[[]float64](t, c, `(r => [r.x + r.width / 2, r.y + r.height / 2])(document.getElementById('own').getBoundingClientRect())`)
	if err := chromedp.Do(c.ctx, chromedp.MouseClickXY(at[0], at[1])); err != nil {
		t.Fatal(err)
	}
	wait("document.querySelector('em')")
	return evaluate[string](t, c, `(h1 => "kept " + !!document.querySelector('main').kept + ", errors " + (errors.length > 0) + ", light " + h1.textContent +
		", more " + !!document.querySelector('em') + ", shadow " + (document.getElementById('region').shadowRoot?.querySelector('h1').innerText ?? '') +
		", boxes " + h1.getClientRects().length)(document.querySelector('#region h1'))`)
}
