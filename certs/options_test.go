package certs

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

// What can't work is said at the start, with what to do about it.
func TestOptions(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	solver, err := DNS("cloudflare", map[string]string{"api_token": "t"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		o    Options
		want string
	}{
		{Options{Challenges: []string{"http-02"}}, "\"http-02\" is no challenge\nhint: "},
		{Options{Challenges: []string{"dns-01"}}, "has no DNS provider\nhint: "},
		{Options{DNS: solver}, "dns-01 is not used\nhint: "},
		{Options{Hosts: []string{"*.example.com"}}, "*.example.com can be had by dns-01 only\nhint: "},
		{Options{Hosts: []string{"https://example.com"}}, "is no host name\nhint: "},
		{Options{Hosts: []string{"bücher.example"}}, "is no host name\nhint: "},
		{Options{Hosts: []string{"a.*.example.com"}}, "is no host name"},
		{Options{Hosts: []string{"-a.example.com"}}, "is no host name"},
		{Options{Hosts: []string{""}}, "is no host name"},
		{Options{CA: "http://ca.example.com/dir"}, "is no https URL\nhint: "},
		{Options{CA: "ca.example.com"}, "is no https URL"},
		{Options{Root: filepath.Join(dir, "none.pem")}, "none.pem: no such file"},
		{Options{Root: empty}, "has no certificate\nhint: "},
		{Options{EAB: &EAB{ID: "x"}}, "is incomplete"},
		{Options{EAB: &EAB{ID: "x", Key: "a b"}}, "not in base64url\nhint: "},
		{Options{OnDemand: &OnDemand{}}, "nothing is allowed\nhint: "},
		{Options{OnDemand: &OnDemand{Allow: []string{"*"}}}, "is no host name"},
		{Options{OnDemand: &OnDemand{Ask: "localhost/ask"}}, "is no http URL\nhint: "},
		{Options{Dir: empty}, "certificates can't be stored"},
		{Options{Dir: "-"}, "no directory"},
	} {
		tt.o.Log = slog.New(slog.DiscardHandler)
		switch tt.o.Dir {
		case "":
			tt.o.Dir = filepath.Join(dir, "store")
		case "-":
			tt.o.Dir = ""
		}
		if _, err := New(t.Context(), tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got the error %v, want %q", tt.o, err, tt.want)
		}
	}
	m, err := New(t.Context(), Options{Hosts: []string{"*.example.com", "Example.com."}, Challenges: []string{"dns-01"}, DNS: solver,
		Dir: filepath.Join(dir, "store"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if err := m.Reload(Options{}); err == nil {
		t.Error("a reload after Close is accepted")
	}
}

// What certmagic logs comes out of slog, not louder than it deserves.
func TestLog(t *testing.T) {
	var out bytes.Buffer
	log := func(l slog.Level) *zap.Logger {
		out.Reset()
		return zap.New(core{handler: slog.NewTextHandler(&out, &slog.HandlerOptions{Level: l, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})})
	}
	z := log(slog.LevelInfo)
	z.Debug("each handshake")
	z.Info("each step")
	z.Named("obtain").With(zap.String("identifier", "a.test")).Error("could not", zap.Error(errors.New("why")), zap.Duration("wait", time.Second))
	z.Warn("odd")
	const want = "level=WARN msg=\"could not\" from=certmagic logger=obtain error=why identifier=a.test wait=1s\nlevel=WARN msg=odd from=certmagic logger=\"\"\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
	z = log(slog.LevelDebug)
	z.Debug("each handshake")
	z.Info("each step")
	if out.String() != "level=DEBUG msg=\"each step\" from=certmagic logger=\"\"\n" {
		t.Errorf("got %s", out.String())
	}
}

// The wait after a failure doubles up to an end, and what is remembered is
// bounded.
func TestFailures(t *testing.T) {
	f := newFailures(time.Minute, time.Hour)
	var waits []time.Duration
	for range 8 {
		waits = append(waits, f.add("a.test", errors.New("why")))
	}
	if waits[0] != time.Minute || waits[1] != 2*time.Minute || waits[6] != time.Hour || waits[7] != time.Hour {
		t.Errorf("the waits are %v", waits)
	}
	if until, err := f.get("a.test"); err == nil || time.Until(until) < 59*time.Minute {
		t.Errorf("remembered %v until %v", err, until)
	}
	f.clear("a.test")
	if until, err := f.get("a.test"); err != nil || !until.IsZero() {
		t.Errorf("remembered %v until %v", err, until)
	}
	for i := range 2 * maxFailures {
		f.add(strconv.Itoa(i)+".test", errors.New("why"))
	}
	if len(f.of) > maxFailures {
		t.Errorf("%d failures are remembered", len(f.of))
	}
}
