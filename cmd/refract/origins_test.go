package main

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/seed14307185/refract/certs/acmetest"
)

// server is a server of the app that answers with its name.
type server struct {
	*httptest.Server
	asked atomic.Int64
	sick  atomic.Bool // its /healthz says so
}

func newServer(t *testing.T, name string, configure func(*httptest.Server)) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			if s.sick.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			return
		}
		s.asked.Add(1)
		fmt.Fprint(w, name)
	}))
	if configure != nil {
		configure(s.Server)
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// setOrigins writes origins to refract.yaml, in place of those that there are.
func setOrigins(t *testing.T, dir, origins string) {
	t.Helper()
	editFile(t, filepath.Join(dir, "site/refract.yaml"), func(s string) string {
		var kept strings.Builder
		for line := range strings.Lines(s) {
			if !strings.HasPrefix(line, "origin:") {
				kept.WriteString(line)
			}
		}
		return kept.String() + "origin: " + origins + "\n"
	})
}

// from asks for a path of a host, and returns the status and the body.
func (r *refract) from(host, path string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodGet, r.edge+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Host = host
	resp, err := r.http.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// says waits until the metrics have a line.
func (r *refract) says(line string) {
	r.t.Helper()
	patiently(r.t.(*testing.T), line, func() error {
		if _, metrics := r.ask(http.MethodGet, "/metrics", nil); !strings.Contains(metrics, "\n"+line+"\n") {
			return errors.New("the metrics do not say so")
		}
		return nil
	})
}

func healthy(url string, in int) string {
	return fmt.Sprintf(`refract_upstream_healthy{server=%q} %d`, url, in)
}

func TestOriginServers(t *testing.T) {
	a, b := newServer(t, "a", nil), newServer(t, "b", nil)
	dir := newSite(t, "../../testdata/sites/loop", a.URL)
	setOrigins(t, dir, fmt.Sprintf("{to: [%s, %s], failures: 2, cooldown: 1h}", a.URL, b.URL))
	r := start(t, dir)
	get := func(n int) {
		t.Helper()
		for i := range n {
			if status, body := r.from("", "/anything"); status != http.StatusOK || body != "a" && body != "b" {
				t.Fatalf("request %d: %d %q", i, status, body)
			}
		}
	}
	get(10)
	if a.asked.Load() != 5 || b.asked.Load() != 5 {
		t.Errorf("of 10 requests, they had %d and %d", a.asked.Load(), b.asked.Load())
	}
	r.metric(healthy(b.URL, 1))

	b.CloseClientConnections()
	b.Close()
	get(20)
	if a.asked.Load() != 25 {
		t.Errorf("who is left had %d requests, not 25", a.asked.Load())
	}
	r.metric(healthy(a.URL, 1))
	r.metric(healthy(b.URL, 0))
	if _, ready := r.ask(http.MethodGet, "/readyz?verbose", nil); !strings.Contains(ready, "1 of 2 servers are out: "+b.URL) {
		t.Errorf("readiness says %q", ready)
	}
	r.stop()
}

func TestOriginHealth(t *testing.T) {
	a, b := newServer(t, "a", nil), newServer(t, "b", nil)
	dir := newSite(t, "../../testdata/sites/loop", a.URL)
	setOrigins(t, dir, fmt.Sprintf("{to: [%s, %s], health: {path: /healthz, every: 1s, timeout: 1s, fall: 2, rise: 1}}", a.URL, b.URL))
	r := start(t, dir)
	all := func(want ...string) {
		t.Helper()
		for i := range 6 {
			if _, body := r.from("", "/"); body != want[i%len(want)] && body != want[(i+1)%len(want)] {
				t.Errorf("answered by %q, not by one of %q", body, want)
			}
		}
	}
	all("a", "b")
	b.sick.Store(true)
	r.says(healthy(b.URL, 0))
	all("a")
	b.sick.Store(false)
	r.says(healthy(b.URL, 1))
	before := b.asked.Load()
	all("a", "b")
	if b.asked.Load() == before {
		t.Error("a server that is back is asked for nothing")
	}
	r.stop()
}

// Every kind of server, and which request goes where.
func TestOriginRoutes(t *testing.T) {
	dir := newSite(t, "../../testdata/sites/loop", "http://127.0.0.1:1")
	path := filepath.Join(dir, "app.sock")
	newServer(t, "socket", func(s *httptest.Server) {
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		s.Listener.Close()
		s.Listener = l
		s.Start()
	})
	secure := newServer(t, "secure", (*httptest.Server).StartTLS)
	writeRoot := func(cert []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	writeRoot(secure.Certificate().Raw)
	plain := newServer(t, "plain", nil)
	setOrigins(t, dir, fmt.Sprintf(`
  - {hosts: [api.example.com, "*.api.example.com"], to: "unix:%s"}
  - {hosts: [www.example.com], paths: [/pay/**], to: %s, tls: {ca: ../ca.pem, name: example.com}}
  - {hosts: [www.example.com], to: %s}`, path, secure.URL, plain.URL))
	r := start(t, dir)
	for _, c := range []struct{ host, path, want string }{
		{"api.example.com", "/pay/x", "socket"},
		{"API.example.com:8080", "/", "socket"},
		{"v1.api.example.com", "/", "socket"},
		{"www.example.com", "/pay/card?x=1", "secure"},
		{"www.example.com", "/paying", "plain"},
		{"www.example.com", "/", "plain"},
		{"a.v1.api.example.com", "/", ""},
		{"example.com", "/", ""},
		{"", "/", ""},
	} {
		status, body := r.from(c.host, c.path)
		if want := http.StatusOK; c.want != "" && (status != want || body != c.want) {
			t.Errorf("%s%s is answered by %d %q, not by %q", c.host, c.path, status, body, c.want)
		}
		if c.want == "" && status != http.StatusMisdirectedRequest {
			t.Errorf("%s%s, which is for no origin, is answered with %d %q", c.host, c.path, status, body)
		}
	}

	r.metric("refract_origin_errors_total 0")

	// Another server's certificate is not trusted, and that is no part of the revision.
	acmetest.WriteCertificate(t, dir, "example.com")
	if err := os.Rename(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	r.mustCommand("reload")
	if status, _ := r.from("www.example.com", "/pay/card"); status != http.StatusBadGateway {
		t.Errorf("an origin that is not trusted any more: %d", status)
	}
	writeRoot(secure.Certificate().Raw)
	r.mustCommand("reload")
	if status, body := r.from("www.example.com", "/pay/card"); body != "secure" {
		t.Errorf("an origin that is trusted again: %d %q", status, body)
	}
	r.stop()
}

// After a reload the next request goes to the new origin; what the old one was
// asked, it answers.
func TestOriginChanged(t *testing.T) {
	entered, leave := make(chan bool), make(chan bool)
	before := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entered <- true
		<-leave
		fmt.Fprint(w, "before")
	}))
	t.Cleanup(before.Close)
	after := newServer(t, "after", nil)
	dir := newSite(t, "../../testdata/sites/loop", before.URL)
	r := start(t, dir)
	slow := make(chan string, 1)
	go func() {
		resp, err := http.Get(r.edge + "/slow")
		if err != nil {
			slow <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		slow <- fmt.Sprintf("%s %v", body, err)
	}()
	<-entered
	setOrigins(t, dir, after.URL)
	r.mustCommand("reload")
	if status, body := r.from("", "/"); body != "after" {
		t.Errorf("the request after the reload: %d %q", status, body)
	}
	close(leave)
	if got := <-slow; got != "before <nil>" {
		t.Errorf("the request in flight got %q", got)
	}
	r.stop()
}

func TestOriginTimeouts(t *testing.T) {
	leave := make(chan bool)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/half" {
			fmt.Fprint(w, "half")
			_ = http.NewResponseController(w).Flush()
		}
		select {
		case <-leave:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(app.Close)
	t.Cleanup(func() { close(leave) })
	dir := newSite(t, "../../testdata/sites/loop", app.URL)
	setOrigins(t, dir, "{to: "+app.URL+", response: 1s, idle: 1s}")
	r := start(t, dir)
	resp, body := r.do(http.MethodGet, "/never", "", nil)
	if resp.StatusCode != http.StatusGatewayTimeout || body == "" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("no answer in time: %s %q", resp.Status, body)
	}
	resp, err := r.http.Get(r.edge + "/half")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); string(b) != "half" || err == nil {
		t.Errorf("of an answer that does not go on, %q is read, and then %v", b, err)
	}
	r.stop()
}

// accessLine waits for the access log's line of a path.
func (r *refract) accessLine(path string) (line map[string]any) {
	r.t.Helper()
	patiently(r.t.(*testing.T), "the access log's line of "+path, func() error {
		b, err := os.ReadFile(filepath.Join(r.dir, "access.log"))
		for text := range strings.Lines(string(b)) {
			line = nil
			if json.Unmarshal([]byte(text), &line) == nil && line["path"] == path {
				return nil
			}
		}
		return errors.Join(errors.New("it is not there"), err)
	})
	return line
}
