package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// sentOn is a request as somebody got it.
type sentOn struct {
	method, target, body string
	header               http.Header
}

// listener is a server that keeps what it is sent.
type listener struct {
	*httptest.Server
	mu   sync.Mutex
	got  []sentOn
	came chan struct{} // has room for one: something came
}

// record starts one. answer answers; nil: 200.
func record(t *testing.T, answer http.HandlerFunc) *listener {
	v := &listener{came: make(chan struct{}, 1)}
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return // who sent it was killed
		}
		v.mu.Lock()
		v.got = append(v.got, sentOn{r.Method, r.RequestURI, string(b), r.Header.Clone()})
		v.mu.Unlock()
		if answer != nil {
			r.Body = io.NopCloser(bytes.NewReader(b))
			answer(w, r)
		}
		select {
		case v.came <- struct{}{}:
		default:
		}
	}))
	t.Cleanup(v.Close)
	return v
}

func (v *listener) all() []sentOn {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.got)
}

// sources puts sources into a site of newSite.
func sources(t *testing.T, dir, text string) {
	t.Helper()
	editFile(t, filepath.Join(dir, "site/refract.yaml"), func(s string) string {
		return strings.Replace(s, "sources: {segment: {write_key: test-key}}", "sources: "+text, 1)
	})
}

// TestTeeSurvivesKills kills the binary under load, again and again, while its
// vendor answers with errors, hangs and breaks off: each request that was
// acknowledged arrives, byte for byte, in order, and no other does.
func TestTeeSurvivesKills(t *testing.T) {
	rounds, from := 6, uint64(time.Now().UnixNano())
	if *seed != 0 {
		from = *seed
	}
	if testing.Short() {
		rounds = 2
	}
	t.Logf("-seed %d", from)
	rnd, fate := rand.New(rand.NewPCG(from, 0)), rand.New(rand.NewPCG(from, 1))
	var trouble atomic.Bool
	var mu sync.Mutex
	vendor := record(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		what := fate.IntN(60) // guarded by mu
		mu.Unlock()
		switch {
		case !trouble.Load() || what > 2:
		case what == 0:
			w.WriteHeader(http.StatusServiceUnavailable)
		case what == 1:
			<-r.Context().Done() // until it is killed, or gives up
		case what == 2:
			panic(http.ErrAbortHandler)
		}
	})
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	sources(t, dir, "{segment: {write_key: test-key, tee: "+vendor.URL+"/base}}")
	trouble.Store(true)
	body := func(i int) string {
		text := fmt.Sprintf(`{"batch":[{"type":"track","event":"Report Exported","userId":"u","messageId":"m-%d"}]}`, i)
		switch i % 3 {
		case 1: // nothing of it is an event
			return fmt.Sprintf(`{"batch":[],"i":%d}`, i)
		case 2:
			var b bytes.Buffer
			zip := gzip.NewWriter(&b)
			_, _ = io.WriteString(zip, text)
			_ = zip.Close()
			return b.String()
		}
		return text
	}
	acknowledged := 0
	for range rounds {
		r := start(t, dir)
		last := acknowledged + 1 + rnd.IntN(120)
		for acknowledged < last {
			resp, text := r.do(http.MethodPost, ingestMounts+"segment/v1/batch?n="+fmt.Sprint(acknowledged), "", strings.NewReader(body(acknowledged)),
				"Authorization", "Basic dGVzdC1rZXk6", "Content-Type", "application/json", "X-Other", "x", "X-Forwarded-For", "198.51.100.1")
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("%s %s", resp.Status, text)
			}
			acknowledged++
		}
		r.kill()
	}
	trouble.Store(false)
	r := start(t, dir)
	first := func() (order []sentOn) { // arrivals without repetitions
		seen := map[string]bool{}
		for _, g := range vendor.all() {
			if !seen[g.target] {
				seen[g.target] = true
				order = append(order, g)
			}
		}
		return order
	}
	for len(first()) < acknowledged {
		<-vendor.came
	}
	eventually(t, "the queue to be empty", func() bool {
		_, text := r.ask(http.MethodGet, "/metrics", nil)
		return strings.Contains(text, "\nrefract_outbox_pending{destination=\"tee:segment\"} 0\n")
	})
	r.stop()
	for i, g := range first() {
		if g.method != "POST" || g.target != fmt.Sprintf("/base/v1/batch?n=%d", i) || g.body != body(i) {
			t.Fatalf("%d: %s %s with %d bytes", i, g.method, g.target, len(g.body))
		}
		if h := g.header; h.Get("Authorization") != "Basic dGVzdC1rZXk6" || h.Get("Content-Type") != "application/json" || h.Get("X-Other") != "" || h.Get("X-Forwarded-For") != "127.0.0.1" {
			t.Fatalf("%d: %v", i, h)
		}
	}
	t.Logf("%d kills, %d requests acknowledged, %d arrivals", rounds, acknowledged, len(vendor.all()))
}

