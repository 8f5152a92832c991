package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

// clientsDir has the vendors' client libraries, once scripts/install-test-apps
// has put them there.
const clientsDir = "testdata/clients"

// clientsSite is the site of the loop with every source in it, sent on to VENDORS,
// and visitors known by the cookies of every SDK.
const clientsSite = `sources:
  segment: {write_key: key-segment, tee: VENDORS/segment}
  rudderstack: {write_key: key-rudderstack, tee: VENDORS/rudderstack}
  posthog: {api_key: phc_0123456789abcdef, account: company, tee: VENDORS/posthog}
  mixpanel: {token: key-mixpanel, account: company, tee: VENDORS/mixpanel}
  amplitude: {api_key: key-amplitude-0123456789, account: company, tee: VENDORS/amplitude}
  braze: {api_key: key-braze, tee: VENDORS/braze}
identity:
  visitor: [segment, rudderstack, posthog, mixpanel, amplitude, braze]
`

var clientKeys = map[string]string{
	"segment": "key-segment", "rudderstack": "key-rudderstack", "posthog": "phc_0123456789abcdef",
	"mixpanel": "key-mixpanel", "amplitude": "key-amplitude-0123456789", "braze": "key-braze",
}

// clients is an edge that SDKs send to.
type clients struct {
	*refract
	set     *rules.Set
	vendors *listener // to which all is sent on
}

// startClients skips the test where the client libraries are not installed.
func startClients(t *testing.T, origin string) *clients {
	t.Helper()
	if _, err := os.Stat(filepath.Join(clientsDir, "node_modules")); errors.Is(err, os.ErrNotExist) {
		lacking(t, "the client libraries are not installed: what real SDKs send is not tested (scripts/install-test-apps)")
	}
	vendors := record(t, nil)
	dir := newSite(t, "../../testdata/sites/loop", origin)
	editFile(t, filepath.Join(dir, "site", "refract.yaml"), func(s string) string {
		var kept strings.Builder
		skip := false
		for line := range strings.Lines(s) {
			key, _, top := strings.Cut(line, ":")
			if top && !strings.HasPrefix(key, " ") {
				skip = key == "sources" || key == "identity" || key == "events"
			}
			if !skip {
				kept.WriteString(line)
			}
		}
		return kept.String() + strings.ReplaceAll(clientsSite, "VENDORS", vendors.URL)
	})
	set, err := rules.Load(filepath.Join(dir, "site"))
	if err != nil {
		t.Fatal(err)
	}
	return &clients{start(t, dir), set, vendors}
}

// user returns an id, of a user of the vendor's, for whom the reports page is
// changed.
func (c *clients) user(vendor string) string {
	for i := 0; ; i++ {
		id := fmt.Sprintf("%s-user-%d", vendor, i)
		if arm, _ := c.set.Rule("schedule-report").Assign(id); arm == rules.Treatment {
			return id
		}
	}
}

// logged stops the edge and returns the events that it has on disk.
func (c *clients) logged() []*events.Event {
	c.t.Helper()
	c.stop()
	s, err := store.Open(store.Options{Dir: filepath.Join(c.dir, "data", "store"), Log: slog.New(slog.DiscardHandler), Now: time.Now, Reserve: 1})
	if err != nil {
		c.t.Fatal(err)
	}
	var all []*events.Event
	err = s.Events(0, func(_ uint64, e *events.Event) bool { all = append(all, e); return true })
	if err := errors.Join(err, s.Close()); err != nil {
		c.t.Fatal(err)
	}
	return all
}

