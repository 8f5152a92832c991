// Package acmetest runs a real certificate authority for tests: Let's Encrypt's
// test server, pebble, and its DNS server, both tools of go.mod.
package acmetest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Authority is a CA on the loopback interface, which validates any name at
// 127.0.0.1, unless Record says otherwise. It ends with its test.
type Authority struct {
	HTTP, TLS string // addresses that it validates at; nobody listens there
	DNS       string // address of its DNS server
	Cert      string // file: what its API is trusted by

	t             testing.TB
	listen, admin string
	records       string // address of the DNS server's API
	config        string // file
	environment   []string
	pebble        *exec.Cmd
	roots         *x509.CertPool
	log           output
}

// Options is what a CA may be asked for.
type Options struct {
	Validity     time.Duration     // of certificates; 0: 90 days
	EAB          map[string]string // keys by id: accounts are bound to one of them
	RejectNonces int               // per cent of good nonces that it refuses
}

// Start starts a CA, and returns when it answers.
func Start(t testing.TB, o Options) *Authority {
	t.Helper()
	dir := t.TempDir()
	a := &Authority{t: t, roots: x509.NewCertPool(), config: filepath.Join(dir, "pebble.json"), Cert: filepath.Join(dir, "cert.pem"),
		environment: append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_AUTHZREUSE=0", fmt.Sprintf("PEBBLE_WFE_NONCEREJECT=%d", o.RejectNonces))}
	for _, address := range []*string{&a.HTTP, &a.TLS, &a.DNS, &a.listen, &a.admin, &a.records} {
		*address = Address(t)
	}
	WriteCertificate(t, dir, "127.0.0.1")
	if o.Validity == 0 {
		o.Validity = 90 * 24 * time.Hour
	}
	port := func(address string) json.Number {
		_, p, _ := net.SplitHostPort(address)
		return json.Number(p)
	}
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": a.listen, "managementListenAddress": a.admin, "certificate": a.Cert, "privateKey": filepath.Join(dir, "key.pem"),
		"httpPort": port(a.HTTP), "tlsPort": port(a.TLS), "keyAlgorithm": "ecdsa",
		"externalAccountBindingRequired": o.EAB != nil, "externalAccountMACKeys": o.EAB,
		"retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles":   map[string]any{"default": map[string]any{"description": "the only one", "validityPeriod": int(o.Validity.Seconds())}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.config, config, 0o600); err != nil {
		t.Fatal(err)
	}
	names := a.run("pebble-challtestsrv", "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "",
		"-dnsserver", a.DNS, "-management", a.records, "-defaultIPv6", "")
	a.answers(names, func() error {
		conn, err := net.Dial("tcp", a.DNS)
		if err != nil {
			return err
		}
		return errors.Join(conn.Close(), a.Record("/clear-a", map[string]any{"host": "unknown.test"}))
	})
	a.Start()
	return a
}

// Start runs the CA again, which knows nothing of its former life, and has
// other roots. The DNS server was there all the time.
func (a *Authority) Start() {
	a.t.Helper()
	a.pebble = a.run("pebble", "-config", a.config, "-dnsserver", a.DNS)
	a.answers(a.pebble, func() error {
		root, err := get("https://" + a.admin + "/roots/0")
		if err == nil && !a.roots.AppendCertsFromPEM(root) {
			err = errors.New("no root")
		}
		if err == nil {
			_, err = get(a.Directory())
		}
		return err
	})
}

// Stop ends the CA, but not its DNS server.
func (a *Authority) Stop() {
	_ = a.pebble.Process.Kill() // it may be stopped
	_ = a.pebble.Wait()
}

// Directory is the URL that clients begin with.
func (a *Authority) Directory() string { return "https://" + a.listen + "/dir" }

// Roots are what its certificates are trusted by, those of former lives too.
func (a *Authority) Roots() *x509.CertPool { return a.roots.Clone() }

// Issued counts the certificates that it says to have issued, in all its lives.
func (a *Authority) Issued() int { return strings.Count(a.log.String(), "Issued certificate serial") }

// Record sends a record to the DNS server, for example {host, addresses} to
// /add-a, or {host, value} to /set-txt.
func (a *Authority) Record(path string, record any) error {
	body, err := json.Marshal(record)
	if err != nil {
		return err
	}
	resp, err := http.Post("http://"+a.records+path, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, resp.Status)
	}
	return errors.Join(err, resp.Body.Close())
}

// run starts a tool, which ends with the test at the latest.
func (a *Authority) run(tool string, args ...string) *exec.Cmd {
	a.t.Helper()
	path, err := exec.Command("go", "tool", "-n", "github.com/letsencrypt/pebble/v2/cmd/"+tool).Output() // builds it
	if err != nil {
		a.t.Fatalf("go tool -n %s: %v", tool, err)
	}
	c := exec.Command(strings.TrimSpace(string(path)), args...)
	c.Env = a.environment
	c.Stdout, c.Stderr = &a.log, &a.log
	if err := c.Start(); err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	return c
}

// answers waits until a process does, for a minute.
func (a *Authority) answers(c *exec.Cmd, ask func() error) {
	a.t.Helper()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-limit.C:
			a.t.Fatalf("%s does not answer: %v; it said:\n%s", filepath.Base(c.Path), err, a.log.String())
		case <-tick.C:
		}
	}
}

func get(url string) ([]byte, error) {
	own := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer own.CloseIdleConnections()
	resp, err := (&http.Client{Transport: own}).Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

// output is what processes said. It may be used by several goroutines.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
