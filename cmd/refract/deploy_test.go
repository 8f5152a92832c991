package main

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// metricName is a metric of ours or of the process in a PromQL expression.
var metricName = regexp.MustCompile(`\b(refract|process|go)_[a-z_0-9]+\b`)

// exported are the names that an expression may use: a histogram has three.
func exported() map[string]bool {
	names := map[string]bool{"process_cpu_seconds_total": true, "process_resident_memory_bytes": true}
	for _, f := range newMeter().families {
		name := "refract_" + f.name
		if f.kind != "histogram" {
			names[name] = true
			continue
		}
		for _, part := range []string{"_bucket", "_sum", "_count"} {
			names[name+part] = true
		}
	}
	return names
}

func checkExpression(t *testing.T, where, expr string, known map[string]bool) {
	t.Helper()
	found := metricName.FindAllString(expr, -1)
	if len(found) == 0 && !strings.HasPrefix(expr, "up{") {
		t.Errorf("%s asks for no metric: %s", where, expr)
	}
	for _, name := range found {
		if !known[name] {
			t.Errorf("%s: %s is not exported", where, name)
		}
	}
}

// TestDashboard: each panel of the dashboard shows what is exported.
func TestDashboard(t *testing.T) {
	var board struct {
		Title  string
		Panels []struct {
			ID          int
			Type, Title string
			Targets     []struct{ Expr, RefID string }
		}
	}
	b, err := os.ReadFile("../../deploy/grafana/refract.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &board); err != nil {
		t.Fatal(err)
	}
	known, ids := exported(), map[int]bool{}
	for _, p := range board.Panels {
		if ids[p.ID] {
			t.Errorf("two panels have the id %d", p.ID)
		}
		ids[p.ID] = true
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("the panel %q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			checkExpression(t, p.Title, target.Expr, known)
		}
	}
	if len(board.Panels) < 10 {
		t.Errorf("only %d panels were looked at", len(board.Panels))
	}
}

// TestAlerts: each alert is about what is exported, and says what to do.
func TestAlerts(t *testing.T) {
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Labels      struct{ Severity string }
				Annotations struct{ Summary, Description string }
			}
		}
	}
	b, err := os.ReadFile("../../deploy/prometheus/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	known, seen := exported(), map[string]bool{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if seen[r.Alert] || r.Labels.Severity == "" || r.Annotations.Summary == "" || r.Annotations.Description == "" {
				t.Errorf("%s is there twice, or lacks a severity, a summary or a description", r.Alert)
			}
			seen[r.Alert] = true
			checkExpression(t, r.Alert, r.Expr, known)
		}
	}
	if len(seen) < 10 {
		t.Errorf("only %d alerts were looked at", len(seen))
	}
}
