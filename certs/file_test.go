package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	xocsp "golang.org/x/crypto/ocsp"

	"github.com/seed14307185/refract/certs/acmetest"
)

// fileEdge is an edge with certificates from files, whose CA nobody can reach.
type fileEdge struct {
	*edge
	pairs []Pair
}

// newFileEdge has one pair for the names; more does with its options what it likes.
func newFileEdge(t *testing.T, names ...string) *fileEdge {
	t.Helper()
	dir := t.TempDir()
	f := &fileEdge{pairs: []Pair{{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}}}
	writePair(t, f.pairs[0], template(names...))
	f.edge = openFileEdge(t, Options{Certificates: f.pairs})
	return f
}

func openFileEdge(t *testing.T, o Options) *edge {
	t.Helper()
	o.CA = "https://127.0.0.1:1/dir" // it is never asked
	return openEdge(t, o, quick, acmetest.Address(t), acmetest.Address(t), x509.NewCertPool)
}

// serial returns that of the certificate that a client gets, verified by nobody.
func (e *edge) serial(name string) (string, error) {
	state, err := e.dial(&tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		return "", err
	}
	return state.PeerCertificates[0].SerialNumber.String(), nil
}

// Which certificate a client gets is a matter of the name that it sends.
func TestServerName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var pairs []Pair
	serials := map[string]string{}
	for i, names := range [][]string{{"shop.sni.test", "www.sni.test"}, {"*.sni.test"}, {"other.test"}} {
		p := Pair{filepath.Join(dir, fmt.Sprint(i, ".pem")), filepath.Join(dir, fmt.Sprint(i, ".key"))}
		c := template(names...)
		writePair(t, p, c)
		pairs = append(pairs, p)
		serials[names[0]] = c.SerialNumber.String()
	}
	e := openFileEdge(t, Options{Certificates: pairs})
	for name, want := range map[string]string{
		"shop.sni.test": "shop.sni.test", "www.sni.test": "shop.sni.test", "WWW.SNI.TEST": "shop.sni.test",
		"x.sni.test": "*.sni.test", "other.test": "other.test", "": "shop.sni.test",
	} {
		got, err := e.serial(name)
		if err != nil || got != serials[want] {
			t.Errorf("%q gets the certificate %s, want that of %s: %v", name, got, want, err)
		}
	}
	for _, name := range []string{"unknown.test", "sni.test", "x.other.test"} {
		_, err := e.serial(name)
		wantAlert(t, err, "unrecognized name")
	}
	if ends := e.NotAfter(); len(ends) != 4 || ends["*.sni.test"].IsZero() {
		t.Errorf("NotAfter is %v", ends)
	}
}

