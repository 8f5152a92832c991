package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
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

// authority is a real CA: Let's Encrypt's test server pebble, and its DNS
// server, to which every name is 127.0.0.1.
type authority struct {
	t             *testing.T
	http, tls     string // addresses that it validates at
	listen, admin string
	dns           string
	config, cert  string // files; cert is what its own API is trusted by
	pebble        string // the program
	process       *exec.Cmd

	mu  sync.Mutex
	out bytes.Buffer // guarded by mu
}

func startAuthority(t *testing.T) *authority {
	t.Helper()
	dir := t.TempDir()
	a := &authority{t: t, http: unusedAddress(t), tls: unusedAddress(t), listen: unusedAddress(t), admin: unusedAddress(t), dns: unusedAddress(t),
		config: filepath.Join(dir, "pebble.json"), pebble: goTool(t, "pebble")}
	writeCertificate(t, dir, "127.0.0.1")
	a.cert = filepath.Join(dir, "cert.pem")
	port := func(address string) json.Number {
		_, p, _ := net.SplitHostPort(address)
		return json.Number(p)
	}
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": a.listen, "managementListenAddress": a.admin, "certificate": a.cert, "privateKey": filepath.Join(dir, "key.pem"),
		"httpPort": port(a.http), "tlsPort": port(a.tls), "keyAlgorithm": "ecdsa",
		"retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles":   map[string]any{"default": map[string]any{"description": "the only one", "validityPeriod": 90 * 24 * 3600}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.config, config, 0o600); err != nil {
		t.Fatal(err)
	}
	names := exec.Command(goTool(t, "pebble-challtestsrv"), "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "",
		"-dnsserver", a.dns, "-management", unusedAddress(t), "-defaultIPv6", "")
	if err := names.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = names.Process.Kill()
		_ = names.Wait()
		a.stop()
	})
	a.start()
	return a
}

// goTool returns the path of a tool of go.mod, which it builds.
func goTool(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "tool", "-n", "github.com/letsencrypt/pebble/v2/cmd/"+name).Output()
	if err != nil {
		t.Fatalf("go tool -n %s: %v", name, err)
	}
	return strings.TrimSpace(string(out))
}

// start runs pebble, which knows nothing of its former life, and has other roots.
func (a *authority) start() {
	a.t.Helper()
	a.process = exec.Command(a.pebble, "-config", a.config, "-dnsserver", a.dns)
	a.process.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_AUTHZREUSE=0")
	a.process.Stdout, a.process.Stderr = a, a
	if err := a.process.Start(); err != nil {
		a.t.Fatal(err)
	}
	patiently(a.t, "the CA to serve", func() error {
		_, err := a.get("https://" + a.listen + "/dir")
		return err
	})
}

func (a *authority) stop() {
	_ = a.process.Process.Kill() // it may be stopped
	_ = a.process.Wait()
}

// Write takes pebble's log.
func (a *authority) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.out.Write(p)
}

// issued counts the certificates that pebble says to have issued.
func (a *authority) issued() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Count(a.out.String(), "Issued certificate serial")
}

func (a *authority) get(url string) ([]byte, error) {
	own := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer own.CloseIdleConnections()
	resp, err := (&http.Client{Transport: own}).Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

// roots are what its certificates are trusted by.
func (a *authority) roots() *x509.CertPool {
	a.t.Helper()
	root, err := a.get("https://" + a.admin + "/roots/0")
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(root) {
		a.t.Fatalf("the CA's root: %q, %v", root, err)
	}
	return pool
}

// settings are what a site says to have certificates of it. The listeners are
// where it validates.
func (a *authority) settings(challenge, more string, hosts ...string) func(string) string {
	return func(s string) string {
		s = strings.Replace(s, "listen: 127.0.0.1:0\n", "listen: "+a.http+"\n", 1)
		return s + fmt.Sprintf("tls: {listen: %q, hosts: [%s], acme: {ca: %q, root: %q, email: ops@example.com, challenges: [%s]}%s}\n",
			a.tls, strings.Join(hosts, ", "), "https://"+a.listen+"/dir", a.cert, challenge, more)
	}
}

func unusedAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// patiently asks until there is no error, for a minute.
func patiently(t *testing.T, what string, ask func() error) {
	t.Helper()
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
			t.Fatalf("waited in vain for %s: %v", what, err)
		case <-tick.C:
		}
	}
}

// writeCertificate writes cert.pem, signed by itself for a name or an address,
// and key.pem to a directory, and returns who trusts it.
func writeCertificate(t *testing.T, dir, name string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "refract test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 1, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if ip := net.ParseIP(name); ip != nil {
		c.IPAddresses = []net.IP{ip}
	} else {
		c.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	private, keyErr := x509.MarshalPKCS8PrivateKey(key)
	if err := errors.Join(err, keyErr); err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for file, data := range map[string][]byte{"cert.pem": cert, "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return roots
}