// told checks that the log has what a user's SDK said: once who they are and
// what they were called before, once their account's seats, and once their
// export, with the account.
func told(t *testing.T, log []*events.Event, source, user string) {
	t.Helper()
	var plans, merges, seats, exports int
	for _, e := range log {
		if e.Source != source || e.Visitor != user && e.Visitor != "$company_acme" {
			continue
		}
		if e.Time.After(e.Received) || e.Received.Sub(e.Time) > time.Minute {
			t.Errorf("%s: happened %v before it was received: %+v", source, e.Received.Sub(e.Time), e)
		}
		if e.Visitor == user && e.Kind != events.Track && e.Anonymous != "" {
			merges++
		}
		switch {
		case e.Kind == events.Identify && e.Traits["plan"] == "trial":
			plans++
		case e.Kind == events.Group && e.Account == "acme" && e.Traits["seats"] == 5.0:
			seats++
		case e.Kind == events.Track && e.Name == "Report Exported" && e.Properties["report"] == "r-1" && e.Account == "acme":
			exports++
		}
	}
	if plans != 1 || merges < 1 || seats != 1 || exports != 1 {
		t.Errorf("%s, %s: identified %d times, merged %d, grouped %d, exported %d", source, user, plans, merges, seats, exports)
		for _, e := range log {
			if b, err := json.Marshal(e); err == nil && e.Source == source {
				t.Logf("%.600s", b)
			}
		}
	}
}

// send runs the SDKs for servers and returns what each said.
func send(t *testing.T, node string, input any) map[string]string {
	t.Helper()
	text, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node, "node/clients.mjs", string(text))
	cmd.Dir = clientsDir
	cmd.Env = append(os.Environ(), "HTTP_PROXY=", "HTTPS_PROXY=", "NODE_ENV=test")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	said := map[string]string{}
	if err != nil || json.Unmarshal(out, &said) != nil || len(said) != 6 {
		t.Fatalf("node: %v: %s %s", err, out, stderr.String())
	}
	return said
}

// refusals returns how many requests were refused for their key, and how many
// for anything else.
func (c *clients) refusals() (key, other int) {
	c.t.Helper()
	_, metrics := c.ask(http.MethodGet, "/metrics", nil)
	for line := range strings.Lines(metrics) {
		var n int
		reason, value, _ := strings.Cut(strings.TrimPrefix(line, `refract_ingest_refused_total{reason="`), `"} `)
		if _, err := fmt.Sscan(value, &n); err != nil || !strings.HasPrefix(line, "refract_ingest_refused_total{") {
			continue
		}
		if reason == events.RefusedAuth {
			key += n
		} else {
			other += n
		}
	}
	return key, other
}

// The vendors' SDKs for servers, each pointed at its mount by its own option for
// the host alone.
func TestServerSDKs(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		lacking(t, "no node in PATH: what the SDKs for servers send is not tested")
	}
	c := startClients(t, newApp(t).URL)
	mounts, users := map[string]string{}, map[string]string{}
	names := []string{"segment", "rudderstack", "posthog", "posthog-v1", "mixpanel", "amplitude"}
	for _, name := range names {
		vendor, _, _ := strings.Cut(name, "-")
		mounts[vendor], users[name] = c.edge+ingestMounts+vendor, c.user(name)
	}
	wrong := map[string]string{}
	for vendor := range clientKeys {
		wrong[vendor] = "a-wrong-key"
	}
	for name, text := range send(t, node, map[string]any{"mounts": mounts, "users": users, "keys": wrong}) {
		if text == "success" {
			t.Errorf("with a wrong key the SDK of %s says %q", name, text)
		}
	}
	refused, other := c.refusals()
	if got := c.vendors.all(); len(got) > 0 {
		t.Errorf("%d requests with a wrong key are sent on", len(got))
	}
	through := between(t, c.edge)
	for vendor := range mounts {
		mounts[vendor] = through.URL + ingestMounts + vendor
	}
	for name, text := range send(t, node, map[string]any{"mounts": mounts, "users": users, "keys": clientKeys}) {
		if text != "success" {
			t.Errorf("the SDK of %s says %q", name, text)
		}
	}
	// Once each, where they send everything at once; RudderStack's and PostHog's
	// send the first message by itself, and no SDK sends a refused one again.
	if again, otherAgain := c.refusals(); refused < 6 || refused > 9 || again != refused || other+otherAgain != 0 {
		t.Errorf("%d requests were refused for a wrong key, later %d, and %d and %d for anything else", refused, again, other, otherAgain)
	}
	c.sentOnAll(through.all())
	log := c.logged()
	for _, name := range names {
		vendor, _, _ := strings.Cut(name, "-")
		told(t, log, vendor, users[name])
	}
}

// lacking skips a test for something that is not installed. Where all of it must
// be, as in the gate, that fails the test.
func lacking(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
