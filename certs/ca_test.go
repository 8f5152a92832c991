package certs

import (
	"bytes"
	"context"
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
	"log/slog"
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
// server. Each has ports of its own on the loopback interface.
type authority struct {
	t                 *testing.T
	http, tls         int    // ports that it validates at
	dns, dnsAdmin     string // addresses
	listen, admin     string
	config, cert, key string // files
	roots             *x509.CertPool
	pace              pace // of edges
	out               lockedBuffer
	process           *exec.Cmd
}

type authorityOptions struct {
	validity int // of certificates, in seconds; 0: 90 days
	eab      map[string]string
}

// tools returns the paths of two tools of go.mod, which it builds.
var tools = sync.OnceValues(func() (paths [2]string, err error) {
	for i, name := range []string{"pebble", "pebble-challtestsrv"} {
		out, err := exec.Command("go", "tool", "-n", "github.com/letsencrypt/pebble/v2/cmd/"+name).Output()
		if err != nil {
			return paths, fmt.Errorf("go tool -n %s: %w", name, err)
		}
		paths[i] = strings.TrimSpace(string(out))
	}
	return paths, nil
})

func startAuthority(t *testing.T, o authorityOptions) *authority {
	t.Helper()
	dir := t.TempDir()
	a := &authority{t: t, http: freePort(t), tls: freePort(t), pace: quick, roots: x509.NewCertPool(),
		dns: loopback(freePort(t)), dnsAdmin: loopback(freePort(t)), listen: loopback(freePort(t)), admin: loopback(freePort(t)),
		config: filepath.Join(dir, "pebble.json"), cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	writePair(t, Pair{a.cert, a.key}, template("127.0.0.1"))
	if o.validity == 0 {
		o.validity = 90 * 24 * 3600
	}
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": a.listen, "managementListenAddress": a.admin, "certificate": a.cert, "privateKey": a.key,
		"httpPort": a.http, "tlsPort": a.tls, "keyAlgorithm": "ecdsa",
		"externalAccountBindingRequired": o.eab != nil, "externalAccountMACKeys": o.eab,
		"retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles":   map[string]any{"default": map[string]any{"description": "the only one", "validityPeriod": o.validity}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.config, config, 0o600); err != nil {
		t.Fatal(err)
	}
	paths, err := tools()
	if err != nil {
		t.Fatal(err)
	}
	names := exec.Command(paths[1], "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "",
		"-dnsserver", a.dns, "-management", a.dnsAdmin, "-defaultIPv6", "")
	run(t, names)
	a.start()
	return a
}

// start runs pebble, which knows nothing of its former life, but the DNS
// server's records stay.
func (a *authority) start() {
	a.t.Helper()
	paths, err := tools()
	if err != nil {
		a.t.Fatal(err)
	}
	a.process = exec.Command(paths[0], "-config", a.config, "-dnsserver", a.dns)
	a.process.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=30", "PEBBLE_AUTHZREUSE=0")
	a.process.Stdout, a.process.Stderr = &a.out, &a.out
	run(a.t, a.process)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	eventually(a.t, "pebble to serve", func() error {
		resp, err := client.Get("https://" + a.admin + "/roots/0")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		root, err := io.ReadAll(resp.Body)
		if err == nil && !a.roots.AppendCertsFromPEM(root) {
			err = errors.New("no root")
		}
		if err == nil {
			resp, err = client.Get(a.directory())
		}
		if err == nil {
			err = resp.Body.Close()
		}
		return err
	})
}

func (a *authority) stop() {
	a.t.Helper()
	_ = a.process.Process.Kill()
	_ = a.process.Wait()
}

func (a *authority) directory() string { return "https://" + a.listen + "/dir" }

// post sends a record to the DNS server's management API.
func (a *authority) post(path string, record any) error {
	body, err := json.Marshal(record)
	if err != nil {
		return err
	}
	resp, err := http.Post("http://"+a.dnsAdmin+path, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, resp.Status)
	}
	return errors.Join(err, resp.Body.Close())
}

// issued counts the certificates that pebble says to have issued.
func (a *authority) issued() int { return strings.Count(a.out.String(), "Issued certificate serial") }

// run starts a process that ends with the test.
func run(t *testing.T, c *exec.Cmd) {
	t.Helper()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
}

// edge is a Manager behind two servers, as visitors and the CA reach it.
type edge struct {
	*Manager
	opts   Options
	events chan Event
	log    *lockedBuffer
	tls    string // address
	roots  *x509.CertPool
	close  func()
}

// quick is a pace for tests.
var quick = pace{retry: 100 * time.Millisecond, most: time.Second, check: 100 * time.Millisecond, files: 20 * time.Millisecond, handshake: 30 * time.Second, load: 5 * time.Second}

// edge starts one. It obtains nothing before Reload.
func (a *authority) edge(o Options) *edge {
	a.t.Helper()
	e := &edge{events: make(chan Event, 100), log: &lockedBuffer{}, tls: loopback(a.tls), roots: a.roots}
	o.CA, o.Root, o.Email = a.directory(), a.cert, "ops@example.com"
	o.Event = func(ev Event) { e.events <- ev }
	o.Log = slog.New(slog.NewJSONHandler(e.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if o.Dir == "" {
		o.Dir = a.t.TempDir()
	}
	var err error
	if e.Manager, err = open(a.t.Context(), o, a.pace); err != nil {
		a.t.Fatal(err)
	}
	e.opts = o
	quiet := slog.NewLogLogger(slog.DiscardHandler, 0)
	app := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "the app") })
	port80 := &http.Server{Handler: e.HTTPChallenge(app), ErrorLog: quiet}
	port443 := &http.Server{Handler: app, TLSConfig: e.TLSConfig(), ErrorLog: quiet}
	plain, err := net.Listen("tcp", loopback(a.http))
	if err != nil {
		a.t.Fatal(err)
	}
	secure, err := net.Listen("tcp", e.tls)
	if err != nil {
		a.t.Fatal(err)
	}
	go func() { _ = port80.Serve(plain) }()
	go func() { _ = port443.ServeTLS(secure, "", "") }()
	e.close = sync.OnceFunc(func() {
		if err := errors.Join(port80.Close(), port443.Close(), e.Close()); err != nil {
			a.t.Error(err)
		}
		if a.t.Failed() {
			a.t.Logf("edge:\n%s", e.log.String())
		}
	})
	a.t.Cleanup(e.close)
	return e
}

