package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// browserVendors are those with an SDK for browsers.
var browserVendors = []string{"segment", "rudderstack", "posthog", "mixpanel", "amplitude", "braze"}

// swapped is what the rule of the reports page shows.
const swapped = "Have this report sent to you <weekly>"

// bundle builds the scripts of the pages, in which the SDKs are, and returns
// their directory.
func bundle(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	args := []string{"--bundle", "--format=iife", "--log-level=warning", "--outdir=" + dir}
	for _, vendor := range browserVendors {
		args = append(args, "browser/"+vendor+".js")
	}
	cmd := exec.CommandContext(t.Context(), "node_modules/.bin/esbuild", args...)
	cmd.Dir = clientsDir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("esbuild: %v\n%s", err, out)
	}
	return dir
}

// newClientsApp is an app whose reports page has a vendor's SDK in it.
func newClientsApp(t *testing.T, scripts string) *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /reports", func(w http.ResponseWriter, r *http.Request) {
		vendor, _, _ := strings.Cut(r.Host, ".")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!DOCTYPE html><title>Reports</title><section data-surface="reports.banner">Your reports</section><script src="/scripts/%s.js"></script>`, vendor)
	})
	mux.Handle("GET /scripts/", http.StripPrefix("/scripts/", http.FileServer(http.Dir(scripts))))
	mux.HandleFunc("POST /api/v3/", func(w http.ResponseWriter, _ *http.Request) { // Braze's
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"time":1795465704}`)
	})
	app := httptest.NewServer(mux)
	t.Cleanup(app.Close)
	return app
}

// newBrowser starts a browser that finds every host of the domain test here. It
// skips the test where there is none.
func newBrowser(t *testing.T) context.Context {
	t.Helper()
	names := []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}
	i := slices.IndexFunc(names, func(name string) bool {
		_, err := exec.LookPath(name)
		return err == nil
	})
	if i < 0 {
		lacking(t, "no chromium in PATH: what the SDKs for browsers send is not tested (apt-get install chromium)")
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(names[i]), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("host-resolver-rules", "MAP *.test 127.0.0.1, MAP * ~NOTFOUND"), // and nothing of the internet
		chromedp.UserAgent("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"))
	for _, name := range []string{"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync", "no-first-run"} {
		options = append(options, chromedp.Flag(name, true))
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// script runs a script of a page and awaits what it promises.
func script[T any](t *testing.T, ctx context.Context, text string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](text, chromedp.EvalAwaitPromise))
	if err != nil {
		if thrown, ok := errors.AsType[*chromedp.ExceptionError](err); ok && thrown.Exception != nil {
			t.Fatalf("the page: %s", thrown.Exception.Description)
		}
		t.Fatalf("%.80s: %v", text, err)
	}
	return v
}

// shown reads the page's surface, again and again until it is changed.
const shown = `(async () => {
	for (const end = Date.now() + 60000; ; await new Promise((next) => setTimeout(next, 50))) {
		const page = new DOMParser().parseFromString(await (await fetch('/reports')).text(), 'text/html');
		const text = page.querySelector('[data-surface]').textContent;
		if (text !== 'Your reports' || Date.now() > end) return text;
	}
})()`

// The vendors' SDKs for browsers, on a page that came through the proxy and with
// the mount beside it: the visitor's next page is changed, since the cookies of
// the SDK and its events are about the same visitor.
func TestBrowserSDKs(t *testing.T) {
	if _, err := os.Stat(filepath.Join(clientsDir, "node_modules")); err != nil {
		startClients(t, "")
	}
	ctx := newBrowser(t)
	c := startClients(t, newClientsApp(t, bundle(t)).URL)
	edge, err := url.Parse(c.edge)
	if err != nil {
		t.Fatal(err)
	}
	for _, vendor := range browserVendors {
		origin := "http://" + vendor + ".test:" + edge.Port()
		input, err := json.Marshal(map[string]string{"origin": origin, "mount": origin + ingestMounts + vendor, "key": clientKeys[vendor], "user": c.user(vendor)})
		if err != nil {
			t.Fatal(err)
		}
		if err := chromedp.Do(ctx, chromedp.Navigate(origin+"/reports")); err != nil {
			t.Fatal(err)
		}
		if text := script[string](t, ctx, `document.querySelector('[data-surface]').textContent`); text != "Your reports" {
			t.Errorf("%s: a stranger sees %q", vendor, text)
		}
		began := time.Now()
		script[any](t, ctx, "run("+string(input)+").then(() => null)")
		if vendor == "braze" {
			c.brazeExport(c.user(vendor)) // from a server: its browser SDK talks to Braze alone
		}
		if text := script[string](t, ctx, shown); text != swapped {
			t.Errorf("%s: the next page has %q, cookies %s", vendor, text, script[string](t, ctx, "document.cookie"))
		}
		t.Logf("%s: %v", vendor, time.Since(began).Round(time.Millisecond))
	}
	for _, vendor := range browserVendors {
		eventually(t, vendor+" to be sent what its SDK said", func() bool {
			return slices.ContainsFunc(c.vendors.all(), func(r sentOn) bool { return strings.HasPrefix(r.target, "/"+vendor+"/") })
		})
	}
	for _, r := range c.vendors.all() {
		if r.header.Get("Cookie") != "" || r.header.Get("X-Forwarded-For") != "127.0.0.1" {
			t.Errorf("%s is sent on with %v", r.target, r.header)
		}
	}
	log := c.logged()
	for _, vendor := range browserVendors {
		if vendor != "braze" {
			told(t, log, vendor, c.user(vendor))
		}
	}
}

// brazeExport tells what a server tells Braze.
func (c *clients) brazeExport(user string) {
	c.t.Helper()
	body := fmt.Sprintf(`{"events":[{"external_id":%q,"name":"Report Exported","time":%q}]}`, user, time.Now().UTC().Format(time.RFC3339))
	resp, answer := c.do(http.MethodPost, ingestMounts+"braze/users/track", "", bytes.NewReader([]byte(body)), "Authorization", "Bearer "+clientKeys["braze"])
	if resp.StatusCode != http.StatusCreated || !strings.Contains(answer, `"message":"success"`) {
		c.t.Errorf("braze: %s %s", resp.Status, answer)
	}
}
