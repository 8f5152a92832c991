package main

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed14307185/refract/certs/acmetest"
	"github.com/seed14307185/refract/rules"
)

// drilled are visitors who go on whatever happens, and look closely at what
// they get: a page in full, as the app made it or treated, or an answer that
// says that there is none.
type drilled struct {
	t       *testing.T
	treated string
	stop    atomic.Bool
	all     sync.WaitGroup

	mu   sync.Mutex
	seen map[string]int // what they got, how often; guarded by mu
}

// run makes requests until d is stopped. edge is a base URL.
func (d *drilled) run(client *http.Client, edge, visitor string) {
	defer client.CloseIdleConnections()
	for !d.stop.Load() {
		d.ask(client, http.MethodGet, edge+"/reports", visitor, "", func(resp *http.Response, body string) string {
			switch {
			case resp.StatusCode == http.StatusOK && body == reportsPage:
				return "page"
			case resp.StatusCode == http.StatusOK && body == d.treated:
				return "treated page"
			}
			return d.absent(resp, body)
		})
		d.ask(client, http.MethodPost, edge+"/reports/1/export", visitor, "", func(resp *http.Response, body string) string {
			if resp.StatusCode == http.StatusOK && body == "csv" {
				return "export"
			}
			return d.absent(resp, body)
		})
		d.ask(client, http.MethodPost, edge+ingestMounts+"segment/v1/track", visitor, `{"event":"Page Looked At","userId":"`+visitor+`"}`, func(resp *http.Response, _ string) string {
			if resp.StatusCode == http.StatusOK {
				return "event"
			}
			if resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "" {
				return "event refused"
			}
			return ""
		})
	}
}

// absent is a proper answer in place of the origin's.
func (d *drilled) absent(resp *http.Response, body string) string {
	switch resp.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		if body != "" && resp.Header.Get("Cache-Control") == "no-store" && strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
			return "no page"
		}
	}
	return ""
}

func (d *drilled) ask(client *http.Client, method, url, visitor, body string, judge func(*http.Response, string) string) {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		d.t.Error(err)
		return
	}
	req.Header.Set("Cookie", "user="+visitor)
	req.SetBasicAuth("test-key", "")
	got := func() string {
		resp, err := client.Do(req)
		if err != nil {
			return "FAILED: " + err.Error()
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			return "FAILED: " + err.Error()
		}
		if what := judge(resp, string(b)); what != "" {
			return what
		}
		return fmt.Sprintf("FAILED: %s %s: %s %q", method, url, resp.Status, b)
	}()
	d.mu.Lock()
	d.seen[got]++
	d.mu.Unlock()
}

// more waits until they got something of a kind so many times more.
func (d *drilled) more(what string, n int) {
	d.t.Helper()
	count := func() int {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.seen[what]
	}
	until := count() + n
	eventually(d.t, fmt.Sprintf("visitors get: %s", what), func() bool { return count() >= until })
}

// TestDrill kills the origin, fills the disk, stops the CA and reloads a broken
// site, all under load and all at once, and mends it again.
func TestDrill(t *testing.T) {
	origin := startChild(t, "small", "")
	dir := newSite(t, "../../testdata/sites/loop", "http://"+origin.addr)
	disk := newSmallDisk(t, dir)
	ca := acmetest.Start(t, acmetest.Options{})
	config := filepath.Join(dir, "site/refract.yaml")
	editFile(t, config, acmeSettings(ca, "tls-alpn-01", ", redirect: false", shop))
	r, reader := treatedReader(t, dir)
	roots := ca.Roots()
	patiently(t, "a certificate", func() error {
		_, err := r.handshake(shop, roots)
		return err
	})
	set, err := rules.Load(r.dir + "/site")
	if err != nil {
		t.Fatal(err)
	}
	d := &drilled{
		t: t, seen: map[string]int{},
		treated: strings.Replace(reportsPage, "Your reports", html.EscapeString(string(set.Rule(reportsRule).Response.HTML)), 1),
	}
	plain := &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second}
	d.all.Go(func() { d.run(plain, r.edge, reader) })
	for version, visitor := range []string{"a-stranger", reader, "another-stranger"} {
		client := overTLS(t, 1+version, r.tls, roots)
		d.all.Go(func() { d.run(client, "https://"+shop, visitor) })
	}
	d.more("treated page", 50)

	origin.kill()
	ca.Stop()
	d.more("no page", 50)
	disk.fillTo(64 << 20)
	d.more("event refused", 10)
	mend := breakSite(t, dir)
	_, stderr, code := r.command("reload")
	if code != exitRefused {
		t.Errorf("reload of a broken site: exit status %d", code)
	}
	namesBoth(t, stderr)
	d.more("no page", 50)
	if status, body := r.ask(http.MethodGet, "/readyz?verbose", nil); status != http.StatusServiceUnavailable || !strings.Contains(body, "store: failed: ") {
		t.Errorf("on a full disk, it is ready: %d %s", status, body)
	}

	startChild(t, "small", "", "REFRACT_TEST_LISTEN="+origin.addr)
	d.more("page", 50)
	d.more("export", 10)
	disk.free()
	d.more("event", 10)
	mend()
	ca.Start()
	editFile(t, config, func(s string) string {
		return strings.Replace(s, "hosts: ["+shop, "hosts: ["+shop+", late.example.com", 1)
	})
	r.mustCommand("reload")
	d.more("treated page", 50)
	// The CA has forgotten the account: it took a try to find out.
	r.says(`refract_tls_issuances_total{result="failure"} 1`)
	r.mustCommand("reload")
	late := ca.Roots()
	patiently(t, "another certificate", func() error {
		_, err := r.handshake("late.example.com", late)
		return err
	})
	d.stop.Store(true)
	d.all.Wait()
	for what, n := range d.seen {
		if strings.HasPrefix(what, "FAILED") {
			t.Errorf("%d times %s", n, what)
		} else {
			t.Logf("%s: %d", what, n)
		}
	}
	r.stop()
}
