package rewrite

import (
	"bytes"
	"iter"
	"slices"
)

// A detector looks for signs that a page will be taken over by a framework in
// the browser, which would undo a change of the content that it rendered and may
// throw the whole page away. The zero value is ready; it is not safe for
// concurrent use.
//
// Signs are of two kinds. A marker is what the server side of a framework
// writes. A hint is what pages that hydrate mostly have and others may have too:
// the container that an app is rendered into (id="root"), a module script or a
// script with a bundle's name, comments as renderers write them between nodes,
// state for a script. Not every framework marks what it renders, and some mark
// it at the end of the page, after the region. So a hint alone makes a page one
// that may hydrate, and only one with neither sign so far is taken for static.
// Such a page can still hydrate: rendered without any marker, into a container
// of its own name, by a script at the end. That cannot be seen from what comes
// before; a surface there needs its operation named. A sign in a text that
// merely speaks of it counts: it costs little, for static pages too show a
// shadow root.
type detector struct {
	tail  [signReach]byte // the end of what was scanned
	n     int             // bytes in tail
	found bool
}

// scan takes the next bytes of the page. It keeps none of them, and looks at
// none once there was a sign.
func (d *detector) scan(chunk []byte) {
	if d.found {
		return
	}
	var seam [2 * signReach]byte
	n := copy(seam[:], d.tail[:d.n])
	n += copy(seam[n:], chunk[:min(len(chunk), signReach)])
	d.found = hasSign(seam[:n]) || len(chunk) > signReach && hasSign(chunk)
	end := seam[:n]
	if len(chunk) > signReach {
		end = chunk
	}
	d.n = copy(d.tail[:], end[max(0, len(end)-signReach):])
}

// mayHydrate says whether there was a sign so far.
func (d *detector) mayHydrate() bool { return d.found }

// chooseOperation says what Auto comes to on an element: Inner on a page that is
// static so far, else Shadow, and Shadow with the reason Host where that is not
// possible and the region is to stay untouched. A custom element is no host
// here: its own code may attach a shadow root, which empties the one it finds.
func chooseOperation(mayHydrate bool, element string) (Operation, Reason) {
	switch {
	case !mayHydrate:
		return Inner, ""
	case canHostShadow(element) && !isCustomElement(element):
		return Shadow, ""
	}
	return Shadow, Host
}

// DetectFramework names the framework that rendered a page and will hydrate it
// in the browser, such as "next", "nuxt" or "react". It is "" when there is no
// marker of one that is known, which does not make the page static: Auto goes by
// weaker signs too. The page is in any ASCII-compatible charset.
func DetectFramework(page []byte) string {
	best := len(frameworks)
	for name := range signs(page) {
		if i := slices.Index(frameworks, name); i >= 0 {
			best = min(best, i)
		}
	}
	if best == len(frameworks) {
		return ""
	}
	return frameworks[best]
}

// frameworks are the names that markers give, those built on others first.
var frameworks = []string{"next", "nuxt", "gatsby", "docusaurus", "remix", "react-router", "tanstack", "sveltekit", "vitepress",
	"astro", "fresh", "framer", "inertia", "vike", "qwik", "angular", "ember", "liveview", "blazor", "stencil",
	"solid", "svelte", "vue", "lit", "react"}

// signReach is how many bytes, at most, decide on a sign.
const signReach = 72

// Signs by what they begin with. Each has at least three bytes.
var (
	underscoreSigns = []sign{
		{"__next_", "next"}, {"__NEXT_DATA__", "next"}, {"_next/", "next"}, {"__NUXT_", "nuxt"}, {"__nuxt", "nuxt"}, {"_nuxt/", "nuxt"},
		{"___gatsby", "gatsby"}, {"__docusaurus", "docusaurus"}, {"__remixContext", "remix"}, {"__remixManifest", "remix"},
		{"__reactRouterContext", "react-router"}, {"__reactRouterManifest", "react-router"}, {"__staticRouterHydrationData", "react-router"},
		{"__sveltekit_", "sveltekit"}, {"_app/immutable/", "sveltekit"}, {"__VP_HASH_MAP__", "vitepress"}, {"__FRSH_STATE", "fresh"},
		{"__vite-plugin-ssr", "vike"}, {"_$HY", "solid"}, {"__LOADABLE_REQUIRED_CHUNKS__", "react"},
		{"__PRELOADED_STATE__", ""}, {"__INITIAL_STATE__", ""}, {"__APOLLO_STATE__", ""},
	}
	dollarSigns = []sign{{"$RC(", "react"}, {"$RC=", "react"}, {"$_TSR", "tanstack"}, {"$tsr-", "tanstack"}}
	// after "<"
	commentSigns = []sign{
		{"!--$-->", ""}, {"!--$?-->", "react"}, {"!--$!-->", "react"}, {"!--/$-->", "react"}, {"!-- -->", ""}, {"!---->", ""},
		{"!--[-", ""}, {"!--[!-->", ""}, {"!--[0-->", ""}, {"!--[1-->", ""}, {"!--HEAD_svelte-", "svelte"}, {"!-- HEAD_svelte-", "svelte"},
		{"!--lit-", "lit"}, {"!--nghm-->", "angular"}, {"!--Blazor:", "blazor"}, {"!--qv ", "qwik"}, {"!--frsh", "fresh"},
	}
	// after "data"
	dataSigns = []sign{
		{"-reactroot", "react"}, {"-reactid", "react"}, {"-react-", "react"}, {"-rh=", "react"}, {"-styled=", "react"}, {"-emotion=", "react"},
		{"-server-rendered", "vue"}, {"-vue-", "vue"}, {"-v-", ""}, {"-n-head", "nuxt"}, {"-sveltekit-", "sveltekit"}, {"-svelte", "svelte"},
		{"-hk=", "solid"}, {"-phx-", "liveview"}, {"-framer-hydrate", "framer"}, {"-stencil-build", "stencil"},
		{`-page="{&quot;component`, "inertia"}, {`-page='{"component`, "inertia"},
	}
	// after " ng"
	ngSigns = []sign{{"-server-context", "angular"}, {"-version=", "angular"}}
	// after "<astro"
	astroSigns = []sign{{"-island", "astro"}}
	// after "fastboot"
	fastbootSigns = []sign{{"-body", "ember"}}
	// after "q"
	qwikSigns = []sign{{":container", "qwik"}}
)

