package rewrite_test

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"golang.org/x/net/html"

	"github.com/seed14307185/refract/rewrite"
)

//go:embed testdata/chromium/judge.js
var judgeScript string

// chromium is a headless browser with judge.js in it.
type chromium struct {
	ctx     context.Context
	server  *httptest.Server
	version string
	pages   []string // that the server has at /page/0, /page/1, …
}

// startChromium skips the test where there is no browser.
func startChromium(t *testing.T) *chromium {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "headless-shell"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		lacking(t, "no chromium in PATH: what browsers build of rewritten pages is not tested (apt-get install chromium)")
	}
	c := &chromium{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /page/{n}", func(w http.ResponseWriter, r *http.Request) {
		var n int
		if _, err := fmt.Sscan(r.PathValue("n"), &n); err != nil || n < 0 || n >= len(c.pages) {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Security-Policy", "default-src 'none'")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write([]byte(c.pages[n]))
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-src 'self'")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write([]byte("<!doctype html><title>judge</title><body>"))
	})
	c.server = httptest.NewServer(mux)
	t.Cleanup(c.server.Close)

	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU)
	for _, name := range []string{"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync", "no-first-run"} {
		options = append(options, chromedp.Flag(name, true))
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	c.ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	err := chromedp.Do(c.ctx, chromedp.Navigate(c.server.URL))
	if err != nil {
		t.Fatalf("starting %s: %v", path, err)
	}
	evaluate[int](t, c, judgeScript+";0")
	agent := evaluate[string](t, c, "navigator.userAgent")
	_, agent, _ = strings.Cut(agent, "Chrome/")
	c.version, _, _ = strings.Cut(agent, ".")
	return c
}

func evaluate[T any](t *testing.T, c *chromium, script string) T {
	t.Helper()
	result, err := chromedp.Run(c.ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		if thrown, ok := errors.AsType[*chromedp.ExceptionError](err); ok && thrown.Exception != nil {
			t.Fatalf("Chromium: %s", thrown.Exception.Description)
		}
		t.Fatalf("Chromium: %v", err)
	}
	return result
}

// call calls a function of judge.js. Argument and result are JSON.
func call[T any](t *testing.T, c *chromium, function string, argument any) T {
	t.Helper()
	b, err := json.Marshal(argument)
	if err != nil {
		t.Fatal(err)
	}
	return evaluate[T](t, c, "judge."+function+"("+string(b)+")")
}

// A comparison asks whether each of Outs parses to the tree of Page with the
// marked element edited.
type comparison struct {
	Page       string              `json:"page"`
	Operation  rewrite.Operation   `json:"op"`
	HTML       string              `json:"html"`
	Attributes []rewrite.Attribute `json:"attributes"`
	Outs       []string            `json:"outs"`
	Trees      bool                `json:"trees"` // wanted where they differ
}

// A difference is where a page and its rewritten form don't agree.
type difference struct{ Mode, Want, Have string }

// compare makes comparisons a batch at a time. There is one difference, or
// nil, for each Out of each.
func (c *chromium) compare(t *testing.T, all []comparison) [][]*difference {
	t.Helper()
	var found [][]*difference
	for batch := range batches(all, func(c comparison) int { return (1 + len(c.Outs)) * (1000 + len(c.Page)) }) {
		found = append(found, call[[][]*difference](t, c, "compare", batch)...)
	}
	return found
}

// batches cuts all where the sizes come to some 4 MB.
func batches[T any](all []T, size func(T) int) func(yield func([]T) bool) {
	return func(yield func([]T) bool) {
		start, sum := 0, 0
		for i, one := range all {
			sum += size(one)
			if sum > 4e6 || i == len(all)-1 {
				if !yield(all[start : i+1]) {
					return
				}
				start, sum = i+1, 0
			}
		}
	}
}

// dumpLike writes the tree of x/net/html as judge.js writes Chromium's.
func dumpLike(n *html.Node) string {
	var lines []string
	escape := strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
	quote := func(s string) string { return `"` + escape.Replace(s) + `"` }
	qualified := func(space, name string) string { return strings.TrimLeft(space+" "+name, " ") }
	var walk func(n *html.Node, indent string)
	walk = func(n *html.Node, indent string) {
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			switch c.Type {
			case html.TextNode:
				text := c.Data
				for c.NextSibling != nil && c.NextSibling.Type == html.TextNode {
					c = c.NextSibling
					text += c.Data
				}
				lines = append(lines, indent+quote(text))
			case html.CommentNode:
				lines = append(lines, indent+"<!-- "+quote(c.Data)+" -->")
			case html.DoctypeNode:
				public, system := "", ""
				for _, a := range c.Attr {
					switch a.Key {
					case "public":
						public = a.Val
					case "system":
						system = a.Val
					}
				}
				lines = append(lines, indent+"<!doctype "+quote(c.Data)+" "+quote(public)+" "+quote(system)+">")
			default:
				var attributes []string
				for _, a := range c.Attr {
					attributes = append(attributes, " "+qualified(a.Namespace, a.Key)+"="+quote(a.Val))
				}
				slices.Sort(attributes)
				lines = append(lines, indent+"<"+qualified(c.Namespace, c.Data)+strings.Join(attributes, "")+">")
				if c.Namespace == "" && c.Data == "template" {
					lines = append(lines, indent+" content")
					walk(c, indent+"  ")
				} else {
					walk(c, indent+" ")
				}
			}
		}
	}
	walk(n, "")
	return strings.Join(lines, "\n")
}

// lacking skips a test for something that is not installed. Where all of it must
// be, as in the gate, that fails the test.
func lacking(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