// A certificate that is replaced on disk is served soon after, without a
// signal. A pair that is broken, or half written, changes nothing, is told of,
// and refuses a reload.
func TestFilesChange(t *testing.T) {
	t.Parallel()
	f := newFileEdge(t, "shop.files.test")
	first, err := f.serial("shop.files.test")
	if err != nil {
		t.Fatal(err)
	}
	next := template("shop.files.test")
	writePair(t, f.pairs[0], next)
	eventually(t, "the new certificate", func() error {
		if got, err := f.serial("shop.files.test"); got != next.SerialNumber.String() {
			return fmt.Errorf("%s is served, %s was the first: %w", got, first, err)
		}
		return nil
	})
	good, err := os.ReadFile(f.pairs[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.pairs[0].Key, good[:len(good)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a warning", func() error {
		if !strings.Contains(f.log.String(), `"level":"WARN","msg":"certificate files have changed and can't be used`) {
			return errors.New("there is none")
		}
		return nil
	})
	if got, err := f.serial("shop.files.test"); got != next.SerialNumber.String() {
		t.Errorf("with a broken key %s is served: %v", got, err)
	}
	if err := f.Reload(f.opts); err == nil || !strings.Contains(err.Error(), f.pairs[0].Key) || !strings.Contains(err.Error(), "\nhint: ") {
		t.Errorf("a reload with a broken key: %v", err)
	}
	if got, err := f.serial("shop.files.test"); got != next.SerialNumber.String() {
		t.Errorf("after a reload that was refused %s is served: %v", got, err)
	}
}

// Files go before ACME: no certificate is obtained for the names that they
// have, until they have them no more.
func TestFilesBeforeACME(t *testing.T) {
	t.Parallel()
	a := startAuthority(t, acmetest.Options{})
	dir := t.TempDir()
	p := Pair{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	own := template("*.both.test")
	writePair(t, p, own)
	e := a.edge(Options{Hosts: []string{"shop.both.test", "else.test"}, Certificates: []Pair{p}})
	e.reload(t, func(*Options) {})
	e.obtained(t, "else.test")
	if got, err := e.serial("shop.both.test"); got != own.SerialNumber.String() {
		t.Errorf("%s is served, and not the file's: %v", got, err)
	}
	if a.Issued() != 1 {
		t.Errorf("%d certificates were issued", a.Issued())
	}
	e.reload(t, func(o *Options) { o.Certificates = nil })
	e.obtained(t, "shop.both.test")
	e.served(t, "shop.both.test") // the CA's, since it can be verified
}

// What can't be used is an error at the start, and what can, but should not,
// a warning.
func TestFilesAreChecked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	good, other := Pair{file("good.pem"), file("good.key")}, Pair{file("other.pem"), file("other.key")}
	writePair(t, good, template("good.test"))
	writePair(t, other, template("other.test"))
	nameless := Pair{file("nameless.pem"), file("nameless.key")}
	writePair(t, nameless, template())
	if err := os.WriteFile(file("empty.pem"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		pair Pair
		want string
	}{
		{Pair{file("none.pem"), good.Key}, "none.pem: no such file"},
		{Pair{good.File, other.Key}, "private key does not match public key\nhint: "},
		{Pair{file("empty.pem"), good.Key}, "are no certificate and key"},
		{Pair{good.Key, good.File}, "\nhint: the one must be PEM"},
		{nameless, "is for no host name\nhint: "},
	} {
		_, err := New(t.Context(), Options{Certificates: []Pair{good, tt.pair}, Dir: file("store"), Log: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got the error %v, want %q", tt.pair, err, tt.want)
		}
	}
	for what, change := range map[string]func(*x509.Certificate){
		"has expired":           func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) },
		"expires within a week": func(c *x509.Certificate) { c.NotAfter = time.Now().Add(time.Hour) },
		"is not valid yet":      func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) },
	} {
		c := template("odd.test")
		change(c)
		writePair(t, other, c)
		e := openFileEdge(t, Options{Certificates: []Pair{other}})
		if got, err := e.serial("odd.test"); got != c.SerialNumber.String() {
			t.Errorf("one that %s is not served: %v", what, err)
		}
		if log := e.log.String(); !strings.Contains(log, `"level":"WARN","msg":"a certificate from a file `+what) || !strings.Contains(log, `"hint"`) {
			t.Errorf("the log does not say that it %s", what)
		}
	}
}

// OCSP responses are stapled, to certificates from files too. A responder that
// does not answer holds nothing up.
func TestStapling(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	issuerKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issuer := template()
	issuer.Subject.CommonName = "issuer"
	issuerDER, err := x509.CreateCertificate(rand.Reader, issuer, issuer, issuerKey.Public(), issuerKey)
	if err != nil {
		t.Fatal(err)
	}
	if issuer, err = x509.ParseCertificate(issuerDER); err != nil {
		t.Fatal(err)
	}
	responder := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		q, err := xocsp.ParseRequest(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer, _ := xocsp.CreateResponse(issuer, issuer, xocsp.Response{
			Status: xocsp.Good, SerialNumber: q.SerialNumber, ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(24 * time.Hour), IssuerHash: crypto.SHA1,
		}, issuerKey)
		_, _ = w.Write(answer)
	}))
	defer responder.Close()
	deaf, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	var pairs []Pair
	for host, url := range map[string]string{"stapled.test": responder.URL, "deaf.test": "http://" + deaf.Addr().String()} {
		p := Pair{filepath.Join(dir, host+".pem"), filepath.Join(dir, host+".key")}
		c := template(host)
		c.IsCA, c.OCSPServer = false, []string{url}
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.CreateCertificate(rand.Reader, c, issuer, key.Public(), issuerKey)
		if err != nil {
			t.Fatal(err)
		}
		writePEM(t, p, key, der, issuerDER)
		if host == "stapled.test" {
			pairs = append([]Pair{p}, pairs...)
		} else {
			pairs = append(pairs, p)
		}
	}
	e := openFileEdge(t, Options{Certificates: pairs})
	state, err := e.dial(&tls.Config{ServerName: "stapled.test", InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	staple, err := xocsp.ParseResponseForCert(state.OCSPResponse, state.PeerCertificates[0], issuer)
	if err != nil || staple.Status != xocsp.Good {
		t.Errorf("the staple: %v, %v", staple, err)
	}
	if _, err := e.serial("deaf.test"); err != nil {
		t.Errorf("the one whose responder does not answer: %v", err)
	}
}
