package main

import (
	"context"
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
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/websocket"

	"github.com/seed14307185/refract/certs/acmetest"
	"github.com/seed14307185/refract/store"
)

// shop is the host of the tests over TLS.
const shop = "shop.example.com"

// overTLS returns a client by a version of HTTP who finds every host at one
// address, and dials it once at most at a time.
func overTLS(t *testing.T, version int, address string, roots *x509.CertPool) *http.Client {
	config := &tls.Config{RootCAs: roots}
	client := &http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if version == 3 {
		h3 := &http3.Transport{TLSClientConfig: config, Dial: func(ctx context.Context, _ string, tc *tls.Config, qc *quic.Config) (*quic.Conn, error) {
			return quic.DialAddrEarly(ctx, address, tc, qc)
		}}
		t.Cleanup(func() { _ = h3.Close() })
		client.Transport = h3
		return client
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(version == 1)
	protocols.SetHTTP2(version == 2)
	client.Transport = &http.Transport{
		TLSClientConfig: config, Protocols: protocols, MaxConnsPerHost: 1,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// pageOver returns the response to a visitor.
func pageOver(t *testing.T, client *http.Client, url, visitor string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Cookie", "user="+visitor)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// handshake returns the certificate that a visitor gets for a name.
func (r *refract) handshake(name string, roots *x509.CertPool) (*x509.Certificate, error) {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Minute}, "tcp", r.tls, &tls.Config{ServerName: name, RootCAs: roots})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0], nil
}

// secured is a refract that is asked over TLS.
type secured struct {
	*refract
	plain  string // base URL without TLS
	roots  *x509.CertPool
	reader string // a visitor who is treated on /reports
}

// startSecure starts a site that serves a certificate from files beside the site
// directory.
func startSecure(t *testing.T, app, more string) *secured {
	t.Helper()
	dir := newSite(t, "../../testdata/sites/loop", app)
	roots := acmetest.WriteCertificate(t, dir, shop)
	editFile(t, filepath.Join(dir, "site/refract.yaml"), func(s string) string {
		return s + "tls: {listen: " + acmetest.Address(t) + ", certificates: [{file: ../cert.pem, key: ../key.pem}]" + more + "}\n"
	})
	r := &secured{refract: start(t, dir), roots: roots, reader: inTreatment(t, dir)}
	r.plain, r.edge, r.http = r.edge, "https://"+shop, overTLS(t, 1, r.tls, roots)
	r.send("track", map[string]any{"event": "Report Exported", "userId": r.reader})
	return r
}

func TestTLS(t *testing.T) {
	r := startSecure(t, newApp(t).URL, ", hsts: 365d")
	_, port, _ := net.SplitHostPort(r.tls)

	var treated [4]string
	for version := 1; version <= 3; version++ {
		client := overTLS(t, version, r.tls, r.roots)
		resp, body := pageOver(t, client, r.edge+"/reports", r.reader)
		if treated[version] = body; resp.ProtoMajor != version || !strings.Contains(body, "Have this report sent to you &lt;weekly&gt;") || body != treated[1] {
			t.Errorf("over HTTP/%d, a visitor in treatment got %s %s %q", version, resp.Proto, resp.Status, body)
		}
		altSvc := `h3=":` + port + `"; ma=86400`
		if version == 3 {
			altSvc = ""
		}
		if h := resp.Header; h.Get("Alt-Svc") != altSvc || h.Get("Strict-Transport-Security") != "max-age=31536000" {
			t.Errorf("over HTTP/%d: Alt-Svc %q, Strict-Transport-Security %q", version, h.Get("Alt-Svc"), h.Get("Strict-Transport-Security"))
		}
		if _, body := pageOver(t, client, r.edge+"/reports", "a-stranger"); body != reportsPage {
			t.Errorf("over HTTP/%d, a stranger got %q", version, body)
		}
	}
	for method, status := range map[string]int{http.MethodGet: http.StatusMovedPermanently, http.MethodPost: http.StatusPermanentRedirect} {
		req, err := http.NewRequest(method, r.plain+"/reports?a=%2F", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = shop
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if want := "https://" + net.JoinHostPort(shop, port) + "/reports?a=%2F"; resp.StatusCode != status || resp.Header.Get("Location") != want {
			t.Errorf("%s without TLS: %s, Location %q, want %d and %q", method, resp.Status, resp.Header.Get("Location"), status, want)
		}
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS11} {
		conn, err := tls.Dial("tcp", r.tls, &tls.Config{ServerName: shop, RootCAs: r.roots, MinVersion: tls.VersionTLS10, MaxVersion: version})
		if (err == nil) != (version >= tls.VersionTLS12) {
			t.Errorf("with at most %s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			conn.Close()
		}
	}
	if _, err := r.handshake("other.example.com", r.roots); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("a handshake for a name that is not served ended with %v", err)
	}
	r.stop()
}

// What is open lives on when a certificate is replaced, and a broken one takes
// the place of none.
func TestCertificateReplaced(t *testing.T) {
	app := newApp(t)
	mux := http.NewServeMux()
	mux.Handle("/", app.Config.Handler)
	mux.Handle("/socket", websocket.Handler(func(c *websocket.Conn) { _, _ = io.Copy(c, c) }))
	origin := httptest.NewServer(mux)
	t.Cleanup(origin.Close)
	r := startSecure(t, origin.URL, "")
	var open []*http.Client // who trust the first certificate alone
	for version := 1; version <= 3; version++ {
		open = append(open, overTLS(t, version, r.tls, r.roots))
	}
	all := func() {
		t.Helper()
		for i, client := range open {
			if _, body := pageOver(t, client, r.edge+"/reports", r.reader); body == reportsPage {
				t.Errorf("on an open connection of HTTP/%d, the page is not treated", 1+i)
			}
		}
	}
	all()
	conn, err := tls.Dial("tcp", r.tls, &tls.Config{ServerName: shop, RootCAs: r.roots})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	config, err := websocket.NewConfig("wss://"+shop+"/socket", r.edge)
	if err != nil {
		t.Fatal(err)
	}
	socket, err := websocket.NewClient(config, conn)
	if err != nil {
		t.Fatal(err)
	}
	echo := func(text string) {
		t.Helper()
		var got string
		if err := errors.Join(websocket.Message.Send(socket, text), websocket.Message.Receive(socket, &got)); err != nil || got != text {
			t.Errorf("the socket's echo of %q: %q, %v", text, got, err)
		}
	}
	echo("before")

	replaced := acmetest.WriteCertificate(t, r.dir, shop)
	r.mustCommand("reload")
	second, err := r.handshake(shop, replaced)
	if err != nil {
		t.Fatalf("the new certificate is not served: %v", err)
	}
	echo("after")
	all()

	for what, breakIt := range map[string]func() error{
		"a certificate that is none": func() error {
			return os.WriteFile(filepath.Join(r.dir, "cert.pem"), []byte("-----BEGIN NOTHING-----\n"), 0o600)
		},
		"a certificate for no name": func() error {
			acmetest.WriteCertificate(t, r.dir, "127.0.0.1")
			return nil
		},
		"no certificate": func() error { return os.Remove(filepath.Join(r.dir, "cert.pem")) },
	} {
		if err := breakIt(); err != nil {
			t.Fatal(err)
		}
		_, stderr, code := r.command("reload")
		if code != exitRefused || !regexp.MustCompile(`refract\.yaml:\d+:\d+: .*cert\.pem.*\n.*hint: `).MatchString(stderr) {
			t.Errorf("reload with %s: exit status %d: %s", what, code, stderr)
		}
		if after, err := r.handshake(shop, replaced); err != nil || after.SerialNumber.Cmp(second.SerialNumber) != 0 {
			t.Errorf("after %s, another one is served: %v", what, err)
		}
	}
	all()
	socket.Close()
	r.stop()
}

func TestTLSWithoutRedirect(t *testing.T) {
	r := startSecure(t, newApp(t).URL, ", redirect: false, http3: false")
	resp, secure := pageOver(t, overTLS(t, 2, r.tls, r.roots), r.edge+"/reports", r.reader)
	if h := resp.Header; h.Get("Alt-Svc") != "" || h.Get("Strict-Transport-Security") != "" {
		t.Errorf("Alt-Svc %q, Strict-Transport-Security %q", h.Get("Alt-Svc"), h.Get("Strict-Transport-Security"))
	}
	if _, body := pageOver(t, http.DefaultClient, r.plain+"/reports", r.reader); body != secure || body == reportsPage {
		t.Errorf("without TLS, the page is %q, with it %q", body, secure)
	}
	udp, err := net.ListenPacket("udp", r.tls)
	if err != nil {
		t.Errorf("without HTTP/3, UDP is listened on: %v", err)
	} else {
		udp.Close()
	}
	r.stop()
}

// A reload that the store refuses leaves the certificates as they were.
func TestRefusedReloadKeepsCertificates(t *testing.T) {
	dir := newSite(t, "../../testdata/sites/loop", "http://127.0.0.1:1")
	const other = "other.example.com"
	name := shop
	for _, name := range []string{shop, other} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		acmetest.WriteCertificate(t, filepath.Join(dir, name), name)
	}
	config := filepath.Join(dir, "site/refract.yaml")
	entry := func(name string) string {
		return fmt.Sprintf("\ntls: {listen: 127.0.0.1:0, redirect: false, certificates: [{file: ../%[1]s/cert.pem, key: ../%[1]s/key.pem}]}\n", name)
	}
	editFile(t, config, func(s string) string { return s + entry(name) })
	e, err := newEdge(t.Context(), filepath.Join(dir, "site"), time.Now, slog.New(slog.DiscardHandler), false)
	if err != nil {
		t.Fatal(err)
	}
	served := func() (names []string) {
		for name := range e.expiries() {
			names = append(names, name)
		}
		return names
	}
	if err := e.store.Close(); err != nil {
		t.Fatal(err)
	}
	editFile(t, config, func(s string) string { return strings.Replace(s, entry(shop), entry(other), 1) })
	if _, err := e.reload(t.Context(), nil); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a reload that the store can't take: %v", err)
	}
	if got := served(); !slices.Equal(got, []string{shop}) {
		t.Errorf("the certificates served are those of %q", got)
	}
	e.close() // shut without the store, which is closed
	e.background.Wait()
	e.origins.live.Load().Close()
	if err := e.certs.Close(); err != nil {
		t.Error(err)
	}
}
