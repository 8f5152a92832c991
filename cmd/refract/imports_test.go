package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// rooms is a statement of policy: "a, b < c" says that c may import a and b,
// and whatever they may import. Don't change it to make a build pass.
const rooms = `
	< internal/pipes, rewrite/selector, rewrite/coding, rewrite/internal/first, events, certs, certs/acmetest, demo/planner, proxy/cache, approvals, monitors;
	rewrite/selector < rewrite;
	events < events/ingest;
	events/ingest < events/ingest/ingesttest, events/segment, events/braze, events/amplitude, events/mixpanel, events/posthog;
	events/segment < events/rudderstack;
	events < segments;
	segments < segments/oracle;
	rewrite, segments, approvals < rules;
	events, rules < outcomes;
	segments, rules, outcomes < store;
	store < export;
	segments, rules, events, outcomes < simulate;
	rules, store < outbox;
	events/ingest, store < cohorts;
	rewrite, rewrite/coding, rules, events < proxy;
	rules < proxy/front;
	rules, events < proxy/origin;
	rules, events < proxy/token;
	rules, outcomes, store, cohorts, export < console;
	demo/planner < demo;
	console, proxy, proxy/front, proxy/origin, proxy/cache, proxy/token, store, outcomes, events/segment, certs, demo, events/posthog, events/rudderstack, events/mixpanel, events/amplitude, events/braze, simulate, outbox, export, cohorts, monitors < cmd/refract;
`

// owners says which room alone may import a package, outside its tests.
var owners = map[string][]string{
	"golang.org/x/net/html":          {"rules", "rewrite", "rewrite/internal/first", "cmd/refract"}, // what cmd looks at in a page is a tool's work
	"golang.org/x/net/http":          {"proxy/origin"},
	"github.com/PuerkitoBio/goquery": {"rules", "cmd/refract"},
	"github.com/tdewolff/parse":      {"rewrite/selector"},
	"github.com/klauspost/compress":  {"rewrite/coding", "simulate"}, // simulate: files on disk, of any size
	"github.com/andybalholm/brotli":  {"rewrite/coding"},
	"github.com/go-json-experiment":  {"simulate", "cohorts"},
	"github.com/hiddeco/sshsig":      {"approvals"},
	"golang.org/x/crypto/ssh":        {"approvals", "cmd/refract"}, // cmd has the private keys and the agent
	"golang.org/x/term":              {"cmd/refract"},
	"golang.org/x/text":              {"rewrite"},
	"golang.org/x/sys":               {"rewrite"},
	"github.com/dgraph-io/ristretto": {"store"},
	"github.com/cockroachdb/pebble":  {"store"},
	"go.yaml.in/yaml":                {"rules"},
	"github.com/parquet-go":          {"outbox", "export"},
	"github.com/go-jose/go-jose":     {"proxy/token"},
	"github.com/hashicorp":           {"proxy/token"},
	"github.com/cenkalti/backoff":    {"outbox", "cohorts"},
	"golang.org/x/time":              {"cohorts"},
	"github.com/google/uuid":         {"store"},
	"github.com/caddyserver":         {"certs"},
	"github.com/mholt/acmez":         {"certs"},
	"github.com/libdns":              {"certs"},
	"go.uber.org/zap":                {"certs"},
	"github.com/prometheus":          {"cmd/refract"},
	"github.com/spf13/cobra":         {"cmd/refract"},
	"net/http":                       {"proxy", "console", "events/segment", "certs", "certs/acmetest", "demo", "demo/planner", "cmd/refract", "proxy/front", "proxy/origin", "proxy/cache", "proxy/token", "events/ingest", "events/ingest/ingesttest", "events/posthog", "events/rudderstack", "events/mixpanel", "events/amplitude", "events/braze", "outbox", "cohorts", "monitors"},
	"github.com/quic-go/quic-go":     {"proxy/front"},
	"github.com/pires/go-proxyproto": {"proxy/front"},
	"github.com/fsnotify/fsnotify":   {"cmd/refract"},
	"github.com/coreos/go-systemd":   {"cmd/refract"},
	"go.opentelemetry.io":            {"cmd/refract"},
}

const module = "github.com/seed14307185/refract/"

func TestImports(t *testing.T) {
	may := map[string]map[string]bool{} // room → rooms that it may import
	for line := range strings.SplitSeq(rooms, ";") {
		from, to, ok := strings.Cut(line, "<")
		if !ok {
			continue
		}
		for _, room := range list(to) {
			if may[room] == nil {
				may[room] = map[string]bool{}
			}
			for _, dep := range list(from) {
				if may[dep] == nil {
					t.Fatalf("%s is used before it stands on the right of a <", dep)
				}
				may[room][dep] = true
				for d := range may[dep] {
					may[room][d] = true
				}
			}
		}
	}
	type pkg struct {
		ImportPath string
		Imports    []string
	}
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "../../...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; seen++ {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		room := strings.TrimPrefix(p.ImportPath, module)
		if may[room] == nil {
			t.Errorf("%s is a room without a place in the plan: see docs/ARCHITECTURE.md", room)
			continue
		}
		for _, imp := range p.Imports {
			if dep, ours := strings.CutPrefix(imp, module); ours && !may[room][dep] {
				t.Errorf("%s imports %s", room, dep)
			}
			for owned, by := range owners {
				if (imp == owned || strings.HasPrefix(imp, owned+"/")) && !slices.Contains(by, room) {
					t.Errorf("%s imports %s, which belongs to %s", room, imp, strings.Join(by, " and "))
				}
			}
		}
	}
	if dirs, _ := filepath.Glob("../../*/*.go"); seen < 10 || len(dirs) == 0 {
		t.Errorf("only %d packages were looked at", seen)
	}
}

func list(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' })
}
