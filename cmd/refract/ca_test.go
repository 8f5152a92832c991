package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/certs/acmetest"
)

// acmeSettings are what a site says to have certificates of a CA. The listeners are
// where it validates.
func acmeSettings(a *acmetest.Authority, challenge, more string, hosts ...string) func(string) string {
	return func(s string) string {
		s = strings.Replace(s, "listen: 127.0.0.1:0\n", "listen: "+a.HTTP+"\n", 1)
		return s + fmt.Sprintf("tls: {listen: %q, hosts: [%s], acme: {ca: %q, root: %q, email: ops@example.com, challenges: [%s]}%s}\n",
			a.TLS, strings.Join(hosts, ", "), a.Directory(), a.Cert, challenge, more)
	}
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