// reload is Reload with what f makes of the options.
func (e *edge) reload(t *testing.T, f func(*Options)) {
	t.Helper()
	f(&e.opts)
	if err := e.Reload(e.opts); err != nil {
		t.Fatal(err)
	}
}

// next returns the next event.
func (e *edge) next(t *testing.T) Event {
	t.Helper()
	select {
	case ev := <-e.events:
		return ev
	case <-time.After(time.Minute):
		t.Fatalf("no event in a minute; log:\n%s", e.log.String())
		return Event{}
	}
}

// obtained waits for a certificate.
func (e *edge) obtained(t *testing.T, name string) {
	t.Helper()
	if ev := e.next(t); ev.Name != name || ev.Err != nil {
		t.Fatalf("got the event %+v, want a certificate for %s", ev, name)
	}
}

// handshake returns the certificate that a client gets, verified.
func (e *edge) handshake(name string) (*x509.Certificate, error) {
	state, err := e.dial(&tls.Config{ServerName: name, RootCAs: e.roots})
	if err != nil {
		return nil, err
	}
	return state.PeerCertificates[0], nil
}

func (e *edge) dial(c *tls.Config) (tls.ConnectionState, error) {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Minute}, "tcp", e.tls, c)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	return conn.ConnectionState(), nil
}

// served waits until a client gets a certificate for the name.
func (e *edge) served(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	var cert *x509.Certificate
	eventually(t, "a certificate for "+name, func() (err error) {
		cert, err = e.handshake(name)
		return err
	})
	return cert
}

func wantAlert(t *testing.T, err error, alert string) {
	t.Helper()
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" || !strings.Contains(err.Error(), alert) {
		t.Errorf("the handshake ended with %v, want the alert %q", err, alert)
	}
}

// eventually asks until there is no error, for 30 seconds.
func eventually(t *testing.T, what string, ask func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s: %v", what, err)
		case <-tick.C:
		}
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// lockedBuffer is written and read by several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// template is a certificate for names that is valid for a month.
func template(names ...string) *x509.Certificate {
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "refract test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 1, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, n)
		}
	}
	return c
}

// writePair writes a certificate that is signed by itself, and its key.
func writePair(t *testing.T, p Pair, c *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, p, key, der)
}

func writePEM(t *testing.T, p Pair, key *ecdsa.PrivateKey, chain ...[]byte) {
	t.Helper()
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var certs bytes.Buffer
	for _, der := range chain {
		if err := pem.Encode(&certs, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
			t.Fatal(err)
		}
	}
	for file, data := range map[string][]byte{p.File: certs.Bytes(), p.Key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
