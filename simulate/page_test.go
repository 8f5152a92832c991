package simulate_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"github.com/seed14307185/refract/simulate"
)

// TestPage checks what a reader without eyes, or without a network, needs.
func TestPage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "events.jsonl")
	writeHistory(t, file, 20_000)
	lines, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	report := run(t, append(lines, "<script>alert(1)</script>\n"...), simulate.Options{}, referenceSite)
	report.Segments[0].Name = "<b>bold</b>"
	var out bytes.Buffer
	if err := report.WriteHTML(&out); err != nil {
		t.Fatal(err)
	}
	page, err := goquery.NewDocumentFromReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	if n := page.Find("script, link, img, iframe, object, [src], b").Length(); n > 0 {
		t.Errorf("%d elements that ask for something, or were injected", n)
	}
	var ids []string
	page.Find("*").Each(func(_ int, e *goquery.Selection) {
		for _, a := range e.Nodes[0].Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "href" && !strings.HasPrefix(a.Val, "#") {
				t.Errorf("%s=%q", a.Key, a.Val)
			}
			if a.Key == "id" {
				ids = append(ids, a.Val)
			}
		}
	})
	slices.Sort(ids)
	if n := len(ids); len(slices.Compact(ids)) != n {
		t.Error("an id is given twice")
	}
	charts := page.Find("svg")
	if want := 2*len(report.Segments) + len(report.Rules); charts.Length() != want {
		t.Errorf("%d charts, want %d", charts.Length(), want)
	}
	charts.Each(func(_ int, c *goquery.Selection) {
		for id := range strings.FieldsSeq(c.AttrOr("aria-labelledby", "")) {
			if strings.TrimSpace(c.Find("#"+id).Text()) == "" {
				t.Errorf("a chart is labelled by %q, which says nothing", id)
			}
		}
		if c.AttrOr("role", "") != "img" || strings.Contains(c.Text(), "NaN") {
			t.Errorf("a chart: %s", c.Text())
		}
	})
	days := page.Find("#s0 tbody tr")
	if days.Length() != len(report.Segments[0].Days) {
		t.Errorf("%d days stand beside the chart", days.Length())
	}
}
