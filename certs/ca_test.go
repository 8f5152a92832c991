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
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed14307185/refract/certs/acmetest"
)

// authority is a real CA, and the pace of the edges that it issues to.
type authority struct {
	*acmetest.Authority
	t    *testing.T
	pace pace
}

func startAuthority(t *testing.T, o acmetest.Options) *authority {
	t.Helper()
	o.RejectNonces = 30
	return &authority{acmetest.Start(t, o), t, quick}
}

// edge is a Manager behind two servers, as visitors and the CA reach it.
type edge struct {
	*Manager
	opts   Options
	events chan Event
	log    *lockedBuffer
	tls    string // address
	roots  func() *x509.CertPool
	close  func()
}

// quick is a pace for tests.
var quick = pace{retry: 100 * time.Millisecond, most: time.Second, check: 100 * time.Millisecond, files: 20 * time.Millisecond, handshake: 30 * time.Second, load: 5 * time.Second}

// edge starts one. It obtains nothing before Reload.
func (a *authority) edge(o Options) *edge {
	a.t.Helper()
	o.CA, o.Root, o.Email = a.Directory(), a.Cert, "ops@example.com"
	return openEdge(a.t, o, a.pace, a.HTTP, a.TLS, a.Roots)
}

func openEdge(t *testing.T, o Options, p pace, port80, port443 string, roots func() *x509.CertPool) *edge {
	t.Helper()
	e := &edge{events: make(chan Event, 100), log: &lockedBuffer{}, tls: port443, roots: roots}
	o.Event = func(ev Event) { e.events <- ev }
	o.Log = slog.New(slog.NewJSONHandler(e.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	var err error
	if e.Manager, err = open(t.Context(), o, p); err != nil {
		t.Fatal(err)
	}
	e.opts = o
	quiet := slog.NewLogLogger(slog.DiscardHandler, 0)
	app := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "the app") })
	plainServer := &http.Server{Handler: e.HTTPChallenge(app), ErrorLog: quiet}
	secureServer := &http.Server{Handler: app, TLSConfig: e.TLSConfig(), ErrorLog: quiet}
	plain, err := net.Listen("tcp", port80)
	if err != nil {
		t.Fatal(err)
	}
	secure, err := net.Listen("tcp", port443)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = plainServer.Serve(plain) }()
	go func() { _ = secureServer.ServeTLS(secure, "", "") }()
	e.close = sync.OnceFunc(func() {
		if err := errors.Join(plainServer.Close(), secureServer.Close(), e.Close()); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("edge:\n%s", e.log.String())
		}
	})
	t.Cleanup(e.close)
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
	state, err := e.dial(&tls.Config{ServerName: name, RootCAs: e.roots()})
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