type sign struct{ text, framework string }

// signBytes are those that each sign has one of, at which it is looked for.
var signBytes = [256]bool{'_': true, '$': true, '!': true, '-': true, ':': true, '=': true, '.': true}

func hasSign(b []byte) bool {
	for range signs(b) {
		return true
	}
	return false
}

// signs yields the framework of each sign in b, "" for a hint.
func signs(b []byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i, c := range b {
			if !signBytes[c] {
				continue
			}
			if framework, ok := signAt(b, i); ok && !yield(framework) {
				return
			}
		}
	}
}

func signAt(b []byte, i int) (framework string, ok bool) {
	if i == 0 || i+2 >= len(b) {
		return "", false // the first byte of a page begins no sign but _ and $, and those are in scripts
	}
	var all []sign
	switch before := b[:i]; b[i] {
	case '=':
		return signOfAttribute(before, b[i+1:])
	case '.':
		return "", b[i+1] == 'j' && b[i+2] == 's' && isBundle(before[max(0, i-64):])
	case '_':
		all = underscoreSigns
	case '$':
		all = dollarSigns
	case '!':
		if before[i-1] == '<' {
			all = commentSigns
		}
	case ':':
		if before[i-1] == 'q' {
			all = qwikSigns
		}
	case '-':
		switch before[i-1] {
		case 'a':
			all = after(before, "data", dataSigns)
		case 'g':
			all = after(before, " ng", ngSigns)
		case 'o':
			all = after(before, "<astro", astroSigns)
		case 't':
			all = after(before, "fastboot", fastbootSigns)
		}
	}
	for _, s := range all {
		if s.text[2] == b[i+2] && hasPrefix(b[i:], s.text) {
			return s.framework, true
		}
	}
	return "", false
}

func after(before []byte, text string, all []sign) []sign {
	if hasSuffix(before, text) {
		return all
	}
	return nil
}

func hasPrefix(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}

func hasSuffix(b []byte, suffix string) bool {
	return len(b) >= len(suffix) && string(b[len(b)-len(suffix):]) == suffix
}

// signOfAttribute knows attributes by their value. before ends with the name,
// after begins with the value, or is cut short.
func signOfAttribute(before, after []byte) (framework string, ok bool) {
	name := ""
	switch before[len(before)-1] {
	case 'd':
		name = "id"
	case 'e':
		name = "type"
	case 'l':
		name = "rel"
	case 'h':
		name = "ngh"
	default:
		return "", false
	}
	if start := len(before) - len(name); start < 1 || !isSpace(before[start-1]) || !hasSuffix(before, name) {
		return "", false
	}
	value := after[:min(len(after), 40)]
	if len(value) > 0 && (value[0] == '"' || value[0] == '\'') {
		value = value[1:]
	}
	end := bytes.IndexAny(value, "\"'> \t\r\n\f")
	if end < 0 {
		return "", false
	}
	switch value = value[:end]; name {
	case "id":
		return signOfID(value)
	case "ngh":
		return "angular", true
	case "type":
		return "", foldedEqual(value, "module") || foldedEqual(value, "importmap")
	default:
		return "", foldedEqual(value, "modulepreload")
	}
}

// signOfID knows ids that frameworks give: containers of an app, and what they
// generate.
func signOfID(id []byte) (framework string, ok bool) {
	switch string(id) {
	case "__next":
		return "next", true
	case "ng-state", "serverApp-state":
		return "angular", true
	case "vike_pageContext":
		return "vike", true
	case "VPContent":
		return "vitepress", true
	case "root", "app", "_R_", "react-root", "reactRoot", "react-app", "app-root", "appRoot", "app-container", "appContainer", "svelte", "q-app", "main-app", "mount":
		return "", true
	}
	for _, prefix := range []string{":R", "_R_", "«R", "\xabR", "radix-"} { // React's useId, and a library's that builds on it
		if hasPrefix(id, prefix) {
			return "react", true
		}
	}
	return "", false
}

// isBundle says whether an address that ends in ".js" has a name as bundlers
// and server rendering set-ups give: main.0a1b2c.js, /client.js. path is what
// stands before the ".js".
func isBundle(path []byte) bool {
	start := bytes.LastIndexAny(path, "/\"'= ")
	if start < 0 {
		return false
	}
	base := path[start+1:]
	for _, name := range []string{"bundle", "main", "app", "index", "client", "entry", "vendor", "vendors", "chunk", "runtime", "polyfills", "webpack", "hydrate"} {
		if hasPrefix(base, name) && (len(base) == len(name) || bytes.IndexByte([]byte(".-_~"), base[len(name)]) >= 0) {
			return true
		}
	}
	return bytes.Contains(base, []byte("bundle")) || bytes.Contains(base, []byte("chunk"))
}
