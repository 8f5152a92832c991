package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed14307185/refract/certs/acmetest"
)

// A certificate is obtained by each challenge that the CA can make on its own,
// from an authority that refuses three nonces in ten.
func TestChallenges(t *testing.T) {
	for _, challenge := range []string{"http-01", "tls-alpn-01"} {
		t.Run(challenge, func(t *testing.T) {
			t.Parallel()
			a := startAuthority(t, acmetest.Options{})
			host := challenge + ".challenges.test"
			e := a.edge(Options{Hosts: []string{strings.ToUpper(host)}, Challenges: []string{challenge}})
			_, err := e.handshake(host)
			wantAlert(t, err, "internal error") // it is a host, but there is nothing to serve it with yet
			e.reload(t, func(*Options) {})
			e.obtained(t, host)
			cert := e.served(t, host)
			if ends := e.NotAfter(); len(ends) != 1 || !ends[host].Equal(cert.NotAfter) {
				t.Errorf("NotAfter is %v, the certificate served ends %v", ends, cert.NotAfter)
			}
			if !strings.Contains(e.log.String(), `"challenge":"`+challenge+`"`) {
				t.Errorf("the log does not say that %s was answered", challenge)
			}
			// What only looks like a challenge is the app's.
			resp, err := http.Get("http://" + a.HTTP + "/.well-known/acme-challenge/unknown")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if body, _ := io.ReadAll(resp.Body); string(body) != "the app" {
				t.Errorf("an unknown token is answered %q", body)
			}
		})
	}
}

