package certs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/certs/acmetest"
)

// childEnv makes the test binary a process that obtains one certificate and has
// no listeners: "HOST CHALLENGE CA ROOT DIR".
const childEnv = "REFRACT_TEST_CERTS_CHILD"

func TestMain(m *testing.M) {
	if args := os.Getenv(childEnv); args != "" {
		if err := child(strings.Fields(args)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func child(args []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ended := make(chan Event, 10)
	o := Options{Hosts: args[:1], Challenges: args[1:2], CA: args[2], Root: args[3], Dir: args[4], Email: "ops@example.com",
		Log: slog.New(slog.NewJSONHandler(os.Stderr, nil)), Event: func(e Event) { ended <- e }}
	m, err := New(ctx, o)
	if err != nil {
		return err
	}
	if err = m.Reload(o); err == nil {
		select {
		case e := <-ended:
			err = e.Err
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	return errors.Join(err, m.Close())
}

// Processes that share a storage answer each other's challenges, and obtain one
// certificate for all.
func TestProcesses(t *testing.T) {
	t.Parallel()
	a := startAuthority(t, acmetest.Options{})
	hosts := []string{"one.processes.test", "two.processes.test"}
	e := a.edge(Options{Hosts: hosts})
	for i, challenge := range []string{http01, tlsALPN01} {
		other := exec.Command(os.Args[0])
		other.Env = append(os.Environ(), childEnv+"="+strings.Join([]string{hosts[i], challenge, e.opts.CA, e.opts.Root, e.opts.Dir}, " "))
		out, err := other.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", challenge, err, out)
		}
		for line := range strings.Lines(string(out)) {
			if !json.Valid([]byte(line)) {
				t.Errorf("a line went past the log: %s", line)
			}
		}
		if !strings.Contains(e.log.String(), `"challenge":"`+challenge+`","distributed":true`) {
			t.Errorf("%s was not answered for the other process", challenge)
		}
	}
	e.reload(t, func(*Options) {})
	for _, host := range hosts {
		e.served(t, host)
	}
	if a.Issued() != len(hosts) {
		t.Errorf("%d certificates were issued for %d names", a.Issued(), len(hosts))
	}
}
