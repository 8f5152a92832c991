package certs

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed14307185/refract/certs/acmetest"
)

// On demand, a name gets a certificate if the list or who is asked allows it.
func TestOnDemand(t *testing.T) {
	t.Parallel()
	a := startAuthority(t, acmetest.Options{})
	var asked atomic.Int64
	var last atomic.Value
	var down atomic.Bool
	ask := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		last.Store(r.URL.Query().Get("domain") + " " + r.URL.Query().Get("site"))
		switch {
		case down.Load():
			w.WriteHeader(http.StatusInternalServerError)
		case strings.HasPrefix(r.URL.Query().Get("domain"), "customer"):
		case strings.HasPrefix(r.URL.Query().Get("domain"), "moved"):
			http.Redirect(w, r, "/?domain=customer.demand.test", http.StatusFound)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer ask.Close()
	guard := &OnDemand{Allow: []string{"listed.demand.test", "*.apps.demand.test"}, Ask: ask.URL + "/?site=7"}
	e := a.edge(Options{OnDemand: guard})

	for _, name := range []string{"listed.demand.test", "a.apps.demand.test"} {
		if _, err := e.handshake(name); err != nil || asked.Load() != 0 {
			t.Errorf("%s is on the list: %v, and %d were asked", name, err, asked.Load())
		}
		e.obtained(t, name)
	}
	if _, err := e.handshake("customer.demand.test"); err != nil || last.Load() != "customer.demand.test 7" {
		t.Errorf("a name that is allowed on asking: %v, asked for %v", err, last.Load())
	}
	issued := a.Issued()
	if issued != 3 {
		t.Errorf("%d certificates were issued for three names", issued)
	}
	for _, name := range []string{"stranger.demand.test", "a.b.apps.demand.test", "moved.demand.test", "x" + strings.Repeat(".demand", 36)} {
		_, err := e.handshake(name)
		wantAlert(t, err, "unrecognized name")
	}
	down.Store(true)
	_, err := e.handshake("customer-2.demand.test")
	wantAlert(t, err, "unrecognized name")
	if !strings.Contains(e.log.String(), `"msg":"whether a certificate may be obtained can't be asked"`) {
		t.Error("the log does not say that nobody could be asked")
	}
	if a.Issued() != issued {
		t.Errorf("%d certificates were issued for names that are not allowed", a.Issued()-issued)
	}
	e.close()

	// What has a certificate is served although nobody can be asked.
	again := a.edge(Options{OnDemand: guard, Dir: e.opts.Dir})
	if _, err := again.handshake("customer.demand.test"); err != nil {
		t.Errorf("a name that was allowed, while nobody can be asked: %v", err)
	}
	if a.Issued() != issued {
		t.Error("it was issued anew")
	}
	// One that is taken off the list is served no more.
	again.reload(t, func(o *Options) { o.OnDemand = &OnDemand{Allow: []string{"listed.demand.test"}} })
	_, err = again.handshake("customer.demand.test")
	wantAlert(t, err, "unrecognized name")
	if _, err := again.handshake("listed.demand.test"); err != nil || a.Issued() != issued {
		t.Errorf("the one that is on it: %v, and %d were issued", err, a.Issued()-issued)
	}
}

// A name that the CA refuses is not tried again at every handshake.
func TestOnDemandPace(t *testing.T) {
	t.Parallel()
	a := startAuthority(t, acmetest.Options{})
	a.Stop()
	e := a.edge(Options{OnDemand: &OnDemand{Allow: []string{"*.pace.test"}}})
	e.tries.retry, e.tries.most = time.Hour, time.Hour
	for range 3 {
		_, err := e.handshake("shop.pace.test")
		wantAlert(t, err, "internal error")
	}
	if ev := e.next(t); ev.Err == nil || ev.Name != "shop.pace.test" {
		t.Errorf("got the event %+v", ev)
	}
	a.Start()
	_, err := e.handshake("shop.pace.test")
	wantAlert(t, err, "internal error")
	if e.close(); len(e.events) != 0 || a.Issued() != 0 {
		t.Errorf("%d more tries were made, %d certificates issued", len(e.events), a.Issued())
	}
}

// An on-demand certificate is renewed by the handshakes that use it.
func TestOnDemandRenewal(t *testing.T) {
	t.Parallel()
	a := startAuthority(t, shortLived)
	a.pace.check = 4 * time.Second
	// certmagic goes on renewing for minutes after the end, and who asks for the same name in this process waits for it.
	host := fmt.Sprintf("shop-%d.ondemand-renewal.test", time.Now().UnixNano())
	e := a.edge(Options{OnDemand: &OnDemand{Allow: []string{host}}})
	first, err := e.handshake(host)
	if err != nil {
		t.Fatal(err)
	}
	e.replaced(t, first)
}