// h2 is offered, TLS 1.1 is not taken.
func TestVersions(t *testing.T) {
	t.Parallel()
	f := newFileEdge(t, "versions.test")
	state, err := f.dial(&tls.Config{ServerName: "versions.test", InsecureSkipVerify: true, NextProtos: []string{"http/1.1", "h2"}})
	if err != nil || state.NegotiatedProtocol != "h2" || state.Version != tls.VersionTLS13 {
		t.Errorf("negotiated %q by %s: %v", state.NegotiatedProtocol, tls.VersionName(state.Version), err)
	}
	_, err = f.dial(&tls.Config{ServerName: "versions.test", InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	wantAlert(t, err, "protocol version not supported")
}

// After a restart the stored certificate is served before any CA was asked,
// and none is asked for another.
func TestRestart(t *testing.T) {
	t.Parallel()
	a := startAuthority(t, acmetest.Options{})
	const host = "shop.restart.test"
	e := a.edge(Options{Hosts: []string{host}})
	e.reload(t, func(*Options) {})
	e.obtained(t, host)
	first := e.served(t, host)
	e.close()

	again := a.edge(Options{Hosts: []string{host}, Dir: e.opts.Dir})
	second, err := again.handshake(host)
	if err != nil || second.SerialNumber.Cmp(first.SerialNumber) != 0 {
		t.Fatalf("after a restart: %v, %v; want the certificate of before", second, err)
	}
	again.reload(t, func(o *Options) { o.Hosts = append(o.Hosts, "other.restart.test") })
	again.obtained(t, "other.restart.test") // so there was time for the first
	if third := again.served(t, host); third.SerialNumber.Cmp(first.SerialNumber) != 0 || a.Issued() != 2 {
		t.Errorf("%d certificates were issued for two names, serial numbers %v and %v", a.Issued(), first.SerialNumber, third.SerialNumber)
	}
}

// With the CA stopped what is stored is served, what is not says why, and both
// get what they need once the CA is back.
func TestAuthorityIsDown(t *testing.T) {
	t.Parallel()
	a := startAuthority(t, acmetest.Options{})
	const stored, missing, demanded = "stored.down.test", "missing.down.test", "demanded.down.test"
	e := a.edge(Options{Hosts: []string{stored}})
	e.reload(t, func(*Options) {})
	e.obtained(t, stored)
	first := e.served(t, stored)
	e.close()
	a.Stop()

	o := Options{Hosts: []string{stored, missing}, OnDemand: &OnDemand{Allow: []string{demanded}}, Dir: e.opts.Dir}
	again := a.edge(o)
	again.reload(t, func(*Options) {})
	if cert, err := again.handshake(stored); err != nil || cert.SerialNumber.Cmp(first.SerialNumber) != 0 {
		t.Errorf("with the CA down: %v, %v; want the stored certificate", cert, err)
	}
	ev := again.next(t)
	if ev.Name != missing || ev.Err == nil || ev.Renewal || !strings.Contains(ev.Hint, "can't be reached") {
		t.Errorf("got the event %+v, want a failure with a hint", ev)
	}
	_, err := again.handshake(missing)
	wantAlert(t, err, "internal error")
	_, err = again.handshake(demanded)
	wantAlert(t, err, "internal error")
	for _, want := range []string{`"level":"ERROR","msg":"certificate not obtained","host":"missing.down.test"`, "connection refused", `"hint":"the CA can't be reached`} {
		if log := again.log.String(); !strings.Contains(log, want) {
			t.Errorf("the log has no %s", want)
		}
	}

	a.Start() // and it has forgotten the account
	again.served(t, missing)
	again.served(t, demanded)
	if cert := again.served(t, stored); cert.SerialNumber.Cmp(first.SerialNumber) != 0 {
		t.Error("the stored certificate was replaced")
	}
}

// Reload tries at once what would wait.
func TestReloadTriesAtOnce(t *testing.T) {
	t.Parallel()
	a := startAuthority(t, acmetest.Options{})
	a.Stop()
	const host = "shop.wake.test"
	e := a.edge(Options{Hosts: []string{host}})
	e.tries.retry, e.tries.most = time.Hour, time.Hour
	e.reload(t, func(*Options) {})
	if ev := e.next(t); ev.Err == nil {
		t.Fatalf("got the event %+v with the CA down", ev)
	}
	a.Start()
	e.reload(t, func(*Options) {})
	e.obtained(t, host)
	e.served(t, host)
}

// shortLived certificates are renewed when there are fewer than five checks
// left of their life, if not before.
var shortLived = acmetest.Options{Validity: 30 * time.Second}

// What became due while nothing ran is renewed at the start, and not only at
// the first check.
func TestRestartRenews(t *testing.T) {
	t.Parallel()
	a := startAuthority(t, shortLived)
	a.pace.check = 10 * time.Minute
	const host = "shop.due.test"
	e := a.edge(Options{Hosts: []string{host}})
	e.reload(t, func(*Options) {})
	e.obtained(t, host)
	first := e.served(t, host)
	e.close()
	again := a.edge(Options{Hosts: []string{host}, Dir: e.opts.Dir})
	again.reload(t, func(*Options) {})
	again.replaced(t, first)
}

// A certificate is renewed before it expires, and visitors have one all the
// time. When the CA is gone the failure is told, and the old one is served on.
func TestRenewal(t *testing.T) {
	t.Parallel()
	a := startAuthority(t, shortLived)
	a.pace.check = 4 * time.Second
	const host = "shop.renewal.test"
	e := a.edge(Options{Hosts: []string{host}})
	e.reload(t, func(*Options) {})
	e.obtained(t, host)
	first := e.served(t, host)
	e.replaced(t, first)
	if ev := e.next(t); !ev.Renewal || ev.Err != nil {
		t.Errorf("got the event %+v, want a renewal", ev)
	}
	a.Stop()
	for ev := e.next(t); ; ev = e.next(t) {
		if ev.Err != nil {
			if !ev.Renewal || ev.Name != host || ev.Hint == "" {
				t.Errorf("got the event %+v, want a renewal that failed", ev)
			}
			break
		}
	}
	if _, err := e.handshake(host); err != nil {
		t.Errorf("a handshake after a renewal failed: %v", err)
	}
}

// replaced waits until a client gets another certificate than this. None may go
// without in the meantime.
func (e *edge) replaced(t *testing.T, first *x509.Certificate) {
	t.Helper()
	eventually(t, "a renewal", func() error {
		cert, err := e.handshake(first.DNSNames[0])
		if err != nil {
			t.Fatalf("a handshake while it is renewed: %v", err)
		}
		if cert.SerialNumber.Cmp(first.SerialNumber) == 0 {
			return errors.New("the first is served")
		}
		return nil
	})
}

// Why the CA refuses is told with what to do.
func TestRefusal(t *testing.T) {
	t.Parallel()
	a := startAuthority(t, acmetest.Options{})
	e := a.edge(Options{Hosts: []string{"shop.refusal.test"}})
	// The name leads to an address where nobody listens.
	if err := a.Record("/add-a", map[string]any{"host": "shop.refusal.test", "addresses": []string{"127.99.99.99"}}); err != nil {
		t.Fatal(err)
	}
	e.reload(t, func(*Options) {})
	if ev := e.next(t); ev.Err == nil || !strings.Contains(ev.Hint, "the CA must reach this machine by that name") {
		t.Errorf("got the event %+v", ev)
	}
	if err := a.Record("/clear-a", map[string]any{"host": "shop.refusal.test"}); err != nil {
		t.Fatal(err)
	}
	e.served(t, "shop.refusal.test")
}

// Hosts come and go by a reload. One that is gone is served no more, and one
// that comes back has its stored certificate.
func TestReloadHosts(t *testing.T) {
	t.Parallel()
	a := startAuthority(t, acmetest.Options{})
	const one, two = "one.reload.test", "two.reload.test"
	e := a.edge(Options{Hosts: []string{one}})
	e.reload(t, func(*Options) {})
	e.obtained(t, one)
	first := e.served(t, one)
	e.reload(t, func(o *Options) { o.Hosts = []string{two} })
	_, err := e.handshake(one)
	wantAlert(t, err, "unrecognized name")
	e.obtained(t, two)
	e.served(t, two)
	e.reload(t, func(o *Options) { o.Hosts = []string{two, one} })
	if cert := e.served(t, one); cert.SerialNumber.Cmp(first.SerialNumber) != 0 {
		t.Error("a host that came back got another certificate")
	}
	err = e.Reload(Options{Hosts: []string{"*.reload.test"}})
	if err == nil || !strings.Contains(err.Error(), "hint: add dns-01") {
		t.Errorf("a wildcard without dns-01: %v", err)
	}
	e.served(t, two) // as before
}

// Some CAs have accounts of their own.
func TestExternalAccount(t *testing.T) {
	t.Parallel()
	const id, key = "kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	a := startAuthority(t, acmetest.Options{EAB: map[string]string{id: key}})
	const host = "shop.eab.test"
	without := a.edge(Options{Hosts: []string{host}})
	without.reload(t, func(*Options) {})
	if ev := without.next(t); ev.Err == nil || !strings.Contains(ev.Hint, "`eab:`") {
		t.Errorf("without an account: %+v", ev)
	}
	without.close()
	with := a.edge(Options{Hosts: []string{host}, EAB: &EAB{id, key}})
	with.reload(t, func(*Options) {})
	with.obtained(t, host)
	with.served(t, host)
}

// Many visitors may come at once to a name that has no certificate yet: one is
// obtained, and all wait for it.
func TestOnDemandOnce(t *testing.T) {
	t.Parallel()
	a := startAuthority(t, acmetest.Options{})
	e := a.edge(Options{OnDemand: &OnDemand{Allow: []string{"*.crowd.test"}}})
	var crowd sync.WaitGroup
	for range 20 {
		crowd.Go(func() {
			if _, err := e.handshake("shop.crowd.test"); err != nil {
				t.Errorf("one of the crowd: %v", err)
			}
		})
	}
	crowd.Wait()
	if a.Issued() != 1 {
		t.Errorf("%d certificates were issued", a.Issued())
	}
}
