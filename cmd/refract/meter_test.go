package main

import (
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/seed14307185/refract/console"
)

// TestMetrics lets refract serve go through whatever is counted, and compares
// what it exports with what is said of it, name by name.
func TestMetrics(t *testing.T) {
	const surface = `<section data-surface="reports.banner">Your reports</section>`
	pages := map[string]string{
		"":        reportsPage,
		"twice":   "<html><body>" + surface + surface + `<footer data-surface="reports.footer">f</footer></body></html>`,
		"missing": "<html><body>none</body></html>",
		"open":    `<html><body><section data-surface="reports.banner">Your reports</body></html>`,
	}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(pages[r.URL.RawQuery]))
	}))
	defer app.Close()
	dir := newSite(t, "../../testdata/sites/loop", app.URL)
	rule, err := os.ReadFile(filepath.Join(dir, "site/rules/schedule-report.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	// A second surface is what a page is read for after the first was found.
	footer := strings.Replace(string(rule), "surface: reports.banner", "surface: reports.footer", 1)
	if err := os.WriteFile(filepath.Join(dir, "site/rules/footer.yaml"), []byte(footer), 0o644); err != nil {
		t.Fatal(err)
	}
	editFile(t, filepath.Join(dir, "site/refract.yaml"), func(s string) string {
		s = strings.Replace(s, "visitor: [", "visitor: [{signed: {cookie: signed, format: hmac, secret: a-secret}}, ", 1)
		return s + "exposures: [{file: {dir: " + filepath.Join(dir, "exposures") + "}}]\n" +
			"cohorts: {posthog: {host: " + app.URL + ", project: 4711, key: phx_0123456789abcdef, cohorts: [98]}}\n" +
			"stops: [{name: alertmanager, secret: 0123456789abcdef, rules: all}]\n"
	})
	for name, text := range map[string]string{"site/segments/listed.yaml": "all: [{cohort: crm/listed}]\n", "ids": "ann\nbob\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := start(t, dir)
	r.mustCommand("cohort", "load", "crm/listed", filepath.Join(dir, "ids"))
	r.send("track", map[string]any{"event": "Report Exported", "userId": "ann"})
	for page := range pages {
		r.get("/reports?"+page, "ann")
	}
	r.do("BREW", "/reports", "", nil, "Cookie", "user=ann; signed=bob")
	r.do(http.MethodPost, ingestMounts+"segment/v1/track", "", strings.NewReader("{"), "Authorization", "Basic dGVzdC1rZXk6")
	r.settle()
	r.mustCommand("drill", "invite-teammate")
	r.do(http.MethodPost, stopMounts+"alertmanager", "", strings.NewReader("{}"))
	r.mustCommand("rollback", "invite-teammate", "--why", "drill")

	_, text := r.ask(http.MethodGet, "/metrics", nil)
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	scraped := scrape(t, text)
	elsewhere := []string{"upstream_healthy", "open_connections", "tls_certs_not_after"} // see TestMetricsOfOtherRooms
	known := map[string]bool{}
	for _, f := range newMeter().families {
		name := "refract_" + f.name
		known[name] = true
		got, exported := scraped[name]
		if exported {
			f.compare(t, got)
		} else if !slices.Contains(elsewhere, f.name) {
			t.Errorf("%s is not exported", name)
		}
	}
	for name := range scraped {
		if strings.HasPrefix(name, "refract_") && !known[name] {
			t.Errorf("%s is exported and not listed", name)
		}
	}
	for _, line := range []string{
		`refract_http_requests_total{code="200",method="GET"} 4`,
		`refract_http_requests_total{code="200",method="other"} 1`,
		`refract_passthrough_total{reason="method"} 1`,
		`refract_passthrough_total{reason="bot"} 0`,
		`refract_surface_missing_total{surface="reports.banner"} 1`,
		`refract_surface_duplicate_total{surface="reports.banner"} 1`,
		`refract_surface_untouched_total{reason="unclosed",surface="reports.banner"} 1`,
		`refract_rewrite_duration_seconds_count 4`,
		`refract_guardrail_trips_total{cause="person",rule="invite-teammate"} 1`,
		`refract_rule_state{rule="invite-teammate",state="rolled_back"} 1`,
		`refract_rule_state{rule="invite-teammate",state="live"} 0`,
		`refract_rule_state{rule="schedule-report",state="live"} 1`,
		`refract_assignment_flips_total{cause="rollout",rule="schedule-report"} 0`,
		`refract_exposures_dropped_total{reason="queue"} 0`,
		`refract_ingest_refused_total{reason="json"} 1`,
		`refract_cohort_members{cohort="crm/listed"} 2`,
		`refract_cohort_expired{cohort="crm/listed"} 0`,
		`refract_cohort_pulls_total{cohort="posthog/98",result="replaced"} 0`,
		`refract_identity_refused_total{reason="malformed",source="signed:signed"} 1`,
		`refract_identity_refused_total{reason="signature",source="signed:signed"} 0`,
		`refract_outbox_pending{destination="file"} 2`,
		`refract_outbox_dropped_total{destination="file",reason="overflow"} 0`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("the metrics do not say %q", line)
		}
	}
	if d := scraped["refract_rollback_last_duration_seconds"].GetMetric()[0].GetGauge().GetValue(); d < 0 || d > 1 {
		t.Errorf("the rollback took %v s", d)
	}
	r.stop()
}

// TestMetricsOfOtherRooms reads what an edge is given to read.
func TestMetricsOfOtherRooms(t *testing.T) {
	e, err := newEdge(t.Context(), filepath.Join(newSite(t, "../../testdata/sites/loop", "http://127.0.0.1:1"), "site"), time.Now, slog.New(slog.DiscardHandler), false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.shut(); err != nil {
			t.Error(err)
		}
	}()
	e.meter.servers = maps.All(map[string]bool{"http://10.0.0.1:80": true, "unix:/run/app": false})
	e.meter.connections = func() int { return 7 }
	e.meter.certificates = maps.All(map[string]time.Time{"shop.example.com": time.Unix(1800000000, 0)})
	e.meter.accessLost, e.meter.logLost = func() uint64 { return 8 }, func() uint64 { return 9 }
	e.turn(true, bySignal, console.Change{})
	w := httptest.NewRecorder()
	e.admin.Metrics.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	for _, line := range []string{
		`refract_upstream_healthy{server="http://10.0.0.1:80"} 1`,
		`refract_upstream_healthy{server="unix:/run/app"} 0`,
		`refract_open_connections 7`,
		`refract_access_log_dropped_total 8`,
		`refract_log_dropped_total 9`,
		`refract_off{by="signal"} 1`,
		`refract_off{by="kill-file"} 0`,
		`refract_tls_certs_not_after{host="shop.example.com"} 1.8e+09`,
	} {
		if !strings.Contains(w.Body.String(), "\n"+line+"\n") {
			t.Errorf("the metrics do not say %q", line)
		}
	}
	scraped := scrape(t, w.Body.String())
	for _, f := range e.meter.families {
		if got, ok := scraped["refract_"+f.name]; ok {
			f.compare(t, got)
		}
	}
}

func scrape(t *testing.T, text string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// compare checks an exported family against what is said of it.
func (f family) compare(t *testing.T, got *dto.MetricFamily) {
	t.Helper()
	if kind := strings.ToLower(got.GetType().String()); kind != f.kind || got.GetHelp() != f.help {
		t.Errorf("%s is exported as a %s: %s", f.name, kind, got.GetHelp())
	}
	want := slices.Sorted(slices.Values(f.labels))
	for _, m := range got.GetMetric() {
		var labels []string
		for _, l := range m.GetLabel() {
			labels = append(labels, l.GetName())
		}
		if slices.Sort(labels); !slices.Equal(labels, want) {
			t.Errorf("%s has the labels %q, not %q", f.name, labels, want)
		}
	}
}

// TestDocumentedMetrics holds the table of docs/operations.md against the
// metrics; -update writes it.
func TestDocumentedMetrics(t *testing.T) {
	var table strings.Builder
	table.WriteString("\n| name | type | labels | what it says |\n|---|---|---|---|\n")
	for _, f := range newMeter().families {
		labels := strings.TrimSuffix(" "+strings.Join(f.labels, ", "), " ")
		fmt.Fprintf(&table, "| `refract_%s` | %s |%s | %s |\n", f.name, f.kind, labels, f.help)
	}
	generated(t, "metrics", table.String()+"\n")
}

// generated compares what stands between the marks of that name in
// docs/operations.md with what belongs there.
func generated(t *testing.T, name, want string) {
	t.Helper()
	const file = "../../docs/operations.md"
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(doc), "<!-- "+name+" -->\n")
	got, after, ok2 := strings.Cut(rest, "<!-- end of "+name+" -->\n")
	switch {
	case !ok || !ok2:
		t.Fatalf("%s has no marks of %s", file, name)
	case got == want:
	case *update:
		doc = []byte(before + "<!-- " + name + " -->\n" + want + "<!-- end of " + name + " -->\n" + after)
		if err := os.WriteFile(file, doc, 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the %s of %s are not what they should be: go test ./cmd/refract -run %s -update", name, file, t.Name())
	}
}
