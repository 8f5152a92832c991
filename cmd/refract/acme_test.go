package main

import (
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/seed14307185/refract/certs/acmetest"
)

// What is wrong with a DNS provider is said before a certificate is asked for.
func TestDNSProvider(t *testing.T) {
	for options, want := range map[string]string{
		"provider: nobody":                          "cloudflare",
		"provider: cloudflare":                      "api_token",
		"provider: cloudflare, api_tokn: x":         "api_token",
		"provider: rfc2136, server: a, key_name: b": "key",
		"provider: acmedns, server_url: http://a, username: b, password: c, subdomain: d, propagation: soon": "90s",
	} {
		dir := newSite(t, "../../testdata/sites/loop", "http://127.0.0.1:1")
		editFile(t, filepath.Join(dir, "site/refract.yaml"), func(s string) string {
			return s + "tls: {listen: 127.0.0.1:0, hosts: ['*.example.com'], acme: {challenges: [dns-01], dns: {" + options + "}}}\n"
		})
		checked, _, stderr := command(t, "", "check", filepath.Join(dir, "site"))
		for _, text := range []string{stderr, refuses(t, dir)} {
			if checked != exitRefused || !regexp.MustCompile(`refract\.yaml: tls: acme: dns: .*\n.*hint: .*`+want).MatchString(text) {
				t.Errorf("%s: exit status %d: %s", options, checked, text)
			}
		}
	}
}

// TestACME has certificates from a real CA.
func TestACME(t *testing.T) {
	for _, challenge := range []string{"tls-alpn-01", "http-01"} {
		t.Run(challenge, func(t *testing.T) {
			ca := acmetest.Start(t, acmetest.Options{})
			dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
			editFile(t, filepath.Join(dir, "site/refract.yaml"), acmeSettings(ca, challenge, "", shop))
			r := start(t, dir)
			roots := ca.Roots()
			var cert *x509.Certificate
			patiently(t, "a certificate", func() (err error) {
				cert, err = r.handshake(shop, roots)
				return err
			})
			r.metric(fmt.Sprintf(`refract_tls_certs_not_after{host=%q} %v`, shop, float64(cert.NotAfter.Unix())))
			r.says(`refract_tls_issuances_total{result="success"} 1`)
			for version := 1; version <= 3; version++ {
				if resp, body := pageOver(t, overTLS(t, version, r.tls, roots), "https://"+shop+"/reports", "ann"); body != reportsPage {
					t.Errorf("over HTTP/%d: %s %q", version, resp.Status, body)
				}
			}
			for _, path := range []string{"/reports", "/.well-known/acme-challenge/of-nobody"} {
				if resp, _ := r.do(http.MethodGet, path, "", nil); resp.StatusCode != http.StatusMovedPermanently {
					t.Errorf("without TLS, %s is answered with %s", path, resp.Status)
				}
			}
			r.stop()

			again := func(how string) {
				t.Helper()
				r = start(t, dir)
				if after, err := r.handshake(shop, roots); err != nil || after.SerialNumber.Cmp(cert.SerialNumber) != 0 {
					t.Errorf("%s, another certificate is served: %v", how, err)
				}
				if status, body := r.ask(http.MethodGet, "/readyz?verbose", nil); status != http.StatusOK {
					t.Errorf("%s, it is not ready: %s", how, body)
				}
				r.kill()
			}
			again("started again")
			ca.Stop()
			again("without the CA")
			if n := ca.Issued(); n != 1 {
				t.Errorf("%d certificates were issued", n)
			}
		})
	}
}

// The CA goes away under load while a certificate is wanted of it: nobody
// notices, and it is had once the CA is back.
func TestCAStops(t *testing.T) {
	ca := acmetest.Start(t, acmetest.Options{})
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	site := filepath.Join(dir, "site/refract.yaml")
	editFile(t, site, acmeSettings(ca, "tls-alpn-01", "", shop))
	r := start(t, dir)
	roots := ca.Roots()
	patiently(t, "a certificate", func() error {
		_, err := r.handshake(shop, roots)
		return err
	})
	var served atomic.Int64
	var stop atomic.Bool
	ended := make(chan error, 3)
	for version := 1; version <= 3; version++ {
		client := overTLS(t, version, r.tls, roots)
		go func() {
			for !stop.Load() {
				resp, err := client.Get("https://" + shop + "/reports")
				if err != nil {
					ended <- fmt.Errorf("HTTP/%d: %w", version, err)
					return
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || string(body) != reportsPage {
					ended <- fmt.Errorf("HTTP/%d: %s %q, %w", version, resp.Status, body, err)
					return
				}
				if version == 1 { // every page has a handshake
					client.CloseIdleConnections()
				}
				served.Add(1)
			}
			ended <- nil
		}()
	}
	more := func() {
		t.Helper()
		until := served.Load() + 100
		patiently(t, "pages under load", func() error {
			if served.Load() < until {
				return fmt.Errorf("%d, not %d", served.Load(), until)
			}
			return nil
		})
	}
	more()
	ca.Stop()
	editFile(t, site, func(s string) string {
		return strings.Replace(s, "hosts: ["+shop, "hosts: ["+shop+", late.example.com", 1)
	})
	r.mustCommand("reload")
	r.says(`refract_tls_issuances_total{result="failure"} 1`)
	more()
	if _, err := r.handshake("late.example.com", roots); err == nil {
		t.Error("a certificate that was not issued is served")
	}
	ca.Start()
	r.mustCommand("reload") // tries at once
	// The CA has forgotten the account: it takes a try to find out.
	r.says(`refract_tls_issuances_total{result="failure"} 2`)
	r.mustCommand("reload")
	late := ca.Roots()
	patiently(t, "the late certificate", func() error {
		_, err := r.handshake("late.example.com", late)
		return err
	})
	more()
	stop.Store(true)
	for range 3 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d pages", served.Load())
	r.stop()
}