// TestConsent: without the cookie, a browser's request is answered and that is
// all.
func TestConsent(t *testing.T) {
	vendor := record(t, nil)
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	sources(t, dir, "{segment: {write_key: test-key, tee: "+vendor.URL+", consent: {cookie: analytics, value: granted}}}")
	r := start(t, dir)
	want := []string{}
	for _, c := range []struct {
		name   string
		kept   bool
		header []string
	}{
		{"not asked", false, []string{"Cookie", "user=ann", "Origin", "https://shop.example.com"}},
		{"denied", false, []string{"Cookie", "analytics=denied"}},
		{"granted", true, []string{"Cookie", "user=ann; analytics=granted"}},
		{"opted out", false, []string{"Cookie", "analytics=granted", "Sec-Gpc", "1"}},
		{"server", true, nil},
	} {
		text := fmt.Sprintf(`{"event":"Report Exported","userId":"ann","messageId":%q}`, c.name)
		resp, answer := r.do(http.MethodPost, ingestMounts+"segment/v1/track", "", strings.NewReader(text), append(c.header, "Authorization", "Basic dGVzdC1rZXk6")...)
		if resp.StatusCode != http.StatusOK || answer != "{\"success\":true}\n" {
			t.Errorf("%s: %s %s", c.name, resp.Status, answer)
		}
		if c.kept {
			want = append(want, text)
		}
	}
	if resp, _ := r.do(http.MethodPost, ingestMounts+"segment/v1/track", "", strings.NewReader("{}"), "Cookie", "a=b"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a wrong key without consent: %s", resp.Status)
	}
	for len(vendor.all()) < len(want) {
		<-vendor.came
	}
	r.metric(`refract_ingest_withheld_total{reason="consent"} 2`)
	r.metric(`refract_ingest_withheld_total{reason="gpc"} 1`)
	r.metric(`refract_events_total{result="appended"} 2`)
	r.stop()
	got := []string{}
	for _, g := range vendor.all() {
		got = append(got, g.body)
		if g.header.Get("Cookie") != "" {
			t.Errorf("a cookie is sent on: %v", g.header)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("sent on: %q, want %q", got, want)
	}
}

// between returns a proxy of the edge that keeps what passes.
func between(t *testing.T, edge string) *listener {
	t.Helper()
	to, err := url.Parse(edge)
	if err != nil {
		t.Fatal(err)
	}
	return record(t, func(w http.ResponseWriter, r *http.Request) {
		out := r.Clone(r.Context())
		out.RequestURI, out.URL.Scheme, out.URL.Host = "", to.Scheme, to.Host
		if _, said := out.Header["User-Agent"]; !said {
			out.Header["User-Agent"] = []string{""} // or the transport makes one up
		}
		resp, err := http.DefaultTransport.RoundTrip(out)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		for name, lines := range resp.Header {
			w.Header()[name] = lines
		}
		w.WriteHeader(resp.StatusCode)
		if _, err := io.Copy(w, resp.Body); err != nil {
			t.Error(err)
		}
	})
}

// sentOnAll checks that vendors got each request that the SDKs sent, byte for
// byte, with what says how to read it and who sends.
func (c *clients) sentOnAll(sent []sentOn) {
	c.t.Helper()
	eventually(c.t.(*testing.T), "the SDKs' requests to arrive at their vendors", func() bool { return len(c.vendors.all()) >= len(sent) })
	got := c.vendors.all()
	if len(got) != len(sent) {
		c.t.Errorf("%d requests came to the vendors, %d were sent", len(got), len(sent))
	}
	perVendor := map[string]int{}
	for _, s := range sent {
		target := strings.TrimPrefix(s.target, strings.TrimSuffix(ingestMounts, "/"))
		vendor, _, _ := strings.Cut(target[1:], "/")
		perVendor[vendor]++
		i := slices.IndexFunc(got, func(g sentOn) bool { return g.method == s.method && g.target == target && g.body == s.body })
		if i < 0 {
			c.t.Errorf("%s %s, with %d bytes, did not come", s.method, target, len(s.body))
			continue
		}
		for _, name := range []string{"Authorization", "Content-Type", "Content-Encoding", "User-Agent", "Anonymousid"} {
			if was, is := s.header.Get(name), got[i].header.Get(name); was != is {
				c.t.Errorf("%s %s: %s is %q, was %q", s.method, target, name, is, was)
			}
		}
		got = slices.Delete(got, i, i+1)
	}
	c.t.Logf("sent on: %v", perVendor)
}
